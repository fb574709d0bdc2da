from dataclasses import replace

import numpy as np
import optuna
import pytest

from dnsearch.search.samplers.asha import ranked
from dnsearch.search.samplers.history import History, by_training
from tests.fakes import FakeEvaluator, fake_score

SMALL = "[space]\ngrowth_rate = [2, 4, 6]\nblock_config = [[1, 2], [1, 2]]\nbn_size = 2"


def test_ranks_are_those_of_peeling_fronts_by_hand():
    values = np.random.default_rng(0).uniform(size=(40, 2))
    order = ranked(values)
    left = set(range(40))
    expected = []
    while left:
        front = {
            i for i in left
            if not any((values[j] <= values[i]).all() and (values[j] < values[i]).any()
                       for j in left)
        }  # fmt: skip
        expected.append(front)
        left -= front
    position = 0
    for front in expected:
        assert set(order[position : position + len(front)]) == front
        position += len(front)


def test_the_ends_of_a_front_come_before_its_crowded_middle():
    values = [[0.0, 1.0], [0.5, 0.5], [0.51, 0.49], [1.0, 0.0]]
    assert set(ranked(values)[:2]) == {0, 3}


def test_promotions_go_on_with_one_training_rung_by_rung(make_search):
    search = make_search(sampler="mo-asha", rungs=(1, 3, 9), trials=30)
    search.run()
    rungs = [record.job.rung for record in search.records]
    assert rungs.count(1) > rungs.count(3) > rungs.count(9) > 0
    assert rungs.count(3) <= rungs.count(1) / 2
    for record in search.records:
        earlier = [r for r in search.records if r.job.arch.key == record.job.arch.key]
        assert len({r.job.seed for r in earlier}) == 1
        assert [r.job.rung for r in earlier] == [1, 3, 9][: len(earlier)]


def test_whoever_is_promoted_was_among_the_best_third_by_then(make_search):
    search = make_search(sampler="mo-asha", rungs=(1, 3), trials=30)
    search.run()
    records = search.records
    for position, record in enumerate(records):
        if record.job.rung == 3:
            at_rung = [r for r in records[:position] if r.job.rung == 1]
            values = [[r.score.error, search.model.cost(r.job.arch).macs] for r in at_rung]
            best = ranked(values)[: len(at_rung) // 3]
            assert record.job.arch.key in {at_rung[i].job.arch.key for i in best}


def test_failed_candidates_are_not_promoted(make_search):
    def unlucky(job):
        score = fake_score(job)
        return score.failed("out of memory") if job.arch.bn_size else score

    search = make_search(
        evaluator=FakeEvaluator(score=unlucky), sampler="mo-asha", rungs=(1, 3), trials=20
    )
    search.run()
    assert {r.job.rung for r in search.records if r.job.arch.bn_size} == {1}


def test_what_was_too_slow_is_not_promoted(make_search):
    """Neither in its turn nor in the end, when no network is new."""

    def timed(job):
        return replace(fake_score(job), latency_ms=float(job.arch.depth))

    search = make_search(
        evaluator=FakeEvaluator(score=timed), sampler="mo-asha", rungs=(1, 3, 9), trials=100,
        limits={"max_latency_ms": 9.0}, space=SMALL,
    )  # fmt: skip
    assert search.run() == "every architecture of the space was tried"
    rungs = {True: [], False: []}
    for record in search.records:
        rungs[record.feasible].append(record.job.rung)
    assert set(rungs[False]) == {1}
    assert rungs[True].count(1) == rungs[True].count(9) == search.space.size - len(rungs[False])


def test_outcomes_know_every_rung_of_a_training(make_search):
    search = make_search(sampler="mo-asha", rungs=(1, 3), trials=12)
    search.run()
    outcomes = History((1, 3)).of(search.study)
    assert len(outcomes) == 12
    for outcome, record in zip(outcomes, search.records, strict=True):
        assert outcome.rung == record.job.rung
        assert outcome.signals[outcome.rung]["error"] == record.score.error
        assert {outcome.pending, outcome.failed} == {False}


def test_seeds_of_an_architecture_are_trainings_of_their_own(make_search):
    search = make_search(sampler="grid", rungs=(3,), trials=12, replicates=2)
    search.run()
    outcomes = History((3,)).of(search.study)
    assert len({outcome.key for outcome in outcomes}) == 6
    assert len(by_training(outcomes)) == 12


def test_trainings_on_a_part_of_the_images_are_left_out():
    study = optuna.create_study()
    for images in (None, 500, None):
        trial = study.ask()
        trial.suggest_int("growth_rate", 4, 8)
        trial.set_user_attr("images", images)
        study.tell(trial, 0.3)
    assert [outcome.number for outcome in History((1,)).of(study)] == [0, 2]


@pytest.mark.parametrize("attrs", [{}, {"errors": {"1": 0.5, "3": 0.4}}])
def test_own_scripts_need_no_score(attrs):
    study = optuna.create_study(directions=["minimize", "minimize"])
    trial = study.ask()
    trial.suggest_int("growth_rate", 4, 8)
    for name, value in attrs.items():
        trial.set_user_attr(name, value)
    study.tell(trial, [0.3, 1e6])
    (outcome,) = History((1, 3, 9)).of(study)
    assert outcome.signals[9] == {"error": 0.3}
    assert set(outcome.signals) == ({1, 3, 9} if attrs else {9})


def test_a_small_space_is_trained_to_the_top_in_the_end(make_search):
    search = make_search(sampler="mo-asha", rungs=(1, 3), trials=100, space=SMALL)
    search.run()
    assert sum(record.job.rung == 3 for record in search.records) == search.space.size
