"""Copies of a run's storage, for when the file is damaged: ``backups/N/study.db``, the newest with
the highest number. A clock that was set would mislead about their age."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from dnsearch.files import atomic
from dnsearch.rundir import BACKUPS, RunDir
from dnsearch.search.database import (
    LOCK_SECONDS,
    backups,
    connect,
    damaged,
    guarded,
    what_is_damaged,
)

EVERY_SECONDS = 600.0
KEPT = 4


class Backups:
    """Takes those of one run, whose lock the process holds."""

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.monotonic) -> None:
        self.file, self.clock = run.database, clock
        self._taken = clock()

    def take(self) -> Path:
        """Backs up the storage as it is, unless the newest backup is the same; that one's path.

        Removes all but the last ``KEPT``. Raises RunError where the storage is damaged or the copy
        cannot be written, MachineError on a full disk.
        """
        self._taken = self.clock()
        before = next(iter(backups(self.file)), None)
        number = 1 if before is None else int(before.parent.name) + 1
        copy = self.file.parent / BACKUPS / str(number) / self.file.name
        try:
            with atomic(copy) as aside:
                _copy(self.file, aside)
            if before is not None and filecmp.cmp(before, copy, shallow=False):
                copy.unlink()
                return before
        finally:
            with contextlib.suppress(OSError):
                copy.parent.rmdir()  # where it is empty
        for old in copy.parent.parent.iterdir():
            if old.name.isdecimal() and int(old.name) <= number - KEPT:
                shutil.rmtree(old, ignore_errors=True)
        return copy

    def take_where_due(self) -> None:
        """Backs it up where the last backup was long ago."""
        if self.clock() - self._taken >= EVERY_SECONDS:
            self.take()


def _copy(file: Path, to: Path) -> None:
    """A copy of a storage that others may be writing, checked."""
    with (
        guarded(file),
        contextlib.closing(connect(file, "ro")) as source,
        contextlib.closing(connect(to, "rwc")) as target,
    ):
        source.backup(target, sleep=LOCK_SECONDS / 600)
        wrong = what_is_damaged(target)
    if wrong:
        raise damaged(file, wrong)
