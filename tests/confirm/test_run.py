"""Confirming a search: who is chosen, with which seeds, what is stored, and that it goes on."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace

import numpy as np
import optuna
import pytest

from dnsearch.analysis.candidates import by_network
from dnsearch.analysis.picks import front
from dnsearch.config import parse_study
from dnsearch.confirm.findings import confirmed
from dnsearch.confirm.run import Request, chosen, confirm, expected_duration
from dnsearch.data import SplitCheck, prepare_test
from dnsearch.errors import DataError, RunError
from dnsearch.files import read_json, write_json
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import CONFIRM, REFERENCES, SEARCH, Job
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from dnsearch.training.score import CurvePoint, Score
from tests.fakes import FakeEvaluator, FakeWorkers

from .invented import candidate, fresh, results

STUDY = """
[data]
image_size = 8
[space]
growth_rate = [2, 4, 6, 8]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0]
[training]
rungs = [1, 2]
[search]
sampler = "random"
trials = 10
workers = 1
device = "cpu"
"""
REQUEST = Request(top=2, sample=2, seeds=2, epochs=6)
ALL = 4 * 2
"""Trainings of ``REQUEST``."""


def score(job: Job) -> Score:
    """Large networks are better, and the test images a little harder."""
    error = 0.3 / (1 + job.arch.growth_rate * job.arch.depth / 20) + job.seed % 97 / 1e4
    curve = tuple(CurvePoint(n, 1.0, error * (1 + 1 / n), 1.0) for n in range(1, job.rung + 1))
    tests = {"test_error": error + 0.01, "test_loss": 1.0, "test_images": 4000}
    return Score(job.rung, job.seed, error, 1.0, 1.0, curve, 2.0 * job.rung, **tests)


def searched(run: RunDir, study: str = STUDY) -> None:
    made = contextlib.nullcontext(FakeEvaluator(score=lambda j: replace(score(j), test_error=None)))
    search(parse_study(study), run, lambda _: None, lambda _: None, FakeWorkers(lambda *_: made))


class Confirmation:
    """One session; ``most`` trainings, then the process is killed."""

    def __init__(self, run: RunDir, request: Request = REQUEST, most: int = 1000) -> None:
        self.evaluator = FakeEvaluator(score=self._score)
        self.left, self.opened, self.folders = most, [], []
        self.reason, made = "", FakeWorkers(self._make)
        with contextlib.suppress(_Killed):
            self.reason = confirm(
                run, read_results(run), request, self.opened.append, lambda _: None, made
            )

    def _make(self, study, data, folder, plan):
        self.folders.append(folder.path)
        return contextlib.nullcontext(self.evaluator)

    def _score(self, job: Job) -> Score:
        if not self.left:
            raise _Killed
        self.left -= 1
        return score(job)


class _Killed(Exception):
    pass


@pytest.fixture(scope="module")
def all_confirmed(search_ended, tmp_path_factory) -> RunDir:
    """The same with all trainings of ``REQUEST``, in one session."""
    run = copied(search_ended, tmp_path_factory.mktemp("confirmed"))
    assert Confirmation(run).reason == "all trials finished"
    return run


@pytest.fixture
def run(search_ended, tmp_path) -> RunDir:
    return copied(search_ended, tmp_path)


def copied(run: RunDir, folder) -> RunDir:
    return RunDir(shutil.copytree(run.path, folder / "run"))


def trainings(run: RunDir) -> list[tuple[str, int, int, float | None]]:
    records = read_results(run).confirmed
    return [(r.job.arch.key, r.job.seed, r.job.rung, r.score.test_error) for r in records]


def test_each_is_trained_with_fresh_seeds_of_its_own(search_ended, all_confirmed):
    before = read_results(search_ended)
    found = trainings(all_confirmed)
    assert len(found) == ALL == len(set(found))
    assert all(epochs == 6 for _, _, epochs, _ in found)
    seeds = [seed for _, seed, _, _ in found]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {each.seed for each in before.candidates}
    keys = [key for key, *_ in found]
    assert keys[:4] == keys[4:]  # all once before any twice
    after = read_results(all_confirmed)
    assert repr(after.candidates) == repr(before.candidates)  # the search's record stays


def test_it_is_a_study_of_its_own_in_the_same_storage(all_confirmed):
    storage = f"sqlite:///{all_confirmed.database}"
    names = optuna.get_all_study_names(storage)
    assert set(names) == {SEARCH, REFERENCES, CONFIRM}
    study = optuna.load_study(study_name="confirm", storage=storage)
    trial = study.trials[0]
    told = trial.user_attrs["score"]["score"]
    assert trial.values[0] == told["test_error"] != told["error"]


def test_killed_and_typed_again_it_does_the_rest_alone(run, all_confirmed):
    first = Confirmation(run, most=3)
    assert not first.reason
    assert first.opened[0].todo == first.opened[0].jobs == ALL
    assert len(trainings(run)) == 3
    again = Confirmation(run)
    assert len(again.evaluator.submitted) == again.opened[0].todo == ALL - 3
    assert sorted(trainings(run)) == sorted(trainings(all_confirmed))
    assert not Confirmation(run).evaluator.submitted


class LastFirst(FakeEvaluator):
    """Two workers, of which the one that began last ends first."""

    def completed(self, timeout):
        job = self.jobs.pop()
        return [(job, self.score(job))]


def test_trainings_are_read_in_the_order_they_ended(run):
    """Whatever their trials' numbers: so do the networks of the findings stand."""
    evaluator = LastFirst(capacity=2, score=score)
    made = contextlib.nullcontext(evaluator)
    workers = FakeWorkers(lambda *_: made)
    confirm(run, read_results(run), REQUEST, lambda _: None, lambda _: None, workers)
    found = read_results(run).confirmed
    assert found[-1].job.seed == evaluator.submitted[0].seed
    assert [r.finished_after for r in found] == sorted(r.finished_after for r in found)


def test_more_seeds_and_candidates_add_to_what_is_there(all_confirmed, tmp_path):
    run = copied(all_confirmed, tmp_path)
    before = trainings(run)
    more = Confirmation(run, replace(REQUEST, seeds=3, sample=0))
    assert len(more.evaluator.submitted) == 2
    assert trainings(run)[: len(before)] == before


def many(count=60, seed=3):
    """Networks whose errors fall with cost, with luck."""
    luck = np.random.default_rng(seed).lognormal(0, 0.03, count)
    return [candidate(i, 0.3 / (i + 2) ** 0.3 * luck[i]) for i in range(count)]


def test_the_front_and_others_over_all_costs_are_chosen():
    candidates = many()
    members = {member.key for member in front(by_network(candidates, 4000), ("macs",))}
    keys = [arch.key for arch in chosen(results(candidates), top=len(members), sample=3)]
    assert set(keys[: len(members)]) == members
    assert len(set(keys)) == len(keys) == len(members) + 3
    others = [each for each in candidates if each.key not in members]
    order = [each.key for each in sorted(others, key=lambda each: each.cost.macs)]
    places = sorted(order.index(key) for key in keys[len(members) :])
    strata = np.array_split(np.arange(len(order)), 3)
    assert all(place in stratum for place, stratum in zip(places, strata, strict=True))


def test_a_large_front_gives_its_recommended_and_ends():
    candidates = many()
    members = [member.key for member in front(by_network(candidates, 4000), ("macs",))]
    keys = [arch.key for arch in chosen(results(candidates), top=5, sample=0)]
    assert len(members) > 5
    assert len(set(keys)) == 5
    assert set(keys) <= set(members)
    assert {members[0], members[-1]} <= set(keys)


def test_a_small_front_is_filled_with_the_next():
    candidates = [*many(12), *(candidate(12 + i, 0.9 - 0.01 * i) for i in range(12))]
    members = {member.key for member in front(by_network(candidates, 4000), ("macs",))}
    keys = [arch.key for arch in chosen(results(candidates), top=len(members) + 2, sample=0)]
    rest = [each for each in candidates if each.key not in members]
    assert set(keys[: len(members)]) == members
    assert set(keys[len(members) :]) <= {
        member.key for member in front(by_network(rest, 4000), ("macs",))
    }
    assert len(keys) == len(members) + 2


def test_test_errors_choose_nobody():
    """Neither whom to confirm next nor the pick follows what was measured on the test images."""
    candidates = many(20)
    opposite = [fresh(i, i, 0.9 - candidates[i].error) for i in range(20)]
    before, after = results(candidates), results(candidates, opposite)
    assert chosen(after, 4, 4) == chosen(before, 4, 4)
    found = confirmed(after)
    least = min(candidates, key=lambda each: each.error)
    assert found.pick == least.key
    assert found.best_first[-1].key == least.key  # the worst by test errors


def test_what_was_never_searched_cannot_be_confirmed():
    with pytest.raises(RunError, match="no candidate is finished yet"):
        chosen(results([]), 3, 3)


def test_images_without_a_test_split_are_refused(run, monkeypatch):
    monkeypatch.setattr("dnsearch.confirm.run.has_test", lambda data: False)
    with pytest.raises(DataError, match="must have test images to confirm on"):
        Confirmation(run)
    assert not trainings(run)


def test_test_images_that_cannot_be_used_are_refused_before_training(run, monkeypatch):
    found = SplitCheck("a.png: must be a readable image", 0, ())
    monkeypatch.setattr("dnsearch.confirm.run.check_test", lambda data: found)
    with pytest.raises(DataError, match=r"cannot confirm without test images: a\.png: must be"):
        Confirmation(run)
    assert not trainings(run)


def test_changed_images_are_refused(run):
    told = read_json(run.path / "data.json")
    write_json(run.path / "data.json", told | {"fingerprint": "0" * 16})
    with pytest.raises(RunError, match="the images changed"):
        Confirmation(run)


def test_the_duration_is_that_of_the_searchs_own_epochs(run):
    """Two seconds an epoch and one worker."""
    expected = 4 * REQUEST.seeds * REQUEST.epochs * 2.0
    assert expected_duration(read_results(run), REQUEST) == pytest.approx(expected)
    done = Confirmation(run, most=1)
    assert done.opened[0].seconds == pytest.approx(expected)


def test_a_latency_among_the_costs_is_the_searchs(tmp_path):
    run = RunDir(tmp_path / "timed")
    timed = contextlib.nullcontext(
        FakeEvaluator(score=lambda job: replace(score(job), test_error=None, latency_ms=3.0))
    )
    study = STUDY.replace("trials = 10", "trials = 2")
    study += '[objectives]\ncosts = ["latency_ms", "macs"]\n'
    search(parse_study(study), run, lambda _: None, lambda _: None, FakeWorkers(lambda *_: timed))
    Confirmation(run, replace(REQUEST, seeds=1))
    done = read_results(run)
    assert {len(record.values) for record in done.confirmed} == {2}
    assert {network.candidate.latency_ms for network in confirmed(done).networks} == {3.0}


def test_what_failed_is_tried_again_and_has_time_for_its_length(run):
    seen = []

    def failing(job):
        return Score(job.rung, job.seed, failure="the power went")

    def make(study, data, folder, plan):
        seen.append(study.search.timeout)
        return contextlib.nullcontext(FakeEvaluator(score=failing))

    request = Request(top=2, sample=1, seeds=2, epochs=4)
    workers = FakeWorkers(make)
    reason = confirm(run, read_results(run), request, lambda _: None, lambda _: None, workers)
    assert reason == "the first 5 candidates all failed"
    assert seen == [2 * read_results(run).study.search.timeout]  # 4 epochs for 2
    again = Confirmation(run, request)
    assert again.opened[0].todo == 3 * 2
    assert again.reason == "all trials finished"
    found = confirmed(read_results(run), 4)
    assert [network.test_errors for network in found.networks] == [
        tuple(error for key, _, _, error in trainings(run) if key == network.key and error)
        for network in found.networks
    ]  # the five that failed once are not among them
    assert found.seeds == (2, 2)
    assert Confirmation(run, request).opened[0].todo == 0


def test_changed_test_images_are_refused(run, monkeypatch):
    Confirmation(run, most=1)
    other = prepare_test(read_results(run).study.data)
    monkeypatch.setattr("dnsearch.confirm.run.prepare_test", lambda data: other[np.arange(99)])
    with pytest.raises(RunError, match="the test images changed since it was confirmed"):
        Confirmation(run)
    assert len(trainings(run)) == 1
