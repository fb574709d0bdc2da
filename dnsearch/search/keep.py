"""Which candidates are on the front, and whose weights stay on disk for it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence

import numpy as np

from dnsearch.analysis.pareto import nondominated
from dnsearch.config import StudyConfig
from dnsearch.rundir import RunDir
from dnsearch.search.study import Record


def front(records: Sequence[Record]) -> list[Record]:
    """The feasible candidates that no other one dominates, in the order given; those that were
    trained with several seeds by the mean of their errors, as ``analysis.picks.front`` has it."""
    usable = [record for record in records if record.values is not None and record.feasible]
    if not usable:
        return []
    values = np.array([record.values for record in usable])
    keys = np.array([record.job.arch.key for record in usable])
    for key in set(keys):
        values[keys == key, 0] = values[keys == key, 0].mean()
    return [usable[i] for i in np.flatnonzero(nondominated(values))]


class Keeper:
    """Removes the weights of candidates off the front, unless the study asks for all.

    Those of candidates that stopped at a lower rung stay: a promotion goes on from them.
    """

    def __init__(self, run: RunDir, study: StudyConfig) -> None:
        self.folder = run.path / "checkpoints"
        self.all = study.search.keep_checkpoints == "all"

    def tidy(self, records: Sequence[Record], busy: Collection[str] = ()) -> None:
        """Keeps the weights of these records' front and of whatever may still be trained; those of
        the architectures with these keys, which are being trained now, are left for next time."""
        if self.all:
            return
        front_keys = {record.job.arch.key for record in front(records)}
        ended = {r.job.arch.key for r in records if r.values is not None or r.score.failure}
        for key in ended - front_keys - set(busy):
            shutil.rmtree(self.folder / key, ignore_errors=True)
