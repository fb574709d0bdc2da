"""``WriterStorage``: Optuna's storage in the hands of the only process that writes it."""

from __future__ import annotations

import bisect
from collections.abc import Container, Sequence
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState


class WriterStorage(RDBStorage):
    """Reads a trial under way again only once something was written to it.

    Optuna reads all that have not ended at each look at a study, since others might have written
    them: with 256 workers that takes longer than all else that is stored of a trial.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._under_way: dict[int, FrozenTrial] = {}
        self._read: dict[int, list[int]] = {}

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        read = self._read.setdefault(study_id, [])  # ascending, as Optuna numbers them
        if states is not None:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        later = read[bisect.bisect_right(read, trial_id_greater_than) :]
        wanted = included_trial_ids.union(later)
        kept = {each: self._under_way[each] for each in wanted & self._under_way.keys()}
        newest = max([trial_id_greater_than, *read[-1:]])
        found = super()._get_trials(study_id, None, wanted - kept.keys(), newest)
        for trial in found:
            if not trial.state.is_finished():
                self._under_way[trial._trial_id] = trial
            if trial._trial_id > newest:
                read.append(trial._trial_id)
        return sorted([*kept.values(), *found], key=lambda trial: trial._trial_id)

    def _set_trial_param(self, trial_id: int, *arguments: Any, **named: Any) -> None:
        self._under_way.pop(trial_id, None)
        super()._set_trial_param(trial_id, *arguments, **named)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See ``RDBStorage``."""
        self._under_way.pop(trial_id, None)
        super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See ``RDBStorage``."""
        self._under_way.pop(trial_id, None)
        super().set_trial_system_attr(trial_id, key, value)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """See ``RDBStorage``."""
        self._under_way.pop(trial_id, None)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """See ``RDBStorage``."""
        self._under_way.pop(trial_id, None)
        return super().set_trial_state_values(trial_id, state, values)
