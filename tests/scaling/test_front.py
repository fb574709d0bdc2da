"""Which training runs are fitted: choosing them by other seeds' errors biases nothing."""

from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.candidates import Basis
from dnsearch.scaling.front import _trend_of_others, front_of
from dnsearch.scaling.trainings import trainings_of

from .planted import scaling_results


def planted_logs(count=24, noise=0.03):
    """Log sizes, and log errors about a bent trend."""
    size = np.linspace(11.5, 15.5, count)
    swing = noise * np.where(np.arange(count) % 2, 1, -1)
    return size, -1.5 - 0.4 * (size - 13) + 0.05 * (size - 13) ** 2 + swing


@pytest.mark.parametrize("place", [0, 5, 23])
def test_the_trend_at_a_network_is_that_of_all_others(place):
    """A second quadratic, by NumPy, without this network; all residuals are alike, so that all
    weigh the same."""
    size, mean = planted_logs()
    rest = np.arange(len(size)) != place
    expected = np.polyval(np.polyfit(size[rest], mean[rest], 2), size[place])
    assert _trend_of_others(size, mean)[place] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("place", [0, 23])
def test_an_own_error_does_not_move_its_trend(place):
    """At an end, where a trend through it would be drawn towards it by a third."""
    size, mean = planted_logs()
    before = _trend_of_others(size, mean)[place]
    lucky = mean.copy()
    lucky[place] -= 0.1
    assert _trend_of_others(size, lucky)[place] == pytest.approx(before, abs=0.01)


def test_choosing_by_other_seeds_does_not_bias_the_errors():
    """Measured errors of the fitted training runs against the same without noise."""
    bias = []
    for seed in range(8):
        noisy, clean = (
            trainings_of([scaling_results(40, noise=noise, seed=seed)]) for noise in (0.06, 0.0)
        )
        front = front_of(noisy, "macs")
        assert front.is_chosen
        gap = np.log([a.error / b.error for a, b in zip(noisy, clean, strict=True)])
        bias.append(gap[front.fitted].mean())
    # of those chosen by their own mean it would be -0.02
    assert abs(np.mean(bias)) < 0.01


def test_a_run_is_judged_by_the_other_seeds_alone():
    """Its own error may be anything: it stays in the law, or out of it."""
    runs = trainings_of([scaling_results(24)])
    before = front_of(runs, "macs")
    for place in (0, 21, 47):
        lucky = list(runs)
        lucky[place] = replace(runs[place], error=runs[place].error * 0.97)
        assert front_of(lucky, "macs").fitted[place] == before.fitted[place]


def test_near_are_those_of_least_predicted_error():
    """Predicted errors of a search decide who is near, not who is fitted."""
    runs = trainings_of([scaling_results(24)])
    measured = front_of(runs, "macs")
    keys = sorted({run.key for run in runs})
    # the better half in turn with the other, by a prediction that is far from what was measured
    told = {key: 0.01 if number % 2 else 0.5 for number, key in enumerate(keys)}
    predicted = front_of(
        [replace(run, predicted_error=told[run.key], basis=Basis.SEARCH) for run in runs], "macs"
    )
    near = {run.key for run, one in zip(runs, predicted.near, strict=True) if one}
    assert near == {key for key in keys if told[key] == 0.01}
    np.testing.assert_array_equal(predicted.fitted, measured.fitted)


def test_one_seed_each_leaves_nothing_to_choose_by():
    front = front_of(trainings_of([scaling_results(24, seeds=1)]), "macs")
    assert not front.is_chosen
    assert front.fitted.all()
    assert front.near.sum() == 12
