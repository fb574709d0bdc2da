"""Strategies replayed by the real engine: compute, budgets, and what ends a replay."""

import numpy as np
import optuna
import pandas as pd
import pytest

from dnsearch.arch.space import Points
from dnsearch.config import parse_study
from dnsearch.errors import RunError
from dnsearch.replay.comparison import compare
from dnsearch.replay.evaluator import Machine
from dnsearch.replay.measures import AXES, COLUMNS, LEVELS, compute_to
from dnsearch.replay.run import problem_of, replay, replays
from dnsearch.replay.table import Table
from dnsearch.search.samplers.imported import sampler_class

STUDY = """
[space]
growth_rate = [2, 4, 6, 8]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0, 2]

[training]
rungs = [1, 3, 9]
"""
RUNGS = (1, 3, 9)


def recorded(space=STUDY, seeds=2, take=None, noise=0.02, spoil=lambda rows: rows):
    """A table of an invented surface: bigger is better, seeds differ a little."""
    study = parse_study(space)
    points = study.space.build(1, 4).points(np.random.default_rng(0))
    archs = {arch.key: arch for arch in list(points)[:take]}
    rng, rows = np.random.default_rng(1), []
    for key, arch in archs.items():
        base = 0.5 / (1 + arch.depth * arch.growth_rate / 50)
        for seed in range(seeds):
            luck = rng.lognormal(0, noise)
            rows += [
                {
                    "key": key, "seed": seed, "rung": rung, "error": base * luck * rung**-0.1,
                    "loss": 2 * base, "train_loss": 2 * base, "seconds": float(rung), "failure": "",
                }
                for rung in RUNGS
            ]  # fmt: skip
    trainings = spoil(pd.DataFrame(rows))
    return Table("invented", study, (1, 8, 8), 4, 100, RUNGS, archs, trainings)


STRATEGIES = ("known-cost", "mo-asha", "tpe", "nsga2", "gp", "random", "frontier", "stratified")


def first_found(table, rows):
    """The one replay, and the compute after which it had found the highest level on both axes."""
    sampler = rows["sampler"].iloc[0]
    (own,) = compare(table, rows, [sampler], range(1)).replays[sampler]
    return own, max(compute_to([own], axis, max(LEVELS)).item() for axis in AXES)


@pytest.mark.parametrize("sampler", STRATEGIES)
def test_every_strategy_ends_as_soon_as_it_has_found_the_front(sampler):
    table = recorded(take=12)
    rows = replay(table, sampler, seed=0)
    assert list(rows.columns) == list(COLUMNS)
    assert set(rows["key"]) <= set(table.archs)
    assert not rows.duplicated(["key", "rung"]).any()
    own, found = first_found(table, rows)
    assert found == own.spent


def test_a_replay_ends_as_the_table_s_study_says():
    told = "rungs = [1, 3, 9]\n[search]\nuntil = {regret = 20, probability = 0.6}"
    table = recorded(STUDY.replace("rungs = [1, 3, 9]", told), take=24)
    whole = recorded(take=24)
    early, late = (replay(each, "stratified", seed=0) for each in (table, whole))
    assert len(early) == 5  # the first time that anything is asked
    assert len(late) > 5
    assert list(early["key"]) == list(late["key"])[:5]


def test_compute_counts_each_epoch_once():
    table = recorded(take=24)
    rows = replay(table, "mo-asha", seed=3)
    cost = problem_of(table).model
    for key, trained in rows.groupby("key"):
        macs = cost.cost(table.archs[key]).macs
        assert trained["train_macs"].sum() == 3 * macs * table.images * trained["rung"].max()
    assert {1, 3, 9} == set(rows["rung"])
    assert rows["seconds"].is_monotonic_increasing


class Ticking:
    """A clock on which each proposal takes so many seconds."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


def test_proposals_are_charged_to_the_clock_unless_they_are_free():
    table = recorded(take=12)
    free, charged = (
        replay(table, "random", 0, machine=Machine(1, on, Ticking(2.0))) for on in (False, True)
    )
    steps = np.arange(1, len(free) + 1)
    assert (free["seconds"] == 9.0 * steps).all()  # of the top rung
    assert (charged["seconds"] == 11.0 * steps).all()
    assert charged["busy"].to_numpy() == pytest.approx(np.full(len(steps), 9 / 11))
    assert (free["busy"] == 1).all()
    assert set(free["ask_seconds"]) == set(charged["ask_seconds"]) == {2.0}
    assert list(free["key"]) == list(charged["key"])


def test_workers_train_at_a_time():
    table = recorded(take=24)
    one, four = (
        replay(table, "frontier", 0, machine=Machine(workers, charged=False)) for workers in (1, 4)
    )
    assert list(one["key"])[:8] == list(four["key"])[:8]  # a design: whatever has ended
    assert list(four["seconds"])[:8] == [9.0] * 4 + [18.0] * 4
    assert (four["busy"] == 1).all()


def test_time_to_a_level_is_told_beside_compute():
    table, machine = recorded(take=12), Machine(4, True, Ticking(1.0))
    rows = replay(table, "random", 0, machine=machine)
    found = compare(table, rows, ["random"], range(1), machine=machine)
    own, level = found.replays["random"][0], max(LEVELS)
    at = int(np.argmax(own.shares["log"] >= level - 1e-12))
    assert found.needed_seconds["random", "log", level].median == rows["seconds"].iloc[at]
    assert found.needed["random", "log", level].median == own.compute[at]
    assert found.proposals["random"].busy == rows["busy"].iloc[-1] < 1


def test_optuna_writes_nothing_on_the_terminal():
    optuna.logging.set_verbosity(optuna.logging.INFO)
    replay(recorded(take=1), "random", 0)
    assert optuna.logging.get_verbosity() >= optuna.logging.WARNING


def test_a_replay_repeats_and_seeds_differ():
    table = recorded(take=24)
    first, again, other = (replay(table, "random", seed) for seed in (0, 0, 1))
    timed = ["ask_seconds"]
    assert first.drop(columns=timed).equals(again.drop(columns=timed))
    assert list(first["key"]) != list(other["key"])


@pytest.mark.parametrize("sampler", ["random", "mo-asha"])
def test_a_budget_ends_a_replay_whatever_it_is_spent_on(sampler):
    table = recorded()
    unit = 3 * table.images * 9 * table.truth["macs"].mean()
    rows = replay(table, sampler, 0, compute=2.0)
    assert rows["train_macs"].sum() >= 2 * unit
    assert rows["train_macs"].iloc[:-1].sum() < 2 * unit


def test_processes_give_the_rows_of_one():
    table, told = recorded(take=8), []
    together = replays(table, ["random", "tpe"], 2, None, 2, lambda *done: told.append(done))
    alone = [replay(table, sampler, seed) for sampler in ("random", "tpe") for seed in (0, 1)]
    timed = ["ask_seconds"]
    for (_, rows), expected in zip(together.groupby(["sampler", "seed"]), alone, strict=True):
        rows = rows.reset_index(drop=True)
        assert rows.drop(columns=timed).equals(expected.drop(columns=timed))
    assert told == [(n, 4) for n in range(5)]


def test_a_part_of_a_space_is_never_left():
    table = recorded(take=10)  # of 48: most of what is proposed was never recorded
    rows = replay(table, "tpe", 0)
    assert set(rows["key"]) <= set(table.archs)


def test_a_sampler_by_import_path_is_made_once_and_told_everything(tmp_path):
    file = tmp_path / "counting.py"
    file.write_text(
        "import optuna\n"
        "class Counting(optuna.samplers.RandomSampler):\n"
        "    made = asked = told = 0\n"
        "    def __init__(self, seed):\n"
        "        super().__init__(seed=seed)\n"
        "        Counting.made += 1\n"
        "    def before_trial(self, study, trial):\n"
        "        Counting.asked += 1\n"
        "    def after_trial(self, study, trial, state, values):\n"
        "        Counting.told += state == optuna.trial.TrialState.COMPLETE\n"
    )
    table, name = recorded(), f"{file}:Counting"
    rows = replay(table, name, 0)
    counted = sampler_class(name)
    assert counted.made == 1
    assert counted.told == len(rows) <= counted.asked
    assert set(rows["rung"]) == {9}
    assert (rows["sampler"] == name).all()
    own, found = first_found(table, rows)
    assert found == own.spent
    elsewhere = replays(table, [name], 2, None, 1)  # in a process of its own
    again = elsewhere[elsewhere["seed"] == 0].reset_index(drop=True)
    assert list(again["key"]) == list(rows["key"])


def test_a_sampler_that_cannot_take_two_objectives_is_told_in_one_line():
    told = "optuna.samplers:CmaEsSampler: cannot replay invented: [A-Z][A-Za-z]+Error: "
    with pytest.raises(RunError, match=told):
        replay(recorded(), "optuna.samplers:CmaEsSampler", 0)


def missing_rungs(rows):
    return rows[(rows["rung"] != 3) | (rows["key"] > "8")]


def failures(rows):
    rows.loc[rows["key"] < "8", ["error", "failure"]] = [np.nan, "diverged"]
    return rows


def not_numbers(rows):
    rows.loc[rows["key"] < "8", "error"] = np.nan
    return rows


def equal(rows):
    return rows.assign(error=0.3, loss=1.0, train_loss=1.0)


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha", "random"])
@pytest.mark.parametrize("spoil", [missing_rungs, failures, not_numbers, equal])
def test_a_damaged_table_is_searched_until_all_is_found_or_tried(sampler, spoil):
    table = recorded(take=12, spoil=spoil)
    assert not table.trainings.equals(recorded(take=12).trainings)
    rows = replay(table, sampler, 0)
    own, found = first_found(table, rows)
    assert found == own.spent or set(rows["key"]) == set(table.archs)


@pytest.mark.parametrize("sampler", STRATEGIES)
@pytest.mark.parametrize(("seeds", "take"), [(1, 6), (2, 1)])
def test_one_seed_or_one_architecture_is_enough(sampler, seeds, take):
    table = recorded(seeds=seeds, take=take)
    own, found = first_found(table, replay(table, sampler, 0))
    assert found == own.spent


def test_nothing_to_replay_is_one_clear_line():
    with pytest.raises(RunError, match="trades or limits latency_ms, and no latency is recorded"):
        problem_of(recorded('[objectives]\ncosts = ["latency_ms"]\n' + STUDY))
    elsewhere = recorded()
    other = parse_study(STUDY.replace("[2, 4, 6, 8]", "[10]"))
    stray = Table("stray", other, (1, 8, 8), 4, 100, RUNGS, elsewhere.archs, elsewhere.trainings)
    with pytest.raises(RunError, match="no recorded training inside its search space"):
        problem_of(stray)


def test_points_of_architectures_are_those_of_the_space():
    space = parse_study(STUDY).space.build(1, 4)
    all_points = space.points(np.random.default_rng(0))
    some = [all_points.config(i) for i in (5, 0, 17)]
    stranger = some[0].replace(growth_rate=99)
    points = Points.of(space, [*some, stranger])
    assert list(points) == some
