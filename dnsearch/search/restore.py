"""Putting a backup in the place of a run's storage that is damaged (``dnsearch run --restore``)."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from dnsearch.errors import DamagedError, RunError
from dnsearch.files import atomic
from dnsearch.rundir import RunDir
from dnsearch.search.database import backups
from dnsearch.search.store import StudyStore


def restore(run: RunDir) -> str:
    """Takes the newest backup whose trials can all be read; for the holder of the run's lock. What
    was done, in a sentence.

    The damaged file is kept beside it. A storage that can be read stays as it is. Raises RunError
    where there is no such backup.
    """
    if run.place is not None:
        raise RunError(
            f"--restore: the results of this run are in a server, {run.place}, and so are its "
            "backups; ask who keeps it"
        )
    wrong = _damage(run)
    if wrong is None:
        return f"{run.database} can be read, so no backup was taken"
    found = next((file for file in backups(run.database) if not _damage(RunDir(file.parent))), None)
    if found is None:
        raise DamagedError(f"{wrong}; there is no backup of it that can be read")
    kept = _set_aside(run.database)
    with atomic(run.database) as aside:
        shutil.copyfile(found, aside)
    return f"{run.database} is {found} now" + (f"; the damaged one is {kept}" if kept else "")


def _damage(run: RunDir) -> DamagedError | None:
    try:
        StudyStore(run, read_only=True).require_sound()
    except DamagedError as error:
        return error
    return None


def _set_aside(file: Path) -> Path | None:
    """Keeps a damaged storage under another name as well, and what SQLite would undo in the file
    under this one alone; None where there is no file."""
    names = (file.with_name(f"{file.stem}-damaged-{n}{file.suffix}") for n in itertools.count(1))
    kept = next(name for name in names if not name.exists())
    with contextlib.suppress(FileNotFoundError):
        os.replace(f"{file}-journal", f"{kept}-journal")
    try:
        shutil.copyfile(file, kept)
    except FileNotFoundError:
        return None
    return kept
