"""Decoded arrays on disk, so that a data set is decoded once and processes share its memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FACTS = "facts.json"

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What is stored under one key: arrays by name, and facts in values that JSON can hold."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


def cache_key(settings: object, files: tuple[Path, ...]) -> str:
    """A name for what these settings make of these files, which are told by path, size and mtime.

    ``settings`` must be values that JSON can hold. Raises OSError where a file is gone.
    """
    stats = [(os.path.abspath(file), file.stat()) for file in files]
    seen = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(json.dumps([settings, seen]).encode()).hexdigest()[:32]


def cached(folder: Path, build: Callable[[], Entry]) -> Entry:
    """The entry in this folder, its arrays memory-mapped; built and stored there if there is none.

    If it cannot be stored, a warning is logged and the entry stays in memory. Errors of ``build``
    are raised.
    """
    if (entry := _load(folder)) is not None:
        return entry
    built = build()
    try:
        _store(folder, built)
    except OSError as error:
        logger.warning("decoded images are not cached: %s", error)
        return built
    return _load(folder) or built


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
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        for name, array in entry.arrays.items():
            with (aside / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                os.fsync(file.fileno())
        text = json.dumps({"arrays": list(entry.arrays), "facts": entry.facts})
        (aside / FACTS).write_text(text, encoding="utf-8")
        _publish(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _publish(aside: Path, folder: Path) -> None:
    """Renames ``aside`` to ``folder``, unless another process has put a whole entry there."""
    if folder.exists() and _load(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.replace(aside, folder)
    except OSError:
        if _load(folder) is None:
            raise
