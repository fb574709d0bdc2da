"""Shares, compute to a level, wins and bands against hand-computed cases and brute force."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsearch.analysis.pareto import hypervolume
from dnsearch.errors import RunError
from dnsearch.replay import measures
from dnsearch.replay.measures import COLUMNS, NOBODY, TIE, Replay

INF = math.inf
TOP = 9
REFERENCE = {"error": 0.9, "macs": 1e8}
TRUTH = pd.DataFrame(
    {"error": [0.5, 0.4, 0.2, 0.6], "macs": [1e5, 1e6, 1e7, 1e7]}, index=["a", "b", "c", "d"]
)
# Log axis: 0.4 over 3 decades, 0.1 over 2, 0.2 over 1, and d adds nothing to them.
ALL = 0.4 * 3 + 0.1 * 2 + 0.2 * 1


def trajectories(*segments) -> pd.DataFrame:
    """From (sampler, seed, key, rung, train_macs) in order."""
    steps: dict = {}
    rows = []
    for sampler, seed, key, rung, macs in segments:
        step = steps[sampler, seed] = steps.get((sampler, seed), -1) + 1
        rows.append((sampler, seed, step, key, rung, macs, 0.0, 0.0, 1.0))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measure(found, samplers=("x",), seeds=(0,), truth=TRUTH, unit=1.0, keys=None):
    return measures.measure(found, samplers, seeds, truth, REFERENCE, TOP, unit, keys)


def replay(*steps) -> Replay:
    """From (compute, share), the same share on both axes."""
    compute, share = np.array(steps, dtype=float).reshape(-1, 2).T
    return Replay(compute, {"log": share, "linear": share})


def test_unit_by_hand():
    assert measures.mean_training_macs([1e6, 3e6], images=1000, epochs=9) == 3 * 2e6 * 1000 * 9


def test_share_by_hand():
    found = trajectories(("x", 0, "b", 9, 30.0), ("x", 0, "d", 9, 10.0), ("x", 0, "a", 9, 5.0))
    (own,) = measure(found, unit=10.0)["x"]
    assert own.compute.tolist() == [3, 4, 4.5]
    b, bd, ab = 0.5 * 2, 0.5 * 2, 0.4 * 3 + 0.1 * 2
    assert own.shares["log"] == pytest.approx(np.array([b, bd, ab]) / ALL)
    linear = [hypervolume(TRUTH.loc[keys], [0.9, 1e8], "linear") for keys in (["b"], ["a", "b"])]
    whole = hypervolume(TRUTH, [0.9, 1e8], "linear")
    assert own.shares["linear"][[0, 2]] == pytest.approx(np.array(linear) / whole)


def test_a_screening_finds_nothing_but_is_paid_for():
    found = trajectories(("x", 0, "c", 3, 1.0), ("x", 0, "b", 3, 1.0), ("x", 0, "b", 9, 2.0))
    (own,) = measure(found)["x"]
    assert own.compute.tolist() == [1, 2, 4]
    assert own.shares["log"] == pytest.approx([0, 0, 1 / ALL])


def test_everything_is_all_of_it_and_repeats_add_nothing():
    found = trajectories(*(("x", 0, key, 9, 1.0) for key in "abcdab"))
    (own,) = measure(found)["x"]
    assert own.shares["log"][3:] == pytest.approx([1, 1, 1])
    assert own.shares["linear"][3:] == pytest.approx([1, 1, 1])


def test_what_has_no_truth_finds_nothing():
    truth = TRUTH.assign(error=[0.5, np.nan, 0.2, 0.6])
    found = trajectories(("x", 0, "b", 9, 1.0), ("x", 0, "unknown", 9, 1.0), ("x", 0, "c", 9, 1.0))
    (own,) = measure(found, truth=truth)["x"]
    assert own.shares["log"][:2].tolist() == [0, 0]
    assert own.shares["log"][2] > 0


def test_steps_count_whatever_the_order_of_rows():
    found = trajectories(("x", 0, "a", 9, 1.0), ("x", 0, "b", 9, 2.0), ("x", 0, "c", 9, 3.0))
    (own,) = measure(found.iloc[[2, 0, 1]])["x"]
    assert own.compute.tolist() == [1, 3, 6]


def test_within_some_architectures():
    found = trajectories(("x", 0, "c", 9, 1.0), ("x", 0, "a", 9, 1.0), ("x", 0, "b", 9, 1.0))
    (own,) = measure(found, keys=["a", "b"])["x"]
    assert own.compute.tolist() == [1, 2, 3]
    assert own.shares["log"] == pytest.approx([0, 1.2 / 1.4, 1])


def test_replays_are_kept_apart_and_those_without_rows_are_empty():
    found = trajectories(("x", 0, "c", 9, 1.0), ("y", 1, "b", 9, 2.0), ("x", 0, "a", 9, 4.0))
    measured = measure(found, samplers=["x", "y", "z"], seeds=[0, 1])
    spent = {name: [own.spent for own in found] for name, found in measured.items()}
    assert spent == {"x": [5, 0], "y": [0, 2], "z": [0, 0]}
    nothing = measure(trajectories(), samplers=["x"], seeds=[0, 1])["x"]
    assert [len(own.compute) for own in nothing] == [0, 0]


def test_a_table_with_nothing_to_find_is_one_line():
    told = r"no recorded architecture is better than the reference point \(error 0.9, macs 1e\+08\)"
    with pytest.raises(RunError, match=told):
        measure(trajectories(), truth=TRUTH.assign(error=0.95))
    with pytest.raises(RunError, match=told):
        measure(trajectories(), keys=[])


def test_compute_to_a_level_by_hand():
    found = [replay((1, 0.5), (2, 0.95), (3, 0.99)), replay((4, 0.949)), replay()]
    assert measures.compute_to(found, "log", 0.95).tolist() == [2, INF, INF]
    assert measures.compute_to(found, "log", 0.5).tolist() == [1, 4, INF]
    assert measures.compute_to([replay((3, 1 - 1e-15))], "linear", 1.0).tolist() == [3]


def test_needed_counts_what_was_not_reached_as_infinite():
    found = [replay((1, 1)), replay((3, 1)), replay((5, 0.2)), replay((9, 0.9), (10, 0.94))]
    needed = measures.needed(found, "log", 0.95)
    assert (needed.replays, needed.reached) == (4, 2)
    assert (needed.q25, needed.median, needed.q75) == (2.5, INF, INF)
    assert needed.at_least == 4  # of 1, 3, 5 and 10
    assert needed.compute == (4, False)
    three = measures.needed(found[:3], "log", 0.95)
    assert three.median == 3
    assert three.compute == (3, True)
    assert measures.needed([replay()], "log", 0.95) == (1, 0, INF, INF, INF, 0)


STEPS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.5])), min_size=0, max_size=6
)


@st.composite
def some_replays(draw):
    found = []
    for steps in draw(st.lists(STEPS, min_size=1, max_size=7)):
        compute, share = np.cumsum(np.array(steps, dtype=float).reshape(-1, 2), axis=0).T
        found.append(replay(*zip(compute, np.minimum(share, 1), strict=True)))
    return found


@settings(deadline=None)
@given(some_replays(), st.sampled_from(measures.LEVELS))
def test_the_median_is_at_least_what_it_is_said_to_be(found, level):
    """Whatever the replays that ended early would have needed had they gone on."""
    needed = measures.needed(found, "log", level)
    compute = measures.compute_to(found, "log", level)
    reached = np.isfinite(compute)
    assert needed.reached == reached.sum()
    for further in (0.0, 1.0, 1e9):
        had_gone_on = np.where(reached, compute, [own.spent + further for own in found])
        assert needed.at_least <= np.median(had_gone_on) <= needed.median


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1e6), st.just(INF)), min_size=1), st.floats(0, 1))
def test_quantiles_are_numpys_where_those_are_numbers(values, share):
    found = measures.quantile(values, share)
    assert not math.isnan(found)
    if math.isfinite(max(values)):
        assert found == pytest.approx(np.quantile(values, share))


def test_quantiles_between_a_number_and_infinity_are_infinite():
    assert measures.quantile([1, INF], 0.5) == INF
    assert measures.quantile([INF, 1, INF], 0.9) == INF
    assert measures.quantile([1, 2, INF], 0.5) == 2
    assert measures.quantile(range(21), 0.1) == 2


def test_times_the_baseline():
    reached = measures.needed([replay((2, 1)), replay((4, 1))], "log", 0.95)
    slower = measures.needed([replay((30, 1))], "log", 0.95)
    unreached = measures.needed([replay((60, 0.5))], "log", 0.95)
    assert measures.times(slower, reached) == (10, True)
    assert measures.times(unreached, reached) == (20, False)  # at least
    assert math.isnan(measures.times(slower, unreached).value)
    assert math.isnan(measures.times(unreached, unreached).value)


def test_wins_ties_and_seeds_that_nobody_reached():
    never = replay((50, 0.9))
    found = {
        "x": [replay((1, 1)), replay((2, 1)), never, never],
        "y": [replay((2, 1)), replay((2, 1)), never, replay((9, 1))],
        "z": [never, never, never, replay((8, 0.94), (8.5, 1))],
    }
    won = measures.wins(found, "log", 0.95)
    assert won == {"x": 1, "y": 0, "z": 1, TIE: 1, NOBODY: 1}
    assert measures.wins({"x": [never], "y": [replay()]}, "log", 0.95)[NOBODY] == 1
    assert measures.wins({"x": [replay((1, 1))]}, "linear", 0.95)["x"] == 1


@settings(deadline=None)
@given(some_replays())
def test_bands_equal_brute_force(found):
    grid = measures.compute_grid({"x": found}, points=20)
    bands = measures.bands(found, "log", grid)
    assert bands.shape == (len(measures.QUANTILES), len(grid))
    for column, spent in enumerate(grid):
        shares = []
        for own in found:
            steps = zip(own.compute, own.shares["log"], strict=True)
            shares.append(max([0.0, *(share for compute, share in steps if compute <= spent)]))
        assert bands[:, column] == pytest.approx(np.quantile(shares, measures.QUANTILES))
    assert (np.diff(bands, axis=1) >= 0).all()


def test_bands_are_right_continuous_and_keep_the_last_share():
    found = [replay((1, 0.2), (10, 0.8)), replay((2, 0.4))]
    bands = measures.bands(found, "log", np.array([0.5, 1, 2, 9.99, 10, 100]))
    assert bands[measures.QUANTILES.index(0.5)] == pytest.approx([0, 0.1, 0.3, 0.3, 0.6, 0.6])


def test_grid_from_the_first_that_found_anything_to_the_last():
    found = {"x": [replay((0.01, 0), (1, 0.5)), replay()], "y": [replay((99, 0))]}
    grid = measures.compute_grid(found)
    assert (grid[0], grid[-1]) == (1, 99)
    assert np.diff(np.log(grid)) == pytest.approx(math.log(99) / 199)
    assert measures.compute_grid({"x": [replay((1, 0.5))]}).tolist() == [1]
    assert not len(measures.compute_grid({"x": [replay((1, 0))], "y": []}))
