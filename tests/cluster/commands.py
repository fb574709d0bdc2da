"""``dnsearch`` as a user types it, on a small study, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.store import StudyStore

STUDY = """
[data]
image_size = 8
train_images = 600
[space]
growth_rate = [2, 4, 6]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0, 2]
[training]
rungs = [{rungs}]
batch_size = 64
[search]
trials = {trials}
"""


class Command:
    """A command whose lines are read as they come."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dnsearch", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def until(self, text: str) -> None:
        """Returns once a line has this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        pytest.fail(f"no {text!r} in:\n{''.join(self.lines)}")

    def ended(self) -> int:
        """Its exit code."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout
        return self.process.wait()

    def told(self, text: str) -> int:
        """Lines with this text."""
        return sum(text in line for line in self.lines)


def write_study(rungs: str = "1, 3", trials: int = 8, more: str = "") -> str:
    """The name of a study file in the working folder."""
    Path("study.toml").write_text(STUDY.format(rungs=rungs, trials=trials) + more)
    return "study.toml"


def trained(name: str = "study") -> list[tuple]:
    """Each training run of a run, as it is stored."""
    store = StudyStore(RunDir(Path("reports", name)), names=(SEARCH,), read_only=True)
    told = [(record.job, record.score) for record in store.records()]
    return [(job.arch.key, job.seed, job.rung, s.error, s.loss, s.failure) for job, s in told]
