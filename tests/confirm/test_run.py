"""Confirming a search: who is chosen, with which seeds, what is stored, and that it goes on."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import optuna
import pytest

from dnsearch.analysis.picks import front
from dnsearch.config import parse_study
from dnsearch.confirm.findings import confirmed
from dnsearch.confirm.run import Request, chosen, confirm, expected_duration
from dnsearch.data import prepare_test
from dnsearch.errors import DataError, RunError
from dnsearch.report.digest import digest
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import CONFIRM, REFERENCES, SEARCH, Job
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from dnsearch.training.score import CurvePoint, Score
from tests.fakes import FakeEvaluator
from tests.report import synthetic

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
trials = 14
workers = 1
device = "cpu"
"""
REQUEST = Request(top=3, sample=4, seeds=2, epochs=6)


def score(job: Job) -> Score:
    """Large networks are better, and the test images a little harder."""
    error = 0.3 / (1 + job.arch.growth_rate * job.arch.depth / 20) + job.seed % 97 / 1e4
    curve = tuple(CurvePoint(n, 1.0, error * (1 + 1 / n), 1.0) for n in range(1, job.rung + 1))
    tests = {"test_error": error + 0.01, "test_loss": 1.0, "test_images": 4000}
    return Score(job.rung, job.seed, error, 1.0, 1.0, curve, 2.0 * job.rung, **tests)


def searched(run: RunDir, study: str = STUDY) -> None:
    made = contextlib.nullcontext(FakeEvaluator(score=lambda j: replace(score(j), test_error=None)))
    search(parse_study(study), run, lambda _: None, lambda _: None, lambda *_: made)


class Confirmation:
    """One sitting; ``most`` trainings, then the process is killed."""

    def __init__(self, run: RunDir, request: Request = REQUEST, most: int = 1000) -> None:
        self.evaluator = FakeEvaluator(score=self._score)
        self.left, self.opened, self.folders = most, [], []
        self.reason = ""
        with contextlib.suppress(_Killed):
            self.reason = confirm(
                run, read_results(run), request, self.opened.append, lambda _: None, self._make
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


@pytest.fixture
def run(tmp_path) -> RunDir:
    run = RunDir(tmp_path / "run")
    searched(run)
    return run


def trainings(run: RunDir) -> list[tuple[str, int, int, float | None]]:
    records = read_results(run).confirmed
    return [(r.job.arch.key, r.job.seed, r.job.rung, r.score.test_error) for r in records]


def test_each_is_trained_with_fresh_seeds_of_its_own(run):
    before = read_results(run)
    done = Confirmation(run)
    assert done.reason == "all trials finished"
    found = trainings(run)
    assert len(found) == 7 * 2 == len(set(found))
    assert all(epochs == 6 for _, _, epochs, _ in found)
    seeds = [seed for _, seed, _, _ in found]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & set(before.candidates["seed"])
    keys = [key for key, *_ in found]
    assert keys[:7] == keys[7:]  # all once before any twice
    after = read_results(run)
    assert after.candidates.equals(before.candidates)  # the search's record stays as it was
    assert done.opened[0].todo == done.opened[0].jobs == 14


def test_it_is_a_study_of_its_own_in_the_same_storage(run):
    Confirmation(run)
    storage = f"sqlite:///{run.database}"
    names = optuna.get_all_study_names(storage)
    assert set(names) == {SEARCH, REFERENCES, CONFIRM}
    study = optuna.load_study(study_name="confirm", storage=storage)
    trial = study.trials[0]
    told = trial.user_attrs["score"]["score"]
    assert trial.values[0] == told["test_error"] != told["error"]


def test_killed_and_typed_again_it_does_the_rest_alone(run, tmp_path):
    whole = RunDir(tmp_path / "whole")
    searched(whole)
    Confirmation(whole)
    assert not Confirmation(run, most=5).reason
    assert len(trainings(run)) == 5
    again = Confirmation(run)
    assert len(again.evaluator.submitted) == 14 - 5
    assert again.opened[0].todo == 9
    assert sorted(trainings(run)) == sorted(trainings(whole))
    assert not Confirmation(run).evaluator.submitted


def test_more_seeds_and_candidates_add_to_what_is_there(run):
    Confirmation(run)
    before = trainings(run)
    more = Confirmation(run, replace(REQUEST, seeds=3))
    assert len(more.evaluator.submitted) == 7
    assert trainings(run)[: len(before)] == before


def test_the_front_and_others_over_all_costs_are_chosen(run):
    results = read_results(run)
    members = set(front(results.candidates, ("macs",))["key"])
    keys = [arch.key for arch in chosen(results, top=len(members), sample=3)]
    assert set(keys[: len(members)]) == members
    assert len(set(keys)) == len(keys) == len(members) + 3
    others = results.candidates[~results.candidates["key"].isin(members)].sort_values("macs")
    order = list(others["key"])
    places = sorted(order.index(key) for key in keys[len(members) :])
    strata = np.array_split(np.arange(len(order)), 3)
    assert all(place in stratum for place, stratum in zip(places, strata, strict=True))


def test_a_large_front_gives_its_recommended_and_ends():
    results = synthetic.results(400, seed=3)
    members = front(results.candidates, ("macs",))
    archs = {key: key for key in results.candidates["key"]}  # whatever they are
    keys = chosen(replace(results, archs=archs), top=5, sample=0)
    assert len(members) > 5
    assert len(set(keys)) == 5
    assert set(keys) <= set(members["key"])
    assert {members["key"].iloc[0], members["key"].iloc[-1]} <= set(keys)


def test_a_small_front_is_filled_with_the_next(run):
    results = read_results(run)
    members = front(results.candidates, ("macs",))
    keys = [arch.key for arch in chosen(results, top=len(members) + 2, sample=0)]
    rest = results.candidates[~results.candidates["key"].isin(members["key"])]
    assert set(keys[len(members) :]) <= set(front(rest, ("macs",))["key"])
    assert len(keys) == len(members) + 2


def test_what_was_never_searched_cannot_be_confirmed(run):
    results = read_results(run)
    empty = replace(results, candidates=results.candidates.iloc[:0])
    with pytest.raises(RunError, match="no candidate is finished yet"):
        chosen(empty, 3, 3)


def test_images_without_a_test_split_are_refused(run, monkeypatch):
    monkeypatch.setattr("dnsearch.confirm.run.has_test", lambda data: False)
    with pytest.raises(DataError, match="must have test images to confirm on"):
        Confirmation(run)
    assert not trainings(run)


def test_changed_images_are_refused(run):
    told = json.loads((run.path / "data.json").read_text())
    (run.path / "data.json").write_text(json.dumps(told | {"fingerprint": "0" * 16}))
    with pytest.raises(RunError, match="the images changed"):
        Confirmation(run)


def test_the_duration_is_that_of_the_searchs_own_epochs(run):
    """Two seconds an epoch and one worker."""
    expected = 7 * REQUEST.seeds * REQUEST.epochs * 2.0
    assert expected_duration(read_results(run), REQUEST) == pytest.approx(expected)
    done = Confirmation(run)
    assert done.opened[0].seconds == pytest.approx(expected)


def told(run: RunDir, epochs: int | None = None):
    return confirmed(digest(read_results(run, beliefs=True)), epochs)


def test_a_latency_among_the_costs_is_the_searchs(tmp_path):
    run = RunDir(tmp_path / "timed")
    timed = contextlib.nullcontext(
        FakeEvaluator(score=lambda job: replace(score(job), test_error=None, latency_ms=3.0))
    )
    study = STUDY + '[objectives]\ncosts = ["latency_ms", "macs"]\n'
    search(parse_study(study), run, lambda _: None, lambda _: None, lambda *_: timed)
    Confirmation(run)
    assert {len(record.values) for record in read_results(run).confirmed} == {2}
    assert told(run).cost == "latency_ms"


def test_one_second_seed_gives_no_wild_regret(run):
    """Of one degree of freedom Student's t has no mean."""
    Confirmation(run, most=8)  # of 7 candidates one twice
    found = told(run)
    assert sorted(len(errors) for errors in found.candidates["test_errors"])[-2:] == [1, 2]
    assert not found.regret > 0.5
    assert found.candidates["test_high"].max() <= 1


def test_each_length_is_told_for_itself(run):
    Confirmation(run)
    Confirmation(run, replace(REQUEST, epochs=2), most=3)
    assert told(run).epochs == 6  # the one that most were trained for
    assert told(run, 2).epochs == 2
    assert len(told(run, 2).candidates) == 3
    assert told(run, 3) is None


def test_what_failed_is_tried_again_and_has_time_for_its_length(run):
    seen = []

    def failing(job):
        return Score(job.rung, job.seed, failure="the power went")

    def make(study, data, folder, plan):
        seen.append(study.search.timeout)
        return contextlib.nullcontext(FakeEvaluator(score=failing))

    request = replace(REQUEST, epochs=4)
    reason = confirm(run, read_results(run), request, lambda _: None, lambda _: None, make)
    assert reason == "the first 5 candidates all failed"
    assert seen == [2 * read_results(run).study.search.timeout]  # 4 epochs for 2
    again = Confirmation(run, request)
    assert again.opened[0].todo == 14
    assert again.reason == "all trials finished"
    assert told(run, 4).candidates["test_mean"].notna().all()


def test_of_several_seeds_the_search_tells_their_mean(tmp_path):
    run = RunDir(tmp_path / "twice")
    study = STUDY.replace('"random"', '"grid"\nreplicates = 2').replace(
        "trials = 14", "trials = 48"
    )
    searched(run, study)
    Confirmation(run)
    searched_for = read_results(run).candidates.groupby("key")["error"].mean()
    found = told(run).candidates
    np.testing.assert_allclose(found["error"], searched_for[found["key"]])
    members = set(front(read_results(run).candidates, ("macs",))["key"])
    assert set(found["key"][found["front"].astype(bool)]) == members & set(found["key"])


def test_changed_test_images_are_refused(run, monkeypatch):
    Confirmation(run, most=3)
    other = prepare_test(read_results(run).study.data)
    monkeypatch.setattr("dnsearch.confirm.run.prepare_test", lambda data: other[np.arange(99)])
    with pytest.raises(RunError, match="the test images changed since it was confirmed"):
        Confirmation(run)
    assert len(trainings(run)) == 3
