"""Several calls of Optuna's storage in one transaction of SQLite.

Optuna commits in each call, and each commit waits for the disk: a training would take nine with
five parameters, of 7 to 50 ms each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from dnsearch.search.writer import WriterStorage


class JoinedSession(Session):
    """A session which, while ``joined``, takes a commit or a close for the end of one of Optuna's
    calls alone. ``undone``: what was joined has been rolled back."""

    joined = undone = False

    def commit(self) -> None:
        """Ends the transaction, or leaves it to whoever has joined the calls."""
        if self.joined:
            self.flush()
        else:
            super().commit()

    def close(self) -> None:
        """Forgets what was read, so that the next call reads it anew."""
        if self.joined:
            self.expunge_all()
        else:
            super().close()

    def rollback(self) -> None:
        """Undoes everything that was joined."""
        self.undone = True
        super().rollback()


class TransactionalStorage(WriterStorage):
    """Optuna's storage, with transactions of several calls."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.scoped_session = scoped_session(sessionmaker(bind=self.engine, class_=JoinedSession))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Joins the calls within: all are written once it ends, or none where anything is raised.
        Within another it is part of that one.

        Optuna's cache keeps what was not written, so the storage is not to be used after an error.
        """
        session = self.scoped_session()
        if session.joined:
            yield
            return
        session.joined, session.undone = True, False
        try:
            yield
        except BaseException:
            session.rollback()
            raise
        else:
            session.joined = False
            if session.undone:  # Optuna overlooks some errors
                raise StorageInternalError("a transaction was rolled back")
            session.commit()
        finally:
            session.joined = False
            session.close()
