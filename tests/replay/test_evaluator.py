"""Replayed trainings: the virtual clock, which seed is drawn, and promotions that go on."""

from collections import Counter

import numpy as np
import pytest

from dnsearch.cost.formula import cost_of
from dnsearch.replay.evaluator import TableEvaluator
from dnsearch.search.evaluators.base import Job
from tests.replay.test_table import ARCHS, curve, halving, table_of, trial


def evaluator(*trials, seed=0, workers=1):
    return TableEvaluator(table_of(*trials), np.random.default_rng(seed), workers)


def train(evaluator, arch=ARCHS[0], rung=9, seed=7):
    evaluator.submit(Job(0, arch, rung, seed))
    ((_, score),) = evaluator.completed(timeout=1)
    return score


def three_seeds(**changes):
    """Seeds 1, 2, 3 with final errors .1, .2, .3."""
    return [trial(seed=s, points=curve(*[0.5] * 8, s / 10), **changes) for s in (1, 2, 3)]


def test_a_job_gets_a_recorded_score_under_its_own_seed():
    score = train(evaluator(trial()), rung=3)
    assert (score.rung, score.seed, score.error, score.loss) == (3, 7, 0.2, 0.4)
    assert [(point.epoch, point.error) for point in score.curve] == [(1, 0.8), (3, 0.2)]
    assert score.seconds == 30
    assert score.failure is None


def test_the_clock_counts_seconds_of_training():
    replay = evaluator(trial(), trial(ARCHS[1], seconds=9.0))
    train(replay)
    assert replay.now == 90
    train(replay, ARCHS[1])
    assert replay.now == 99


def test_a_promotion_costs_the_epochs_still_to_do():
    replay = evaluator(trial())
    for rung, now in ((1, 10), (3, 30), (9, 90)):
        assert train(replay, rung=rung).seconds == now
        assert replay.now == now
    assert train(replay, rung=9, seed=8).seconds == 90  # another training, from its beginning
    assert replay.now == 180


def test_a_promotion_goes_on_with_the_same_recorded_training():
    trainings = {s: halving(9, start=s / 10) for s in range(1, 6)}
    for draw in range(20):
        replay = evaluator(*(trial(seed=s, points=p) for s, p in trainings.items()), seed=draw)
        low = train(replay, rung=1)
        train(replay, rung=1, seed=99)
        top = train(replay, rung=9)
        assert top.error == pytest.approx(low.error / 256)
        assert top.curve[0].error == low.error


def test_replicates_draw_every_recorded_seed_before_one_comes_again():
    replay = evaluator(*three_seeds())
    errors = [train(replay, seed=s).error for s in range(7)]
    assert sorted(errors[:3]) == sorted(errors[3:6]) == [0.1, 0.2, 0.3]
    assert errors[6] in errors[:3]


def test_seeds_are_drawn_evenly_and_from_the_generator_alone():
    table = table_of(*three_seeds())
    firsts = Counter(
        train(TableEvaluator(table, np.random.default_rng(s))).error for s in range(300)
    )
    assert set(firsts) == {0.1, 0.2, 0.3}
    assert min(firsts.values()) > 70
    one, other = evaluator(*three_seeds(), seed=5), evaluator(*three_seeds(), seed=5)
    assert [train(one, seed=s) for s in range(9)] == [train(other, seed=s) for s in range(9)]


def test_trainings_stopped_early_are_not_drawn_where_others_went_on():
    stopped = [trial(seed=s, rung=1) for s in (2, 3, 4, 5)]
    for draw in range(10):
        replay = evaluator(trial(seed=1), *stopped, seed=draw)
        assert train(replay, rung=1).failure is None
        assert train(replay, rung=9).failure is None


def test_a_recorded_failure_is_replayed_as_one():
    replay = evaluator(trial(points=halving(4), failure="diverged", seconds=50.0))
    assert train(replay, rung=3).error == 0.2
    score = train(replay, rung=9)
    assert (score.failure, score.error, score.seed) == ("diverged", None, 7)
    assert replay.now == 50


def test_a_failure_of_unknown_length_takes_no_time():
    replay = evaluator(trial(points=[], failure="its worker process died", seconds=float("nan")))
    assert train(replay).failure == "its worker process died"
    assert replay.now == 0


def test_what_is_not_recorded_is_a_failed_score_in_one_line():
    replay = evaluator(trial(rung=3))
    assert train(replay, ARCHS[1]).failure == f"{ARCHS[1].describe()} is not recorded in hand-made"
    own = ARCHS[0].describe()
    assert train(replay).failure == f"{own} is not recorded at 9 epochs in hand-made"
    assert train(replay, rung=2).failure.endswith("is not recorded at 2 epochs in hand-made")
    assert train(replay, rung=3).error == 0.2


def test_workers_end_in_the_order_of_the_clock():
    times = {ARCHS[0]: 90.0, ARCHS[1]: 40.0, ARCHS[2]: 70.0}
    replay = evaluator(*(trial(arch, seconds=s) for arch, s in times.items()), workers=2)
    assert replay.capacity == 2
    for number, arch in enumerate(ARCHS[:2]):
        replay.submit(Job(number, arch, 9, 1))
    ends = []
    ((job, _),) = replay.completed(timeout=0.5)
    ends.append((job.trial, replay.now))
    replay.submit(Job(2, ARCHS[2], 9, 1))  # begins at 40, ends at 110
    ((job, _),) = replay.completed(timeout=0.5)
    ends.append((job.trial, replay.now))
    (left,) = replay.running()
    assert (left.job.trial, left.seconds) == (2, 50)
    assert left.epochs == pytest.approx(9 * 50 / 70)
    ((job, _),) = replay.completed(timeout=0.5)
    ends.append((job.trial, replay.now))
    assert ends == [(1, 40), (0, 90), (2, 110)]
    assert replay.completed(timeout=0.5) == replay.running() == []


def test_looking_moves_no_clock_and_gets_all_that_has_ended():
    times = {ARCHS[0]: 90.0, ARCHS[1]: 40.0, ARCHS[2]: 70.0}
    replay = evaluator(*(trial(arch, seconds=s) for arch, s in times.items()), workers=3)
    for number, arch in enumerate(ARCHS[:3]):
        replay.submit(Job(number, arch, 9, 1))
    assert (replay.completed(timeout=0), replay.now) == ([], 0)
    replay.wait(80)
    assert [each.job.trial for each in replay.running()] == [1, 2, 0]  # until it is collected
    assert max(each.epochs for each in replay.running()) == 9
    assert [job.trial for job, _ in replay.completed(timeout=1)] == [1, 2]
    assert replay.now == 80
    assert replay.busy == pytest.approx((40 + 70 + 80) / (3 * 80))
    replay.completed(timeout=1)
    assert replay.busy == pytest.approx((40 + 70 + 90) / (3 * 90))


def test_a_training_of_unknown_time_takes_as_long_for_each_mac_as_the_others():
    recorded = trial(), trial(ARCHS[1], seconds=45.0), trial(ARCHS[2], seconds=float("nan"))
    replay, macs = evaluator(*recorded), [cost_of(arch, 28, 28).macs for arch in ARCHS[:3]]
    pace = (90 + 45) / (9 * macs[0] + 9 * macs[1])
    assert train(replay, ARCHS[2], rung=3).seconds == pytest.approx(3 * macs[2] * pace)
    assert train(replay, ARCHS[2], rung=9).seconds == pytest.approx(9 * macs[2] * pace)
    assert replay.now == pytest.approx(9 * macs[2] * pace)


def test_a_promotion_under_way_shows_epochs_from_where_it_went_on():
    replay = evaluator(trial())
    train(replay, rung=3)
    replay.submit(Job(0, ARCHS[0], 9, 7))
    (running,) = replay.running()
    assert (running.epochs, running.seconds) == (3, 0)


def test_closing_drops_what_is_under_way():
    replay = evaluator(trial())
    replay.submit(Job(0, ARCHS[0], 9, 7))
    replay.close()
    assert replay.running() == []
