"""``SQLiteFile``: the storage of a run in its own folder, ``study.db``, with backups beside it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from dnsearch.errors import DamagedError
from dnsearch.rundir import RunDir
from dnsearch.search.backups import Backups
from dnsearch.search.database import (
    damaged,
    guarded,
    has_no_study,
    mark_schema,
    open_storage,
    schema_of,
)
from dnsearch.search.layout import SCHEMA
from dnsearch.search.storage import Storage
from dnsearch.search.transactions import TransactionalStorage
from dnsearch.search.upgrade import upgrade


class SQLiteFile(Storage):
    """One that may be written is made where it is missing, and brought to today's schema; only then
    it has backups. Raises RunError where the file is no storage."""

    def __init__(self, run: RunDir, read_only: bool) -> None:
        self._file = self.path = file = run.database
        self._backups = None if read_only else Backups(run)
        if self._backups and has_no_study(file):
            self.optuna = open_storage(file, read_only=False)
            mark_schema(file)
        else:
            if self._backups and schema_of(file) < SCHEMA:
                self._backups.take()
                upgrade(file)
            self.optuna = open_storage(file, read_only)
        self.schema = schema_of(file)

    def __str__(self) -> str:
        return str(self._file)

    def damaged(self, what: str) -> DamagedError:
        """See ``Storage``; names the newest backup."""
        return damaged(self._file, what)

    def guarded(self) -> AbstractContextManager[None]:
        """See ``Storage``: damage is a RunError, a full disk a MachineError."""
        return guarded(self._file)

    def transaction(self) -> AbstractContextManager[None]:
        """See ``Storage``."""
        if isinstance(self.optuna, TransactionalStorage):
            return self.optuna.transaction()
        return super().transaction()

    def back_up(self) -> None:
        """See ``Storage``."""
        if self._backups:
            self._backups.take()

    def back_up_where_due(self) -> None:
        """See ``Storage``."""
        if self._backups:
            self._backups.take_where_due()
