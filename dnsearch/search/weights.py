"""Which candidates are on the front, and whose weights stay on disk for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence

import numpy as np

from dnsearch.analysis.pareto import nondominated, seed_means
from dnsearch.config import StudyConfig
from dnsearch.rundir import RunDir
from dnsearch.search.store import Record

LUCK = 0.15
"""Share of its error by which a candidate off the front may be better than it measured: what is
recommended follows predicted errors, and its weights must still be there."""


def front(records: Sequence[Record], luck: float = 0.0) -> list[Record]:
    """The feasible candidates that no other one dominates, in the order given; those that were
    trained with several seeds by the mean of their errors, as ``analysis.picks.front`` has it.
    With ``luck`` also those that would be on it if their error were by this share less."""
    usable = [record for record in records if record.values is not None and record.feasible]
    if not usable:
        return []
    values = np.array([record.values for record in usable])
    values[:, 0] = seed_means([record.job.arch.key for record in usable], values[:, 0])
    others = values[nondominated(values)][None]
    lucky = values.copy()
    lucky[:, 0] *= 1 - luck
    own = lucky[:, None]
    beaten = np.all(others <= own, axis=2) & np.any(others < own, axis=2)
    return [usable[i] for i in np.flatnonzero(~beaten.any(axis=1))]


class Keeper:
    """Removes the weights of candidates off the front, unless the study asks for all.

    Those of candidates that stopped at a lower rung stay, as a promotion goes on from them, unless
    they are too slow to be promoted.
    """

    def __init__(self, run: RunDir, study: StudyConfig) -> None:
        self.folder = run.path / "checkpoints"
        self.all = study.search.keep_checkpoints == "all"

    def tidy(self, records: Sequence[Record], busy: Collection[str] = ()) -> None:
        """Keeps the weights of these records' front and of whatever may still be trained; those of
        the architectures with these keys, which are being trained now, are left for next time."""
        if self.all or not self.folder.is_dir():
            return
        front_keys = {record.job.arch.key for record in front(records, LUCK)}
        ended = {
            record.job.arch.key
            for record in records
            if record.values is not None or record.score.failure or not record.feasible
        }
        there = set(os.listdir(self.folder))  # of thousands of candidates most are gone
        for key in there & (ended - front_keys - set(busy)):
            shutil.rmtree(self.folder / key, ignore_errors=True)
