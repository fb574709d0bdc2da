"""How well short trainings ranked candidates, as training again in full with fresh seeds ranks
them: the proxy certificate of ``dnsearch confirm``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnsearch.analysis.metrics import counted
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
from dnsearch.confirm.topk import top_k
from dnsearch.errors import ConfigError

Floats = NDArray[np.float64]
Kind = Literal["proxy", "baseline", "ceiling"]

CEILING = "full training"
PROVEN_PAIRS = 40
"""Fewer pairs of candidates than this prove nothing."""


@dataclass(frozen=True)
class Signal:
    """How one signal ranks candidates by the error of full training with another seed.

    tau, rho: Kendall's tau-b and Spearman's rho, means over the ordered pairs of seeds. regret: by
    how many points (percent) of error the best of the k candidates that it ranks best misses the
    best of all. precision: the share of these k among the k truly best. For the last two the truth
    is the mean over the other seeds, and they are means over the signal's seeds. Intervals are of
    95 %, over architectures; their ends are NaN with fewer than ``LEAST`` of these.
    """

    name: str
    kind: Kind
    tau: Agreement
    rho: Agreement
    regret: Interval
    precision: Interval

    @property
    def pairs_right(self) -> Agreement:
        """The share (0 to 1) of pairs ranked correctly, (1 + tau) / 2; a tie is half right."""
        overall, matched = (Interval(*((1 + v) / 2 for v in view)) for view in self.tau)
        return Agreement(overall, matched)


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
        return [row for row in self.rows if row.kind == kind]


def certify(
    proxies: Mapping[str, ArrayLike],
    full: ArrayLike,
    cost: ArrayLike,
    baselines: Mapping[str, ArrayLike],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Certificate:
    """What each signal says of ``full`` (n, seeds), the errors (0 to 1) of full training.

    ``proxies``, such as "3 epochs", are errors (n, seeds), their columns the seeds of ``full``;
    ``cost`` (n,) is what to match, such as MACs; ``baselines``, such as "params alone", are scores
    (n,), higher is better. NaN and infinity where missing. A seed's proxy is never compared with
    full training of the same seed: sharing initialisation and order of images flatters.

    At matched cost is between what a quadratic trend in log cost leaves over: of log error, of the
    log of positive scores, of other scores themselves. It is unknown with fewer than ``LEAST``
    architectures, and of a signal that is a function of the cost. ConfigError for shapes that do
    not fit and for costs that are not positive.
    """
    errors, costs, shorter, scores = _checked(proxies, full, cost, baselines)
    known = np.isfinite(errors)
    n = int(known.any(axis=1).sum())
    k = max(1, round(n / 4))
    drawn = rng.integers(len(errors), size=(resamples, len(errors))) if n else np.empty((0, 0), int)
    log_cost = np.log(costs)
    rows = [
        _row(name, "proxy", _by_seed(proxy, errors, log_cost), k, drawn)
        for name, proxy in shorter.items()
    ]
    rows += [
        _row(name, "baseline", _baseline(score, errors, log_cost), k, drawn)
        for name, score in scores.items()
    ]
    rows.append(_row(CEILING, "ceiling", _by_seed(errors, errors, log_cost), k, drawn))
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
    proxies: Mapping[str, ArrayLike],
    full: ArrayLike,
    cost: ArrayLike,
    baselines: Mapping[str, ArrayLike],
) -> tuple[Floats, Floats, dict[str, Floats], dict[str, Floats]]:
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


def _row(name: str, kind: Kind, views: _Views, k: int, drawn: NDArray[np.int_]) -> Signal:
    """``drawn`` (resamples, n) are the rows that each resample drew, the same for every signal."""
    count = drawn.shape[1]
    weights = np.stack([np.bincount(rows, minlength=count) for rows in drawn]) if count else drawn
    weights = weights.astype(np.float64)

    def agreement(correlation: Correlation) -> Agreement:
        return Agreement(
            _correlated(views.overall, correlation, weights),
            _correlated(views.matched, correlation, weights),
        )

    regret, precision = _top(views.tops, k, drawn)
    return Signal(name, kind, agreement(weighted_taus), agreement(weighted_rhos), regret, precision)


def _correlated(pairs: Pairs, correlation: Correlation, weights: Floats) -> Interval:
    mean, draws = mean_correlation(pairs, correlation, weights)
    both = [int((np.isfinite(x) & np.isfinite(y)).sum()) for x, y in pairs]
    return correlation_interval(mean, draws, max(both, default=0))


def _top(tops: Pairs, k: int, drawn: NDArray[np.int_]) -> tuple[Interval, Interval]:
    """Regret in points and precision of the signal's best k, means over its seeds.

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
    for part, scale in ((0, 100.0), (1, 1.0)):
        value = scale * float(np.nanmean([pair[part] for pair in found]))
        means = scale * np.mean([draw[part] for draw in draws], axis=0)
        means = means[np.isfinite(means)]
        ends = np.quantile(means, [0.025, 0.975]) if enough and len(means) else [math.nan] * 2
        intervals.append(Interval(value, float(ends[0]), float(ends[1])))
    return intervals[0], intervals[1]


def sentences(certificate: Certificate) -> list[str]:
    """What the certificate says, a statement each, the doubts first."""
    said = _unproven(certificate)
    if certificate.same_cost and certificate.architectures > 1:
        said.append("All of them cost the same, so that matching the cost changes nothing.")
    for proxy in certificate.of("proxy"):
        said.append(_of_proxy(proxy, certificate))
    said += _of_ceiling(certificate)
    said += _of_noise(certificate)
    return said


def _unproven(certificate: Certificate) -> list[str]:
    reasons = []
    if certificate.pairs < PROVEN_PAIRS:
        reasons.append(
            f"{counted(certificate.architectures, 'candidate')} trained again in full "
            f"{'makes' if certificate.architectures == 1 else 'make'} "
            f"{counted(certificate.pairs, 'pair')}, and with fewer than {PROVEN_PAIRS} a good "
            "ranking may be luck"
        )
    if certificate.seeds == 1:
        reasons.append(
            "with one seed of full training its luck cannot be told from real differences"
        )
    if not reasons:
        return []
    return [f"What short trainings are worth is unproven here: {'; '.join(reasons)}."]


def _of_proxy(proxy: Signal, certificate: Certificate) -> str:
    """Its pairs, what it says beyond the baselines, and what taking its best would lose."""
    name, (overall, matched) = signal_name(proxy), proxy.pairs_right
    if not math.isfinite(overall.value):
        return (
            f"{_capital(name)} cannot be judged: its errors, or those of full training with "
            "another seed, are missing or all the same."
        )
    if math.isfinite(matched.value):
        said = (
            f"{_capital(name)} ranks networks of the same cost correctly in {_percent(matched)} of "
            f"pairs{_range(matched)}, of any cost in {_percent(overall)}{_range(overall)}"
        )
        if not matched.low > 0.5:
            said += "; at the same cost that is not shown to be better than tossing a coin"
    else:
        said = (
            f"{_capital(name)} ranks networks correctly in {_percent(overall)} of "
            f"pairs{_range(overall)}; how well at the same cost cannot be told"
        )
    more = [_no_more(proxy, certificate.of("baseline"))]
    if proxy is certificate.of("proxy")[-1]:  # the longest rung's loss is enough in words
        more.append(_loss(proxy, certificate))
    return " ".join([f"{said}.", *filter(None, more)])


def _no_more(proxy: Signal, baselines: Sequence[Signal]) -> str:
    """Where it is not above the best of the baselines; empty where it is above."""
    beaten = []
    for view, where in enumerate(("over all costs", "at the same cost")):
        known = [b for b in baselines if math.isfinite(b.tau[view].value)]
        own = proxy.tau[view].value
        best = max(known, key=lambda row, view=view: row.tau[view].value, default=None)
        if best and own <= best.tau[view].value:
            share = _percent(best.pairs_right[view])
            beaten.append(f"than {best.name} {where} ({share})")
    return f"It says no more {' and no more '.join(beaten)}." if beaten else ""


def _loss(proxy: Signal, certificate: Certificate) -> str:
    value, low, high = proxy.regret
    if not math.isfinite(value):
        return ""
    between = f" ({low:.2f} to {high:.2f})" if math.isfinite(low) else ""
    best = f"the best {certificate.k}" if certificate.k > 1 else "the best one"
    return (
        f"Who trains only {best} of the {certificate.architectures} by it in full misses the best "
        f"network by {value:.2f} points{between}."
    )


def _of_ceiling(certificate: Certificate) -> list[str]:
    """What full training of one seed says of another, and which proxies say as much."""
    ceiling = certificate.of("ceiling")[0]
    matched = math.isfinite(ceiling.tau.matched.value)
    top = ceiling.pairs_right.matched if matched else ceiling.pairs_right.overall
    if not math.isfinite(top.value):
        return []
    said = [
        f"Full training itself ranks {'networks of the same cost' if matched else 'networks'} as "
        f"another seed's does in {_percent(top)} of pairs{_range(top)}{_rest(top)}."
    ]
    if certificate.pairs < PROVEN_PAIRS:
        return said  # so wide an interval overlaps anything
    as_good, near, short = [], [], []
    for proxy in certificate.of("proxy"):
        own = proxy.pairs_right.matched if matched else proxy.pairs_right.overall
        if own.value >= top.value:
            as_good.append(signal_name(proxy))
        elif own.high >= top.low:
            near.append(signal_name(proxy))
        elif own.high < top.low:
            short.append(signal_name(proxy))
    if as_good:
        said.append(
            f"{_capital(_listed(as_good))} {_verb(as_good, 'ranks', 'rank')} no worse than that: "
            "longer training of one seed would do no better."
        )
    if near:
        said.append(
            f"{_capital(_listed(near))} {_verb(near, 'ranks', 'rank')} fewer pairs correctly, but "
            "the intervals overlap: that longer training of one seed would do better is not shown."
        )
    if short:
        said.append(f"{_capital(_listed(short))} {_verb(short, 'falls', 'fall')} short of it.")
    return said


def _rest(share: Interval) -> str:
    return "; the rest is luck of the seeds" if share.value < 1 else ""


def _of_noise(certificate: Certificate) -> list[str]:
    noise = certificate.noise
    if not math.isfinite(noise.seed_sd):
        return []
    said = f"Errors of one network differ between seeds by {100 * noise.seed_sd:.2f} points (sd)"
    needed = noise.trainings_for(0.5)
    if math.isinf(needed) and certificate.pairs >= PROVEN_PAIRS:
        return [
            f"{said}; beyond that, no differences between networks of the same cost were found, "
            "so that more seeds of these would not tell them apart."
        ]
    if math.isnan(needed) or certificate.pairs < PROVEN_PAIRS:
        return [f"{said}."]
    trainings = "1 training" if needed == 1 else f"the mean of {needed:.0f} trainings"
    return [
        f"{said}; it takes {trainings} of each to tell networks of the same cost apart "
        "(so that 75 % of pairs come out the same again)."
    ]


def signal_name(signal: Signal) -> str:
    """``the 3-epoch rung`` of a proxy called "3 epochs"; other names as they are."""
    epochs = re.fullmatch(r"(\d+) epochs?", signal.name)
    return f"the {epochs[1]}-epoch rung" if epochs else signal.name


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.0f} %"


def _range(share: Interval) -> str:
    if not (math.isfinite(share.low) and math.isfinite(share.high)):
        return ""
    return f" ({100 * share.low:.0f} to {100 * share.high:.0f} %)"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
