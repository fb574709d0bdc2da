"""What may still be found: against a dense normal of all points, and searches that end by it."""

import itertools
import json

import numpy as np
import pytest

from dnsearch.config import LimitsConfig, UntilConfig, parse_study
from dnsearch.search import regret, stopping
from dnsearch.search.evaluators.base import Job
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.regret import Feasible, Scope, greatest_improvements, look_ahead
from dnsearch.search.samplers import features
from dnsearch.search.samplers.acquisition import expected_improvement
from dnsearch.search.samplers.covariance import Covariance, Parameters
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.stopping import Enough, scheduled
from dnsearch.search.store import Record
from dnsearch.training.score import Score
from tests.fakes import FakeEvaluator
from tests.search.rows import joined

SPACE = """
[space]
growth_rate = [2, 3, 4, 6, 8]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0, 2]
"""
RUNGS = (1, 3)
SHAPE = (1, 8, 8)


def feasible_of(space=SPACE, limits=None):
    built = parse_study(space).space.build(1, 4)
    model = CostModel(SHAPE, limits=LimitsConfig(**limits or {}))
    points, _ = feasible_points(built, model, np.random.default_rng(0))
    return Feasible(points, model, RUNGS, np.inf, seed=0)


def truth(arch):
    return 0.3 * (arch.depth * np.mean(arch.growth_rates) / 20) ** -0.3


def trained(points, places, rng, noise=0.03):
    """Outcomes of these points, each trained once to the top."""
    found = []
    for number, place in enumerate(places):
        arch = points.config(place)
        error = truth(arch) * np.exp(noise * rng.standard_normal())
        signals = {1: {"error": 1.3 * error}, 3: {"error": error}}
        values = points.values(place)
        found.append(Outcome(number, values, 3, seed=number, finished=number, signals=signals))
    return found


@pytest.fixture
def known_setting(monkeypatch):
    """The surrogate's hyper-parameters are known: these."""

    def put(features):
        p = Parameters(
            scale=np.full(features, 3.0), deviation=0.08, noise=np.array([0.03, 0.05]),
            rho=np.array([1.0, 0.9]), offset=np.array([0.0, 0.05]), shared=np.array([1.0, 0.3]),
        )  # fmt: skip
        monkeypatch.setattr(regret, "sample", lambda rows, rng, levels, count: [p] * count)
        return p

    return put


def test_regrets_are_those_of_a_dense_normal_of_all_points(known_setting):
    feasible, rng = feasible_of(), np.random.default_rng(0)
    points, features = feasible.pool.points, feasible.pool.features
    p = known_setting(features.shape[1])
    outcomes = trained(points, rng.permutation(len(points))[:12], rng)
    found = feasible.errors(outcomes)
    # By one covariance of everything that is known or asked for, from the code that makes the rows'
    # own; what is asked for are trainings of their own, whose noise is taken off again.
    rows = feasible.learner.error_rows(outcomes)
    joint = joined(rows, features, np.zeros(len(features)))
    matrix = Covariance(joint, 2).matrix(p)
    old, new = slice(0, len(rows)), slice(len(rows), None)
    weights = np.linalg.solve(matrix[old, old], matrix[old, new])
    mean = rows.centre + features @ rows.trend.mean + weights.T @ rows.surprise
    covariance = matrix[new, new] - matrix[new, old] @ weights
    covariance -= p.noise[0] ** 2 * np.eye(len(features))
    draws = np.exp(rng.multivariate_normal(mean, covariance, 20_000, method="eigh"))
    own = np.array(feasible.pool.places([each.params for each in outcomes]))
    best = own[np.median(draws[:, own], axis=0).argmin()]
    assert found.least == points.config(int(best)).key
    expected = draws[:, best] - draws.min(axis=1)
    drawn = found.regret(found.least)
    assert expected.mean() > 0.002  # there is something left to find
    assert drawn.mean() == pytest.approx(expected.mean(), rel=0.05)
    for level in (0.5, 0.8, 0.9, 0.95):
        most = np.quantile(expected, level)
        assert (drawn <= most).mean() == pytest.approx(level, abs=0.02)


def test_the_greatest_promises_are_exact_and_no_other_is_told_too_small():
    feasible, rng = feasible_of(), np.random.default_rng(3)
    points, features = feasible.pool.points, feasible.pool.features
    outcomes = trained(points, rng.permutation(len(points))[:24], rng)
    surrogate = feasible.learner.errors(outcomes)
    least = np.exp(surrogate.mean(features).min())
    exact = expected_improvement(*surrogate.predict(features), least)
    found, best = greatest_improvements(surrogate, features, least, 5), np.argsort(-exact)[:5]
    assert found[best] == pytest.approx(exact[best], rel=1e-9)
    assert set(np.argsort(-found)[:5]) == set(best)
    assert (found >= exact * (1 - 1e-9) - 1e-100).all()  # below that rounding decides
    assert (found > exact * 1.01).any()  # not all were worth the work


def test_a_large_space_is_told_by_what_promises_most(monkeypatch):
    """A sample of the points, what lies beside its best, and few of these drawn say the same."""
    space = """
    [space]
    growth_rate = [2, 3, 4, 5, 6, 7, 8]
    block_config = [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3]]
    bn_size = [0, 2]
    """
    monkeypatch.setattr(regret, "MOST_DRAWN", 1000)
    whole, rng = feasible_of(space), np.random.default_rng(1)
    outcomes = trained(whole.pool.points, rng.permutation(672)[:25], rng)
    monkeypatch.setattr(regret, "MOST_KEPT", 150)
    part = feasible_of(space)
    assert len(whole.pool) == 672
    assert len(part.pool) == 150
    all_drawn = whole.errors(outcomes)
    monkeypatch.setattr(regret, "MOST_DRAWN", 80)
    few_drawn = part.errors(outcomes)
    assert few_drawn.draws.shape[1] == 80
    assert few_drawn.least == all_drawn.least
    one, two = (each.regret(each.least) for each in (all_drawn, few_drawn))
    assert two.mean() == pytest.approx(one.mean(), rel=0.15)
    assert np.quantile(two, 0.9) == pytest.approx(np.quantile(one, 0.9), rel=0.15)


def test_what_failed_or_broke_a_limit_neither_wins_nor_is_hoped_for():
    feasible, rng = feasible_of(limits={"max_latency_ms": 5.0}), np.random.default_rng(2)
    points = feasible.pool.points
    order = np.argsort([truth(arch) for arch in points])
    good, rest = order[:8], order[8:20]
    outcomes = trained(points, rest, rng)
    free = feasible.errors(outcomes)
    failed = [Outcome(90 + i, points.values(p), 3, failed=True) for i, p in enumerate(good)]
    barred = feasible.errors([*outcomes, *failed])
    assert barred.draws.shape[1] == free.draws.shape[1] - len(good)
    slow = [
        Outcome(90 + i, o.params, 3, seed=i, latency_ms=9.0, signals=o.signals)
        for i, o in enumerate(trained(points, good, rng))
    ]
    unfit = feasible.errors([*outcomes, *slow])
    keys = {points.config(int(place)).key for place in good}
    assert not keys & {*unfit.keys}
    assert unfit.draws.shape[1] == barred.draws.shape[1]


def test_a_network_outside_the_space_may_be_the_answer():
    feasible, rng = feasible_of(), np.random.default_rng(3)
    points = feasible.pool.points
    outcomes = trained(points, range(10), rng)
    outside = points.config(0).replace(growth_rate=100)
    score = Score(3, 1, 0.01, 1.0, 1.0)
    record = Record(Job(0, outside, 3, 1), score, (0.01, 1.0), True, 1.0)
    found = feasible.errors(outcomes, [record])
    assert found.least == outside.key
    assert (found.regret(outside.key) == 0).all()
    assert feasible.errors(outcomes[:4], [record]) is None  # too few of the space


def test_a_network_outside_the_space_that_broke_the_limit_is_no_answer(make_search, quick):
    """As if it had not been trained, and a search is not ended by it."""
    limits = {"max_latency_ms": 10.0}
    feasible, rng = feasible_of(limits=limits), np.random.default_rng(3)
    outcomes = trained(feasible.pool.points, range(10), rng)
    outside = feasible.pool.points.config(0).replace(growth_rate=30)
    score = Score(3, 1, 0.01, 1.0, 1.0, latency_ms=50.0)
    record = Record(Job(0, outside, 3, 1), score, (0.01, 1.0), False, 1.0)
    with_it, without = feasible.errors(outcomes, [record]), feasible.errors(outcomes)
    assert with_it.keys == without.keys
    np.testing.assert_array_equal(with_it.draws, without.draws)

    def scored(job):
        slow, luck = max(job.arch.growth_rates) == 30, np.random.default_rng(job.seed).normal()
        error, ms = (0.05, 50.0) if slow else (truth(job.arch) * np.exp(0.08 * luck), 1.0)
        return Score(job.rung, job.seed, float(error), 1.0, 1.0, seconds=1.0, latency_ms=ms)

    search = make_search(
        evaluator=FakeEvaluator(score=scored), space=SPACE, trials=12, limits=limits,
        until={"regret": 0.5}, start=[{"growth_rate": 30, "block_config": [3, 2]}],
    )  # fmt: skip
    assert search.run() == "all trials finished"
    assert [record.feasible for record in search.records] == [False] + [True] * 11


def test_the_schedule():
    asked = [scheduled(count) for count in range(40)]
    assert asked[:12] == [0, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11]
    assert asked[12] == 11
    steps = sorted({*asked} - {0})
    assert all(a < b <= 1.1 * a + 1 for a, b in itertools.pairwise(steps))


@pytest.fixture
def quick(monkeypatch):
    """Fewer draws of hyper-parameters than a search takes."""
    monkeypatch.setattr(stopping, "FEW", 1)
    monkeypatch.setattr(regret, "SETTINGS", 2)
    monkeypatch.setattr(stopping, "SETTINGS", 2)


@pytest.mark.parametrize(("sampler", "points"), [("known-cost", 1.0), ("random", 3.0)])
def test_a_search_ends_once_enough_is_known(make_search, quick, sampler, points):
    until = {"regret": points, "probability": 0.8}
    search = make_search(space=SPACE, sampler=sampler, trials=1000, rungs=RUNGS, until=until)
    told = f"further candidates are expected to gain less than {points:g} point"
    assert search.run() == told + "s" * (points > 1) + " (80 % sure)"
    top = [record.score.error for record in search.records if record.values]
    assert 5 <= len(top) < 40 < search.space.size
    errors = [0.5 / (1 + arch.depth * np.mean(arch.growth_rates) / 50) for arch in search.points]
    assert 100 * (min(top) - min(errors)) <= points


def test_a_search_that_may_gain_more_goes_on(make_search, quick):
    def noisy(job):
        luck = np.random.default_rng(job.seed).normal(0, 0.2)
        return Score(job.rung, job.seed, float(0.3 * np.exp(luck)), 1.0, 1.0, seconds=1.0)

    evaluator, until = FakeEvaluator(score=noisy), {"regret": 0.01}
    search = make_search(space=SPACE, evaluator=evaluator, trials=10, until=until)
    assert search.run() == "all trials finished"


def test_a_resumed_search_ends_where_an_uninterrupted_one_does(make_search, quick):
    until = {"regret": 4, "probability": 0.6}
    told = "further candidates are expected to gain less than 4 points (60 % sure)"

    def sitting(name, trials=1000):
        search = make_search(
            name, space=SPACE, sampler="known-cost", rungs=RUNGS, trials=trials, seed=4, until=until
        )
        return search, search.run()

    whole, reason = sitting("whole")
    assert reason == told
    assert len(whole.records) > 5
    for left in (0, 2):
        sitting(f"cut{left}", len(whole.records) - left)
        resumed, reason = sitting(f"cut{left}")
        assert reason == told
        assert len(resumed.evaluator.submitted) == left
        assert resumed.story == whole.story
        assert len(resumed.study.trials) == len(whole.study.trials)  # nothing more was proposed


def test_going_on_is_kept_beside_the_run_and_made_anew_where_it_does_not_fit(
    make_search, quick, tmp_path, monkeypatch
):
    search = make_search(space=SPACE, sampler="known-cost", trials=8)
    search.run()
    file, key = tmp_path / "regret.json", search.records[-1].job.arch.key

    def ahead(key=key, probability=0.9, **more):
        scope = Scope(search.space, search.model, (3,), 4000)
        return look_ahead(search.store, scope, key, probability, **more)

    first = ahead(file=file)
    outcomes = History((3,)).of(search.study)
    errors = Feasible(search.points, search.model, (3,), 4000, 0).errors(outcomes, (), 2)
    assert first.most == pytest.approx(np.quantile(errors.regret(key), 0.9), rel=0.02)
    assert first.expected == pytest.approx(errors.regret(key).mean())
    with monkeypatch.context() as patch:
        patch.setattr(regret, "feasible_points", lambda *_: pytest.fail("computed again"))
        assert ahead(file=file) == first
    other = ahead(file=file, probability=0.6)
    assert (other.probability, other.expected) == (0.6, first.expected)
    assert other.most < first.most
    for damaged in ("", "[]", json.dumps({"checksum": "x"})):
        file.write_text(damaged)
        assert ahead(file=file) == first
    assert ahead(key="unknown") is None


def test_going_on_is_made_anew_where_the_surrogate_knows_other_features(
    make_search, quick, tmp_path, monkeypatch
):
    search = make_search(space=SPACE, sampler="random", trials=12)
    search.run()
    file, key = tmp_path / "regret.json", search.records[-1].job.arch.key

    def ahead(file=None):
        scope = Scope(search.space, search.model, (3,), 4000)
        return look_ahead(search.store, scope, key, 0.9, file)

    first, raw = ahead(file), features.raw_features

    def without_widths(archs, cost):
        return {n: column for n, column in raw(archs, cost).items() if not n.startswith("width")}

    for name, other in (("raw_features", without_widths), ("SHAPE", 0.2)):
        with monkeypatch.context() as patch:
            patch.setattr(features, name, other)
            changed = ahead()
            assert changed != first
            assert ahead(file) == changed
        assert ahead(file) == first


def test_a_statement_is_of_the_trials_that_were_there_at_its_step(make_search):
    search = make_search(space=SPACE, sampler="random", trials=12)
    search.run()
    seen = []

    class Asked(Feasible):
        def errors(self, outcomes, *_):
            seen.append(outcomes)

    feasible = Asked.of(search.engine.problem, 4000, 0)
    enough = Enough(search.store, feasible, UntilConfig(regret=1.0))
    assert enough() is None
    assert enough() is None  # not asked again before there is more
    (outcomes,) = seen
    finished = [outcome for outcome in search.records if outcome.values]
    assert len(finished) == 12
    assert [each.number for each in outcomes] == [r.job.trial for r in finished[:11]]  # 12 no step
