"""A run's SQLite file as an Optuna storage: to be written by its coordinator, or only read."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DatabaseError

from dnsearch.errors import DamagedError, MachineError, RunError, one_line
from dnsearch.rundir import BACKUPS
from dnsearch.search.layout import SCHEMA
from dnsearch.search.transactions import TransactionalStorage

LOCK_SECONDS = 60  # at SQLite's default of 5 s, 16 writers see "database is locked"


def open_storage(file: Path, read_only: bool) -> RDBStorage:
    """A file that is only read need not be writable, and neither must its folder; one that is
    written is created where it is missing or empty.

    Raises RunError for a file that is damaged, no storage, or one of a newer version.
    """
    with guarded(file):
        if read_only or (file.is_file() and file.stat().st_size):
            _require_whole(file)
        creator = partial(connect, file, "ro" if read_only else "rwc")
        try:
            # The URL only says which kind of database it is: in one, '?', '%' and '{' have other
            # meanings.
            return (RDBStorage if read_only else TransactionalStorage)(
                "sqlite:///study.db",
                engine_kwargs={"creator": creator},
                skip_table_creation=read_only,
            )
        except RuntimeError as error:  # written by another version of Optuna
            raise RunError(f"{file}: cannot be used as Optuna storage: {error}") from None
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            raise damaged(file, f"cannot be used as Optuna storage: {one_line(error)}") from None


def schema_of(file: Path) -> int:
    """The schema of a storage. Raises RunError where that is newer than ``SCHEMA``, or the file no
    storage."""
    with guarded(file), contextlib.closing(connect(file, "ro")) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= schema <= SCHEMA:
        raise RunError(
            f"{file}: was written by a newer dnsearch (schema {schema}, this one knows {SCHEMA}); "
            "update dnsearch"
        )
    return schema


def has_no_study(file: Path) -> bool:
    """Whether there is no study in a storage yet: it is missing or empty, or its process was killed
    while it was made."""
    if not file.is_file() or not file.stat().st_size:
        return True
    with guarded(file), contextlib.closing(connect(file, "ro")) as connection:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'studies'"
        if not tables or not connection.execute(query).fetchone()[0]:
            return not tables
        return not connection.execute("SELECT count(*) FROM studies").fetchone()[0]


def mark_schema(file: Path) -> None:
    """Notes that a storage is of today's schema."""
    with guarded(file), contextlib.closing(connect(file, "rw")) as connection, connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _require_whole(file: Path) -> None:
    with contextlib.closing(connect(file, "ro")) as connection:
        wrong = what_is_damaged(connection)
    if wrong:
        raise damaged(file, wrong)
    schema_of(file)


def what_is_damaged(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong: damaged pages, or rows that belong to none; empty where nothing
    is."""
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        return " ".join(found.split())
    orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    return f"lacks a row that one of {orphan[0]} belongs to" if orphan else ""


def backups(file: Path) -> list[Path]:
    """The backups of a run's storage, the newest first (``search.backups``)."""
    found = (file.parent / BACKUPS).glob(f"*/{file.name}")
    numbered = [each for each in found if each.parent.name.isdecimal()]
    return sorted(numbered, key=lambda each: -int(each.parent.name))


def damaged(file: Path, what: str) -> DamagedError:
    """What to raise for a storage that was changed or damaged; names its newest backup."""
    kept = backups(file)
    hint = f"; its newest backup is {kept[0]}, which dnsearch run --restore takes" if kept else ""
    return DamagedError(f"{file}: {what}; the file was changed or damaged{hint}")


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turns the errors of a damaged file into a RunError, and of a full disk into a MachineError,
    that names it."""
    try:
        yield
    except (DatabaseError, StorageInternalError, sqlite3.Error, UnicodeDecodeError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", cause)).splitlines()[0]
        if any(sign in reason for sign in _MACHINES):
            raise MachineError(f"{path}: cannot be written: {reason}") from None
        raise damaged(path, f"cannot be used as Optuna storage: {reason}") from None


_MACHINES = "disk is full", "disk I/O error"
"""SQLite's words for what is no damage of the file."""


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """The same, and for values that neither Optuna nor dnsearch wrote; for reading alone, as it
    takes any wrong type or missing key for damage."""
    try:
        with guarded(path):
            yield
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise damaged(path, f"holds what cannot be read ({one_line(error)})") from None


def connect(file: Path, mode: Literal["ro", "rw", "rwc"]) -> sqlite3.Connection:
    """SQLite's own connection to a storage. Raises RunError for a link that would be written
    through."""
    if mode != "ro" and file.is_symlink():
        raise RunError(
            f"{file}: is a link to {file.resolve()}; a run writes only into its own folder"
        )
    if mode == "ro":
        _roll_back(file)
    address = f"{file.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(address, timeout=LOCK_SECONDS, uri=True, check_same_thread=False)


def _roll_back(file: Path) -> None:
    """Has SQLite undo a commit that a killed process left half written. A reader must not, and
    would find the file unreadable; where nobody can write it stays so."""
    if file.with_name(f"{file.name}-journal").exists():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(connect(file, "rw")) as connection,
        ):
            connection.execute("SELECT name FROM sqlite_master").fetchone()
