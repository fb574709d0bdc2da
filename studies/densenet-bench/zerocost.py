"""Do scores of a network at initialisation say which shapes are better? Do they help the surrogate?

python studies/densenet-bench/zerocost.py [bench:fashion14]

First, how the scores rank architectures by their mean final error. Then the test that decides: the
surrogate learns from some trainings of one seed each and predicts all other architectures, with
and without the scores among its features. It learns and is judged on those that constants may be
tuned on; the held-out fifth (see compare.py) is predicted by the same surrogates, and
shown apart. For comparison there are features of pure noise, since any feature has a price; and the
correlation of what is left of a score, when its linear trend in all present features is taken away,
with what the surrogate got wrong.
Intervals are of bootstraps over the architectures that are predicted.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context

import numpy as np
import torch
from agreement import averages_agreement, cost_baseline, rank_correlations
from compare import NAME, held_out
from noise import written

from dnsearch.analysis.trust import RESAMPLES, Interval, at_matched_cost
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.config import DataConfig
from dnsearch.cost.formula import costs
from dnsearch.data import DeviceData, prepare
from dnsearch.machine import cpu_cores
from dnsearch.replay.files import read_table
from dnsearch.replay.table import Table
from dnsearch.search.samplers.covariance import Rows
from dnsearch.search.samplers.features import Features
from dnsearch.search.samplers.hyperparameters import fit
from dnsearch.search.samplers.surrogate import Surrogate
from dnsearch.training.zerocost import (
    GRAD_NORM,
    JACOB_COV,
    NASWOT,
    SCORES,
    SNIP,
    SYNFLOW,
    one_batch,
    zero_cost_scores,
)

SEEDS = (0, 1)
"""Of initialisation; none is that of a recorded training, whose seed noise it would share."""

TRAINED, SPLITS = (20, 40, 80), 100

PRESENT, SIZES = "present features", "params, MACs alone"
WITHOUT = (PRESENT, SIZES)
"""Sets of features without scores; the sets behind one are compared with it."""

Scaling = Callable[[np.ndarray], np.ndarray]
SCALES: dict[str, Scaling] = {
    SYNFLOW: lambda score: score,  # a logarithm already
    NASWOT: lambda score: score,
    JACOB_COV: lambda score: -np.log(-score),  # below 0 always, as log v + 1/v is above
    SNIP: np.log,
    GRAD_NORM: np.log,
}
"""Chosen beforehand: features of the surrogate are logarithms."""


@dataclass(frozen=True)
class Question:
    """``columns`` by name (n, d), the features to learn from; ``errors`` (n, seeds) of single
    trainings, NaN where missing; ``pool`` (n,): what may be learnt from."""

    columns: dict[str, np.ndarray]
    errors: np.ndarray
    pool: np.ndarray


@dataclass(frozen=True)
class Fit:
    """How well some features let predict: ``squares`` (n,) and ``counts`` (n,) of errors of log
    error over splits; ``concordant`` and ``pairs`` (n, n) over splits, at matched cost."""

    squares: np.ndarray
    counts: np.ndarray
    concordant: np.ndarray
    pairs: np.ndarray

    def rmse(self, weights: np.ndarray) -> np.ndarray:
        """When architecture i counts ``weights[:, i]`` times, one for each row."""
        return np.sqrt(weights @ self.squares / (weights @ self.counts))

    def tau(self, weights: np.ndarray) -> np.ndarray:
        """Kendall's tau at matched cost, weighted in the same way."""
        both, all_ = (((weights @ m) * weights).sum(axis=1) for m in (self.concordant, self.pairs))
        return both / all_


@lru_cache(maxsize=1)
def batch(data: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of one batch of a study's data, given as JSON."""
    torch.set_num_threads(1)
    return one_batch(DeviceData(prepare(DataConfig.model_validate_json(data))))


def scored(arch: ArchConfig, data: str) -> tuple[np.ndarray, float]:
    """Scores (seeds, scores) of one architecture, NaN where unknown; seconds a seed."""
    images, labels = batch(data)
    started = time.perf_counter()
    found = [zero_cost_scores(arch, images, labels, seed) for seed in SEEDS]
    seconds = (time.perf_counter() - started) / len(SEEDS)
    known = [[each[name] for name in SCORES] for each in found]
    return np.array(known, dtype=np.float64), seconds  # None becomes NaN


def predicted(question: Question, trained: int, split: int) -> dict[str, np.ndarray]:
    """By the name of the features, log errors (n,), NaN where learnt from."""
    rng = np.random.default_rng([trained, split])
    rows = rng.choice(np.flatnonzero(question.pool), trained, replace=False)
    seeds = np.array([rng.choice(np.flatnonzero(np.isfinite(e))) for e in question.errors[rows]])
    value = np.log(question.errors[rows, seeds])
    number = np.arange(trained)
    found = {}
    for name, columns in question.columns.items():
        learnt = Rows(columns[rows], np.zeros(trained, np.intp), number, value)
        parameters = fit(learnt, np.random.default_rng(split))
        mean, _ = Surrogate(learnt, parameters).predict(columns)
        mean[rows] = np.nan
        found[name] = mean
    return found


def main(name: str = NAME) -> None:
    """Scores every architecture of a table and prints what the scores are worth."""
    table = read_table(name)
    archs = [table.archs[key] for key in table.truth.index]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as workers:
        data = itertools.repeat(table.study.data.model_dump_json())
        results = list(workers.map(scored, archs, data, chunksize=4))
        scores = np.array([scores for scores, _ in results])  # (n, seeds, scores)
        scaled = {name: SCALES[name](scores[:, :, i]) for i, name in enumerate(SCORES)}
        show_opening(table, scores, [seconds for _, seconds in results])
        show_ranking(table, scaled)
        question = asked(table, archs, scaled)
        for trained in TRAINED:
            same = itertools.repeat(question), itertools.repeat(trained)
            splits = list(workers.map(predicted, *same, range(SPLITS)))
            for words, judged in (("", question.pool), ("NEVER TUNED ON: ", ~question.pool)):
                print(
                    f"\n{words}{trained} trained, {SPLITS} splits, {judged.sum()} architectures "
                    "to predict"
                )
                show_predictions(table, splits, judged)
                show_left_over(table, question, splits, judged)


def asked(table: Table, archs: list[ArchConfig], scaled: dict[str, np.ndarray]) -> Question:
    """All sets of features that are compared."""
    arrays = ArchArrays.of(archs)
    present = Features(arrays, costs(arrays, *table.shape[1:])).points
    sizes = np.column_stack([standard(np.log(table.truth[c])) for c in ("params", "macs")])
    extra = {name: standard(np.nanmean(values, axis=1)) for name, values in scaled.items()}
    every = np.column_stack(list(extra.values()))
    columns = {PRESENT: present}
    columns |= {f"and {name}": np.column_stack([present, x]) for name, x in extra.items()}
    columns["and all five"] = np.column_stack([present, every])
    noise = standard(np.random.default_rng(0).standard_normal(every.shape))
    columns |= {
        "and one of noise": np.column_stack([present, noise[:, :1]]),
        "and five of noise": np.column_stack([present, noise]),
    }
    columns[SIZES] = sizes
    columns["params, MACs, all five"] = np.column_stack([sizes, every])
    pool = ~table.truth.index.isin(held_out(table))
    return Question(columns, table.replicates("error")[:, :, -1], pool)


def standard(values: np.ndarray) -> np.ndarray:
    """Mean 0, standard deviation 1; an unknown value is as the mean."""
    values = np.asarray(values, dtype=np.float64)
    return np.nan_to_num((values - np.nanmean(values)) / np.nanstd(values))


def show_opening(table: Table, scores: np.ndarray, seconds: list[float]) -> None:
    """What was scored, and how long it took."""
    data = table.study.data
    print(
        f"{table.name}: {len(scores)} architectures, {len(SEEDS)} initialisations each; one batch "
        f"of the recorded study's images ({data.format}, image_size {data.image_size})"
    )
    print(
        f"{np.mean(seconds):.3f} s an architecture and initialisation on one core, "
        f"{np.max(seconds):.3f} s the longest; {np.isnan(scores).sum()} scores unknown"
    )


def show_ranking(table: Table, scaled: dict[str, np.ndarray]) -> None:
    """Taus by row, over all architectures and at matched cost."""
    tops = table.replicates("error")[:, :, -1]
    truth = table.truth["error"].to_numpy()[:, None]
    macs, params = (np.log(table.truth[c].to_numpy(dtype=float)) for c in ("macs", "params"))
    signals = {name: standard(values.mean(axis=1)) for name, values in scaled.items()}
    signals |= {"params": standard(params), "MACs": standard(macs)}
    print("\nKendall's tau with the mean final error; positive: higher score, lower error")
    print(f"  {'':<32}{'all':<22}{'at equal MACs':<22}{'at equal params':<22}of other init")
    for name, signal in signals.items():
        rng = np.random.default_rng(0)
        at_macs, at_params = (
            cost_baseline(np.exp(signal), truth, cost, rng) for cost in (macs, params)
        )
        again = ""
        if name in scaled:
            one, other = (np.exp(standard(scaled[name][:, s])) for s in (0, 1))
            again = written(cost_baseline(one, 1 / other[:, None], macs, rng).matched)
        show_taus(name, [at_macs.overall, at_macs.matched, at_params.matched], again)
    rng = np.random.default_rng(0)
    for words, figure, rung in (
        (f"{table.rungs[0]} epoch, validation loss", "loss", 0),
        ("a full training (ceiling)", "error", -1),
    ):
        signal = table.replicates(figure)
        found = [rank_correlations(signal, tops, cost, rng)[rung] for cost in (macs, params)]
        show_taus(words, [found[0].overall, *(each.matched for each in found)])
    found = [averages_agreement(tops, cost, rng) for cost in (macs, params)]
    show_taus("mean of 2 by 2 others (ceiling)", [found[0].overall, *(f.matched for f in found)])
    print("  (single trainings are held against another seed's error, not against the mean)")


def show_taus(name: str, taus: list[Interval], more: str = "") -> None:
    """A line of taus with their intervals."""
    cells = "".join(f"{written(tau):<22}" for tau in taus)
    print(f"  {name:<32}{cells}{more}".rstrip())


def show_predictions(table: Table, splits: list[dict[str, np.ndarray]], judged: np.ndarray) -> None:
    """Each set of features against the one above it that lacks the scores."""
    print(
        f"  {'':<24}{'RMSE, %':<9}{'times without':<24}{'tau, equal MACs':<17}{'change':<26}"
        "change, equal params"
    )
    count = int(judged.sum())
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    weights = np.vstack([np.ones(count), drawn]).astype(np.float64)
    without: list[Fit] = []
    for name in splits[0]:
        logs = [split[name][judged] for split in splits]
        fits = [fitted(known[judged], logs) for known in matchings(table)]
        rmse, tau = fits[0].rmse(weights), fits[0].tau(weights)
        times = changed = also = ""
        if name in WITHOUT:
            without = fits
        else:
            times = with_interval(rmse / without[0].rmse(weights))
            changed = with_interval(tau - without[0].tau(weights), "+")
            also = with_interval(fits[1].tau(weights) - without[1].tau(weights), "+")
        cells = f"{100 * rmse[0]:<9.2f}{times:<24}{tau[0]:<17.3f}{changed:<26}{also}"
        print(f"  {name:<24}{cells}".rstrip())


def show_left_over(
    table: Table, question: Question, splits: list[dict[str, np.ndarray]], judged: np.ndarray
) -> None:
    """Whether a score knows anything that the surrogate without it does not."""
    present = question.columns[PRESENT]
    terms = np.column_stack([np.ones(len(present)), present])
    truth, macs = matchings(table)[0].T
    wrong = truth - np.nanmean([split[PRESENT] for split in splits], axis=0)
    found = []
    for name in SCORES:
        score = question.columns[f"and {name}"][:, -1]
        rest = standard(score - terms @ np.linalg.lstsq(terms, score, rcond=None)[0])
        signal, top = np.exp(rest[judged]), np.exp(wrong[judged])[:, None]
        tau = cost_baseline(signal, top, macs[judged], np.random.default_rng(0)).overall
        found.append(f"{name} {written(tau).strip()}")
    print(f"  tau of what is left of both: {', '.join(found)}")


def matchings(table: Table) -> list[np.ndarray]:
    """(n, 2) each: true log error and log cost, for MACs and for params."""
    truth = np.log(table.truth["error"].to_numpy(dtype=float))
    return [
        np.column_stack([truth, np.log(table.truth[cost].to_numpy(dtype=float))])
        for cost in ("macs", "params")
    ]


def fitted(known: np.ndarray, predictions: list[np.ndarray]) -> Fit:
    """``known`` (n, 2) of true log error and log cost; predictions (n,) a split."""
    truth, cost = known.T
    off = np.array(predictions) - truth  # (splits, n)
    concordant, pairs = np.zeros((2, len(truth), len(truth)))
    for prediction in predictions:
        unseen = np.where(np.isfinite(prediction), truth, np.nan)
        left, right = (at_matched_cost(np.exp(v), cost) for v in (prediction, unseen))
        order = np.sign(left[:, None] - left) * np.sign(right[:, None] - right)
        concordant += np.nan_to_num(order)
        pairs += np.isfinite(order) & ~np.eye(len(truth), dtype=bool)
    return Fit(np.nansum(off**2, axis=0), np.isfinite(off).sum(axis=0), concordant, pairs)


def with_interval(draws: np.ndarray, sign: str = "") -> str:
    """The first is the figure, the others are of the bootstrap over architectures."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return f"{draws[0]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


if __name__ == "__main__":
    main(*sys.argv[1:])
