"""Whose fault a training without a score is: the candidate's or the machine's."""

from __future__ import annotations

import pytest

from dnsearch.errors import DataError, MachineError
from dnsearch.processes import Died
from dnsearch.search.evaluators.base import Lost, Unexplained
from dnsearch.search.faults import blame, cannot_start
from dnsearch.training.score import Score
from tests.fakes import FakeEvaluator, fake_score

ASSERT = Unexplained("CUDA error: device-side assert triggered")


def keys(records):
    return [record.job.arch.key for record in records]


def test_a_machine_that_breaks_ends_the_search_and_its_candidates_stay_untried(make_search):
    broken = FakeEvaluator(
        score=lambda job: ASSERT if len(broken.submitted) > 4 else fake_score(job)
    )
    search = make_search(evaluator=broken, trials=9)
    with pytest.raises(
        MachineError, match="3 trainings in a row ended without a score, the last w"
    ):
        search.run()
    assert len(broken.submitted) == 7  # no more candidates are burnt
    assert [record.score.failure for record in search.records] == [None] * 4
    repaired = make_search(trials=9)
    assert repaired.run() == "all trials finished"
    untried = {job.arch.key for job in broken.submitted[4:]}
    assert untried & set(keys(repaired.records))  # as any that was never asked for
    assert [record.score.failure for record in repaired.records] == [None] * 9


def test_a_machine_that_never_worked_burns_no_candidate(make_search):
    search = make_search(evaluator=FakeEvaluator(score=lambda job: ASSERT))
    with pytest.raises(
        MachineError, match="once this machine is repaired, the same command goes on"
    ):
        search.run()
    assert search.records == []


def test_a_candidate_that_breaks_its_worker_twice_is_at_fault(make_search):
    first = []

    def one_breaks(job):
        first.append(job.arch.key)
        return ASSERT if job.arch.key in first[1:2] else fake_score(job)

    search = make_search(evaluator=FakeEvaluator(score=one_breaks), trials=8)
    assert search.run() == "all trials finished"
    assert len(search.records) == 8
    (failed,) = [record for record in search.records if record.score.failure]
    assert failed.job.arch.key == first[1]
    assert failed.score.failure == "CUDA error: device-side assert triggered, twice"
    assert first.count(first[1]) == 2
    assert first[2] != first[1] == first[3]  # another has shown that the machine is sound


def test_bad_luck_costs_nothing(make_search):
    tried = []

    def unlucky(job):
        tried.append(job)
        return ASSERT if len(tried) in (2, 5, 6) else fake_score(job)

    search = make_search(evaluator=FakeEvaluator(score=unlucky), trials=8)
    assert search.run() == "all trials finished"
    assert [record.score.failure for record in search.records] == [None] * 8


def test_the_last_candidate_of_a_space_can_be_at_fault(make_search):
    """There is none left that could show that the machine is sound."""
    tried = []

    def last_breaks(job):
        tried.append(job)
        return ASSERT if len(tried) >= 8 else fake_score(job)

    search = make_search(evaluator=FakeEvaluator(score=last_breaks), trials=8)
    assert search.run() == "all trials finished"
    assert [bool(record.score.failure) for record in search.records] == [False] * 7 + [True]


def test_several_workers_that_break_at_a_time(make_search):
    broken = FakeEvaluator(capacity=4, score=lambda job: ASSERT)
    search = make_search(evaluator=broken, trials=9)
    with pytest.raises(MachineError):
        search.run()
    assert search.records == []


def test_what_is_lost_with_its_machine_is_run_again(make_search):
    """Nobody's fault, however many machines go in a row."""
    tried = []

    def nodes_go(job):
        tried.append(job.trial)
        return Lost("node 7 is gone") if len(tried) in (2, 3, 5, 6, 7) else fake_score(job)

    search = make_search(evaluator=FakeEvaluator(score=nodes_go), trials=8)
    assert search.run() == "all trials finished"
    assert [record.score.failure for record in search.records] == [None] * 8
    assert len(tried) == 13
    undisturbed = make_search("undisturbed", trials=8)
    undisturbed.run()
    assert {s[0] for s in search.story} == {s[0] for s in undisturbed.story}


def test_what_is_lost_again_and_again_is_suspicious(make_search):
    search = make_search(evaluator=FakeEvaluator(score=lambda job: Lost("gone")), trials=8)
    with pytest.raises(MachineError, match=r"3 trainings in a row ended without a score.*gone"):
        search.run()


def test_causes():
    job = FakeJob(rung=3, seed=7)
    assert blame(job, Died(-9, True), epochs=0) == Unexplained(
        "its worker process died (exit code -9)"
    )
    after = blame(job, Died(-9, True), epochs=1)  # a broken machine does not get that far
    assert after == Score(3, 7, failure="its worker process died (exit code -9)")
    assert blame(job, KeyError("x"), 0) == Unexplained("KeyError: 'x'")
    with pytest.raises(DataError, match="the images changed"):
        blame(job, DataError("the images changed"), 0)
    assert "exit code 1 before they are ready" in str(cannot_start(Died(1, False)))
    assert isinstance(cannot_start(OSError(11, "no more processes")), MachineError)


class FakeJob:
    def __init__(self, rung, seed):
        self.rung, self.seed = rung, seed


def test_failed_candidates_get_another_chance(make_search):
    def unlucky(job):
        score = fake_score(job)
        return score.failed("out of memory") if job.arch.bn_size else score

    make_search(evaluator=FakeEvaluator(score=unlucky), trials=12).run()
    before = make_search(trials=12).records
    failed = {record.job.arch.key for record in before if record.score.failure}
    assert failed
    assert make_search(trials=12).run() == "all trials finished"  # not unless it is asked for
    search = make_search(trials=12)
    search.store.set_failures_aside()
    search = make_search(trials=12)
    assert len(search.records) == 12 - len(failed)
    search.evaluator.score = lambda job: fake_score(job) if len(search.records) < 11 else stop()

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.run()
    search = make_search(trials=12)  # interrupted in the middle of it, it goes on
    search.run()
    assert set(keys(search.records)) == set(keys(before))
    assert not any(record.score.failure for record in search.records)
    assert {job.arch.key for job in search.store.set_aside()} == failed


RUNGS = {"sampler": "mo-asha", "rungs": (1, 3)}


@pytest.mark.parametrize(
    ("options", "before"),
    [({"sampler": "grid", "replicates": 2}, 0), (RUNGS, 0), (RUNGS, 1)],
    ids=["one of several seeds", "a lower rung", "a promotion"],
)
def test_what_is_tried_again_is_the_training_that_failed(make_search, options, before):
    """Whatever else was trained of its network: so many trainings before it, or some since."""

    def unlucky(job):
        nth, place = keys(first.records).count(job.arch.key), len(first.records)
        score = fake_score(job)
        return score.failed("out of memory") if nth == before and 6 <= place < 12 else score

    first = make_search(evaluator=FakeEvaluator(score=unlucky), trials=24, **options)
    first.run()
    failed = [training(record.job) for record in first.records if record.score.failure]
    assert failed
    first.store.set_failures_aside()
    search = make_search(trials=24, **options)
    search.run()
    assert [training(job) for job in search.evaluator.submitted] == failed


def training(job):
    return job.arch.key, job.seed, job.rung
