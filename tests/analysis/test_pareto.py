"""Fronts and hypervolume against brute force and hand-computed cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsearch.analysis import pareto

# Few distinct values, so that ties and repeated rows are common.
FIGURES = st.integers(1, 8).map(lambda v: v / 8)


@st.composite
def objective_rows(draw, most: int = 12):
    width = draw(st.integers(2, 4))
    rows = draw(st.lists(st.tuples(*[FIGURES] * width), min_size=1, max_size=most))
    return np.array(rows)


def brute_force_front(values):
    def dominates(a, b):
        return all(a <= b) and any(a < b)

    return np.array([not any(dominates(other, row) for other in values) for row in values])


def brute_force_volume(points, reference):
    """By inclusion and exclusion over the boxes between points and reference."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(points, size):
            corner = np.max(chosen, axis=0)
            total += (-1) ** (size + 1) * np.prod(np.clip(reference - corner, 0, None))
    return total


@settings(deadline=None)
@given(objective_rows())
def test_front_equals_brute_force(values):
    assert (pareto.nondominated(values) == brute_force_front(values)).all()


def test_equal_rows_are_all_on_the_front():
    values = [[0.1, 5], [0.1, 5], [0.2, 3], [0.2, 4]]
    assert pareto.nondominated(values).tolist() == [True, True, True, False]


def test_rows_that_are_not_finite_are_on_no_front():
    values = [[0.1, math.nan], [math.nan, 1], [-math.inf, 1], [0.3, 2]]
    assert pareto.nondominated(values).tolist() == [False, False, False, True]
    assert pareto.nondominated(np.empty((0, 2))).tolist() == []


@settings(max_examples=60, deadline=None)
@given(objective_rows(most=7), st.sampled_from(["log", "linear"]))
def test_hypervolume_equals_brute_force(values, axis):
    reference = np.full(values.shape[1], 0.95)
    expected = brute_force_volume(
        [r for r in pareto.on_axis(values, axis) if (r < pareto.on_axis(reference, axis)).all()],
        pareto.on_axis(reference, axis),
    )
    assert pareto.hypervolume(values, reference, axis) == pytest.approx(expected, abs=1e-9)


def test_hypervolume_by_hand():
    # Log axis: 0.5 of error over 2 decades, then 0.2 more over the last decade.
    values, reference = [[0.4, 1e6], [0.2, 1e7]], [0.9, 1e8]
    assert pareto.hypervolume(values, reference) == pytest.approx(0.5 * 2 + 0.2 * 1)
    linear = 0.5 * (1e8 - 1e6) + 0.2 * (1e8 - 1e7)
    assert pareto.hypervolume(values, reference, "linear") == pytest.approx(linear)


def test_hypervolume_of_nothing_inside_is_zero():
    assert pareto.hypervolume(np.empty((0, 2)), [0.9, 10]) == 0
    assert pareto.hypervolume([[0.95, 1], [0.1, 10]], [0.9, 10]) == 0
    assert pareto.hypervolume([[0.1, 1]], [0.9, math.nan]) == 0


@settings(max_examples=60, deadline=None)
@given(objective_rows())
def test_curve_is_the_hypervolume_of_each_prefix_and_never_falls(values):
    reference = np.full(values.shape[1], 1.1)
    curve = pareto.hypervolume_curve(values, reference)
    prefixes = [pareto.hypervolume(values[: n + 1], reference) for n in range(len(values))]
    assert curve == pytest.approx(prefixes)
    assert (np.diff(curve) >= -1e-12).all()


@settings(max_examples=100, deadline=None)
@given(objective_rows(), st.data())
def test_curve_of_seeds_is_that_of_each_architectures_mean_error_by_then(values, data):
    keys = data.draw(st.lists(st.sampled_from("abcd"), min_size=len(values), max_size=len(values)))
    gaps = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    values[gaps, 0] = math.nan
    reference = np.full(values.shape[1], 1.1)
    curve = pareto.hypervolume_curve(values, reference, keys=keys)
    for end in range(1, len(values) + 1):
        errors = {}
        for key, row in zip(keys[:end], values[:end], strict=True):
            if math.isfinite(row[0]):
                errors.setdefault(key, []).append(row[0])
        points = [
            [sum(errors[key]) / len(errors[key]), *row[1:]]
            for key, row in zip(keys[:end], values[:end], strict=True)
            if math.isfinite(row[0])
        ]
        corner = pareto.on_axis(reference)
        inside = [p for p in pareto.on_axis(points) if (p < corner).all()] if points else []
        front = {tuple(p) for p, on in zip(inside, brute_force_front(inside), strict=True) if on}
        expected = brute_force_volume(sorted(front), corner)
        assert curve[end - 1] == pytest.approx(expected, abs=1e-9)


def test_seed_means_by_hand():
    means = pareto.seed_means(["b", "a", "b", "c"], [0.1, 0.2, 0.4, 0.3])
    assert means == pytest.approx([0.25, 0.2, 0.25, 0.3])
    assert pareto.seed_means([], []).shape == (0,)


def test_a_worse_second_seed_takes_back_what_the_first_promised():
    values, keys = [[0.4, 1], [0.2, 1], [0.6, 1]], ["a", "b", "b"]
    assert pareto.hypervolume_curve(values, [0.9, 10]) == pytest.approx([0.5, 0.7, 0.7])
    curve = pareto.hypervolume_curve(values, [0.9, 10], keys=keys)
    assert curve == pytest.approx([0.5, 0.7, 0.5])


def test_curve_passes_over_rows_without_figures():
    values = [[math.nan, 1], [0.5, 1], [0.4, math.nan]]
    assert pareto.hypervolume_curve(values, [0.9, 10]) == pytest.approx([0, 0.4, 0.4])


@settings(deadline=None)
@given(objective_rows(), st.sampled_from(["log", "linear"]))
def test_picks_are_on_the_front_and_extreme(values, axis):
    front = pareto.nondominated(values)
    for chosen in (
        pareto.knee(values, axis),
        pareto.least_error(values),
        pareto.least_cost(values),
    ):
        assert front[chosen]
    assert values[pareto.least_error(values), 0] == values[:, 0].min()
    assert values[pareto.least_cost(values), 1] == values[:, 1].min()


@settings(deadline=None)
@given(objective_rows(), st.integers(1, 6))
def test_knee_on_the_log_axis_does_not_depend_on_units(values, decades):
    scaled = values * ([1] + [10.0**decades] * (values.shape[1] - 1))
    assert (values[pareto.knee(values)] == values[pareto.knee(scaled)]).all()


def test_knee_is_farthest_below_the_chord():
    # The chord runs from (1 M, 0.5) to (100 M, 0.1): at 10 M it is at 0.3.
    values = [[0.5, 1e6], [0.28, 5e6], [0.14, 1e7], [0.12, 5e7], [0.1, 1e8], [0.6, 2e8]]
    assert pareto.knee(values) == 2


def test_knee_of_small_fronts():
    assert pareto.knee([[0.3, 5]]) == 0
    assert pareto.knee([[0.3, 5], [0.2, 50]]) == 1


def test_knee_gives_all_costs_together_half_the_weight():
    # Scaled rows: (1, 0, 0), (0, 1, 1) and one whose sum with the mean cost is 0.3 + 0.35.
    values = [[1.0, 1, 1], [0.0, 11, 11], [0.3, 4.5, 4.5]]
    assert pareto.knee(values, "linear") == 2


@pytest.mark.parametrize("choose", [pareto.knee, pareto.least_error, pareto.least_cost])
def test_no_pick_without_finite_rows(choose):
    with pytest.raises(ValueError, match="no row has finite figures"):
        choose([[math.nan, 1.0]])


def test_bad_shapes_and_costs_are_refused():
    with pytest.raises(ValueError, match=r"values must be \(n, 1 \+ costs\)"):
        pareto.nondominated([1.0, 2.0])
    with pytest.raises(ValueError, match="costs must be positive"):
        pareto.hypervolume([[0.1, 0.0]], [0.9, 1.0])
