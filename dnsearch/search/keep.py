"""Which weights stay on disk: those of the front, unless the study asks for all."""

from __future__ import annotations

import shutil

import numpy as np

from dnsearch.analysis.pareto import nondominated
from dnsearch.config import StudyConfig
from dnsearch.rundir import RunDir
from dnsearch.search.study import Record


class Keeper:
    """Removes the checkpoints of candidates that have left the front."""

    def __init__(self, run: RunDir, study: StudyConfig) -> None:
        self.folder = run.path / "checkpoints"
        self.all = study.search.keep_checkpoints == "all"

    def tidy(self, records: list[Record]) -> None:
        """Keeps the front of these records and whatever is still being trained."""
        if self.all:
            return
        kept = {key for key, on_front in _front(records).items() if on_front}
        for record in records:
            if record.job.arch.key not in kept:
                shutil.rmtree(self.folder / record.job.arch.key, ignore_errors=True)


def _front(records: list[Record]) -> dict[str, bool]:
    usable = [r for r in records if r.values is not None and r.feasible]
    if not usable:
        return {}
    mask = nondominated(np.array([record.values for record in usable]))
    return {r.job.arch.key: bool(m) for r, m in zip(usable, mask, strict=True)}
