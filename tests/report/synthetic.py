"""Invented results for tests of what is shown: plausible numbers, no training.

Error falls with MACs as a saturating power law, wide and deep networks a little better or worse
than their cost suggests, with noise of half a point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.arch import ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import cost_of
from dnsearch.search.results import PublishedNetwork, Results
from dnsearch.training.measured import binomial_standard_error
from dnsearch.training.score import CurvePoint

SIZE, TRAIN_IMAGES, VALIDATION_IMAGES, EPOCHS = 28, 8000, 4000, 9
DATA = {
    "name": "fashion-mnist-16k",
    "classes": [f"class {i}" for i in range(10)],
    "shape": [1, SIZE, SIZE],
    "images": {"train": TRAIN_IMAGES, "validation": VALIDATION_IMAGES},
    "mean": [0.286],
    "std": [0.353],
    "fingerprint": "5d41402abc4b2a76b9719d911017c592",
}
ENVIRONMENT = {
    "dnsearch": "0.1.0",
    "python": "3.11.2",
    "packages": {"torch": "2.13.0", "optuna": "5.0.0"},
    "processor": "A processor of some make",
    "cpu_cores": 2,
}
IMPORTANCE = {
    "error": {"growth_rate": 0.52, "depth3": 0.19, "depth1": 0.12, "depth2": 0.11, "bn_size": 0.06},
    "macs": {"growth_rate": 0.61, "depth1": 0.22, "depth2": 0.1, "depth3": 0.04, "bn_size": 0.03},
}


def results(
    candidates: int = 48,
    *,
    costs: tuple[str, ...] = ("macs",),
    failed: int = 0,
    reason: str = "out of memory: 812 MB asked for, 640 MB free",
    unfit: int = 0,
    trained_preset: str | None = None,
    name: str = "quickstart",
    seed: int = 0,
    **changes: Any,
) -> Results:
    """Results of a search of this many candidates, the first ``failed`` of which failed."""
    rng = np.random.default_rng(seed)
    archs = [_architecture(rng) for _ in range(candidates)]
    if trained_preset and archs:
        archs[-1] = PRESETS[trained_preset].replace(in_channels=1)
    found = [_candidate(number, arch, rng) for number, arch in enumerate(archs)]
    for number in range(failed):
        found[number] = failed_as(found[number], reason)
    for number in range(failed, failed + unfit):
        over = "latency_ms 4.1 is over limits.max_latency_ms 3"
        found[number] = replace(found[number], state=State.UNFIT, failure=over)
    spent = np.cumsum([candidate.seconds for candidate in found]) / 2
    found = [replace(c, finished_after=float(s)) for c, s in zip(found, spent, strict=True)]
    study = StudyConfig.model_validate({"objectives": {"costs": costs}})
    fields: dict[str, Any] = {
        "name": name,
        "typed": name,
        "study": study,
        "environment": ENVIRONMENT,
        "data": DATA,
        "measured": found,
        "presets": presets(),
        "importance": IMPORTANCE if candidates > 3 else {},
        "seconds": float(spent[-1]) if candidates else 0.0,
    }
    return Results(**fields | changes)


def failed_as(candidate: Candidate, reason: str) -> Candidate:
    """The same training, had it failed for this reason."""
    nothing = {"error": np.nan, "error_se": np.nan, "loss": np.nan, "curve": ()}
    return replace(candidate, state=State.FAILED, failure=reason, **nothing)


def changed(results: Results, places: slice | int, **figures: Any) -> Results:
    """The same results but for these figures of the candidates at these places."""
    found = list(results.measured)
    for place in range(len(found))[places] if isinstance(places, slice) else [places]:
        found[place] = replace(found[place], **figures)
    return replace(results, measured=found)


def presets() -> list[PublishedNetwork]:
    """The presets that fit the images."""
    fitted = {n: a.replace(in_channels=1) for n, a in PRESETS.items() if a.stem == "cifar"}
    return [PublishedNetwork(n, a, cost_of(a, SIZE, SIZE)) for n, a in fitted.items()]


def _architecture(rng: np.random.Generator) -> ArchConfig:
    growth = int(rng.choice([4, 8, 12, 16, 20, 24]))
    return ArchConfig(
        growth_rate=growth,
        block_config=tuple(int(d) for d in rng.integers(1, 7, size=3)),
        num_init_features=2 * growth,
        bn_size=int(rng.choice([0, 2, 4])),
        stem="cifar",
        in_channels=1,
        num_classes=10,
    )


def _candidate(number: int, arch: ArchConfig, rng: np.random.Generator) -> Candidate:
    cost = cost_of(arch, SIZE, SIZE, batch_size=128)
    law = 0.055 + 0.11 * (cost.macs / 1e6) ** -0.45
    error = float(np.clip(law * rng.lognormal(0, 0.08), 0.02, 0.9))
    seconds = 4 + cost.macs / 1e6 * rng.uniform(0.8, 1.2)
    rounded = round(error * VALIDATION_IMAGES) / VALIDATION_IMAGES
    return Candidate(
        arch=arch,
        cost=cost,
        state=State.FINISHED,
        number=number,
        rung=EPOCHS,
        seed=0,
        images=TRAIN_IMAGES,
        preset=next((n for n, p in PRESETS.items() if p.replace(in_channels=1) == arch), ""),
        error=rounded,
        error_se=float(binomial_standard_error(rounded, VALIDATION_IMAGES)),
        loss=error * 3,
        train_loss=error * 2.5,
        latency_ms=0.3 + cost.activations / 4e5 * rng.uniform(0.9, 1.1),
        seconds=seconds,
        images_per_second=TRAIN_IMAGES * EPOCHS / seconds,
        train_macs=3.0 * cost.macs * TRAIN_IMAGES * EPOCHS,
        curve=_curve(error, rng),
    )


def _curve(error: float, rng: np.random.Generator) -> tuple[CurvePoint, ...]:
    errors = [error * (1 + 1.4 * (EPOCHS - e) / EPOCHS / e**0.5) for e in range(1, EPOCHS)]
    noisy = [*(min(0.9, e * rng.lognormal(0, 0.02)) for e in errors), error]
    return tuple(
        CurvePoint(epoch, 2.5 * float(v), float(v), 3 * float(v))
        for epoch, v in enumerate(noisy, start=1)
    )
