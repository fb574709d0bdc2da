"""What the surrogate's features tell of a shape: widths of blocks against growth rates and depths.

    python studies/densenet-bench/features.py

Predictions from a few recorded trainings are compared with what others scored:

- of a table the networks that are left, where 40 of any size were trained; and its most expensive
  quarter, where 40 of the cheaper half and three of that quarter were,
- of the networks that studies/proof/proof.py has compared at 10 M MACs, from the trainings of a
  search there (studies/proof/10M-deep-search.parquet) that knew none of them but its answer.

Printed are the mean log likelihood, and of the log errors the scatter of what was predicted too
high or too low, the rank correlation, and the mean square of standardised residuals (1 where
standard deviations are right): means of several draws of what was trained.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from scipy.stats import spearmanr

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.space import Points
from dnsearch.arrays import Floats, Indices
from dnsearch.cost.formula import CostArrays, costs
from dnsearch.replay.files import load_table, read_table
from dnsearch.replay.run import problem_of
from dnsearch.replay.table import Table
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.samplers import features
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.covariance import Rows
from dnsearch.search.samplers.features import Features
from dnsearch.search.samplers.hyperparameters import sample
from dnsearch.search.samplers.learner import signal
from dnsearch.search.samplers.surrogate import Surrogate

TABLES = ("bench:fashion14", "bench:fashion14-growth", "bench:cifar16")
SEARCH = Path("studies/proof/10M-deep-search.parquet")
PROOFS = ("10M", "10M-deep-before-stems", "10M-deep-before-widths")
DRAWS, TRAINED, FEW, SETTINGS = 6, 40, 3, 12
SEED_NOISE = 0.022
"""Of log error in the proof, as its search has it."""

RawFeatures = Callable[[ArchArrays, CostArrays], dict[str, Floats]]
by_widths = features.raw_features


def by_rates_and_depths(archs: ArchArrays, cost: CostArrays) -> dict[str, Floats]:
    """The features as they were before."""
    known = by_widths(archs, cost)
    columns = {name: values for name, values in known.items() if not name.startswith("width")}
    blocks, growth = archs.block_config.astype(float), np.log(np.maximum(archs.growth_rate, 1))
    present, layers = np.where(blocks > 0, 1.0, 0.0), blocks.sum(axis=1)
    columns |= {"layers": np.log(layers), "growth": (growth * blocks).sum(axis=1) / layers}
    for block in range(1, blocks.shape[1]):
        rise = growth[:, block] - growth[:, block - 1]
        columns[f"layers {block}"] = blocks[:, block] / layers
        columns[f"rise {block}"] = present[:, block] * rise
    return columns


FEATURES: Mapping[str, RawFeatures] = {"rates": by_rates_and_depths, "widths": by_widths}


class Judged(NamedTuple):
    """How good predictions of some log errors were."""

    likelihood: float
    scatter: float
    rank: float
    squares: float


def main() -> None:
    """Prints a line for each question and set of features."""
    heads = "log likelihood", "scatter, %", "rank", "squares"
    print(f"{'':40}{'features':>10}" + "".join(f"{head:>16}" for head in heads))
    for table in map(read_table, TABLES):
        for words, split in (("of any size", of_any_size), ("the largest", the_largest)):
            for name, raw in FEATURES.items():
                with patch.object(features, "raw_features", raw):
                    found = [on_table(table, split, draw) for draw in range(DRAWS)]
                show(f"{table.name}, {words}", name, found)
    for name, raw in FEATURES.items():
        with patch.object(features, "raw_features", raw):
            show("the proof at 10 M MACs", name, [on_proof(draw) for draw in range(DRAWS)])


def show(words: str, name: str, found: Sequence[Judged]) -> None:
    likelihood, scatter, rank, squares = np.mean(found, axis=0)
    cells = f"{likelihood:.2f}", f"{100 * scatter:.1f}", f"{rank:.2f}", f"{squares:.2f}"
    print(f"{words:40}{name:>10}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def of_any_size(macs: Floats, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Places of networks to train, and of those to predict."""
    trained = rng.choice(len(macs), TRAINED, replace=False)
    return trained, np.setdiff1d(np.arange(len(macs)), trained)


def the_largest(macs: Floats, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """The same: the most expensive quarter, where hardly any of these is trained."""
    small = np.flatnonzero(macs < np.median(macs))
    large = np.flatnonzero(macs > np.quantile(macs, 0.75))
    few = rng.choice(large, FEW, replace=False)
    trained = np.append(rng.choice(small, TRAINED, replace=False), few)
    return trained, np.setdiff1d(large, few)


def on_table(
    table: Table,
    split: Callable[[Floats, np.random.Generator], tuple[Indices, Indices]],
    draw: int,
) -> Judged:
    """One draw of what is trained."""
    points = problem_of(table).points
    points = points.take(np.flatnonzero([arch.key in table.truth.index for arch in points]))
    archs, keys = points.arrays(), [arch.key for arch in points]
    cost = costs(archs, *table.shape[1:])
    scaled = Features(archs, cost)
    trained, asked = split(cost.macs.astype(float), np.random.default_rng(draw))
    rows = rows_of(table, [keys[at] for at in trained], scaled.points[trained], scaled)
    truth = table.truth.loc[[keys[at] for at in asked]]
    return judged(
        rows, len(table.rungs), scaled.points[asked], truth["error"], truth["seeds"], draw
    )


def on_proof(draw: int) -> Judged:
    """Of the networks that the proof has compared."""
    table, points, known = searched()
    scaled = Features(points.arrays(), known)
    archs = ArchArrays.of(list(table.archs.values()))
    own = scaled.of(archs, costs(archs, *table.shape[1:]))
    rows = rows_of(table, list(table.archs), own, scaled)
    errors: dict[str, dict[int, float]] = {}
    for proof in PROOFS:
        for each in json.loads(Path(f"reports/proof/{proof}.json").read_text())["trainings"]:
            network = json.dumps(each["network"], sort_keys=True)
            errors.setdefault(network, {})[each["seed"]] = each["validation"]
    others = ArchArrays.of([ArchConfig.from_dict(json.loads(network)) for network in errors])
    means = np.array([np.mean(list(each.values())) for each in errors.values()])
    seeds = np.array([len(each) for each in errors.values()])
    asked = scaled.of(others, costs(others, *table.shape[1:]))
    return judged(rows, len(table.rungs), asked, means, seeds, draw, SEED_NOISE)


@functools.cache
def searched() -> tuple[Table, Points, CostArrays]:
    """The search, and the networks of its space with their costs."""
    table = load_table(SEARCH)
    space = table.study.space.build(table.shape[0], table.classes)
    model = CostModel.of(table.study, table.shape, 4)
    return table, *feasible_points(space, model, np.random.default_rng(0))


def rows_of(table: Table, keys: Sequence[str], own: Floats, scaled: Features) -> Rows:
    """What one training of each of these networks has scored, whose features are ``own``."""
    found = []
    for place, key in enumerate(keys):
        first = next(iter(table.scores.get(key, {}).values()), {})
        for level, rung in enumerate([table.rungs[-1], *table.rungs[:-1]]):
            if rung in first:
                found.append((place, level, _value(first[rung], level)))
    place, level, value = (np.array(column) for column in zip(*found, strict=True))
    return Rows(own[place], level, place, value, scaled.trend)


def _value(score: Any, level: int) -> float:
    if not level:
        return float(np.log(score.error))
    return signal({name: getattr(score, name) for name in ("error", "loss", "train_loss")})


def judged(
    rows: Rows,
    levels: int,
    asked: Floats,
    errors: Any,
    seeds: Any,
    draw: int,
    noise: float | None = None,
) -> Judged:
    """Predictions of networks with these features, of mean ``errors`` over ``seeds``, compared."""
    truth = np.log(np.asarray(errors, float))
    settings = list(sample(rows, np.random.default_rng(draw), levels, SETTINGS))
    predicted = [Surrogate(rows, setting).predict(asked) for setting in settings]
    means, deviations = (np.array(column) for column in zip(*predicted, strict=True))
    noise = float(np.mean([each.noise[0] for each in settings])) if noise is None else noise
    variance = (deviations**2).mean(axis=0) + means.var(axis=0) + noise**2 / np.asarray(seeds)
    residual = truth - means.mean(axis=0)
    likelihood = -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance))
    rank = float(spearmanr(means.mean(axis=0), truth)[0])  # pyright: ignore
    return Judged(
        float(likelihood.mean()),
        float(residual.std()),
        rank,
        float((residual**2 / variance).mean()),
    )


if __name__ == "__main__":
    with one_thread():
        main()
