import numpy as np
import pandas as pd
import pytest

from dnsearch.arch.space import Points
from dnsearch.config import parse_study
from dnsearch.errors import RunError
from dnsearch.replay.measures import COLUMNS
from dnsearch.replay.run import problem_of, replay, replays
from dnsearch.replay.table import Table

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


STRATEGIES = ("known-cost", "mo-asha", "tpe", "nsga2", "gp", "random")


@pytest.mark.parametrize("sampler", STRATEGIES)
def test_every_strategy_finds_the_front_in_the_end(sampler):
    table = recorded(take=12)
    rows = replay(table, sampler, seed=0)
    assert list(rows.columns) == list(COLUMNS)
    assert set(rows["key"]) <= set(table.archs)
    assert not rows.duplicated(["key", "rung"]).any()


def test_compute_counts_each_epoch_once():
    table = recorded()
    rows = replay(table, "mo-asha", seed=3)
    cost = problem_of(table).model
    for key, trained in rows.groupby("key"):
        macs = cost.cost(table.archs[key]).macs
        assert trained["train_macs"].sum() == 3 * macs * table.images * trained["rung"].max()
    assert {1, 3, 9} == set(rows["rung"])
    assert rows["seconds"].is_monotonic_increasing


def test_a_replay_repeats_and_seeds_differ():
    table = recorded()
    first, again, other = (replay(table, "random", seed) for seed in (0, 0, 1))
    timed = ["ask_seconds"]
    assert first.drop(columns=timed).equals(again.drop(columns=timed))
    assert list(first["key"]) != list(other["key"])


def test_a_budget_ends_a_replay():
    table = recorded()
    unit = 3 * table.images * 9 * table.truth["macs"].mean()
    rows = replay(table, "random", 0, compute=2.0)
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


def missing_rungs(rows):
    return rows[(rows["rung"] != 3) | (rows["key"] > "8")]


def failures(rows):
    rows.loc[rows["key"] < "5", ["error", "failure"]] = [np.nan, "diverged"]
    return rows


def not_numbers(rows):
    rows.loc[rows["key"] < "5", "error"] = np.nan
    return rows


def equal(rows):
    return rows.assign(error=0.3, loss=1.0, train_loss=1.0)


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha", "random"])
@pytest.mark.parametrize("spoil", [missing_rungs, failures, not_numbers, equal])
def test_damaged_tables_end_in_an_answer(sampler, spoil):
    rows = replay(recorded(spoil=spoil), sampler, 0)
    assert len(rows) > 0


@pytest.mark.parametrize("sampler", STRATEGIES)
def test_one_seed_and_one_architecture_end_in_an_answer(sampler):
    assert len(replay(recorded(seeds=1, take=6), sampler, 0)) > 0
    assert len(replay(recorded(take=1), sampler, 0)) > 0


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
