"""How well short trainings ranked candidates, as training again in full with fresh seeds ranks
them: the proxy certificate of ``dnsearch confirm``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnsearch.analysis.trust import (
    LEAST,
    RESAMPLES,
    UNKNOWN,
    Agreement,
    Correlation,
    Interval,
    Noise,
    Pairs,
    at_matched_cost,
    correlation_interval,
    mean_correlation,
    seed_noise,
    weighted_rhos,
    weighted_taus,
    without_trend,
)
from dnsearch.arrays import Floats
from dnsearch.confirm.topk import top_k
from dnsearch.errors import ConfigError
from dnsearch.text import counted

CEILING = "full training"
"""The name of the last signal."""


WIDEST_INTERVAL = 0.5
"""Of the interval of a share of pairs: a wider one holds both tossing a coin and ranking all pairs
correctly, or nearly, so there are too few networks to tell."""


class Kind(StrEnum):
    """What a signal is."""

    PROXY = "proxy"
    """The error of a short training."""
    BASELINE = "baseline"
    """A score that takes no training, such as the number of parameters."""
    CEILING = "ceiling"
    """The error of full training itself, with another seed."""


class View(StrEnum):
    """Which pairs of networks a ranking is judged by: the fields of ``Agreement``."""

    OVERALL = "overall"
    """All pairs."""
    MATCHED = "matched"
    """As if all cost the same: when the trend of error in cost is taken away."""


@dataclass(frozen=True)
class Signal:
    """How one signal ranks candidates by the error of full training with another seed.

    name: as in ``summary.json``. rung: epochs of a proxy's training, None for other signals. tau,
    rho: Kendall's tau-b and Spearman's rho, means over the ordered pairs of seeds. regret: by how
    much error (0 to 1) the best of the k candidates that it ranks best misses the best of all.
    precision: the share of these k among the k truly best. For the last two the truth is the mean
    over the other seeds, and they are means over the signal's seeds. Intervals are of 95 %, over
    architectures; their ends are NaN with fewer than ``LEAST`` of these.
    """

    name: str
    kind: Kind
    rung: int | None
    tau: Agreement
    rho: Agreement
    regret: Interval
    precision: Interval

    @property
    def pairs_right(self) -> Agreement:
        """The share (0 to 1) of pairs ranked correctly, (1 + tau) / 2; a tie is half right. Unknown
        where its interval is, or is wider than ``WIDEST_INTERVAL``."""
        shares = (Interval(*((1 + v) / 2 for v in view)) for view in self.tau)
        told = [share if share.high - share.low <= WIDEST_INTERVAL else UNKNOWN for share in shares]
        return Agreement(*told)

    def right(self, view: View) -> Interval:
        """``pairs_right`` in one view."""
        return getattr(self.pairs_right, view)


@dataclass(frozen=True)
class Certificate:
    """``rows``: the proxies, the baselines, and last the ceiling, full training itself.

    architectures: those with a full training, which make ``pairs`` pairs. seeds: of full training.
    k: how many the top is for regret and precision. same_cost: all cost the same, so that figures
    at matched cost are those over all.
    """

    rows: tuple[Signal, ...]
    noise: Noise
    architectures: int
    pairs: int
    seeds: int
    k: int
    same_cost: bool

    def of(self, kind: Kind) -> list[Signal]:
        """The signals of this kind, shortest rung first."""
        return [row for row in self.rows if row.kind == kind]


def certify(
    proxies: Mapping[int, ArrayLike],
    full: ArrayLike,
    cost: ArrayLike,
    baselines: Mapping[str, ArrayLike],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Certificate:
    """What each signal says of ``full`` (n, seeds), the errors (0 to 1) of full training.

    ``proxies``, by rung, are errors (n, seeds), their columns the seeds of ``full``; ``cost`` (n,)
    is what to match, such as MACs; ``baselines``, such as "params alone", are scores (n,), higher
    is better. NaN and infinity where missing. A seed's proxy is never compared with full training
    of the same seed: both share initialisation and order of images, so they agree too well.

    At matched cost is between what a quadratic trend in log cost leaves over: of log error, of the
    log of positive scores, of other scores themselves. It is unknown with fewer than ``LEAST``
    architectures, and of a signal that is a function of the cost. ConfigError for shapes that do
    not fit and for costs that are not positive.
    """
    errors, costs, shorter, scores = _checked(proxies, full, cost, baselines)
    known = np.isfinite(errors)
    n = int(known.any(axis=1).sum())
    k = max(1, round(n / 4))
    log_cost = np.log(costs)
    draws = _resamples(len(errors) if n else 0, resamples, rng)
    rows = [
        _signal(
            counted(rung, "epoch"), Kind.PROXY, _by_seed(proxy, errors, log_cost), k, draws, rung
        )
        for rung, proxy in shorter.items()
    ]
    rows += [
        _signal(name, Kind.BASELINE, _baseline(score, errors, log_cost), k, draws)
        for name, score in scores.items()
    ]
    rows.append(_signal(CEILING, Kind.CEILING, _by_seed(errors, errors, log_cost), k, draws))
    return Certificate(
        rows=tuple(rows),
        noise=seed_noise(errors, log_cost),
        architectures=n,
        pairs=n * (n - 1) // 2,
        seeds=int(known.any(axis=0).sum()),
        k=k,
        same_cost=len(costs) > 0 and bool(np.ptp(log_cost) < 1e-9),
    )


def _checked(
    proxies: Mapping[int, ArrayLike],
    full: ArrayLike,
    cost: ArrayLike,
    baselines: Mapping[str, ArrayLike],
) -> tuple[Floats, Floats, dict[int, Floats], dict[str, Floats]]:
    errors = _known(full)
    if errors.ndim != 2:
        raise ConfigError("full", "must be errors (architectures, seeds)", errors.shape)
    costs = np.asarray(cost, dtype=np.float64)
    n = errors.shape[:1]
    if costs.shape != n:
        raise ConfigError("cost", f"must have the shape {n}", costs.shape)
    if not (np.isfinite(costs) & (costs > 0)).all():
        bad = costs[~(np.isfinite(costs) & (costs > 0))]
        raise ConfigError("cost", "must be positive and finite", float(bad[0]))
    shorter = {name: _known(values) for name, values in proxies.items()}
    scores = {name: _known(values) for name, values in baselines.items()}
    for field, arrays, shape in (("proxies", shorter, errors.shape), ("baselines", scores, n)):
        for name, values in arrays.items():
            if values.shape != shape:
                raise ConfigError(
                    f"{field}[{name!r}]", f"must have the shape {shape}", values.shape
                )
    return errors, costs, shorter, scores


def _known(values: ArrayLike) -> Floats:
    out = np.array(values, dtype=np.float64)
    out[~np.isfinite(out)] = np.nan
    return out


@dataclass(frozen=True)
class _Views:
    """What a signal is compared with: pairs of arrays (n,), signal and truth, lower is better.

    overall, matched: with one other seed's full training. tops: with the mean of the other seeds.
    """

    overall: Pairs
    matched: Pairs
    tops: Pairs


def _by_seed(signal: Floats, full: Floats, log_cost: Floats) -> _Views:
    """Of a signal (n, seeds), never against the same seed."""
    seeds = range(full.shape[1])
    left, right = (
        [at_matched_cost(errors[:, s], log_cost) for s in seeds] for errors in (signal, full)
    )
    others = [(s, t) for s in seeds for t in seeds if s != t]
    return _Views(
        overall=[(signal[:, s], full[:, t]) for s, t in others],
        matched=[(left[s], right[t]) for s, t in others],
        tops=[(signal[:, s], _row_means(np.delete(full, s, axis=1))) for s in seeds],
    )


def _baseline(score: Floats, full: Floats, log_cost: Floats) -> _Views:
    """Of a score (n,), which has no seed."""
    left = _score_at_matched_cost(score, log_cost)
    return _Views(
        overall=[(-score, seed) for seed in full.T],
        matched=[(-left, at_matched_cost(seed, log_cost)) for seed in full.T],
        tops=[(-score, _row_means(full))],
    )


def _score_at_matched_cost(score: Floats, log_cost: Floats) -> Floats:
    known = score[np.isfinite(score)]
    if (known > 0).all():
        return without_trend(np.log(score), log_cost)
    return without_trend(score / np.abs(known).max(), log_cost) if known.any() else score * np.nan


def _row_means(errors: Floats) -> Floats:
    """Means over the known seeds, NaN where there is none."""
    known = np.isfinite(errors)
    count = known.sum(axis=1)
    total = np.where(known, errors, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class _Resamples(NamedTuple):
    """Bootstraps over architectures, the same for every signal: the rows that each drew, and how
    often it drew each row, both (resamples, n)."""

    rows: NDArray[np.int_]
    weights: Floats


def _resamples(n: int, count: int, rng: np.random.Generator) -> _Resamples:
    """So many resamples of ``n`` architectures; none of no architecture."""
    if not n:
        return _Resamples(np.empty((0, 0), int), np.empty((0, 0)))
    rows = rng.integers(n, size=(count, n))
    cells = rows + n * np.arange(count)[:, None]
    weights = np.bincount(cells.ravel(), minlength=count * n).reshape(count, n)
    return _Resamples(rows, weights.astype(np.float64))


def _signal(
    name: str, kind: Kind, views: _Views, k: int, draws: _Resamples, rung: int | None = None
) -> Signal:
    def agreement(correlation: Correlation) -> Agreement:
        both = (views.overall, views.matched)
        return Agreement(*(_correlated(pairs, correlation, draws.weights) for pairs in both))

    tau, rho = agreement(weighted_taus), agreement(weighted_rhos)
    return Signal(name, kind, rung, tau, rho, *_top(views.tops, k, draws.rows))


def _correlated(pairs: Pairs, correlation: Correlation, weights: Floats) -> Interval:
    mean, draws = mean_correlation(pairs, correlation, weights)
    both = [int((np.isfinite(x) & np.isfinite(y)).sum()) for x, y in pairs]
    return correlation_interval(mean, draws, max(both, default=0))


def _top(tops: Pairs, k: int, drawn: NDArray[np.int_]) -> tuple[Interval, Interval]:
    """Regret and precision of the signal's best k, means over its seeds.

    Intervals are percentiles of the bootstrap, which cannot know of better networks that are not
    among these.
    """
    found = [top_k(x, y, k) for x, y in tops]
    known = [pair for pair, (regret, _) in zip(tops, found, strict=True) if np.isfinite(regret)]
    if not known:
        return UNKNOWN, UNKNOWN
    draws = [top_k(x[drawn], y[drawn], k) for x, y in known]
    enough = max(int((np.isfinite(x) & np.isfinite(y)).sum()) for x, y in known) >= LEAST
    intervals = []
    for part in (0, 1):
        value = float(np.nanmean([pair[part] for pair in found]))
        means = np.mean([draw[part] for draw in draws], axis=0)
        means = means[np.isfinite(means)]
        ends = np.quantile(means, [0.025, 0.975]) if enough and len(means) else [math.nan] * 2
        intervals.append(Interval(value, float(ends[0]), float(ends[1])))
    return intervals[0], intervals[1]
