"""Probabilities against counting by hand and against what independent normals give."""

import numpy as np
import pytest
from scipy import stats

from dnsearch.analysis.confidence import (
    best_probability,
    binomial_interval,
    expected_opportunity_loss,
    front_probability,
    on_new_images,
)


def test_two_candidates_by_hand():
    """The dearer one is on the front where it is better; the cheaper one always."""
    draws = [[0.2, 0.1], [0.2, 0.3], [0.2, 0.2], [0.2, 0.15]]
    np.testing.assert_allclose(front_probability(draws, [[1.0], [2.0]]), [1.0, 0.5])
    np.testing.assert_allclose(front_probability(draws, [[1.0], [1.0]]), [0.5, 0.75])
    np.testing.assert_allclose(front_probability(draws, [[1.0, 3.0], [2.0, 2.0]]), [1.0, 1.0])


@pytest.mark.parametrize("costs", [1, 2])
def test_front_probability_is_what_counting_gives(costs):
    rng = np.random.default_rng(0)
    draws, known = rng.normal(size=(50, 7)).round(1), rng.integers(0, 4, (7, costs))
    on_front = np.ones((50, 7), bool)
    for draw, i, j in np.ndindex(50, 7, 7):
        no_worse = draws[draw, j] <= draws[draw, i] and (known[j] <= known[i]).all()
        better = draws[draw, j] < draws[draw, i] or (known[j] < known[i]).any()
        on_front[draw, i] &= not (no_worse and better)
    np.testing.assert_allclose(front_probability(draws, known), on_front.mean(axis=0))


def test_best_of_two_normals():
    rng = np.random.default_rng(1)
    draws = rng.normal([0.0, 1.0, -5.0], [1.0, 2.0, 1.0], (200_000, 3))
    first = stats.norm.cdf(1 / np.sqrt(5))  # P(x0 < x1)
    found = best_probability(draws, [True, True, False])
    np.testing.assert_allclose(found, [first, 1 - first, 0], atol=0.005)
    assert best_probability(draws, [False] * 3).tolist() == [0, 0, 0]
    # E[x0 - min(x0, x1)] = E[max(x0 - x1, 0)], and x0 - x1 is normal with mean -1, variance 5.
    sd = np.sqrt(5)
    expected = sd * stats.norm.pdf(-1 / sd) - stats.norm.cdf(-1 / sd)
    found = expected_opportunity_loss(draws, [True, True, False], 0)
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("wrong", "images"), [(0, 80), (1, 80), (40, 80), (80, 80), (7, 4000)])
def test_binomial_intervals_are_scipys_exact_ones(wrong, images):
    found = stats.binomtest(wrong, images).proportion_ci(0.9, method="exact")
    low, high = binomial_interval(wrong / images, images, 0.9)
    assert (float(low), float(high)) == pytest.approx((found.low, found.high), abs=1e-9)


def test_none_wrong_of_80_may_be_up_to_3_7_percent():
    low, high = on_new_images([0.0], [0.0], [0.0], 80)
    assert low[0] == 0
    assert 100 * high[0] == pytest.approx(3.67, abs=0.01)


def test_on_new_images_seeds_and_images_both_count():
    """Of 400 networks: a true rate, one seed's change of it, and what 200 images show of it."""
    rng = np.random.default_rng(0)
    rate = rng.uniform(0.02, 0.4, 4000)
    here = rng.binomial(200, rate) / 200  # in the mean over seeds, on the images that were drawn
    spread = 0.02
    seen = np.clip(here + spread * rng.standard_normal(4000), 0, 1)
    low, high = on_new_images(seen, seen - 1.645 * spread, seen + 1.645 * spread, 200)
    assert 0.88 < np.mean((low <= rate) & (rate <= high)) < 0.95
    narrow = on_new_images(seen, seen, seen, 10**9)
    np.testing.assert_allclose(narrow, [seen, seen], atol=1e-4)
