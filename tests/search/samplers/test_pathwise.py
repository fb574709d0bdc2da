"""Draws of what the trained architectures' errors may be, against the posterior they are of."""

from __future__ import annotations

import numpy as np
import pytest

from dnsearch.search.samplers.hyperparameters import fit
from dnsearch.search.samplers.pathwise import TrainedErrors
from dnsearch.search.samplers.surrogate import Surrogate
from tests.search.samplers.test_surrogate import planted


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_draws_have_the_mean_and_the_spread_of_the_posterior(precision):
    rng = np.random.default_rng(0)
    rows, _ = planted(rng, trainings=15)
    parameters = fit(rows, rng, 2)
    mean, sd = Surrogate(rows, parameters).predict(rows.features[rows.level == 0])
    draws = TrainedErrors(rows).draw(parameters, 20_000, rng, precision)
    assert draws.shape == (20_000, 15)
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.1 * sd.min())
    assert draws.std(axis=0) == pytest.approx(sd, rel=0.06)
