import itertools

import numpy as np
import pytest
from scipy.stats import lognorm

from dnsearch.analysis.pareto import hypervolume
from dnsearch.search.samplers.acquisition import Staircase, expected_improvement, screening_rate


def test_improvement_in_one_dimension_is_the_integral():
    mean, sd, threshold = -1.4, 0.3, 0.27
    errors = lognorm(s=sd, scale=np.exp(mean))
    expected = errors.expect(lambda error: threshold - error, lb=0, ub=threshold)
    assert expected_improvement(mean, sd, threshold) == pytest.approx(expected, rel=1e-6)


def test_a_certain_error_improves_by_the_difference_or_not_at_all():
    gains = expected_improvement(np.log([0.2, 0.4]), 0.0, 0.3)
    assert gains == pytest.approx([0.1, 0.0])


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_expected_hypervolume_improvement_is_what_monte_carlo_finds(costs):
    rng = np.random.default_rng(costs)
    front = np.column_stack([rng.uniform(0.1, 0.5, 9), rng.uniform(0, 3, (9, costs))])
    reference = np.array([0.9] + [3.2] * costs)
    mean, sd = rng.normal(-1.5, 0.3, 6), rng.uniform(0.1, 0.4, 6)
    place = rng.uniform(0, 2, (6, costs))
    found = Staircase(front, reference).improvement(mean, sd, place)
    before = hypervolume(front, reference, "linear")
    for index in range(6):
        errors = np.exp(rng.normal(mean[index], sd[index], 3000))
        added = [
            hypervolume(np.vstack([front, [error, *place[index]]]), reference, "linear") - before
            for error in errors
        ]
        tolerance = 4 * np.std(added) / np.sqrt(len(added)) + 1e-9
        assert found[index] == pytest.approx(np.mean(added), abs=tolerance)


def test_an_empty_front_is_beaten_from_the_reference():
    stairs = Staircase(np.empty((0, 2)), [0.9, 3.0])
    assert stairs.improvement([np.log(0.4)], [0.0], [[1.0]]) == pytest.approx([0.5 * 2.0])


def test_nothing_is_gained_beyond_the_reference_or_above_the_front():
    stairs = Staircase([[0.2, 1.0]], [0.9, 3.0])
    gain = stairs.improvement(np.log([0.1, 0.3]), [0.0, 0.0], [[3.5], [1.5]])
    assert gain == pytest.approx([0.0, 0.0])


def test_dominated_and_excessive_rows_of_the_front_do_no_harm():
    front = [[0.2, 1.0], [0.3, 2.0], [0.95, 0.1], [0.1, 5.0]]
    clean, dirty = Staircase(front[:1], [0.9, 3.0]), Staircase(front, [0.9, 3.0])
    arguments = [-1.7], [0.3], [[0.5]]
    assert dirty.improvement(*arguments) == pytest.approx(clean.improvement(*arguments))


def screened(explained, rate):
    stairs = Staircase([[0.2, 1.0]], [0.9, 3.0])
    one = np.ones(1)
    mean, sd, place = np.log(0.22) * one, 0.1 * one, 1.5 * np.ones((1, 1))
    straight = stairs.improvement(mean, sd, place)[0] / 9
    value = screening_rate(stairs, mean, sd, place, explained * one, one, 8 * one, rate(straight))
    return value[0], straight


def test_a_rung_that_tells_nothing_is_never_worth_its_cost():
    value, straight = screened(0.0, lambda straight: straight)
    assert value <= straight


def test_a_rung_that_tells_all_is_worth_more_than_training_blindly():
    value, straight = screened(0.99, lambda straight: straight)
    assert value > 1.5 * straight


def test_screening_is_what_monte_carlo_finds():
    stairs = Staircase([[0.2, 1.0]], [0.9, 3.0])
    rng = np.random.default_rng(0)
    mean, sd, explained, rate = np.log(0.22), 0.1, 0.6, 0.0005
    told = mean + sd * np.sqrt(explained) * rng.standard_normal(20_000)
    left = np.full_like(told, sd * np.sqrt(1 - explained))
    after = stairs.improvement(told, left, np.full((len(told), 1), 1.5))
    on = after >= rate * 8
    expected = (after * on).mean() / (1 + 8 * on.mean())
    found = screening_rate(
        stairs, np.array([mean]), np.array([sd]), np.array([[1.5]]), np.array([explained]),
        np.ones(1), np.full(1, 8.0), rate,
    )  # fmt: skip
    assert found[0] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_the_bound_is_one(costs):
    rng = np.random.default_rng(costs)
    front = np.column_stack([rng.uniform(0.1, 0.5, 9), rng.uniform(0, 3, (9, costs))])
    stairs = Staircase(front, np.array([0.9] + [3.2] * costs))
    mean, sd = rng.normal(-1.5, 0.3, 300), rng.uniform(0.01, 0.4, 300)
    place = np.vstack([rng.uniform(-0.5, 3.5, (291, costs)), front[:, 1:]])
    bound = stairs.bound(mean, sd, place)
    assert (bound >= stairs.improvement(mean, sd, place) - 1e-12).all()


def on_a_grid(front, reference, mean, sd, cost):
    """Expected hypervolume improvement of a candidate, cell by cell of a grid of all costs."""
    edges = [np.unique([*c, *column, most]) for c, column, most in
             zip([[x] for x in cost], front[:, 1:].T, reference[1:], strict=True)]  # fmt: skip
    total = 0.0
    for cell in itertools.product(*(range(len(each) - 1) for each in edges)):
        low = np.array([each[at] for each, at in zip(edges, cell, strict=True)])
        high = np.array([each[at + 1] for each, at in zip(edges, cell, strict=True)])
        if (low < cost).any() or (high > reference[1:]).any():
            continue
        cheaper = (front[:, 1:] <= low).all(axis=1)
        to_beat = min([*front[cheaper, 0], reference[0]])
        total += (high - low).prod() * expected_improvement(mean, sd, to_beat)
    return total


@pytest.mark.parametrize("costs", [1, 2, 3, 4])
def test_improvement_over_boxes_is_that_over_a_grid(costs):
    """Costs are whole numbers, so that many are alike."""
    rng = np.random.default_rng(costs)
    reference = np.array([0.9] + [6.0] * costs)
    for size in (0, 1, 4, 9):
        front = np.column_stack([rng.uniform(0.1, 1, size), rng.integers(0, 7, (size, costs))])
        place = rng.integers(0, 6, (5, costs)).astype(float)
        mean, sd = rng.normal(-1.5, 0.3, 5), rng.uniform(0.1, 0.4, 5)
        found = Staircase(front, reference).improvement(mean, sd, place)
        expected = [
            on_a_grid(front, reference, *each) for each in zip(mean, sd, place, strict=True)
        ]
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("costs", [1, 2, 3])
def test_every_cost_lies_in_one_box_with_the_error_to_beat_there(costs):
    rng = np.random.default_rng(costs)
    size = rng.uniform(0, 3, (80, 1))
    front = np.hstack([np.exp(-size) + 0.1 * rng.random((80, 1)), size + rng.random((80, costs))])
    stairs = Staircase(front, [1.0] + [5.0] * costs)
    places = 5 * rng.random((500, costs))
    within = (stairs.low <= places[:, None]) & (places[:, None] < stairs.high)
    inside = within.all(axis=2)
    assert (inside.sum(axis=1) == 1).all()
    to_beat = stairs.thresholds[stairs.threshold[inside.argmax(axis=1)]]
    cheaper = (front[None, :, 1:] <= places[:, None]).all(axis=2)
    expected = np.where(cheaper, front[:, 0], 1.0).min(axis=1)
    assert to_beat == pytest.approx(np.minimum(expected, 1.0))
    assert len(stairs.low) < 80 * costs * 3
