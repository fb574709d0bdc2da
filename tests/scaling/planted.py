"""Invented runs whose scaling law is known: no training, only figures."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import cost_of, costs
from dnsearch.scaling.study import Scaling, study_scaling
from dnsearch.search.results import Results

SIDE, TRAIN, VALIDATION, EPOCHS = 16, 8000, 4000, 3
FLOOR, FACTOR, ALPHA = 0.05, 12.0, 0.4
"""Of the best shapes: E, A and alpha in MACs."""

IN_DATA, BETA = 0.05, 0.5
"""What 1/4 of the images adds to the error at first, and how it falls with images."""

GROWTH = 0.35
"""The growth rate of the best shapes is MACs^GROWTH, up to a factor."""

STUDY = {
    "training": {"rungs": [EPOCHS]},
    "space": {
        "growth_rate": list(range(2, 61)),
        "block_config": [list(range(1, 9))] * 3,
        "bn_size": [0, 4],
    },
}


def best_growth_rate(macs: Any) -> Any:
    return 8 * (macs / 5e5) ** GROWTH


def error_of(macs: float, images: float = TRAIN) -> float:
    """Of the best shape, in the mean over seeds."""
    data = IN_DATA * ((images / TRAIN) ** -BETA - 1)
    return FLOOR + FACTOR * macs**-ALPHA + data


def true_error(arch: ArchConfig) -> float:
    """In the mean over seeds, on all images; too wide or too narrow is worse."""
    macs = cost_of(arch, SIDE, SIDE).macs
    return error_of(macs) * _off(arch, macs)


def _off(arch: ArchConfig, macs: int) -> float:
    return float(np.exp(0.15 * np.log(arch.growth_rate / best_growth_rate(macs)) ** 2))


def with_errors(results: Results, errors: Iterable[float]) -> Results:
    """The same training runs with other errors."""
    pairs = zip(results.measured, errors, strict=True)
    return replace(results, measured=[replace(run, error=float(error)) for run, error in pairs])


def scaling_results(
    architectures: int = 40,
    seeds: int = 2,
    noise: float = 0.02,
    partial: bool = False,
    name: str = "planted",
    span: tuple[float, float] = (1e5, 6.4e6),
    error=error_of,
    seed: int = 0,
    **changes: Any,
) -> Results:
    """Networks of many shapes, log-spaced in MACs; the farther from the best width, the worse."""
    rng = np.random.default_rng(seed)
    candidates: list[Candidate] = []
    for number, arch in enumerate(_architectures(architectures, span, rng)):
        macs = cost_of(arch, SIDE, SIDE).macs
        off = _off(arch, macs)
        for _ in range(seeds):
            value = error(macs) * off * rng.lognormal(0, noise)
            candidates.append(_candidate(len(candidates), arch, value, TRAIN, rng))
        if partial:
            images = TRAIN // (2, 4, 8)[number % 3]
            value = error(macs, images) * off * rng.lognormal(0, noise)
            candidates.append(_candidate(len(candidates), arch, value, images, rng))
    fields: dict[str, Any] = {
        "name": name,
        "typed": name,
        "study": StudyConfig.model_validate(STUDY),
        "environment": {"device_kind": "cpu", "activation_bytes": 4, "cpu_cores": 2},
        "data": {
            "name": "invented",
            "shape": [1, SIDE, SIDE],
            "classes": [f"class {i}" for i in range(10)],
            "images": {"train": TRAIN, "validation": VALIDATION},
            "fingerprint": "5d41402abc4b2a76",
        },
        "measured": candidates,
        "presets": [],
        "importance": {},
        "seconds": 1.0,
    }
    return Results(**fields | changes)


@functools.cache
def good() -> Scaling:
    """What two seeds of 60 architectures over 64x and a third training run on part of the images
    say; fitted once for all tests."""
    return study_scaling([scaling_results(60, partial=True, noise=0.01)])


@functools.cache
def _pool() -> tuple[ArchArrays, np.ndarray]:
    """Networks of all shapes, and their MACs."""
    rng, drawn = np.random.default_rng(0), []
    for _ in range(12000):
        growth = int(rng.choice(STUDY["space"]["growth_rate"]))
        blocks = rng.integers(1, rng.integers(2, 10), size=3).tolist()
        drawn.append((growth, *blocks, int(rng.choice([0, 4]))))
    table = np.array(list(dict.fromkeys(drawn)))
    first = ArchArrays.of([ArchConfig(8, (1, 1, 1), 16, stem="cifar", in_channels=1)])
    alike = {name: np.repeat(value, len(table), axis=0) for name, value in vars(first).items()}
    shapes = {
        "growth_rate": np.tile(table[:, :1], 3),
        "block_config": table[:, 1:4],
        "num_init_features": 2 * table[:, 0],
        "bn_size": np.tile(table[:, 4:], 3),
        "num_classes": np.full(len(table), 10),
    }
    archs = ArchArrays(**alike | shapes)
    return archs, costs(archs, SIDE, SIDE).macs


def _architectures(
    count: int, span: tuple[float, float], rng: np.random.Generator
) -> list[ArchConfig]:
    """Of each size one that is at most three times as wide or narrow as the best."""
    archs, macs = _pool()
    off = np.log(archs.growth_rate[:, 0] / best_growth_rate(macs))
    found: list[int] = []
    for target in np.geomspace(*span, count):
        wanted = rng.uniform(-1, 1)
        nearest = np.argsort(np.abs(np.log(macs / target)) + 0.1 * np.abs(off - wanted))[:4]
        new = [int(place) for place in rng.permutation(nearest) if place not in found]
        found += new[:1]
    return [archs.config(place) for place in found]


def _candidate(
    number: int, arch: ArchConfig, error: float, images: int, rng: np.random.Generator
) -> Candidate:
    cost = cost_of(arch, SIDE, SIDE, batch_size=128)
    seconds = (2e-5 + 1e-9 * cost.activations + 2e-11 * cost.macs) * rng.lognormal(0, 0.03)
    return Candidate(
        arch=arch,
        cost=cost,
        state=State.FINISHED if images == TRAIN else State.PARTIAL,
        number=number,
        rung=EPOCHS,
        seed=number,
        images=images,
        error=min(float(error), 0.9),
        loss=3 * float(error),
        train_loss=2 * float(error),
        seconds=seconds * images * EPOCHS,
        images_per_second=1 / seconds,
        train_macs=3.0 * cost.macs * TRAIN * EPOCHS,
        finished_after=float(number),
    )
