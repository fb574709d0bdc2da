"""``Storage``: where Optuna's studies are kept. This one is in memory; that of a run is a file in
its folder (``search.sqlite``) or in a PostgreSQL server (``search.server``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from sqlalchemy import bindparam, text

from dnsearch.errors import DamagedError, one_line
from dnsearch.search.layout import FAILED_BEFORE, SCORE


class Storage:
    """Keeps trials for as long as the process lives.

    optuna: Optuna's own storage. path: the file it is, None for others. schema: the layout of its
    trials (``layout.SCHEMA``), None where nothing can damage them.
    """

    optuna: BaseStorage
    path: Path | None = None
    schema: int | None = None

    def __init__(self) -> None:
        self.optuna = InMemoryStorage()

    def __str__(self) -> str:
        return "memory"

    def optuna_name(self, study: str) -> str:
        """What Optuna calls the study of this name of ours, one of ``STUDIES``."""
        return study

    def studies(self) -> list[str]:
        """Our names of the run's studies in it."""
        with self.readable():
            return optuna.get_all_study_names(self.optuna)

    def begun(self) -> None:
        """Hears that the studies of a run have been made."""

    def damaged(self, what: str) -> DamagedError:
        """What to raise where what is stored was changed or damaged."""
        return DamagedError(f"{self}: {what}")

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """Turns errors of the database into a DnsearchError that names it, in one line."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        """The same, and for values that neither Optuna nor dnsearch wrote; for reading alone, as it
        takes any wrong type or missing key for damage."""
        try:
            with self.guarded():
                yield
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise self.damaged(f"holds what cannot be read ({one_line(error)})") from None

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Where it can, writes all that is written within at once, or nothing where anything is
        raised. Elsewhere each of Optuna's calls is a transaction."""
        return contextlib.nullcontext()

    def set_failures_aside(self, studies: Sequence[str]) -> None:
        """Moves the scores of the failed trials of these studies from one attribute to another, so
        that they count for nothing; in one transaction. Optuna itself changes no finished trial,
        and keeps those it has read."""
        assert isinstance(self.optuna, RDBStorage)
        names = [self.optuna_name(study) for study in studies]
        values = {"aside": FAILED_BEFORE, "score": SCORE, "names": names}
        with self.guarded(), self.optuna.engine.begin() as connection:
            connection.execute(_SET_ASIDE, values)

    def back_up(self) -> None:
        """Backs it up, where that is ours to do."""

    def back_up_where_due(self) -> None:
        """The same where the last time was long ago."""

    def close(self) -> None:
        """Gives back what it holds; nothing is read or written any more."""


_SET_ASIDE = text(
    "UPDATE trial_user_attributes SET key = :aside WHERE key = :score AND trial_id IN "
    "(SELECT trial_id FROM trials JOIN studies ON trials.study_id = studies.study_id "
    "WHERE state = 'FAIL' AND study_name IN :names)"
).bindparams(bindparam("names", expanding=True))
