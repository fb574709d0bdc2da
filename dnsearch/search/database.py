"""A run's SQLite file as an Optuna storage: to be written by its coordinator, or only read."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import Literal

from optuna.storages import RDBStorage

LOCK_SECONDS = 60  # at SQLite's default of 5 s, 16 writers see "database is locked"


def open_storage(file: Path, read_only: bool) -> RDBStorage:
    """A file that is only read need not be writable, and neither must its folder; one that is
    written is created where it is missing or empty.

    Raises SQLAlchemy's and Optuna's errors for a file that is no storage, and RuntimeError for the
    storage of another version of Optuna.
    """
    if read_only:
        _roll_back(file)
    connect = partial(_connect, file, "ro" if read_only else "rwc")
    # The URL only says which kind of database it is: in one, '?', '%' and '{' have other meanings.
    return RDBStorage(
        "sqlite:///study.db",
        engine_kwargs={"creator": connect},
        skip_table_creation=read_only,
    )


def _connect(file: Path, mode: Literal["ro", "rw", "rwc"]) -> sqlite3.Connection:
    address = f"{file.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(address, timeout=LOCK_SECONDS, uri=True, check_same_thread=False)


def _roll_back(file: Path) -> None:
    """Has SQLite undo a commit that a killed process left half written. A reader must not, and
    would find the file unreadable; where nobody can write it stays so."""
    if file.with_name(f"{file.name}-journal").exists():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(_connect(file, "rw")) as connection,
        ):
            connection.execute("SELECT name FROM sqlite_master").fetchone()
