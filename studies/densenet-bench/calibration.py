"""Do intervals and probabilities hold as often as they should? Tried on replayed searches.

python studies/densenet-bench/calibration.py [bench:fashion14]

A search is stopped after some trainings. What it then predicts of its candidates is compared with
their record, the mean error over the recorded seeds that the search was not shown. That mean has
seed noise too; noise of the size found in the table is added to the predicted draws, so that they
predict the record. How far off the predictions are without that noise is printed as well. The
decision to draw the surrogate's hyper-parameters was made on the architectures that constants may
be tuned on; those never tuned on, a fifth (see compare.py), have results of their own.
"""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from compare import NAME, held_out, only

from dnsearch.analysis.confidence import (
    best_probability,
    expected_opportunity_loss,
    front_probability,
)
from dnsearch.machine import cpu_cores
from dnsearch.replay.files import read_table
from dnsearch.replay.run import engine_of, problem_of
from dnsearch.replay.table import Table
from dnsearch.search.predictions import Predictions, predict_errors

IMAGES = 4000
"""That validate, of fashion-mnist-16k."""

SEARCHES, TRAININGS = 20, (15, 30, 60)
SAMPLERS = ("known-cost", "random")
LEVELS = (0.5, 0.7, 0.9)
BUDGETS = (0.25, 0.5, 1.0)
"""Quantiles of the candidates' MACs that "the best within a budget" is asked for."""

BINS = ((0.0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))


@dataclass(frozen=True)
class Found:
    """Predictions of one stopped search against the record, a row for each.

    ``keys`` are the candidates'. A bias is the log of an error over the recorded one. Pairs are
    what was predicted, and what the record says.
    """

    keys: np.ndarray  # (candidates,)
    inside: np.ndarray  # (candidates, levels): whether the record lies in each interval
    squares: np.ndarray  # (candidates, 2): variance of log error, predicted and found
    on_front: np.ndarray  # (candidates, 2): pairs of probabilities
    best: np.ndarray  # (candidates and budgets, 2): pairs of probabilities
    opportunity_loss: np.ndarray  # (budgets, 2): pairs of errors
    bias: np.ndarray  # (candidates, 2): of the measured error, of the predicted
    front: np.ndarray  # (measured front,): positions among the candidates
    least: np.ndarray  # (budgets,): position of the least measured error


def seed_noise_of(table: Table) -> float:
    """The standard deviation of log error over the seeds of one architecture."""
    errors = np.log(table.replicates("error")[:, :, -1])
    freedom = np.isfinite(errors).sum() - len(errors)
    return float(np.sqrt(np.nansum((errors - np.nanmean(errors, 1, keepdims=True)) ** 2) / freedom))


def stopped(table: Table, noise: float, sampler: str, seed: int, trainings: int) -> Found | None:
    """One search, stopped after so many trainings; ``noise`` is that of ``seed_noise_of``.

    None where too few trainings reached the top rung for predictions.
    """
    problem = problem_of(table)
    engine = engine_of(table, problem, sampler, seed, trainings)
    engine.run(lambda progress: None)
    store = engine.store
    predictions = predict_errors(store, problem.space, problem.model, problem.rungs, IMAGES, seed)
    if predictions is None:
        return None
    shown = {r.job.arch.key: r.score.error for r in store.records() if r.values}
    measured = np.array([shown[key] for key in predictions.keys], dtype=float)
    rows = table.truth.loc[list(predictions.keys)]
    others = rows["seeds"].to_numpy() - 1
    record = (rows["error"].to_numpy() * (others + 1) - measured) / others
    own = noise / np.sqrt(others)  # of the record
    rng = np.random.default_rng(seed)
    draws = predictions.draws * np.exp(own * rng.standard_normal(predictions.draws.shape))
    return against(record, own, draws, predictions, measured, rows[["macs"]].to_numpy(dtype=float))


def against(
    record: np.ndarray,
    noise: np.ndarray,
    draws: np.ndarray,
    predictions: Predictions,
    measured: np.ndarray,
    macs: np.ndarray,
) -> Found:
    """Predictions against the ``record`` (n,) of errors with its ``noise`` (n,).

    draws: of the record, (s, n). measured: what the search was shown, (n,). macs: (n, 1).
    """
    spans = [np.quantile(draws, [(1 - p) / 2, (1 + p) / 2], axis=0) for p in LEVELS]
    bias = np.log(np.stack([measured, predictions.error], axis=1) / record[:, None])
    found = [np.log(predictions.draws).var(axis=0), bias[:, 1] ** 2 - noise**2]
    both = (draws, record[None])
    best, losses, least = [], [], []
    for share in BUDGETS:
        allowed = macs[:, 0] <= np.quantile(macs, share)
        within = np.flatnonzero(allowed)
        chosen = int(within[predictions.error[within].argmin()])
        best.append(np.stack([best_probability(each, allowed) for each in both], axis=1)[allowed])
        losses.append([expected_opportunity_loss(each, allowed, chosen) for each in both])
        least.append(int(within[measured[within].argmin()]))
    return Found(
        keys=np.array(predictions.keys),
        inside=np.stack([(low <= record) & (record <= high) for low, high in spans], axis=1),
        squares=np.stack(found, axis=1),
        on_front=np.stack([front_probability(each, macs) for each in both], axis=1),
        best=np.concatenate(best),
        opportunity_loss=np.array(losses),
        bias=bias,
        front=np.flatnonzero(front_probability(measured[None], macs)),
        least=np.array(least),
    )


def main(name: str = NAME) -> None:
    """Replays all searches and prints how their predictions compare with the record."""
    whole = read_table(name)
    noise, held = seed_noise_of(whole), held_out(whole)
    print(f"seed noise: {noise:.2%} of the error")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        tuned = only(whole, [key for key in whole.archs if key not in held])
        parts = (("tuned on", tuned), ("never tuned on", only(whole, held)))
        for (words, table), sampler in itertools.product(parts, SAMPLERS):
            counts = [count for count in TRAININGS if count < len(table.truth)]
            tasks = list(itertools.product(range(SEARCHES), counts))
            same = (itertools.repeat(each) for each in (table, noise, sampler))
            every = pool.map(stopped, *same, *zip(*tasks, strict=True))
            found = [each for each in every if each is not None]
            print(
                f"\n{words}: {len(table.truth)} architectures, {sampler}, {len(found)} searches "
                f"stopped after {', '.join(map(str, counts))} trainings"
            )
            show(found)


def show(found: list[Found]) -> None:
    """Prints intervals, probabilities, opportunity loss and bias of all searches together."""
    keys = np.concatenate([each.keys for each in found])
    inside = np.concatenate([each.inside for each in found])
    shares = (f"{p:.0%}: {mean(inside[:, i], keys)}" for i, p in enumerate(LEVELS))
    print(
        f"  the record inside its interval, %   {', '.join(shares)}   ({len(inside):,} predictions)"
    )
    predicted, real = np.concatenate([each.squares for each in found]).mean(axis=0)
    wide = f"{np.sqrt(real / predicted):.2f}" if real > 0 else "no"
    print(f"  without the record's noise, misses are {wide} times as wide as predicted")
    for words, name in (("on the front", "on_front"), ("best within a budget", "best")):
        pairs = np.concatenate([getattr(each, name) for each in found])
        print(f"  {words}: predicted, and found true (predictions)")
        for low, high in BINS:
            some = (pairs[:, 0] >= low) & ((pairs[:, 0] < high) | (high == 1.0))
            if some.any():
                probability, true = pairs[some].mean(axis=0)
                print(f"    {probability:>6.1%} {true:>7.1%}   ({some.sum():,})")
    expected, real = np.concatenate([each.opportunity_loss for each in found]).mean(axis=0)
    loss = f"{100 * expected:.2f} points expected, {100 * real:.2f} found"
    print(f"  opportunity loss of the pick: {loss}")
    for words, name in (("measured front's errors", "front"), ("least error measured", "least")):
        rows = [(each.bias[getattr(each, name)], each.keys[getattr(each, name)]) for each in found]
        off, keys = (np.concatenate(column) for column in zip(*rows, strict=True))
        print(
            f"  % off the record, {words}: measured {mean(off[:, 0], keys, '+.2f')}, "
            f"predicted {mean(off[:, 1], keys, '+.2f')}"
        )


def mean(values: np.ndarray, keys: np.ndarray, form: str = ".1f") -> str:
    """In per cent, with a standard error that counts an architecture once, since different searches
    find the same ones, with the same record."""
    centre = values.mean()
    _, place = np.unique(keys, return_inverse=True)
    error = np.sqrt((np.bincount(place, values - centre) ** 2).sum()) / len(values)
    return f"{100 * centre:{form}} ± {100 * error:{form.removeprefix('+')}}"


if __name__ == "__main__":
    main(*sys.argv[1:])
