"""How much of a table's differences is seed noise, and what short trainings say of long ones.

python studies/densenet-bench/noise.py bench:fashion14          # or a run: reports/fashion14
python studies/densenet-bench/noise.py bench:fashion14 params   # matched by params, not by MACs
"""

from __future__ import annotations

import math
import sys

import numpy as np
from agreement import averages_agreement, cost_baseline, rank_correlations

from dnsearch.analysis.metrics import duration, metric
from dnsearch.analysis.trust import UNKNOWN, Agreement, Interval, Noise, seed_noise
from dnsearch.errors import ConfigError, DnsearchError, nearest
from dnsearch.replay.files import read_table
from dnsearch.replay.table import FIGURES, Table

COSTS = ("macs", "params", "activations")
SIGNALS = {"error": "validation error", "loss": "validation loss", "train_loss": "training loss"}
ENOUGH = 0.5
"""Tau at matched cost of two full trainings, below which seed noise hides which shape is better."""


def main(name: str, cost: str = "macs") -> None:
    """Prints all of it; raises ConfigError for an unknown cost."""
    if cost not in COSTS:
        raise ConfigError(
            "the cost", f"must be one of {', '.join(COSTS)}", cost, nearest(cost, COSTS)
        )
    table = read_table(name)
    word = metric(cost).short
    log_cost = np.log(table.truth[cost].to_numpy(dtype=np.float64))
    top = table.replicates("error")[:, :, -1]
    noise = seed_noise(top, log_cost)
    agreements = correlations(table, top, log_cost)
    print("\n".join([*opening(table), "", *spreads(table, noise, word), ""]))
    print("\n".join([*ranking(agreements, word), "", *verdict(table, agreements, noise, word)]))


def correlations(table: Table, top: np.ndarray, log_cost: np.ndarray) -> dict[str, Agreement]:
    """How well each signal of another seed, and each cost, ranks by the final error."""
    rng, found = np.random.default_rng(0), {}
    for figure in FIGURES:
        rungs = rank_correlations(table.replicates(figure), top, log_cost, rng)
        for rung, agreement in zip(table.rungs, rungs, strict=True):
            found[label(rung, figure)] = agreement
    found[averaged(table)] = averages_agreement(top, log_cost, rng)
    for cost in COSTS[:2]:
        baseline = cost_baseline(table.truth[cost], top, log_cost, rng)
        found[f"{metric(cost).short} alone"] = baseline
    return found


def averaged(table: Table) -> str:
    """The name of the agreement between means of half of the seeds."""
    half = int(table.truth["seeds"].max()) // 2
    return f"mean of {half} seeds, of {half} others"


def label(rung: int, figure: str) -> str:
    """The name of a signal."""
    return f"{rung} epoch{'s' * (rung > 1)}, {SIGNALS[figure]}"


def opening(table: Table) -> list[str]:
    """Lines on what was recorded, and what of it is left out."""
    failed = table.trainings.loc[table.trainings["failure"] != "", ["key", "seed"]]
    lines = [
        f"{table.name}: {len(table.truth):,} architectures trained for {table.rungs[-1]} epochs, "
        f"{counts(table)};",
        f"{table.images:,} images of {'x'.join(map(str, table.shape))}, "
        f"{table.classes} classes; {duration(table.seconds)} in all",
    ]
    if len(failed):
        lines.append(f"left out: {len(failed.drop_duplicates()):,} trainings that failed")
    rest = len(table.archs) - len(table.truth)
    if rest:
        lines.append(f"left out: {rest:,} architectures without a training to the top")
    return lines


def counts(table: Table) -> str:
    """How many seeds an architecture has, in words."""
    least, most = int(table.truth["seeds"].min()), int(table.truth["seeds"].max())
    number = str(most) if least == most else f"{least} to {most}"
    return f"{number} seed{'s' * (most > 1)} each"


def spreads(table: Table, noise: Noise, word: str) -> list[str]:
    """Lines on how far errors differ, by seed and by architecture."""
    error = float(table.truth["error"].median())

    def both(log_sd: float) -> str:
        if math.isnan(log_sd):
            return "unknown"
        return f"{100 * log_sd * error:.2f} points ({100 * log_sd:.1f} % of the error)"

    return [
        f"Standard deviations of the error (median {100 * error:.2f} %)",
        f"  {'between trainings of one architecture, seed by seed':<56}{both(noise.seed_log_sd)}",
        f"  {f'between architectures of equal {word}, as measured':<56}{both(noise.spread)}",
        f"  {'the same, with the seed noise taken out':<56}{both(noise.true_spread)}",
    ]


def ranking(agreements: dict[str, Agreement], word: str) -> list[str]:
    """Lines on how well each signal ranks."""
    matched = f"at equal {word}"
    return [
        "How well it ranks architectures by the final error of another seed: Kendall's tau,",
        "1 the same order, 0 no relation; in brackets the 95 % interval over architectures",
        f"  {'':<30}{'all architectures':<22}{matched}",
        *(
            f"  {name:<30}{written(agreement.overall):<22}{written(agreement.matched)}".rstrip()
            for name, agreement in agreements.items()
        ),
    ]


def written(tau: Interval) -> str:
    """A tau with its interval; a dash where it is unknown."""
    if math.isnan(tau.value):
        return "–"
    return f"{tau.value:5.2f} ({tau.low:.2f} to {tau.high:.2f})"


def verdict(table: Table, agreements: dict[str, Agreement], noise: Noise, word: str) -> list[str]:
    """Lines on what the table can show."""
    ceiling = agreements.get(label(table.rungs[-1], "error"), Agreement(UNKNOWN, UNKNOWN)).matched
    if math.isnan(ceiling.value):
        return ["Noise ceiling: unknown; it takes two seeds of five architectures or more."]
    lines = [
        f"Noise ceiling, how well full trainings rank those of another seed: tau at equal {word} "
        f"{written(ceiling).lstrip()}."
    ]
    means = agreements[averaged(table)].matched
    if not math.isnan(means.value):
        lines.append(f"Means of half of the seeds, by the others: {written(means).lstrip()}.")
        ceiling = means
    if ceiling.value >= ENOUGH:
        return [*lines, f"That is above {ENOUGH:.2f}: the table can show who finds better shapes."]
    needed = noise.trainings_for(ENOUGH)
    lines.append(f"That is below {ENOUGH:.2f}: the table can only show who spends less.")
    if math.isfinite(needed):
        lines.append(f"The mean of {needed:.0f} trainings an architecture would reach it.")
    return lines


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
