"""The cache of data sets: its names, its entries, its bound.

data/KEY    what a study takes from a data set: rows and labels of its splits, and facts
pixels/KEY  the decoded images of a split of a data set, for all studies: ``data.pixels``
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnsearch.arrays import mapped_from
from dnsearch.config.values import parse_bytes
from dnsearch.errors import ConfigError
from dnsearch.files import folder_aside, remove, require_regular
from dnsearch.text import data_size

try:
    import fcntl
except ImportError:  # on Windows, where nothing that is open can be removed
    fcntl = None

LIMIT = "DNSEARCH_CACHE_LIMIT"
DEFAULT_LIMIT = 50 * 10**9
"""Bytes that the cached images of all data sets take; the environment variable of that name sets
another number, such as ``200 GB``."""

PARTS = ("data", "pixels")
FACTS = "facts.json"
WHOLE_BYTES = 256_000_000
WHOLE_FILES = 1024
BLOCK = 65536
"""A data set is hashed in full up to these, in a few tenths of a second; see ``cache_key``."""

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What is stored under one key: arrays by name, and facts in values that JSON can hold."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def cache_key(
    settings: object, files: tuple[Path, ...], labels: Callable[[], bytes] = bytes
) -> str:
    """A name for what these settings make of these files: of their paths, sizes, times of change,
    and contents.

    Contents count in full as long as the files have at most ``WHOLE_BYTES`` together and are at
    most ``WHOLE_FILES``. Beyond that a sample does: that many files, evenly chosen, of large ones
    evenly spread blocks with both ends (at the end of an archive are the checksums of its parts);
    and ``labels``, which is called then, because a changed label matters more than an image.
    ``settings`` must be values that JSON can hold.
    """
    seen = [_status(file) for file in files]
    digest = hashlib.sha256(json.dumps([settings, seen]).encode())
    chosen = files[:: math.ceil(len(files) / WHOLE_FILES) or 1]
    share = WHOLE_BYTES // max(1, len(chosen))
    whole = len(chosen) == len(files) and sum(size for _, size, _ in seen) <= WHOLE_BYTES
    for file in chosen:
        with contextlib.suppress(OSError):  # its reader will say it
            require_regular(file)
            with file.open("rb") as opened:
                digest.update(_sample(opened, None if whole else share))
    if not whole:
        digest.update(labels())
    return digest.hexdigest()[:32]


def _status(file: Path) -> tuple[str, int, int]:
    """Path, size and time of change of a file; zeros if it is gone, as a broken link's is."""
    try:
        stat = file.stat()
    except OSError:
        return os.path.abspath(file), 0, 0
    return os.path.abspath(file), stat.st_size, stat.st_mtime_ns


def _sample(file: io.BufferedReader, most: int | None) -> bytes:
    """A checksum of the file, or of blocks of it of about ``most`` bytes in all."""
    size = os.fstat(file.fileno()).st_size
    if most is None or size <= max(most, 2 * BLOCK):
        return hashlib.file_digest(file, "blake2b").digest()
    digest = hashlib.blake2b()
    for start in np.linspace(0, size - BLOCK, max(2, most // BLOCK), dtype=np.int64):
        file.seek(int(start))
        digest.update(file.read(BLOCK))
    return digest.digest()


def cached(folder: Path, build: Callable[[], Entry]) -> Entry:
    """The entry in this folder, its arrays memory-mapped; built and stored there if there is none.

    If it cannot be stored, a warning is logged and the entry stays in memory. Errors of ``build``
    are raised.
    """
    if (entry := _load(folder)) is not None:
        used(folder)
        return entry
    built = build()
    try:
        _store(folder, built)
    except OSError as error:
        logger.warning("what a study takes from its images is not cached: %s", error)
        return built
    return _load(folder) or built


def used(folder: Path) -> None:
    """Notes that something of the cache was used now."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def hold(mapped: np.ndarray) -> None:
    """Has ``make_room``, in all processes, leave the folder of a mapped file alone as long as it is
    mapped here; not where files cannot be locked."""
    found = mapped_from(mapped)
    if fcntl is not None and found is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(found[0], fcntl.LOCK_SH | fcntl.LOCK_NB)


def _is_held(folder: Path) -> bool:
    if fcntl is None:
        return False
    for path in folder.glob("*.npy"):
        with contextlib.suppress(OSError), path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def make_room(root: Path, own: Callable[[], Collection[Path | None]]) -> None:
    """Removes what was not used for longest, until the cache is within its bound; but neither the
    folders of ``own``, as a data set beyond the bound would be decoded again and again, nor what a
    process has mapped, as that would free nothing. Logs a warning where these alone are too much.

    Raises ConfigError where the bound is no number.
    """
    limit = cache_limit()
    held = [entry for part in PARTS for entry in _entries(root / part)]
    total = sum(entry.size for entry in held)
    if total <= limit:
        return
    spared = own()
    for entry in sorted(held, key=lambda entry: entry.last_used):
        if entry.path in spared or _is_held(entry.path):
            continue
        remove(entry.path)
        remove(entry.path.with_name(f".{entry.path.name}.lock"))
        total -= entry.size
        if total <= limit:
            return
    logger.warning(
        "this data set and what others use take %s of the cache, over its bound of %s; set %s "
        "higher, or data.image_size lower",
        data_size(total),
        data_size(limit),
        LIMIT,
    )


def cache_limit() -> int:
    """The bound of the cache, bytes. Raises ConfigError where what is set is no number."""
    told = os.environ.get(LIMIT) or DEFAULT_LIMIT
    try:
        return int(parse_bytes(told))
    except ValueError as error:
        raise ConfigError(LIMIT, str(error), told) from None


class _Held(NamedTuple):
    """A folder of the cache: bytes that it takes on the disk, and when it was last used."""

    path: Path
    size: int
    last_used: float


def _entries(folder: Path) -> Iterator[_Held]:
    """Those in a part of the cache; others may remove some meanwhile."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                if path.is_dir():
                    size = sum(_on_disk(each.stat()) for each in path.iterdir())
                    yield _Held(path, size, path.stat().st_mtime)


def _on_disk(stat: os.stat_result) -> int:
    """Bytes that a file takes, which are fewer than it has where it is sparse."""
    return 512 * stat.st_blocks if hasattr(stat, "st_blocks") else stat.st_size


def _load(folder: Path) -> Entry | None:
    """The stored entry; None if there is none or it is damaged."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        # mode "c": torch warns about read-only arrays; writing changes this process's copy alone
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in facts["arrays"]}
        return Entry(arrays, facts["facts"])
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None


def _store(folder: Path, entry: Entry) -> None:
    """Writes the entry next to its place, then renames it, so that no process sees half of it."""
    with folder_aside(folder) as aside:
        aside.chmod(0o700)  # somebody's images
        for name, array in entry.arrays.items():
            with (aside / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                os.fsync(file.fileno())
        text = json.dumps({"arrays": list(entry.arrays), "facts": entry.facts})
        (aside / FACTS).write_text(text, encoding="utf-8")
        _publish(aside, folder)


def _publish(aside: Path, folder: Path) -> None:
    """Renames ``aside`` to ``folder``, unless another process has put a whole entry there."""
    if folder.exists() and _load(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.replace(aside, folder)
    except OSError:
        if _load(folder) is None:
            raise
