"""A run's SQLite file as an Optuna storage: to be written by its coordinator, or only read."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DatabaseError

from dnsearch.errors import MachineError, RunError
from dnsearch.search.layout import FAILED_BEFORE, SCORE

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


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turns the errors of a damaged file into a RunError, and of a full disk into a MachineError,
    that names it."""
    try:
        yield
    except (DatabaseError, StorageInternalError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", cause)).splitlines()[0]
        if any(sign in reason for sign in _MACHINES):
            raise MachineError(f"{path}: cannot be written: {reason}") from None
        raise RunError(f"{path}: cannot be used as Optuna storage: {reason}") from None


_MACHINES = "disk is full", "disk I/O error"
"""SQLite's words for what is no damage of the file."""


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """The same, and for values that neither Optuna nor dnsearch wrote; for reading alone, as it
    takes any wrong type or missing key for damage."""
    try:
        with guarded(path):
            yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{path}: holds what cannot be read ({type(error).__name__}: {error}); the file was "
            "changed or damaged, or another version wrote it"
        ) from None


def set_failures_aside(file: Path, studies: Sequence[str]) -> None:
    """Moves the scores of the failed trials of these Optuna studies from one attribute to another,
    so that they count for nothing; in one transaction. Optuna itself changes no finished trial.

    Raises RunError where the file is no storage, and MachineError on a full disk.
    """
    names = ", ".join("?" * len(studies))
    with guarded(file), contextlib.closing(_connect(file, "rw")) as connection, connection:
        connection.execute(
            "UPDATE trial_user_attributes SET key = ? WHERE key = ? AND trial_id IN "
            "(SELECT trial_id FROM trials JOIN studies USING (study_id) "
            f"WHERE state = 'FAIL' AND study_name IN ({names}))",
            (FAILED_BEFORE, SCORE, *studies),
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
