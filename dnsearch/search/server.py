"""``Server``: the storage of a run in a PostgreSQL server, beside those of other runs.

Optuna's studies are named ``{run}/search`` and so on, where ``run`` is the folder's name with a few
random letters, kept in the folder (``postgres.Place``). To check pages and rows, and to make
backups, is up to the server and who keeps it; checksums are ours as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from dnsearch import machine
from dnsearch.errors import ConnectionLost, DamagedError, DnsearchError, MachineError, RunError
from dnsearch.postgres import SCHEMES, Place, connect
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.layout import SCHEMA
from dnsearch.search.patience import Patience, PatientStorage
from dnsearch.search.storage import Storage

SCHEMA_ATTRIBUTE = "schema"
"""The user attribute of a study for the layout of its trials."""

LOCK_SECONDS = 3
"""A coordinator that was killed may have the run's lock for a moment longer."""

_URL = f"{SCHEMES[0]}://"  # the kind of database; how to connect is what ``connect`` knows
_SETUP = "the tables of Optuna"

_Rdb = TypeVar("_Rdb", bound=RDBStorage)


class Server(Storage):
    """What one coordinator may write, whose every connection has the run's lock; others may only
    read.

    Raises RunError where it is no storage or in use, DamagedError where the run's results are gone,
    ConnectionLost.
    """

    def __init__(
        self, run: RunDir, place: Place, read_only: bool, note: Callable[[str], None]
    ) -> None:
        self.run, self.place = run, place
        name = f"dnsearch process {os.getpid()} on {machine.host()} {secrets.token_hex(2)}"
        self._name = name.encode("ascii", "replace").decode()[-63:]
        self._again: Callable[[Callable[[], Any]], Any] = lambda once: once()
        if read_only:
            storage = self._opened(RDBStorage, read_only=True)
        else:
            prepare(place)
            storage = self._opened(PatientStorage, read_only=False)
            self._again = storage.patience = Patience(place.address, note)
        self.optuna, self._engine = storage, storage.engine
        self._close = weakref.finalize(self, storage.engine.dispose)
        self.schema = self._known_schema()

    def __str__(self) -> str:
        return str(self.place)

    def _opened(self, kind: type[_Rdb], read_only: bool) -> _Rdb:
        creator = partial(connect, self.place.address, self._name, read_only)
        # A writer has one connection: where that is lost, so is the lock.
        pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
        if read_only:  # one that was read from before a restart need not be told of it
            pool = {"pool_size": 1, "max_overflow": 1, "pool_pre_ping": True}
        with _checked(self.place):
            storage = kind(
                _URL,
                engine_kwargs={"creator": creator if read_only else self._locked, **pool},
                skip_table_creation=True,
                skip_compatibility_check=not read_only,  # ``prepare`` has seen to that
            )
        event.listen(storage.engine, "handle_error", self._notice_loss)
        return storage

    def _notice_loss(self, context: Any) -> None:
        if context.is_disconnect and not context.is_pre_ping:
            reason = " ".join(str(context.original_exception).split())
            raise ConnectionLost(f"{self.place.address}: the connection is lost: {reason}")

    def _locked(self) -> Any:
        """A connection that has the run's lock, which goes with it."""
        connection = connect(self.place.address, self._name)
        try:
            if not _lock(connection, self.place.run, LOCK_SECONDS):
                holder, process = _holder(connection, self.place.run)
                # our last connection, whose end the server has not heard of
                if holder == self._name:
                    connection.execute("SELECT pg_terminate_backend(%s)", [process])
                    connection.commit()
                if holder != self._name or not _lock(connection, self.place.run, LOCK_SECONDS):
                    raise RunError(
                        f"{self.place}: in use by {holder}; wait for it or stop it there"
                    )
        except BaseException:
            connection.close()
            raise
        return connection

    def _known_schema(self) -> int:
        newest = max((schema or SCHEMA for schema in self._own().values()), default=SCHEMA)
        if newest > SCHEMA:
            raise RunError(
                f"{self.place}: was written by a newer dnsearch (schema {newest}, this one knows "
                f"{SCHEMA}); update dnsearch"
            )
        return newest

    def _own(self) -> dict[str, int | None]:
        """The schema of each of the run's studies by our names, None before it is noted. Optuna
        would read those of all runs."""
        prefix = self.optuna_name("")
        with self.readable():
            rows = self._again(partial(_rows, self._engine, prefix))
            own = {name.removeprefix(prefix): told and int(told) for name, told in rows}
        if self.place.begun and SEARCH not in own:
            raise _gone(self.place)
        return own

    def optuna_name(self, study: str) -> str:
        """See ``Storage``."""
        return f"{self.place.run}/{study}"

    def studies(self) -> list[str]:
        """See ``Storage``."""
        return [*self._own()]

    def begun(self) -> None:
        """Notes the schema there, and in the folder that there are results."""
        for study, schema in self._own().items():
            if schema is None:
                number = self.optuna.get_study_id_from_name(self.optuna_name(study))
                self.optuna.set_study_user_attr(number, SCHEMA_ATTRIBUTE, SCHEMA)
        if not self.place.begun:
            self.place = self.place._replace(begun=True)
            self.run.note_place(self.place)

    def damaged(self, what: str) -> DamagedError:
        """See ``Storage``."""
        return DamagedError(
            f"{self.place}: {what}; it was changed or damaged there: have it put back from a "
            "backup of the server's"
        )

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """See ``Storage``."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            raise _in_one_line(self.place, error) from None

    def close(self) -> None:
        """Closes its connections, and so gives back the lock."""
        self._close()


def place_for(run: RunDir, address: str | None) -> Place | None:
    """Where the results of a run are or will be, None for its own file; a new run's with letters of
    its own, so that another folder of the same name has another. ``address``: of a server, where
    one is asked for; results that have moved are looked for there.

    Raises RunError where the run has begun in its own file.
    """
    known = run.place
    if address is None or known is not None:
        return known and known._replace(address=address or known.address)
    if run.is_search:
        raise RunError(
            f"{run.path}: has its results in {run.database.name}, and a run stays where it began; "
            "leave out --storage and search.storage, or give this study another --name"
        )
    return Place(address, f"{run.name}-{secrets.token_hex(3)}")


def prepare(place: Place) -> None:
    """Makes Optuna's tables where they are missing.

    Raises RunError where they are another version's or may not be made, DamagedError where results
    should be there that are not, ConnectionLost where the server cannot be reached.
    """
    name = "dnsearch, looking at the tables"
    with contextlib.closing(connect(place.address, name)) as connection, _checked(place):
        connection.execute("SELECT pg_advisory_lock(%s)", [_key(_SETUP)])  # until it is closed
        connection.commit()
        creator = partial(connect, place.address, name)
        storage = RDBStorage(_URL, engine_kwargs={"creator": creator, "poolclass": NullPool})
        if place.begun and not _rows(storage.engine, f"{place.run}/{SEARCH}"):
            raise _gone(place)


def _rows(engine: Engine, prefix: str) -> Sequence[Any]:
    """Name and schema, as JSON, of the studies whose names begin so."""
    with engine.connect() as connection:
        return connection.execute(_STUDIES, {"prefix": prefix, "key": SCHEMA_ATTRIBUTE}).all()


_STUDIES = text(
    "SELECT study_name, value_json FROM studies LEFT JOIN study_user_attributes AS told "
    "ON told.study_id = studies.study_id AND key = :key "
    "WHERE left(study_name, length(:prefix)) = :prefix ORDER BY studies.study_id"
)


def _gone(place: Place) -> DamagedError:
    return DamagedError(
        f"{place}: has no results of this run, which were there: name another server with "
        "--storage where they have moved, have them put back, or give the study another --name"
    )


@contextlib.contextmanager
def _checked(place: Place) -> Iterator[None]:
    """Turns what goes wrong as a storage is opened into one line."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _in_one_line(place, error) from None
    except (RuntimeError, AssertionError) as error:  # written by another version of Optuna
        told = " ".join(str(error).split()).replace("$STORAGE_URL", place.address)
        raise RunError(f"{place.address}: cannot be used as Optuna storage: {told}") from None


_MACHINES = {"08", "40", "53", "55", "57", "58"}
"""Classes of SQLSTATE for what may pass: full disks, restarts, too many connections."""

_FORBIDDEN = {"42501", "25006"}


def _in_one_line(place: Place, error: Exception) -> DnsearchError:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    told = getattr(cause, "orig", None) or cause or error
    reason, state = str(told).strip().splitlines()[0], str(getattr(told, "sqlstate", ""))
    if state in _FORBIDDEN:
        return RunError(f"{place.address}: may not be used so: {reason}; ask who keeps the server")
    if state[:2] in _MACHINES:
        return MachineError(f"{place.address}: {reason}")
    return DamagedError(f"{place.address}: cannot be used as Optuna storage: {reason}")


def _key(name: str) -> int:
    """PostgreSQL's number for a lock of this name."""
    digest = hashlib.sha256(f"dnsearch {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _lock(connection: Any, name: str, seconds: int) -> bool:
    """Takes this lock for the connection; whether it got it."""
    from psycopg.errors import LockNotAvailable

    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{seconds}s'")
            connection.execute("SELECT pg_advisory_lock(%s)", [_key(name)])
    except LockNotAvailable:
        return False
    return True


def _holder(connection: Any, name: str) -> tuple[str, int | None]:
    """Whose connection has this lock, by its name and the server's process; of another user's the
    server may not tell."""
    found = connection.execute(
        "SELECT application_name, pid FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND (classid::bigint << 32) | objid::bigint = %s",
        [_key(name)],
    ).fetchone()
    connection.commit()
    return (found[0] or "another process", found[1]) if found else ("another process", None)
