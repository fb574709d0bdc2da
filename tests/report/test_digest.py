"""What is told of a run, against the same by another way."""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.pareto import hypervolume, nondominated
from dnsearch.analysis.picks import front as front_of
from dnsearch.config import parse_study
from dnsearch.report.digest import digest
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import REFERENCES, SEARCH
from dnsearch.search.feasible import CostModel
from dnsearch.search.results import read_results
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.known_cost import REACH, KnownCostSampler
from dnsearch.search.session import search
from dnsearch.search.store import StudyStore, counts_for_nothing
from dnsearch.search.weights import front as front_of_records
from tests.fakes import FakeEvaluator, FakeWorkers, fake_score

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
workers = 2
device = "cpu"
"""


def searched(tmp_path, evaluator, study):
    run = RunDir(tmp_path / "run")
    made = contextlib.nullcontext(evaluator)
    search(
        parse_study(STUDY + study),
        run,
        lambda _: None,
        lambda _: None,
        FakeWorkers(lambda *_: made),
    )
    return run


def lucky(job):
    """Whose errors depend on the seed more than on the architecture."""
    score = fake_score(job)
    luck = np.random.default_rng(job.seed).uniform(0.7, 1.3)
    return replace(score, error=float(np.clip(score.error * luck, 0, 0.8)))


def test_the_last_hypervolume_is_that_of_the_seeds_means(tmp_path):
    run = searched(
        tmp_path,
        FakeEvaluator(score=lucky),
        'sampler = "grid"\nreplicates = 2\ntrials = 48',
    )
    told = digest(read_results(run))
    errors = defaultdict(list)
    for candidate in told.candidates:
        errors[candidate.key].append(candidate.error)
    assert {len(each) for each in errors.values()} == {2}
    costs = {each.key: each.cost.macs for each in told.candidates}
    means = [[sum(own) / 2, costs[key]] for key, own in errors.items()]
    reference = list(told.reference.values())
    assert told.hypervolume == told.volumes[-1] == pytest.approx(hypervolume(means, reference))
    every = [[each.error, each.cost.macs] for each in told.candidates]
    assert told.hypervolume < 0.99 * hypervolume(every, reference)  # of the luckiest seeds
    kept = front_of_records(StudyStore(run, read_only=True).records())
    values = np.array(means)
    assert {record.job.arch.key for record in kept} == {
        key for key, on in zip(errors, nondominated(values), strict=True) if on
    }
    assert list(told.front) == front_of(told.networks, ("macs",))
    assert {network.seeds for network in told.finished} == {2}


class LastFirst(FakeEvaluator):
    """Known designs outside the space end first, then the job submitted last."""

    def completed(self, timeout):
        jobs = sorted(self.jobs, key=lambda job: (job.study == REFERENCES, job.trial))
        self.jobs = deque([jobs[-1], *jobs[:-1]])
        return super().completed(timeout)


def timed(job):
    return replace(fake_score(job), latency_ms=float(job.arch.depth))


def test_report_and_sampler_follow_the_same_first_latency(tmp_path):
    """Not that of a known design outside the space, which is there first, and which the sampler
    knows nothing of; nor that of the trial asked first, which ended last."""
    run = searched(
        tmp_path,
        LastFirst(capacity=3, score=timed),
        'sampler = "known-cost"\ntrials = 12\nstart = ["densenet-40-12", {growth_rate = 8, '
        "block_config = [3, 2], bn_size = 0}]\n"
        '[objectives]\ncosts = ["latency_ms"]',
    )
    results = read_results(run)
    store = StudyStore(run, read_only=True)
    space = results.study.space.build(1, 10)
    assert store.records()[0].job.study == REFERENCES
    by_end = [r for r in store.records() if r.job.study == SEARCH and r.values]
    assert by_end[0].job.trial != min(record.job.trial for record in by_end)
    rungs = results.study.training.rungs
    sampler = KnownCostSampler(space, CostModel((1, 8, 8)), ("latency_ms",), rungs)
    outcomes = History(rungs, counts_for_nothing).of(store.logs[SEARCH].study)
    finished = [outcome for outcome in outcomes if not outcome.failed]
    expected = 10 * by_end[0].score.latency_ms
    assert sampler._reference(finished) == [0.9, REACH["front"] * expected]
    assert digest(results).reference == {"error": 0.9, "latency_ms": expected}
