"""What is read back of a run, against what its evaluator did."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import replace

import pytest

from dnsearch.analysis.candidates import State, figures
from dnsearch.config import load_study, parse_study, to_toml
from dnsearch.files import write_json
from dnsearch.report.digest import digest
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from dnsearch.training.score import CurvePoint
from tests.fakes import FakeEvaluator, FakeWorkers, fake_score

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
        search(
            parse_study(STUDY), folder, lambda _: None, lambda _: None, FakeWorkers(lambda *_: made)
        )
        return read_results(folder)

    return run


def test_a_training_and_its_promotions_are_one_candidate_that_was_paid_once(searched):
    evaluator = Counting()
    results = searched(evaluator)
    table = results.candidates
    assert evaluator.promoted > 5
    assert len(evaluator.submitted) == 40
    found = {(each.key, each.seed): each.rung for each in table}
    assert found == dict(evaluator.epochs)
    assert len(table) == len(found) == 40 - evaluator.promoted
    macs = {each.key: each.cost.macs for each in table}
    images = results.data["images"]["train"]
    spent = sum(3 * macs[key] * images * epochs for (key, _), epochs in evaluator.epochs.items())
    told = digest(results)
    assert told.train_macs == figures(table, "train_macs").sum() == spent
    assert sum(told.counts.values()) == len(found)
    ended = sum(epochs == 9 for epochs in evaluator.epochs.values())
    assert told.counts[State.FINISHED] == ended > 0


def test_a_promotion_whose_worker_died_stands_beside_what_was_trained_before(searched):
    evaluator = Counting(unlucky=(1, 3))
    table = searched(evaluator).candidates
    failed = [each for each in table if each.state is State.FAILED]
    assert len(failed) == 2
    assert all(each.train_macs == 0 for each in failed)
    for each in failed:
        (before,) = (o for o in table if o.key == each.key and o.state is not State.FAILED)
        assert (before.seed, before.rung) == (each.seed, evaluator.epochs[each.key, each.seed])


def test_standard_errors_of_scores_that_have_none(searched, tmp_path):
    """Of older runs the binomial one; of a balanced error nothing is made up."""
    (first, *_) = searched(Counting()).measured
    images = read_results(RunDir(tmp_path / "run")).validation_images
    assert first.error_se == pytest.approx((first.error * (1 - first.error) / images) ** 0.5)
    assert first.error_name == "validation error"
    study = tmp_path / "run" / "study.toml"
    study.write_text(to_toml(load_study(study)).replace('"top1"', '"balanced"'))
    (first, *_) = read_results(RunDir(tmp_path / "run")).measured
    assert math.isnan(first.error_se)
    assert first.error_name == "balanced validation error"


def test_what_a_score_tells_by_class_is_read_back(searched):
    class Telling(Counting):
        def completed(self, timeout):
            told = {"error_se": 0.125, "top1_error": 0.25, "class_errors": (3, 0, 1)}
            return [(job, replace(score, **told)) for job, score in super().completed(timeout)]

    (first, *_) = searched(Telling()).measured
    assert (first.error_se, first.top1_error, first.class_errors) == (0.125, 0.25, (3, 0, 1))


def test_a_balanced_error_is_as_sure_as_its_rarest_classes_allow(searched, tmp_path):
    """Of ten classes of which one has two images, no interval is that of all images."""
    searched(FakeEvaluator(score=fake_score))
    run = RunDir(tmp_path / "run")
    facts = run.read_json("data.json")
    facts["class_counts"]["validation"] = [2, *[444] * 9]
    write_json(run.path / "data.json", facts)
    plain = read_results(run)
    run.study_file.write_text(
        to_toml(load_study(run.study_file)).replace('error = "top1"', 'error = "balanced"')
    )
    balanced = read_results(run)
    assert plain.effective_images == 3998
    assert balanced.effective_images == pytest.approx(100 / (1 / 2 + 9 / 444))
    widths = [
        [n.new_high - n.new_low for n in each.networks if n.counts] for each in (plain, balanced)
    ]
    assert all(wide > 1.8 * narrow for narrow, wide in zip(*widths, strict=True))
