"""Invented recordings and replays for tests of what is shown: no training, no sampler.

Strategies differ in how fast they turn from a random order to the best architectures first.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from dnsearch.analysis.pareto import nondominated
from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import cost_of
from dnsearch.replay.measures import COLUMNS
from dnsearch.replay.table import Table

SHAPE, CLASSES, IMAGES, RUNGS = (1, 14, 14), 10, 8000, (1, 3, 9)
SKILL = {
    "known-cost": 0.97, "frontier": 0.9, "gp": 0.85, "mo-asha": 0.7, "tpe": 0.6, "nsga2": 0.3,
    "stratified": 0.1, "random": 0.0,
}  # fmt: skip
SPACE = {"growth_rate": [2, 4, 6, 8, 12, 16], "block_config": [[1, 2, 4]] * 3, "bn_size": [0]}


def table(name: str = "invented", rungs: tuple[int, ...] = RUNGS, seed: int = 0) -> Table:
    """162 architectures with two recorded seeds each."""
    rng = np.random.default_rng(seed)
    depths = itertools.product(SPACE["block_config"][0], repeat=3)
    archs = [
        ArchConfig(
            growth, depth, 2 * growth, bn_size=0, stem="cifar", in_channels=1, num_classes=10
        )
        for growth, depth in itertools.product(SPACE["growth_rate"], depths)
    ]
    rows = [row for arch in archs for row in _trainings(arch, rungs, rng)]
    return Table(
        name=name,
        study=StudyConfig.model_validate({"space": SPACE, "training": {"rungs": rungs}}),
        shape=SHAPE,
        classes=CLASSES,
        images=IMAGES,
        rungs=rungs,
        archs={arch.key: arch for arch in archs},
        trainings=pd.DataFrame(rows),
        seconds=7000.0,
    )


def _trainings(arch: ArchConfig, rungs: tuple[int, ...], rng: np.random.Generator) -> list[dict]:
    macs = cost_of(arch, *SHAPE[1:]).macs
    law = (0.07 + 0.12 * (macs / 1e5) ** -0.4) * rng.lognormal(0, 0.08)
    return [
        {
            "key": arch.key,
            "seed": seed,
            "rung": rung,
            "error": law * (rungs[-1] / rung) ** 0.3 * rng.lognormal(0, 0.02),
            "loss": 3 * law,
            "train_loss": 2 * law,
            "seconds": rung * macs / 1e5,
            "failure": "",
        }
        for seed in range(2)
        for rung in rungs
    ]


def trajectories(
    recorded: Table, samplers: list[str], seeds: int, compute: float = 60.0
) -> pd.DataFrame:
    """Replays that end when they have spent this many full trainings of mean size."""
    budget = compute * 3 * recorded.truth["macs"].mean() * recorded.images * recorded.rungs[-1]
    parts = [
        _replay(recorded, sampler, seed, budget) for sampler in samplers for seed in range(seeds)
    ]
    return pd.concat([pd.DataFrame(columns=list(COLUMNS)), *parts], ignore_index=True)


def _replay(recorded: Table, sampler: str, seed: int, budget: float) -> pd.DataFrame:
    rng = np.random.default_rng([seed, *sampler.encode()])
    truth, rungs = recorded.truth, recorded.rungs
    front = nondominated(truth[["error", "macs"]])
    luck = rng.random(len(truth)) - SKILL[sampler] * (front | (truth["macs"] < 1e5))
    path = rungs if sampler == "mo-asha" else rungs[-1:]
    rows, spent = [], 0.0
    for key, macs in truth["macs"].iloc[np.argsort(luck)].items():
        for before, rung in itertools.pairwise((0, *path)):
            if spent >= budget:
                return pd.DataFrame(rows, columns=list(COLUMNS))
            own = 3 * macs * recorded.images * (rung - before)
            spent += own
            asked = rng.exponential(0.02)
            rows.append((sampler, seed, len(rows), key, rung, own, spent / 1e9, asked, 0.8))
            if rung < rungs[-1] and rng.random() < 0.5:
                break
    return pd.DataFrame(rows, columns=list(COLUMNS))
