"""Waiting for a database that cannot be reached for a while, so that a search outlives its restart.

Each call of Optuna's storage is one transaction, so one whose connection broke is made again as a
whole. Whether its commit had come through nobody knows by then. Most calls give the same when they
are made twice; those that do not look first at what is there, which is safe as nobody else writes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dnsearch import interrupts
from dnsearch.errors import ConnectionLost
from dnsearch.search.writer import WriterStorage

SECONDS = 300.0
"""For which it is tried again; workers go on meanwhile."""

LONGEST_PAUSE = 5.0

_T = TypeVar("_T")


class Patience:
    """Makes calls again while the connection is lost: for ``SECONDS``, then never again. ``note``
    hears of it when it begins to wait, and when it goes on. ``server``: how that is called."""

    def __init__(
        self,
        server: str,
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server, self.note, self.clock, self.sleep = server, note, clock, sleep
        self.given_up: ConnectionLost | None = None
        self.waiting = False

    def __call__(self, once: Callable[[], _T], again: Callable[[], _T] | None = None) -> _T:
        """What ``once`` returns, or ``again`` where the connection was lost meanwhile. Raises
        ConnectionLost where it stays so, and KeyboardInterrupt where a signal comes first."""
        if self.given_up:
            raise self.given_up
        if self.waiting:  # one call within another that is being made again
            return once()
        try:
            return once()
        except ConnectionLost as error:
            self.waiting = True
            try:
                return self._waited(again or once, error)
            finally:
                self.waiting = False

    def _waited(self, again: Callable[[], _T], lost: ConnectionLost) -> _T:
        until, pause = self.clock() + SECONDS, 0.1
        self.note(
            f"{lost}; trying again for up to {SECONDS / 60:g} minutes, trainings under way go on "
            "meanwhile"
        )
        while True:
            self.sleep(pause)
            interrupts.safe_point()
            try:
                found = again()
            except ConnectionLost as error:
                if self.clock() >= until:
                    self.given_up = ConnectionLost(
                        f"{error}; so it has been for {SECONDS / 60:g} minutes: once the server is "
                        "back, the same command goes on"
                    )
                    raise self.given_up from None
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self.note(f"the connection to {self.server} is back; going on")
            return found


class PatientStorage(WriterStorage):
    """Optuna's storage whose calls have ``patience``; ``ConnectionLost`` has to come from its
    engine."""

    patience: Patience

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """See ``RDBStorage``."""
        make = functools.partial(WriterStorage.create_new_study, self, directions, study_name)

        def again() -> int:
            try:
                return make()
            except DuplicatedStudyError:  # the commit had come through
                return WriterStorage.get_study_id_from_name(self, str(study_name))

        return self.patience(make, again)

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        make = functools.partial(WriterStorage._create_new_trial, self, study_id, template_trial)
        return self.patience(make, lambda: self._made(study_id) or make())

    def _made(self, study_id: int) -> FrozenTrial | None:
        """A trial that was made and never heard of: nothing was noted of it yet."""
        trials = WriterStorage._get_trials(self, study_id, (TrialState.RUNNING,), set(), -1)
        unheard = [each for each in trials if not (each.params or each.user_attrs)]
        return unheard[-1] if unheard else None

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """See ``RDBStorage``."""
        tell = functools.partial(
            WriterStorage.set_trial_state_values, self, trial_id, state, values
        )

        def again() -> bool:
            try:
                return tell()
            except UpdateFinishedTrialError:
                told = WriterStorage.get_trial(self, trial_id)
                if (told.state, told.values) == (state, values and list(values)):
                    return True  # the commit had come through
                raise

        return self.patience(tell, again)


_THE_SAME_TWICE = (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_set_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "_get_trials",
)


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(WriterStorage, name)

    @functools.wraps(method)
    def patient(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return self.patience(functools.partial(method, self, *arguments, **named))

    return patient


for _name in _THE_SAME_TWICE:
    setattr(PatientStorage, _name, _patient(_name))
