"""The known-cost sampler in a script of somebody's own: what it refuses, leaves out, and stops."""

import copy
import pickle
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from dnsearch.arch.space import SearchSpace
from dnsearch.errors import ConfigError
from dnsearch.search import CostModel, KnownCostSampler, suggest
from dnsearch.search.parameters import distributions

SPACE = SearchSpace(
    growth_rate=(2, 4, 8, 16), block_config=((1, 2, 4),) * 2, bn_size=(0, 4), in_channels=1
)
SMALL = SearchSpace(growth_rate=(4, 8), block_config=((1, 2),), in_channels=1)
MODEL = CostModel((1, 14, 14))


def study_of(space=SPACE, directions=("minimize", "minimize"), **options):
    sampler = KnownCostSampler(space, MODEL, **options)
    return optuna.create_study(directions=directions, sampler=sampler)


def error_of(config):
    return 0.3 * (MODEL.cost(config).macs / 1e5) ** -0.2


def objective_on(space, rungs=(), change=lambda error: error):
    def objective(trial):
        config = space.config(suggest(trial, space, rungs))
        return change(error_of(config)), MODEL.cost(config).macs

    return objective


def points_of(study):
    return [tuple(sorted(trial.params.items())) for trial in study.trials]


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (("maximize", "minimize"), r"directions\[0\], of the error, must be 'minimize'.*1 - accur"),
        (("minimize", "maximize"), r"directions\[1\], of the macs, must be 'minimize'"),
        (("minimize",), r"has 1 objective\) must minimise the error and macs; pass directions=\['"),
        (("minimize",) * 3, "has 3 objectives"),
    ],
)
def test_other_objectives_are_refused_before_anything_is_trained(directions, message):
    study = study_of(directions=directions)
    with pytest.raises(ConfigError, match=message):
        suggest(study.ask(), SPACE)


@pytest.mark.parametrize("wrong", [lambda e: 100 * e + 2, lambda e: -e, lambda e: -float("inf")])
def test_errors_that_are_no_shares_are_told_after_the_first_trial(wrong):
    study = study_of()
    with pytest.raises(ConfigError, match=r"trial 0: the error.*between 0 and 1.*percent by 100"):
        study.optimize(objective_on(SPACE, change=wrong), n_trials=5)
    assert len(study.trials) == 1
    with pytest.raises(ConfigError, match="trial 0"):
        suggest(study.ask(), SPACE)  # nor does it go on another day


@pytest.mark.parametrize("told", [{1: 40.0}, {"first": 0.4}, [0.4], {1: True}])
def test_errors_of_lower_rungs_are_checked_too(told):
    study = study_of(rungs=(1, 3))

    def objective(trial):
        suggest(trial, SPACE, (1, 3))
        trial.set_user_attr("errors", told)
        raise optuna.TrialPruned

    with pytest.raises(ConfigError, match=r"trial 0: (errors|user attribute errors)"):
        study.optimize(objective, n_trials=3)


def test_a_training_that_diverged_is_no_error_of_the_script():
    study = study_of()
    broken = iter([float("inf"), float("nan"), 0.2, 0.2])
    study.optimize(objective_on(SPACE, change=lambda _: next(broken)), n_trials=4)
    assert len(set(points_of(study))) == 4


def test_a_space_that_is_exhausted_stops_the_study_with_one_warning():
    study = study_of(SMALL)
    with pytest.warns(UserWarning, match="every point of the space was tried") as caught:
        study.optimize(objective_on(SMALL), n_trials=12)
    assert len(caught) == 1
    assert len(study.trials) == len(set(points_of(study))) == 4
    study.optimize(objective_on(SMALL), n_trials=12)  # nor on another day, but the one asked for
    assert [trial.state for trial in study.trials[4:]] == [TrialState.PRUNED]


def test_a_space_of_one_point_is_trained_once():
    one = SearchSpace(growth_rate=(4,), block_config=((2,),), in_channels=1)
    study = study_of(one)
    with pytest.warns(UserWarning, match="every point"):
        study.optimize(objective_on(one), n_trials=5)
    assert len(study.trials) == 1


def test_promotions_go_on_until_all_are_at_the_top():
    rungs = (1, 3)
    study = study_of(SMALL, rungs=rungs)

    def objective(trial):
        values = suggest(trial, SMALL, rungs)
        config = SMALL.config(values)
        trial.set_user_attr("errors", {values["rung"]: error_of(config)})
        if values["rung"] < 3:
            raise optuna.TrialPruned
        return error_of(config), MODEL.cost(config).macs

    with pytest.warns(UserWarning, match="every point"):
        study.optimize(objective, n_trials=20)
    tops = [trial for trial in study.trials if trial.params["rung"] == 3]
    assert len(tops) == 4


def test_asked_before_others_have_told_it_gives_no_twins():
    study = study_of(SMALL)
    trials = [study.ask() for _ in range(4)]
    first = [trial.suggest_int("growth_rate", 4, 8, step=4) for trial in trials]  # and no more
    assert sorted(first) == [4, 4, 8, 8]
    assert len({str(suggest(trial, SMALL)) for trial in trials}) == 4
    with (
        pytest.warns(UserWarning, match="every point"),
        pytest.raises(optuna.TrialPruned, match=r"every point .* is under way"),
    ):
        suggest(study.ask(), SMALL)


def test_threads_train_no_twins():
    study = study_of(SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(objective_on(SMALL), n_trials=16, n_jobs=8)
    trained = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert len(trained) == len({str(trial.params) for trial in trained}) == 4


@pytest.mark.parametrize(
    ("params", "distribution", "reason"),
    [
        ({"growth_rate": 10}, IntDistribution(1, 100), "growth_rate = 10, which is no choice"),
        ({"growth_rate": 7.5}, FloatDistribution(1, 100), "growth_rate = 7.5, which is no choice"),
        ({"growth_rate": "16"}, CategoricalDistribution(["16"]), "growth_rate = '16', which is no"),
        ({"depth1": 2}, IntDistribution(1, 4), "has no growth_rate"),
        ({"norm": "group"}, CategoricalDistribution(["group"]), "norm = 'group', which is no ch"),
        ({"rung": 5}, IntDistribution(1, 9), "rung = 5, which is none of the sampler's"),
    ],
)
def test_trials_of_another_space_are_left_out_and_told_once(params, distribution, reason):
    own = {"growth_rate": 2, "depth1": 1, "depth2": 1, "bn_size": 0}
    if "depth1" in params:
        own = {}
    foreign = {**own, **params}
    ways = distributions(SPACE) | dict.fromkeys(params, distribution)
    study, alone = study_of(seed=3), study_of(seed=3)
    for _ in range(2):
        trial = create_trial(
            params=foreign, distributions={n: ways[n] for n in foreign}, values=[0.001, 1.0]
        )
        study.add_trial(trial)
    with pytest.warns(UserWarning, match=rf"2 trials .* not learnt.*trial 0 .*{reason}") as w:
        study.optimize(objective_on(SPACE), n_trials=6)
    assert len(w) == 1
    alone.optimize(objective_on(SPACE), n_trials=6)
    assert points_of(study)[2:] == points_of(alone)


def test_points_of_the_space_are_learnt_from_however_they_were_drawn():
    study = study_of()
    params = {"growth_rate": 2.0, "depth1": 1, "depth2": 1, "bn_size": 0, "lr": 0.1}  # the cheapest
    ways = {**distributions(SPACE), "growth_rate": FloatDistribution(1, 9)}
    ways["lr"] = FloatDistribution(0, 1)
    study.add_trial(create_trial(params=params, distributions=ways, values=[0.3, 1e4]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = suggest(study.ask(), SPACE)
    assert values["growth_rate"] > 2 or values["depth1"] > 1 or values["depth2"] > 1


def test_a_moved_range_goes_on():
    first, moved = (
        SearchSpace(growth_rate=rates, block_config=((1, 2),), in_channels=1)
        for rates in ((4, 8, 12, 16), (8, 12, 16, 20))
    )
    study = study_of(first)
    study.optimize(objective_on(first), n_trials=4)
    study.sampler = KnownCostSampler(moved, MODEL)
    with pytest.warns(UserWarning, match="growth_rate = 4"):
        study.optimize(objective_on(moved), n_trials=4)
    assert len(set(points_of(study))) == 8


def test_enqueued_trials_are_pending():
    study = study_of(SMALL)
    cheapest = {"growth_rate": 4, "depth1": 1}
    study.enqueue_trial({"growth_rate": 8, "depth1": 2})
    study.enqueue_trial(cheapest)
    with pytest.warns(UserWarning, match="every point"):
        study.optimize(objective_on(SMALL), n_trials=9)
    assert len(study.trials) == len(set(points_of(study))) == 4
    assert study.trials[1].params == cheapest


def test_an_enqueued_trial_is_pending_before_it_has_told():
    study = study_of(SMALL)
    study.enqueue_trial({"growth_rate": 4, "depth1": 1})  # what would be chosen first
    first, second = study.ask(), study.ask()
    assert suggest(second, SMALL) != suggest(first, SMALL)


def test_a_training_to_a_lower_rung_may_still_go_on():
    study = study_of(SMALL, rungs=(1, 3))
    points = [{"growth_rate": k, "depth1": d} for k in (4, 8) for d in (1, 2)]
    for point, rung in zip(points, (1, 3, 3, 3), strict=True):
        study.enqueue_trial({**point, "rung": rung})
    below, *others = [study.ask() for _ in points]
    for trial in (below, *others):
        suggest(trial, SMALL, (1, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for trial in others:
            study.tell(trial, (0.3, 1e4))


def test_constraints_of_a_script_keep_a_trial_from_being_what_others_must_beat():
    sampler = KnownCostSampler(SPACE, MODEL)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)

    def objective(trial):
        values = objective_on(SPACE)(trial)
        trial.set_constraint("mine", 1.0 if trial.number == 0 else -1.0)
        return values

    study.optimize(objective, n_trials=3)
    outcomes = sampler.history.of(study)
    assert [outcome.feasible for outcome in outcomes] == [False, True, True]
    assert sampler._rivals(outcomes) == outcomes[1:]


def test_other_attributes_and_parameters_of_a_script_do_no_harm():
    study = study_of()

    def objective(trial):
        values = objective_on(SPACE)(trial)
        trial.suggest_float("lr", 0.01, 1)
        trial.set_user_attr("score", values[0])
        trial.set_user_attr("job", "mine")
        return values

    study.optimize(objective, n_trials=8)
    points = [{n: v for n, v in trial.params.items() if n != "lr"} for trial in study.trials]
    assert len({str(point) for point in points}) == 8


def test_a_latency_may_be_a_value():
    sampler = KnownCostSampler(SPACE, MODEL, costs=("latency_ms",))
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)

    def objective(trial):
        config = SPACE.config(suggest(trial, SPACE))
        return error_of(config), float(config.depth)

    study.optimize(objective, n_trials=6)
    assert {outcome.latency_ms for outcome in sampler.history.of(study)} == {
        trial.values[1] for trial in study.trials
    }
    with pytest.raises(ConfigError, match="latency_ms must be milliseconds above 0"):
        study.optimize(lambda trial: (error_of(SPACE.config(suggest(trial, SPACE))), -1), 1)


def test_samplers_are_copied_and_pickled():
    sampler = KnownCostSampler(SPACE, MODEL, seed=2)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(objective_on(SPACE), n_trials=3)
    outcomes = sampler.history.of(study)
    for other in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert other.choose(outcomes) == sampler.choose(outcomes)


def test_trainings_of_one_network_are_each_learnt_from():
    """As many rows as trainings, each with its own error: their mean counts, not the last."""
    study, errors = study_of(), iter([0.5, 0.3, 0.4, 0.2])
    point = {"growth_rate": 8, "depth1": 2, "depth2": 2, "bn_size": 4}
    for _ in range(3):
        study.enqueue_trial(point)
    study.optimize(objective_on(SPACE, change=lambda _: next(errors)), n_trials=4)
    rows = study.sampler.learner.error_rows(study.sampler.history.of(study))
    assert np.exp(rows.value) == pytest.approx([0.5, 0.3, 0.4, 0.2])
    assert len(set(rows.training)) == 4
    assert (rows.features[:3] == rows.features[0]).all()


def test_a_trial_no_longer_than_those_before_begins_anew():
    rungs = (1, 3, 9)
    study = study_of(rungs=rungs)
    point = {"growth_rate": 8, "depth1": 2, "depth2": 2, "bn_size": 4}
    trained = [1, 3, 9, 9, 1, 1, 3]  # three parts of one, then a whole one, then two, one promoted
    for rung in trained:
        study.enqueue_trial({**point, "rung": rung})

    def objective(trial):
        rung = suggest(trial, SPACE, rungs)["rung"]
        error = 0.5 - trial.number / 100
        trial.set_user_attr("errors", {rung: error})
        if rung < 9:
            raise optuna.TrialPruned
        return error, 1e4

    study.optimize(objective, n_trials=len(trained))
    rows = study.sampler.learner.error_rows(study.sampler.history.of(study))
    told = zip(rows.training, [rungs[level - 1] for level in rows.level], rows.value, strict=True)
    expected = [(0, 1, 0), (0, 3, 1), (0, 9, 2), (1, 9, 3), (2, 1, 4), (3, 1, 5), (3, 3, 6)]
    assert sorted((t, r, round(50 - 100 * np.exp(v))) for t, r, v in told) == expected
