"""A cache for tests: what is decoded in a folder of their own, what is compiled with everybody."""

from __future__ import annotations

from pathlib import Path

from dnsearch.cachedir import cache_root

KERNELS = cache_root() / "kernels"  # the user's, as it is before any test changes the environment


def make_cache(folder: Path) -> str:
    """A new folder for DNSEARCH_CACHE. The kernels in it are the user's: they take the compiler ten
    seconds, and their names tell all that they depend on."""
    KERNELS.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    (folder / "kernels").symlink_to(KERNELS)
    return str(folder)
