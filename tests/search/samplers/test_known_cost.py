from dataclasses import replace

import numpy as np
import optuna
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from dnsearch.analysis.pareto import hypervolume_curve
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.config import LimitsConfig
from dnsearch.cost.latency import LatencyModel, Setting
from dnsearch.errors import ConfigError
from dnsearch.search import CostModel, KnownCostSampler, suggest
from dnsearch.search.evaluators.base import Job
from dnsearch.search.feasible import feasible_points
from dnsearch.search.parameters import distributions
from dnsearch.search.samplers.by_name import fixed_sampler
from dnsearch.search.samplers.history import Outcome
from dnsearch.search.samplers.known_cost import REACH
from dnsearch.search.samplers.surrogate import Parameters, Surrogate
from dnsearch.training.score import CurvePoint, Score
from tests.fakes import FakeEvaluator

SPACE = SearchSpace(
    growth_rate=(2, 4, 8, 16), block_config=((1, 2, 4),) * 3, bn_size=(0, 4), in_channels=1
)
MODEL = CostModel((1, 14, 14))
RUNGS = (1, 3, 9)


def error_of(arch, rung, rng, tells=True, noise=0.02):
    """An invented surface: bigger is better, early layers are wasted, lower rungs lag."""
    macs = MODEL.cost(arch).macs
    top = 0.3 * (macs / 1e5) ** -0.2 * 1.05 ** arch.block_config[0]
    if not tells and rung < RUNGS[-1]:
        return float(np.exp(rng.normal(-1, 0.3)))
    return float(top * (1 + 0.5 / rung - 0.5 / 9) * np.exp(rng.normal(0, noise)))


def outcome(sampler, number, index, rung=9, seed=0, **options):
    """A training of one point, with what its lower rungs measured."""
    arch = sampler.pool.points.config(index)
    rng = np.random.default_rng([seed, number])
    values = sampler.pool.points.values(index)
    signals = {r: {"error": error_of(arch, r, rng, **options)} for r in RUNGS if r <= rung}
    params = {n: values[n] for n in distributions(SPACE)}
    return Outcome(number, params, rung, signals=signals)


def proposed(sampler, outcomes):
    """The sampler's choice as a place in its pool, and its rung."""
    chosen = dict(sampler.choose(outcomes))
    rung = chosen.pop("rung")
    return sampler.pool.places([chosen])[0], rung


def searched(sampler, count, **options):
    """The sampler's own first proposals, trained."""
    outcomes = []
    for number in range(count):
        index, rung = proposed(sampler, outcomes)
        outcomes.append(outcome(sampler, number, index, rung, **options))
    return outcomes


def spent(sampler, outcomes):
    """Compute by rung, lower rungs deducted, in MAC-epochs of one image."""
    by_rung, before = dict.fromkeys(RUNGS, 0.0), {}
    for o in outcomes:
        key = str(o.params)
        macs = MODEL.cost(SPACE.config(o.params)).macs
        by_rung[o.rung] += macs * (o.rung - before.get(key, 0))
        before[key] = o.rung
    return by_rung


def test_it_serves_an_optuna_study_of_ones_own():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS, seed=1)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    rng = np.random.default_rng(0)

    def objective(trial):
        values = suggest(trial, SPACE, RUNGS)
        arch = SPACE.config(values)
        errors = {r: error_of(arch, r, rng) for r in RUNGS if r <= values["rung"]}
        trial.set_user_attr("errors", errors)
        if values["rung"] < RUNGS[-1]:
            raise optuna.TrialPruned
        return errors[9], MODEL.cost(arch).macs

    study.optimize(objective, n_trials=20)
    asked = [(tuple(sorted(t.params.items()))) for t in study.trials]
    assert len(set(asked)) == 20
    states = {t.state.name for t in study.trials}
    assert "COMPLETE" in states
    assert states <= {"COMPLETE", "PRUNED"}


def test_the_first_is_the_cheapest_to_the_top():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    index, rung = proposed(sampler, [])
    assert sampler.pool.known.macs[index] == sampler.pool.known.macs.min()
    assert rung == 9


def test_the_same_trials_give_the_same_proposal():
    a, b = (KnownCostSampler(SPACE, MODEL, rungs=RUNGS, seed=3) for _ in range(2))
    outcomes = searched(a, 14)
    assert [proposed(b, outcomes[:n]) for n in range(14)] == [
        proposed(a, outcomes[:n]) for n in range(14)
    ]


def test_it_beats_random_search_by_far_on_an_invented_surface():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    macs, reference = (
        sampler.pool.known.macs.astype(float),
        [0.9, 1.1 * sampler.pool.known.macs.max()],
    )
    errors = [
        error_of(arch, 9, np.random.default_rng(0), noise=0.0) for arch in sampler.pool.points
    ]
    truth = np.column_stack([errors, macs])
    best = hypervolume_curve(truth, reference)[-1]

    def compute_to(order, level=0.99):
        """MACs of the trainings until this share of the best hypervolume is found."""
        curve = hypervolume_curve(truth[order], reference)
        return macs[order][: int(np.argmax(curve >= level * best)) + 1].sum()

    found = sampler.pool.places([o.params for o in searched(sampler, 70) if o.rung == 9])
    rng = np.random.default_rng(1)
    blind = np.median([compute_to(rng.permutation(len(macs))) for _ in range(9)])
    assert hypervolume_curve(truth[found], reference)[-1] >= 0.99 * best
    assert compute_to(found) < blind / 4


def test_rungs_that_tell_nothing_cost_next_to_nothing():
    shares = []
    for seed in range(3):
        sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS, seed=seed)
        compute = spent(sampler, searched(sampler, 40, seed=seed, tells=False))
        screened = [r for r in RUNGS if r < 9]
        shares.append(sum(compute[r] for r in screened) / sum(compute.values()))
    assert np.median(shares) < 0.05


def test_pending_trials_are_not_proposed_again():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    outcomes = searched(sampler, 8)
    asked = set()
    for number in range(8, 14):
        index, rung = proposed(sampler, outcomes)
        asked.add(index)
        params = {n: sampler.pool.points.values(index)[n] for n in distributions(SPACE)}
        outcomes.append(Outcome(number, params, rung, pending=True))
    assert len(asked) == 6


def test_failed_points_are_left_alone():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    outcomes = searched(sampler, 8)
    index, rung = proposed(sampler, outcomes)
    params = {n: sampler.pool.points.values(index)[n] for n in distributions(SPACE)}
    again, _ = proposed(sampler, [*outcomes, Outcome(8, params, rung, failed=True)])
    assert again != index


@pytest.mark.parametrize("place", [0, 100])
def test_what_is_under_way_or_failed_at_a_lower_rung_is_no_more_to_be_had(place):
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    done = [outcome(sampler, i, i) for i in range(len(sampler.pool)) if i != place]
    last = outcome(sampler, place, place, rung=1)
    pending, failed = replace(last, pending=True), replace(last, failed=True)
    for each in (pending, failed, replace(last, rung=9)):
        assert not sampler.is_left([*done, each])
        assert sampler.choose([*done, each]) is None
    assert proposed(sampler, [*done, last])[0] == place  # it may be promoted


@pytest.mark.parametrize("name", ["known-cost", "mo-asha"])
def test_two_workers_never_get_the_same_network(make_search, name):
    """Once all others are trained, the last of them at a lower rung."""
    search = make_search(rungs=RUNGS, sampler=name, trials=1000)
    proposer, points = search.proposer, search.points

    def asked(place, rung):
        values = {**search.space.values_of(points.config(place)), "rung": rung}
        trial, _ = proposer._ask(fixed_sampler(values, proposer._make(0)), RUNGS)
        return proposer._accept(trial, Job(trial.number, points.config(place), rung, place))

    for place in range(1, len(points)):
        job = asked(place, 9)
        error = 0.5 - place / 1000
        curve = tuple(CurvePoint(rung, 2.0, error, 1.0) for rung in RUNGS)
        score = Score(9, job.seed, error, 1.0, 2.0, curve, seconds=1.0)
        search.store.tell(job, score, [error, search.model.cost(job.arch).macs], {}, float(place))
    under_way = asked(0, 1)
    before = len(search.study.trials)
    assert proposer.propose() is None
    assert len(search.study.trials) == before  # nor is anything stored of it
    curve = (CurvePoint(1, 2.0, 0.5, 1.0),)
    search.store.tell(under_way, Score(1, 0, 0.5, 1.0, 2.0, curve, seconds=1.0), None, {}, 1e3)
    promoted = proposer.propose()
    assert (promoted.arch.key, promoted.seed) == (under_way.arch.key, under_way.seed)


def test_equal_scores_and_a_space_of_one_point_end_in_an_answer():
    sampler = KnownCostSampler(SPACE, MODEL)
    outcomes = []
    for number in range(12):
        index, rung = proposed(sampler, outcomes)
        values = sampler.pool.points.values(index)
        params = {n: values[n] for n in distributions(SPACE)}
        outcomes.append(Outcome(number, params, rung, signals={1: {"error": 0.5}}))
    assert len({str(o.params) for o in outcomes}) == 12
    one = SearchSpace(growth_rate=(4,), block_config=((2,),), in_channels=1)
    lonely = KnownCostSampler(one, MODEL, rungs=RUNGS)
    assert proposed(lonely, []) == (0, 9)
    assert lonely.choose([Outcome(0, {}, 9, signals={9: {"error": 0.5}})]) is None


def test_limits_hold():
    bound = 400_000
    model = CostModel((1, 14, 14), limits=LimitsConfig(max_macs=bound))
    sampler = KnownCostSampler(SPACE, model)
    assert sampler.pool.known.macs.max() <= bound


def test_measured_latency_is_learnt_and_its_limit_kept(make_search):
    def timed(job):
        return Score(job.rung, job.seed, 0.5 / job.arch.growth_rate, latency_ms=job.arch.depth)

    search = make_search(
        evaluator=FakeEvaluator(score=timed), sampler="known-cost", rungs=(3,), trials=24,
        costs=("latency_ms", "macs"), limits={"max_latency_ms": 9.0},
    )  # fmt: skip
    search.run()
    late = search.records[12:]
    assert len(search.records) == 24
    assert sum(not record.feasible for record in late) <= 3


def test_what_was_too_slow_at_a_lower_rung_is_not_promoted():
    model = replace(MODEL, limits=LimitsConfig(max_latency_ms=2.0))

    def choice(latency_ms):
        """Of a sampler that has trained all but one of the points to the top, and that one to the
        first rung."""
        sampler = KnownCostSampler(SPACE, model, rungs=RUNGS)
        rungs = [1, *[9] * (len(sampler.pool) - 1)]
        outcomes = [outcome(sampler, place, place, rung) for place, rung in enumerate(rungs)]
        told = [replace(each, latency_ms=1.0) for each in outcomes[1:]]
        return sampler.choose([replace(outcomes[0], latency_ms=latency_ms), *told])

    assert choice(latency_ms=1.9)["rung"] > 1
    assert choice(latency_ms=2.2) is None


def test_a_search_for_the_least_error_alone_is_sooner_there():
    def mean_least_error(aim):
        sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS, aim=aim)
        errors = [
            error_of(arch, 9, np.random.default_rng(0), noise=0.0) for arch in sampler.pool.points
        ]
        places = sampler.pool.places([o.params for o in searched(sampler, 30) if o.rung == 9])
        return np.mean(np.minimum.accumulate([errors[place] for place in places]))

    assert mean_least_error("least-error") < 0.97 * mean_least_error("front")


def test_the_reference_follows_the_first_latency_measured_at_the_top():
    sampler = KnownCostSampler(SPACE, MODEL, ("latency_ms",), rungs=RUNGS)
    outcomes = [
        replace(outcome(sampler, number, number, rung), latency_ms=latency, finished=finished)
        for number, (rung, latency, finished) in enumerate(
            [(1, 2.0, 1.0), (9, 5.0, 4.0), (9, 3.0, 3.0)]
        )
    ]
    assert sampler._reference(outcomes) == [0.9, REACH["front"] * 30.0]
    cheapest = int(sampler.pool.known.macs.argmin())
    assert proposed(sampler, outcomes[:1]) == (cheapest, 9)  # nothing is known yet of the top's


def test_an_interrupted_search_with_rungs_ends_as_an_uninterrupted_one(make_search):
    def scored(job):
        rng = np.random.default_rng(job.seed)
        point = [
            CurvePoint(r, 2.0, 0.5 / job.arch.growth_rate / r**0.2 * rng.uniform(0.9, 1.1), 1.0)
            for r in (1, 3)
            if r <= job.rung
        ]
        return Score(job.rung, job.seed, point[-1].error, 1.0, 2.0, tuple(point))

    options = {"sampler": "known-cost", "rungs": (1, 3), "trials": 24, "seed": 5}
    whole = make_search("whole", evaluator=FakeEvaluator(score=scored), **options)
    whole.run()
    make_search("cut", evaluator=FakeEvaluator(score=scored), **{**options, "trials": 9}).run()
    killed = make_search("cut", evaluator=FakeEvaluator(score=scored), **options)
    killed.proposer.propose()  # asked, then killed before it was told
    resumed = make_search("cut", evaluator=FakeEvaluator(score=scored), **options)
    resumed.run()
    assert resumed.story == whole.story


def test_twins_are_one_point():
    space = SearchSpace(
        growth_rate=(4, 8), block_config=((1, 2),) * 2, in_channels=1,
        num_init_features=(16, "2x growth"),
    )  # fmt: skip
    sampler = KnownCostSampler(space, MODEL)
    keys = [arch.key for arch in sampler.pool.points]
    assert len(keys) == len(set(keys)) == space.size - 4


def test_a_rung_first_heard_of_late_is_taken_up():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    outcomes = []
    for number in range(12):
        index, rung = proposed(sampler, outcomes)
        told = outcome(sampler, number, index, rung)
        signals = told.signals if number >= 9 else {rung: told.signals[rung]}
        outcomes.append(Outcome(number, told.params, rung, signals=signals))
    assert proposed(sampler, outcomes)


def test_promotions_are_the_same_evidence_once():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    promoted = [outcome(sampler, 0, 5, rung) for rung in RUNGS]
    rows = sampler.learner.error_rows(promoted)
    assert sorted(rows.level) == [0, 1, 2]
    assert len(set(rows.training)) == 1


def replicated(sampler, times):
    """Trainings to the only rung, each point of a few as often as told, with a seed each time."""
    rng = np.random.default_rng(0)
    return [
        Outcome(number, values_of(sampler, point), 1, seed=number, signals={1: {"error": error}})
        for number, point in enumerate(np.repeat([3, 20, 41, 77], times))
        for error in [0.2 * float(np.exp(rng.normal(0, 0.1)))]
    ]


def values_of(sampler, point):
    return {name: sampler.pool.points.values(int(point))[name] for name in distributions(SPACE)}


KNOWN = Parameters(
    scale=np.linspace(1, 3, 8), deviation=0.1, noise=np.array([0.05]), rho=np.ones(1),
    offset=np.zeros(1), shared=np.ones(1),
)  # fmt: skip


def test_seeds_of_an_architecture_are_their_mean_with_as_much_less_noise():
    sampler = KnownCostSampler(SPACE, MODEL)
    outcomes = replicated(sampler, [2, 1, 3, 1])
    features = sampler.learner.features.points
    found = Surrogate(sampler.learner.error_rows(outcomes), KNOWN).predict(features)

    def kernel(a, b):
        r = np.sqrt(5) * np.linalg.norm((a[:, None] - b) / KNOWN.scale, axis=2)
        return 1 + (a * trend.sd) @ (b * trend.sd).T + 0.01 * (1 + r + r**2 / 3) * np.exp(-r)

    trend = sampler.learner.features.trend
    slopes = features @ trend.mean
    errors = np.log([o.signals[1]["error"] for o in outcomes])
    errors -= slopes[np.repeat([3, 20, 41, 77], [2, 1, 3, 1])]
    means = np.array([each.mean() for each in np.split(errors, [2, 3, 6])])
    trained = features[[3, 20, 41, 77]]
    inverse = np.linalg.inv(kernel(trained, trained) + np.diag(0.05**2 / np.array([2, 1, 3, 1])))
    cross = kernel(features, trained)
    expected = slopes + errors.mean() + cross @ inverse @ (means - errors.mean())
    assert found[0] == pytest.approx(expected, abs=1e-5)
    left = np.diag(kernel(features, features)) - np.einsum("ij,jk,ik->i", cross, inverse, cross)
    assert found[1] == pytest.approx(np.sqrt(left), abs=1e-5)


def test_the_order_of_trials_says_nothing():
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    lower = replace(
        KNOWN,
        noise=np.full(3, 0.05),
        rho=np.ones(3),
        offset=np.full(3, 0.1),
        shared=np.full(3, 0.5),
    )
    outcomes = [
        replace(outcome(sampler, seed, point, rung), seed=seed)
        for point in (3, 20, 41)
        for seed, rung in ((0, 3), (1, 1), (0, 9), (1, 9))  # both were promoted
    ]
    shuffled = [outcomes[i] for i in np.random.default_rng(0).permutation(len(outcomes))]
    rows = [sampler.learner.error_rows(told) for told in (outcomes, shuffled)]
    assert [len(each) for each in rows] == [18, 18]  # of six trainings, at three rungs
    features = sampler.learner.features.points
    one, other = (Surrogate(each, lower).predict(features) for each in rows)
    np.testing.assert_allclose(one, other, atol=1e-8)


def test_slopes_beforehand_are_powers_of_sizes_in_any_space():
    for space in (SPACE, replace(SPACE, growth_rate=(4, 40), bn_size=(4,))):
        sampler = KnownCostSampler(space, MODEL)
        known, features = sampler.pool.known, sampler.learner.features
        expected = features.trend.expected(features.points)
        powers = -0.1 * np.log(known.params) - 0.02 * np.log(known.macs)
        assert expected - expected[0] == pytest.approx(powers - powers[0])


@pytest.mark.parametrize("costs", [("params", "macs"), ("params", "macs", "activations")])
def test_several_costs_give_an_answer(costs):
    sampler = KnownCostSampler(SPACE, MODEL, costs=costs, rungs=RUNGS)
    outcomes = searched(sampler, 25)
    assert len({(o.key, o.rung) for o in outcomes}) == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"costs": ("mac",)}, "costs must name known costs, got 'mac'.*macs"),
        ({"rungs": (3, 1)}, "rungs must rise"),
        ({"rungs": ()}, "rungs must rise"),
        ({"reference": {"params": 1.0}}, "reference must name error and the costs alone"),
        ({"reference": {"error": 90.0}}, r"reference\.error must be a share.*got 90"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ConfigError, match=message):
        KnownCostSampler(SPACE, MODEL, **arguments)


def test_points_beyond_the_sample_of_a_large_space_count_all_the_same(monkeypatch):
    from dnsearch.search.samplers import known_cost as module

    monkeypatch.setattr(module, "MOST_KEPT", 30)
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    assert len(sampler.pool.points) == 30
    whole = SPACE.points(np.random.default_rng(0))
    inside = {arch.key for arch in sampler.pool.points}
    outside = next(i for i in range(len(whole)) if whole.config(i).key not in inside)
    values = whole.values(outside)
    params = {n: values[n] for n in distributions(SPACE)}
    told = Outcome(0, params, 9, signals={9: {"error": 0.01}})
    assert proposed(sampler, [told])


def test_a_latency_that_is_known_exactly_counts_as_macs_do():
    """On a machine that takes 5 ns a multiply-add and no time for anything else."""
    space = SearchSpace(
        growth_rate=(16, 32), block_config=((1, 2, 4),) * 3, bn_size=(0, 1), compression=(1.0,),
        num_init_features=(16, 32), in_channels=1,
    )  # fmt: skip
    setting = Setting("cpu", 1, 1, "fp32", "reference")
    times = (0.0, 0.0, 0.0, 5000.0, 5000.0, 0.0)  # ms of 10^9, by kinds of work
    latency = LatencyModel(setting, times, networks=50, error=1e-4)
    model = replace(MODEL, latency=latency)
    points, known = feasible_points(space, model, np.random.default_rng(0))
    by_macs = KnownCostSampler(space, model, ("macs",), points=points, reference={"macs": 1e7})
    by_ms = KnownCostSampler(
        space, model, ("latency_ms",), points=points, reference={"latency_ms": 50.0}
    )
    outcomes = []
    for number in range(15):
        chosen, rung = proposed(by_macs, outcomes)
        assert proposed(by_ms, outcomes) == (chosen, rung)
        error = 0.3 * (known.macs[chosen] / 1e5) ** -0.2 * (1 + 0.1 * np.sin(number))
        outcomes.append(
            Outcome(
                number, points.values(chosen), 1, latency_ms=known.macs[chosen] * 5e-6,
                signals={1: {"error": float(error)}},
            )
        )  # fmt: skip


def test_what_was_measured_counts_in_place_of_what_is_predicted():
    sampler = KnownCostSampler(SPACE, MODEL, ("latency_ms",), rungs=RUNGS)
    outcomes = [
        replace(outcome(sampler, i, i), latency_ms=1.0 if i else 40.0, finished=float(i))
        for i in range(6)
    ]
    points = Points.at(SPACE, [o.params for o in outcomes])
    known = MODEL.of_points(points)
    latencies = sampler._latencies(outcomes)
    measured = np.array([40.0, 1.0, np.nan, np.nan, np.nan, np.nan])
    costs, _ = sampler._costs(points, known, latencies, measured)
    predicted, _ = sampler._costs(points, known, latencies)
    assert costs[:2, 0].tolist() == [40.0, 1.0]
    assert costs[2:] == pytest.approx(predicted[2:])
    assert predicted[0, 0] < 20


def test_a_proposal_takes_one_thread_of_the_linear_algebra(monkeypatch):
    """Two wait for each other, and for workers: 13 times the CPU time on two busy cores."""
    threads, weighed = [], KnownCostSampler._weighed_anew

    def blas_threads():
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    def noted(*arguments):
        threads.append(blas_threads())
        return weighed(*arguments)

    monkeypatch.setattr(KnownCostSampler, "_weighed_anew", noted)
    sampler = KnownCostSampler(SPACE, MODEL, rungs=RUNGS)
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        sampler.choose([outcome(sampler, 0, 0)])
        assert blas_threads() == {2}
    assert threads == [{1}]
