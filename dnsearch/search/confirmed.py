"""Predictions once some networks were confirmed: one answer from the search and `dnsearch confirm`.

A confirmation trains some networks longer, with fresh seeds, and measures them on test images. That
is another error than the search's, but it depends on it. With log errors L in the search and g when
confirmed, of network i with log cost x_i (standardised),

    g_i = a + b L_i + c x_i + d_i,        y_ij = g_i + e_ij,

y_ij being what seed j measured: the autoregressive model of Kennedy and O'Hagan (2000,
doi:10.1093/biomet/87.1.1), with the search as its lower fidelity. L has the search's posterior, d_i
and e_ij are normal. b and the standard deviations of d and e are drawn from their posterior, by
weighting draws from the prior; given these everything is normal, and the search's draws are
corrected by what they miss the measured values by (Matheron's rule). So each confirmed seed weighs
by its noise, a network that was confirmed follows its own test errors most, and one that was not
follows what the search knows of it, corrected by how the others changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Basis, Candidate
from dnsearch.analysis.predictions import HALF, Predictions
from dnsearch.arrays import Floats

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.store import Record

LEVEL_SD, SLOPE_SD, COST_SD = 1.0, 0.25, 0.1
"""Prior standard deviations of a, of b about 1, and of c: a change of log error."""

CHANGE, CHANGE_SD = 0.04, 0.8
"""Median and logarithmic standard deviation of d's: how differently networks of one cost take to
longer training."""

NOISE_SD = 0.4
"""Logarithmic standard deviation of the seed noise about the search's."""

PRIOR_DRAWS, SETTINGS = 4000, 40
"""Draws of b and the two standard deviations to weigh, and to keep."""


def usual_epochs(records: Sequence[Record]) -> int:
    """Of the most training runs, of several lengths the longest; 0 where there is none."""
    counts = Counter(record.job.rung for record in records)
    return max(counts, key=lambda length: (counts[length], length), default=0)


def fresh_runs(
    records: Sequence[Record], epochs: int, learning_rate: float | None = None
) -> dict[str, list[Record]]:
    """Training runs of this length and learning rate, by default the study's, by network; of one
    that failed and was repeated the last."""
    asked = epochs, learning_rate
    own = [r for r in records if (r.job.rung, r.job.learning_rate) == asked]
    last = {(r.job.arch.key, r.job.seed): r for r in own}
    found: dict[str, list[Record]] = {}
    for (key, _), record in last.items():
        found.setdefault(key, []).append(record)
    return found


def fresh_error(record: Record) -> float:
    """The test error, NaN where the training run failed."""
    error = None if record.score.failure else record.score.test_error
    return math.nan if error is None else error


class TestedOn(NamedTuple):
    """How many test images there were, 0 for none, and how many of each class; None of older
    runs."""

    images: int
    by_class: tuple[int, ...] | None


def tested_on(records: Sequence[Record]) -> TestedOn:
    """What the test errors of these training runs are of: it is the same for all of a run."""
    scores = [record.score for record in records]
    return TestedOn(
        next((score.test_images for score in scores if score.test_images), 0),
        next((score.test_class_images for score in scores if score.test_class_images), None),
    )


def best_run(records: Sequence[Record], key: str) -> Record | None:
    """The training run of this network whose weights are kept: of the longest the one of least
    validation error, lest test errors choose; at the study's learning rate; None where there is
    none."""
    usual = [r for r in records if r.job.learning_rate is None]
    own = [r for r in usual if r.job.arch.key == key and r.score.error is not None]
    return min(own, key=lambda r: (-r.job.rung, r.score.error), default=None)


def exported_run(records: Sequence[Record], network: Candidate) -> Record | None:
    """The fresh training run of this network whose weights are exported; None where those of the
    search are, because there is none or only shorter ones."""
    best = best_run(records, network.key)
    return None if best is None or best.job.rung < network.rung else best


class Tests(NamedTuple):
    """Log test errors of m networks: their ``columns`` among all, the ``mean`` over seeds and how
    many ``seeds``, (m,) each, and the sum of ``squares`` about the means over all seeds."""

    columns: np.ndarray
    mean: Floats
    seeds: Floats
    squares: float


class Setting(NamedTuple):
    """b, and the standard deviations of d and e, (k,) each."""

    slope: Floats
    change: Floats
    noise: Floats


def with_confirmed(
    before: Predictions,
    tests: Mapping[str, Sequence[float]],
    log_cost: Floats,
    images: float,
    epochs: int,
    rng: np.random.Generator,
) -> Predictions:
    """Predictions (of the same networks) of the error averaged over seeds on the test images,
    trained for so many ``epochs``.

    ``tests``: errors (0 to 1) of at least one seed of each confirmed network, by its key, on so
    many test ``images``. log_cost: of all networks, (n,). Keys that nothing was predicted of are
    left out.
    """
    half, half_before = HALF / images, HALF / before.images
    found = _tests({k: v for k, v in tests.items() if k in before.place}, before, half)
    search = np.log(before.draws + half_before)  # (s, n)
    level = float(search[:, found.columns].mean())
    spread = float(log_cost.std())
    cost = (log_cost - log_cost.mean()) / spread if spread > 1e-9 else np.zeros(len(log_cost))
    search -= level
    model = _Model(search, cost, found, level)
    settings = model.settings(before.seed_noise, rng)
    draws = model.corrected(settings, rng)
    return Predictions(
        keys=before.keys,
        draws=np.clip(np.exp(draws) - half, 0.0, 1.0),
        seed_noise=float(np.sqrt(np.mean(settings.noise**2))),
        images=images,
        epochs=epochs,
        basis=Basis.CONFIRMED,
        confirmed=frozenset(before.keys[i] for i in found.columns),
    )


def _tests(tests: Mapping[str, Sequence[float]], before: Predictions, half: float) -> Tests:
    logs = [np.log(np.asarray(errors) + half) for errors in tests.values()]
    return Tests(
        columns=np.array([before.place[key] for key in tests]),
        mean=np.array([own.mean() for own in logs]),
        seeds=np.array([float(len(own)) for own in logs]),
        squares=float(sum(((own - own.mean()) ** 2).sum() for own in logs)),
    )


class _Model:
    """The model about its ``level``: the search's draws (s, n) and the log costs (n,) of all."""

    def __init__(self, search: Floats, cost: Floats, tests: Tests, level: float) -> None:
        self.search, self.cost, self.tests, self.level = search, cost, tests, level
        own = search[:, tests.columns]
        self.mean = own.mean(axis=0)
        self.shared = (search - search.mean(axis=0)).T @ (own - self.mean) / len(search)  # (n, m)
        x = cost[tests.columns]
        self.fixed = LEVEL_SD**2 + COST_SD**2 * np.outer(cost, x)  # (n, m), of a and c
        self.value = tests.mean - level

    def settings(self, search_noise: float, rng: np.random.Generator) -> Setting:
        """``SETTINGS`` draws from the posterior."""
        prior = Setting(
            np.abs(rng.normal(1.0, SLOPE_SD, PRIOR_DRAWS)),
            CHANGE * np.exp(rng.normal(0.0, CHANGE_SD, PRIOR_DRAWS)),
            search_noise * np.exp(rng.normal(0.0, NOISE_SD, PRIOR_DRAWS)),
        )
        likelihood = np.array([self._likelihood(*each) for each in zip(*prior, strict=True)])
        weight = np.exp(likelihood - likelihood.max())
        kept = rng.choice(PRIOR_DRAWS, SETTINGS, p=weight / weight.sum())
        return Setting(*(part[kept] for part in prior))

    def _likelihood(self, slope: float, change: float, noise: float) -> float:
        """Log density of the test errors but for a constant."""
        root = np.linalg.cholesky(self._measured(slope, change, noise))
        missed = np.linalg.solve(root, self.value - slope * self.mean)
        within = self.tests.seeds.sum() - len(self.value)  # degrees of freedom
        return float(
            -0.5 * missed @ missed
            - np.log(np.diag(root)).sum()
            - 0.5 * self.tests.squares / noise**2
            - within * np.log(noise)
        )

    def _measured(self, slope: float, change: float, noise: float) -> Floats:
        """The covariance of the means over seeds, (m, m)."""
        columns = self.tests.columns
        found = slope**2 * self.shared[columns] + self.fixed[columns]
        found[np.diag_indices_from(found)] += change**2 + noise**2 / self.tests.seeds
        return found

    def corrected(self, settings: Setting, rng: np.random.Generator) -> Floats:
        """Draws (s, n) of g, a part of them for each of the settings."""
        count, n = self.search.shape
        drawn = np.empty((count, n))
        columns, m = self.tests.columns, len(self.tests.columns)
        for slope, change, noise, part in zip(
            *settings, np.array_split(rng.permutation(count), SETTINGS), strict=True
        ):
            size = len(part)
            prior = slope * self.search[part] + change * rng.standard_normal((size, n))
            prior += LEVEL_SD * rng.standard_normal((size, 1))
            prior += COST_SD * rng.standard_normal((size, 1)) * self.cost
            luck = noise / np.sqrt(self.tests.seeds) * rng.standard_normal((size, m))
            missed = self.value - prior[:, columns] - luck
            weights = np.linalg.solve(self._measured(slope, change, noise), missed.T)  # (m, size)
            shared = slope**2 * self.shared + self.fixed
            shared[columns, np.arange(m)] += change**2
            drawn[part] = prior + (shared @ weights).T
        return drawn + self.level
