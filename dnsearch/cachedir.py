"""The user's cache folder, for what can be made again: decoded images, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """$DNSEARCH_CACHE, else $XDG_CACHE_HOME/dnsearch, else ~/.cache/dnsearch; not created here.

    Raises RuntimeError where none is set and there is no home folder.
    """
    if own := os.environ.get("DNSEARCH_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dnsearch"
