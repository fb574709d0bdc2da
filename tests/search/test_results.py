"""What is read back of a run, against what its evaluator did."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace

import pytest

from dnsearch.config import parse_study
from dnsearch.report.digest import digest
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from dnsearch.training.score import CurvePoint
from tests.fakes import FakeEvaluator, fake_score

STUDY = """
[data]
image_size = 8
[space]
growth_rate = [2, 4, 6, 8]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0]
[training]
rungs = [1, 3, 9]
[search]
sampler = "mo-asha"
trials = 40
workers = 1
device = "cpu"
"""


class Counting(FakeEvaluator):
    """Goes on from a lower rung as a worker does from its checkpoint, and counts the epochs that
    it trains; the workers of some promotions die."""

    def __init__(self, unlucky=()):
        super().__init__(score=self._score)
        self.epochs: Counter[tuple[str, int]] = Counter()
        self.promoted, self.unlucky = 0, unlucky

    def _score(self, job):
        training = job.arch.key, job.seed
        self.promoted += training in self.epochs
        if training in self.epochs and self.promoted in self.unlucky:
            return replace(fake_score(job).failed("its worker process died"), curve=())
        self.epochs[training] = job.rung  # those before are behind it
        score = fake_score(job)
        points = range(1, job.rung + 1)
        return replace(score, curve=tuple(CurvePoint(n, 1.0, score.error, 1.0) for n in points))


@pytest.fixture
def searched(tmp_path):
    def run(evaluator):
        folder = RunDir(tmp_path / "run")
        made = contextlib.nullcontext(evaluator)
        search(parse_study(STUDY), folder, lambda _: None, lambda _: None, lambda *_: made)
        return read_results(folder)

    return run


def test_a_training_and_its_promotions_are_one_candidate_that_was_paid_once(searched):
    evaluator = Counting()
    results = searched(evaluator)
    table = results.candidates
    assert evaluator.promoted > 5
    assert len(evaluator.submitted) == 40
    found = dict(zip(zip(table["key"], table["seed"], strict=True), table["rung"], strict=True))
    assert found == dict(evaluator.epochs)
    assert len(table) == len(found) == 40 - evaluator.promoted
    macs = dict(zip(table["key"], table["macs"], strict=True))
    images = results.data["images"]["train"]
    spent = sum(3 * macs[key] * images * epochs for (key, _), epochs in evaluator.epochs.items())
    told = digest(results)
    assert told.train_macs == table["train_macs"].sum() == spent
    assert told.counts["candidates"] == len(found)
    assert told.counts["finished"] == sum(epochs == 9 for epochs in evaluator.epochs.values()) > 0


def test_a_promotion_whose_worker_died_stands_beside_what_was_trained_before(searched):
    evaluator = Counting(unlucky=(1, 3))
    table = searched(evaluator).candidates
    failed = table[table["state"] == "failed"]
    assert len(failed) == 2
    assert (failed["train_macs"] == 0).all()
    for key, seed in zip(failed["key"], failed["seed"], strict=True):
        (before,) = table[(table["key"] == key) & (table["state"] != "failed")].to_dict("records")
        assert (before["seed"], before["rung"]) == (seed, evaluator.epochs[key, seed])
