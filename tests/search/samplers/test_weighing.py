"""What known-cost weighs: gains by brute force, parts of large spaces against all of them."""

from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.pareto import hypervolume
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.config import LimitsConfig
from dnsearch.search import CostModel, KnownCostSampler
from dnsearch.search.parameters import distributions
from dnsearch.search.samplers import known_cost, weighing
from dnsearch.search.samplers.acquisition import expected_improvement
from dnsearch.search.samplers.history import Outcome
from dnsearch.search.samplers.pool import neighbours
from dnsearch.search.samplers.surrogate import Surrogate
from dnsearch.search.samplers.weighing import slack
from tests.search.rows import joined

SPACE = SearchSpace(
    growth_rate=(2, 4, 6, 8, 12, 16), block_config=((1, 2, 3, 4),) * 3, bn_size=(0, 2, 4),
    compression=(0.5, 1.0), in_channels=1,
)  # fmt: skip
MODEL = CostModel((1, 14, 14))


def outcomes_of(sampler, places):
    """Trainings of these points, whose error is a power of their parameters and of their shape."""
    rng, pool = np.random.default_rng(0), sampler.pool
    found = []
    for number, place in enumerate(places):
        values = pool.points.values(int(place))
        error = 0.8 * pool.known.params[place] ** -0.12 * 1.03 ** values["depth1"]
        signals = {sampler.rungs[-1]: {"error": float(error * rng.lognormal(0, 0.02))}}
        params = {name: values[name] for name in distributions(SPACE)}
        found.append(Outcome(number, params, sampler.rungs[-1], signals=signals))
    return found


def trained(sampler, count):
    """Outcomes of some points of all sizes."""
    order = np.argsort(sampler.pool.macs)
    return outcomes_of(sampler, order[np.linspace(0, len(order) - 1, count).astype(int)])


class Believed(Surrogate):
    """As if trainings of these had come out as predicted."""

    def __init__(self, before, features):
        self.before = before
        super().__init__(joined(before.rows, features, before.mean(features)), before.parameters)

    def predict(self, features):
        return self.before.predict(features)[0], super().predict(features)[1]


def believed(sampler, outcomes, pending=()):
    """What outcomes say, put together as it stands in the papers."""
    errors = sampler.learner.errors(outcomes)
    to_beat = sampler._to_beat(errors, [*outcomes, *pending], None)
    if pending:
        errors = Believed(errors, sampler.learner.described([o.params for o in pending])[0])
    return sampler._beliefs(errors, to_beat, sampler._reference(outcomes), None)


def weighed(sampler, outcomes):
    """All free points."""
    behind, free = sampler._status(sampler.pool, outcomes)
    beliefs = believed(sampler, outcomes)
    return beliefs, beliefs.weigh(sampler.pool.take(free), behind[free], sampler.rungs[-1])


def test_the_choice_gains_most_hypervolume_per_mac_by_brute_force():
    sampler = KnownCostSampler(SPACE, MODEL, seed=1)
    outcomes = trained(sampler, 12)
    beliefs, all_points = weighed(sampler, outcomes)
    features, known = sampler.learner.described([o.params for o in outcomes])
    rows = np.column_stack([np.exp(beliefs.errors.predict(features)[0]), known.macs])
    reference = [0.9, 1.1 * sampler.pool.macs.max()]
    before, luck = hypervolume(rows, reference), np.random.default_rng(2).standard_normal(400)

    def gain(place):
        errors = np.exp(all_points.mean[place] + all_points.sd[place] * luck)
        own = ([*rows, [error, all_points.pool.macs[place]]] for error in errors)
        return np.mean([hypervolume(each, reference) for each in own]) - before

    some = [*np.argsort(-all_points.rate)[:3], *range(0, len(all_points.pool), 150)]
    rates = np.array([gain(place) / all_points.pool.macs[place] for place in some])
    told = all_points.rate[some]
    assert told[:3] == pytest.approx(rates[:3], rel=0.15)
    assert rates[0] > 0.85 * rates.max()
    chosen = sampler.choose(outcomes)
    place = all_points.pool.places([{n: chosen[n] for n in distributions(SPACE)}])[0]
    assert place == some[0]


def test_epochs_behind_a_point_are_not_paid_again():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=(1, 3, 9))
    outcomes = trained(sampler, 12)
    beliefs, all_points = weighed(sampler, outcomes)
    best = np.argsort(-all_points.rate)[:5]
    pool = all_points.pool.take(best)
    fresh = beliefs.weigh(pool, np.zeros(5, int), 9).rate
    assert beliefs.weigh(pool, np.full(5, 3), 9).rate == pytest.approx(fresh * 9 / 6)


def test_neighbours_are_one_step_away_by_brute_force():
    every = SPACE.points(np.random.default_rng(0))
    centres = every.take(np.array([0, 77, 500]))
    apart = np.abs(every.digits[:, None].astype(int) - centres.digits).sum(axis=2)
    expected = {row.tobytes() for row in every.digits[(apart == 1).any(axis=1)]}
    found = [row.tobytes() for row in neighbours(centres).digits]
    assert set(found) == expected
    assert len(found) == len(expected)


def test_what_is_beside_meets_the_limits_and_is_new():
    model = CostModel((1, 14, 14), limits=LimitsConfig(max_macs=300_000))
    sampler = KnownCostSampler(SPACE, model)
    order = np.argsort(sampler.pool.macs)
    part = sampler.pool.take(order[-40:])
    beside = part.beside(part.points, model, sampler.learner.features)
    assert 0 < len(beside) < len(neighbours(part.points))
    assert beside.macs.max() <= 300_000
    params = [*map(beside.points.values, range(len(beside)))]
    assert part.places(params) == [None] * len(beside)
    assert np.array_equal(beside.features, sampler.pool.features[sampler.pool.places(params)])


def test_a_part_of_a_pool_knows_where_its_points_are():
    pool, rng = KnownCostSampler(SPACE, CostModel((1, 14, 14))).pool, np.random.default_rng(0)
    rows = rng.permutation(len(pool))
    here, elsewhere = np.split(rows, [len(pool) // 2])
    part = pool.take(here).take(np.arange(0, len(here), 2))
    wanted = [pool.points.values(int(row)) for row in (*here[:20], *elsewhere[:20])]
    assert (
        part.places(wanted) == [at // 2 if at % 2 == 0 else None for at in range(20)] + [None] * 20
    )
    assert pool.take(rows[:0]).places(wanted[:1]) == [None]


@pytest.mark.parametrize("count", [8, 30])
def test_a_part_of_a_large_space_gives_nearly_the_best_of_all(monkeypatch, count):
    """2,304 points, of which a tenth is weighed."""
    whole = KnownCostSampler(SPACE, MODEL)
    outcomes = trained(whole, count)
    _, all_points = weighed(whole, outcomes)
    monkeypatch.setattr(known_cost, "MOST_WORK", 0)
    monkeypatch.setattr(known_cost, "LEAST_WEIGHED", 240)
    blind, shares = [], []
    for seed in range(6):
        part = KnownCostSampler(SPACE, MODEL, seed=seed)
        weighed_there = spied(monkeypatch, part)
        chosen = part.choose(outcomes)
        assert part.choose(outcomes) == chosen  # a function of the trials
        place = all_points.pool.places([{n: chosen[n] for n in distributions(SPACE)}])[0]
        shares.append(all_points.rate[place] / all_points.rate.max())
        blind.append(max(weighed_there[0].rate) / all_points.rate.max())
    assert np.mean(shares) > 0.96
    assert np.mean(shares) > np.mean(blind) + 0.03  # what the sample alone offers


def spied(monkeypatch, sampler):
    """The first parts that a sampler weighs, before they are sharpened."""
    seen, sharpened = [], sampler._sharpened

    def spy(beliefs, part, *others):
        seen.append(part)
        return sharpened(beliefs, part, *others)

    monkeypatch.setattr(sampler, "_sharpened", spy)
    return seen


def test_points_beyond_the_kept_ones_are_proposed_and_never_twice(monkeypatch):
    monkeypatch.setattr(known_cost, "MOST_KEPT", 50)
    whole = {row.tobytes() for row in KnownCostSampler(SPACE, MODEL).pool.points.digits}
    assert len(whole) == 50
    sampler = KnownCostSampler(SPACE, MODEL)
    monkeypatch.setattr(known_cost, "MOST_KEPT", 10**6)
    every = KnownCostSampler(SPACE, MODEL)
    outcomes = []
    for _ in range(25):
        chosen = sampler.choose(outcomes)
        places = every.pool.places([{n: chosen[n] for n in distributions(SPACE)}])
        told = outcomes_of(every, places)[0]
        outcomes.append(Outcome(len(outcomes), told.params, told.rung, signals=told.signals))
    assert len({o.key for o in outcomes}) == 25
    beyond = [o for o in outcomes if sampler.pool.places([o.params])[0] is None]
    assert len(beyond) > 5
    beliefs = believed(sampler, outcomes)
    front = Points.at(SPACE, [o.params for o in outcomes])
    behind, free = sampler._status(sampler.pool, outcomes)
    part = beliefs.weigh(sampler.pool.take(free), behind[free], 1)
    sharp = sampler._sharpened(beliefs, part, front, outcomes, 10**6)
    assert len(sharp.pool) > len(part.pool)
    assert set(sharp.pool.places([o.params for o in outcomes])) == {None}


def test_an_expected_improvement_rises_by_no_more_than_the_slack_with_less_doubt():
    sd, mean = np.geomspace(1e-3, 3, 40), np.linspace(-8, 6, 300)[:, None]
    doubtful = expected_improvement(mean * sd, sd, 1.0)
    for share in np.linspace(0, 0.99, 25):
        surer = expected_improvement(mean * sd, share * sd, 1.0)
        assert (surer <= doubtful * slack(sd) + 1e-14).all()
    rises = expected_improvement(mean * sd, 0.0, 1.0) / np.maximum(doubtful, 1e-9)
    assert rises.max() > 1.1  # there is something to allow for


@pytest.mark.parametrize("count", [1, 40])
def test_what_is_weighed_roughly_first_is_weighed_as_if_all_had_been_exactly(count, monkeypatch):
    """The greatest gains are exact, and no bound lies below what it bounds."""
    monkeypatch.setattr(weighing, "SCREENED", count)
    monkeypatch.setattr(weighing, "_SOLVED", 16)
    sampler = KnownCostSampler(SPACE, MODEL)
    beliefs, found = weighed(sampler, trained(sampler, 60))
    mean, sd = beliefs.errors.predict(found.pool.features)
    gains = beliefs.staircase.improvement(mean, sd, found.costs) / found.pool.macs
    best = np.argsort(-gains)[:count]
    assert found.mean == pytest.approx(mean)
    assert found.rate[best] == pytest.approx(gains[best], rel=1e-9)
    assert (found.bound >= gains * (1 - 1e-9)).all()
    assert (found.sd >= sd * (1 - 1e-9)).all()
    assert np.count_nonzero(found.rate) < len(found.pool) / 4  # few were worth the work


@pytest.mark.parametrize("aim", ["front", "least-error"])
@pytest.mark.parametrize("seed", range(3))
def test_further_proposals_are_those_of_weighing_everything_anew(seed, aim, monkeypatch):
    """As long as nothing more has ended, though few points are looked at again."""
    sampler = KnownCostSampler(SPACE, MODEL, seed=seed, aim=aim)
    outcomes, pending = trained(sampler, 8 + 5 * seed), []
    looked_at, look = [], Surrogate.known

    def counting(self, features, level=0):
        looked_at.append(len(features))
        return look(self, features, level)

    for number in range(100, 112):
        with monkeypatch.context() as patched:
            patched.setattr(Surrogate, "known", counting)
            chosen = sampler.choose([*outcomes, *pending])
        if len(pending) == 1:
            after_first = sum(looked_at)
        params = {name: chosen[name] for name in distributions(SPACE)}
        beliefs = believed(sampler, outcomes, pending)
        _, free = sampler._status(sampler.pool, [*outcomes, *pending])
        everything = beliefs.weigh(sampler.pool.take(free), np.zeros(len(free), int), 1)
        (place,) = everything.pool.places([params])
        assert everything.rate[place] == pytest.approx(everything.rate.max(), rel=1e-6)
        pending.append(Outcome(number, params, 1, pending=True))
    assert len({o.key for o in pending}) == 12
    # Each point is solved for once at most by all of them together, and few of them by the first.
    assert 11 < sum(looked_at) <= len(sampler.pool) + 11
    assert after_first < 0.3 * len(sampler.pool)


@pytest.mark.parametrize("least_known", [0.9, 0.0])
def test_what_ended_since_points_were_weighed_is_believed_to_be_as_predicted(
    least_known, monkeypatch
):
    """Until that is more than a quarter of what is pending, or a tenth of what is known."""
    monkeypatch.setattr(known_cost, "LEAST_KNOWN", least_known)
    sampler = KnownCostSampler(SPACE, MODEL, seed=2)
    known, weighed_anew, weigh = trained(sampler, 24), [], sampler._weighed_anew

    def noting(numbers, *others):
        weighed_anew.append(len(numbers))
        return weigh(numbers, *others)

    monkeypatch.setattr(sampler, "_weighed_anew", noting)
    outcomes, late = list(known), 0
    for number in range(100, 140):
        chosen = sampler.choose(outcomes)
        if weighed_anew[-1] == len(known) + late:
            known, late = [o for o in outcomes if not o.pending], 0
        others = [o for o in outcomes if o not in known]
        beliefs = believed(sampler, known, others)
        _, free = sampler._status(
            sampler.pool, [*known, *(replace(o, failed=True) for o in others)]
        )
        everything = beliefs.weigh(sampler.pool.take(free), np.zeros(len(free), int), 1)
        params = {name: chosen[name] for name in distributions(SPACE)}
        (place,) = everything.pool.places([params])
        assert everything.rate[place] == pytest.approx(everything.rate.max(), rel=1e-6)
        outcomes.append(Outcome(number, params, 1, pending=True))
        pending = [o for o in outcomes if o.pending]
        if len(pending) == 16:  # the one that began first ends
            at = outcomes.index(pending[0])
            (told,) = outcomes_of(sampler, sampler.pool.places([pending[0].params]))
            outcomes[at] = replace(pending[0], pending=False, signals=told.signals)
            late += 1
    # 15 are pending whenever one is asked for: 3 may be late, and 2 of 24 and of 27.
    assert weighed_anew == (
        [24, 27, 31, 35, 39, 43, 47] if least_known else [24, 28, 32, 36, 40, 44, 48]
    )


def test_further_choices_are_all_that_is_left_of_a_space_each_once():
    space = SearchSpace(growth_rate=(2, 4, 6), block_config=((1, 2),) * 2, bn_size=(2,))
    sampler = KnownCostSampler(space, CostModel((3, 14, 14)))
    outcomes = []
    for number, place in enumerate([0, 3, 11]):
        signals = {1: {"error": 0.5 - 0.04 * place}}
        params = {n: sampler.pool.points.values(place)[n] for n in distributions(space)}
        outcomes.append(Outcome(number, params, 1, signals=signals))
    for number in range(3, 12):
        chosen = sampler.choose(outcomes)
        params = {name: chosen[name] for name in distributions(space)}
        assert params not in [outcome.params for outcome in outcomes]
        outcomes.append(Outcome(number, params, 1, pending=True))
    assert not sampler.is_left(outcomes)
    assert sampler.choose(outcomes) is None


def test_a_single_worker_s_proposals_know_every_result():
    used = KnownCostSampler(SPACE, MODEL, seed=3)
    outcomes = trained(used, 20)
    for number in range(len(outcomes), 30):
        chosen = used.choose(outcomes)
        assert chosen == KnownCostSampler(SPACE, MODEL, seed=3).choose(outcomes)
        place = used.pool.places([{name: chosen[name] for name in distributions(SPACE)}])
        outcomes.append(replace(outcomes_of(used, place)[0], number=number))


def test_a_proposal_is_the_same_whatever_was_proposed_before(monkeypatch):
    """What is kept between proposals is a cache, where points are weighed after each result."""
    monkeypatch.setattr(known_cost, "STALE", 0.0)
    used, outcomes = KnownCostSampler(SPACE, MODEL, seed=1, rungs=(1, 3, 9)), []
    for number in range(30):
        chosen = used.choose(outcomes)
        fresh = KnownCostSampler(SPACE, MODEL, seed=1, rungs=(1, 3, 9)).choose(outcomes)
        assert chosen == fresh
        params = {name: chosen[name] for name in distributions(SPACE)}
        outcomes.append(Outcome(number, params, chosen["rung"], pending=True))
        if number % 3 == 2:  # the one begun first ends
            at = next(i for i, o in enumerate(outcomes) if o.pending)
            (told,) = outcomes_of(used, used.pool.places([outcomes[at].params]))
            signals = {r: s for r, s in told.signals.items() if r <= outcomes[at].rung}
            outcomes[at] = replace(outcomes[at], pending=False, signals=signals)
