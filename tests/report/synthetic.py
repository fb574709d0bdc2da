"""Invented results for tests of what is shown: plausible numbers, no training.

Error falls with MACs as a saturating power law, wide and deep networks a little better or worse
than their cost suggests, with noise of half a point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dnsearch.arch import ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import cost_of
from dnsearch.search.results import COLUMNS, Results

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
    rows = [_row(number, arch, rng) for number, arch in enumerate(archs)]
    for row in rows[:failed]:
        row |= {"state": "failed", "error": np.nan, "loss": np.nan, "failure": reason, "curve": []}
    for row in rows[failed : failed + unfit]:
        row |= {"state": "unfit", "failure": "latency_ms 4.1 is over limits.max_latency_ms 3"}
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["finished_after"] = table["seconds"].cumsum() / 2
    study = StudyConfig.model_validate({"objectives": {"costs": costs}})
    fields: dict[str, Any] = {
        "name": name,
        "study": study,
        "environment": ENVIRONMENT,
        "data": DATA,
        "candidates": table,
        "archs": {arch.key: arch for arch in archs},
        "presets": presets(),
        "importance": IMPORTANCE if candidates > 3 else {},
        "seconds": float(table["finished_after"].max()) if candidates else 0.0,
    }
    return Results(**fields | changes)


def presets() -> pd.DataFrame:
    """The presets that fit the images."""
    rows = []
    for name, arch in PRESETS.items():
        if arch.stem == "cifar":
            fitted = arch.replace(in_channels=1)
            rows.append({"key": fitted.key, "name": name, **vars(cost_of(fitted, SIZE, SIZE))})
    return pd.DataFrame(rows)


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


def _row(number: int, arch: ArchConfig, rng: np.random.Generator) -> dict[str, Any]:
    cost = cost_of(arch, SIZE, SIZE, batch_size=128)
    preset = next((n for n, p in PRESETS.items() if p.replace(in_channels=1) == arch), "")
    law = 0.055 + 0.11 * (cost.macs / 1e6) ** -0.45
    error = float(np.clip(law * rng.lognormal(0, 0.08), 0.02, 0.9))
    seconds = 4 + cost.macs / 1e6 * rng.uniform(0.8, 1.2)
    return {
        "number": number,
        "key": arch.key,
        "name": preset or arch.describe(),
        "preset": preset,
        "state": "finished",
        "growth_rate": arch.growth_rate,
        "block_config": "-".join(map(str, arch.block_config)),
        "num_init_features": arch.num_init_features,
        "bn_size": arch.bn_size,
        "compression": arch.compression,
        "drop_rate": arch.drop_rate,
        "norm": arch.norm,
        "stem": arch.stem,
        "depth": arch.depth,
        "params": cost.params,
        "macs": cost.macs,
        "activations": cost.activations,
        "train_bytes": cost.train_bytes,
        "latency_ms": 0.3 + cost.activations / 4e5 * rng.uniform(0.9, 1.1),
        "rung": EPOCHS,
        "seed": 0,
        "error": round(error * VALIDATION_IMAGES) / VALIDATION_IMAGES,
        "loss": error * 3,
        "train_loss": error * 2.5,
        "seconds": seconds,
        "images_per_second": TRAIN_IMAGES * EPOCHS / seconds,
        "train_macs": 3.0 * cost.macs * TRAIN_IMAGES * EPOCHS,
        "finished_after": np.nan,
        "failure": "",
        "images": TRAIN_IMAGES,
        "zero_cost": None,
        "curve": _curve(error, rng),
    }


def _curve(error: float, rng: np.random.Generator) -> list[dict[str, float]]:
    errors = [error * (1 + 1.4 * (EPOCHS - e) / EPOCHS / e**0.5) for e in range(1, EPOCHS)]
    noisy = [*(min(0.9, e * rng.lognormal(0, 0.02)) for e in errors), error]
    return [
        {"epoch": e, "train_loss": 2.5 * v, "error": float(v), "loss": 3 * float(v)}
        for e, v in enumerate(noisy, start=1)
    ]
