"""Invented searches and fresh trainings, so that what is found of them is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.analysis.trust import Interval
from dnsearch.arch.config import ArchConfig
from dnsearch.config import parse_study
from dnsearch.confirm.certificate import certify
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork
from dnsearch.cost.formula import Cost, cost_of
from dnsearch.search.evaluators.base import CONFIRM, Job
from dnsearch.search.results import Results
from dnsearch.search.store import Record
from dnsearch.training.score import CurvePoint, Score

NAN = math.nan
RUNGS = (1, 3, 9)
TESTS = 4000
SPREAD = 0.06


def world(n, rng, seeds=4, noise=0.04, spread=SPREAD, proxies=((3, 0.04),)):
    """What ``certify`` takes but for the generator: errors fall with cost along a quadratic in
    logs, truths lie ``spread`` around it, trainings ``noise`` around those; seed 0 is the search's,
    without full training. ``proxies`` are rungs with their noise."""
    log_cost = rng.uniform(11, 15, n)
    trend = -1.2 - 0.25 * (log_cost - 11) + 0.02 * (log_cost - 11) ** 2
    true = trend + rng.normal(0, spread, n)
    full = np.exp(true[:, None] + rng.normal(0, noise, (n, seeds)))
    full[:, 0] = NAN
    short = {
        rung: np.exp(0.8 * true[:, None] + 0.5 + rng.normal(0, sd, (n, seeds)))
        for rung, sd in proxies
    }
    cost = np.exp(log_cost)
    params = cost**0.9 * rng.lognormal(0, 0.1, n)
    return short, full, cost, {"params alone": params, "MACs alone": cost}


ODD = (
    "constant proxy",
    "constant full",
    "zeros",
    "one cost",
    "nothing",
    "all missing",
    "infinite",
    "negative",
    "ties",
    "no signals",
)


def odd(name, rng):
    """The ``world`` of 16 networks with something odd about it."""
    short, full, cost, baselines = world(16, rng)
    proxy = short[3]
    match name:
        case "constant proxy":
            proxy[:] = 0.9
        case "constant full":
            full[:, 1:] = 0.1
        case "zeros":
            full[:, 1:], proxy[:] = 0.0, 0.0
        case "one cost":
            cost[:] = 7.0
        case "nothing":
            full[:] = NAN
        case "all missing":
            proxy[:], baselines["params alone"] = NAN, np.full(16, NAN)
        case "infinite":
            full[3, 1], proxy[2, 0], full[5] = math.inf, math.inf, NAN
        case "negative":
            full[3, 1], proxy[2, 0] = -0.1, -3.0
        case "ties":
            full, proxy[:] = np.round(full, 1), np.round(proxy, 1)
        case "no signals":
            short, baselines = {}, {}
        case _:
            raise ValueError(name)
    return short, full, cost, baselines


def arch(number: int) -> ArchConfig:
    """The larger the number the costlier, and each another."""
    return ArchConfig(2 + number, (1, 2), stem="cifar", in_channels=1, num_classes=10)


def curve(errors: Sequence[float]) -> tuple[CurvePoint, ...]:
    """Of a training with these errors after its epochs."""
    return tuple(CurvePoint(epoch, 1.0, error, 1.0) for epoch, error in enumerate(errors, 1))


def candidate(number: int, error: float, **changes: Any) -> Candidate:
    """A training run of the search to its top rung."""
    known = {
        "arch": arch(number),
        "cost": cost_of(arch(number), 8, 8),
        "state": State.FINISHED,
        "number": number,
        "rung": RUNGS[-1],
        "seed": 0,
        "images": 8000,
        "error": error,
        "seconds": 18.0,
        "curve": curve([error] * RUNGS[-1]),
    }
    return Candidate(**known | changes)


def fresh(
    number: int, seed: int, error: float, short: Sequence[float] = (), epochs: int = 27
) -> Record:
    """A training run of ``dnsearch confirm`` with this test error, NaN where it failed, and
    validation errors ``short`` after its first epochs."""
    job = Job(number, arch(number), epochs, seed, CONFIRM)
    score = Score(epochs, seed, error, curve=curve(short), test_error=error, test_images=TESTS)
    if math.isnan(error):
        return Record(job, score.failed("diverged"), None, True, 0.0)
    return Record(job, score, (error, 1.0), True, 0.0)


def results(
    candidates: Sequence[Candidate], confirmed: Sequence[Record] = (), study: str = "", **more: Any
) -> Results:
    """A run with these training runs of its own and of ``dnsearch confirm``."""
    fields = {
        "name": "invented",
        "typed": "invented",
        "study": parse_study(f"[training]\nrungs = {list(RUNGS)}\n{study}"),
        "environment": {"activation_bytes": 4},
        "data": {
            "images": {"train": 8000, "validation": 4000},
            "shape": [1, 8, 8],
            "classes": [str(digit) for digit in range(10)],
        },
        "measured": candidates,
        "presets": [],
        "importance": {},
        "seconds": 0.0,
        "confirmed": tuple(confirmed),
    }
    return Results(**fields | more)


def confirmation(n: int = 16, seeds: int = 3, seed: int = 0, **changes: Any) -> Confirmed:
    """Findings as a report gets them: errors fall with MACs, every other network was on the
    front."""
    rng = np.random.default_rng(seed)
    macs = np.exp(np.sort(rng.uniform(13, 18, n)))
    true = np.exp(-1.5 - 0.25 * (np.log(macs) - 13) + rng.normal(0, 0.06, n))
    tests = true[:, None] * rng.lognormal(0, 0.04, (n, seeds))
    known = np.concatenate([np.full((n, 1), NAN), tests], axis=1)
    short = {
        rung: 1.3 * true[:, None] * rng.lognormal(0, sd, (n, seeds + 1))
        for rung, sd in ((1, 0.15), (3, 0.07), (9, 0.05))
    }
    params = macs**0.9 * rng.lognormal(0, 0.1, n)
    means, reach = tests.mean(axis=1), 0.08 * true / math.sqrt(seeds)
    best = np.exp(-(means - means.min()) / 0.004)
    networks = tuple(
        ConfirmedNetwork(
            candidate=candidate(
                i,
                short[3][i, 0],
                cost=Cost(round(params[i]), round(macs[i]), 1, 1),
                latency_ms=macs[i] / 1e6,
                predicted_error=1.3 * true[i],
            ),
            front=i % 2 == 0,
            error=short[3][i, 0],
            test_errors=tuple(tests[i].tolist()),
            test=Interval(means[i], means[i] - reach[i], means[i] + reach[i]),
            front_probability=rng.uniform(0, 1),
            best_probability=best[i] / best.sum(),
        )
        for i in range(n)
    )
    baselines = {"params alone": params, "MACs alone": macs}
    fields = {
        "networks": networks,
        "epochs": 90,
        "test_images": TESTS,
        "cost": "macs",
        "certificate": certify(short, known, macs, baselines, rng, resamples=200),
        "notes": (),
        "pick": "",
        "opportunity_loss": 0.003,
    }
    return Confirmed(**fields | changes)
