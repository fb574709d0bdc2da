"""What a growth rate that rises from block to block is worth at equal MACs, on recorded trainings.

python studies/densenet-bench/growth.py bench:fashion14-growth

Errors are compared at equal MACs: what is left of their logarithm after a quadratic in log MACs.
The best network of each kind and size is chosen by some seeds and measured by the others, so that
luck is not counted.
"""

from __future__ import annotations

import sys

import numpy as np

from dnsearch.arrays import Floats
from dnsearch.errors import DnsearchError
from dnsearch.replay.files import read_table
from dnsearch.replay.table import Table

BANDS = 4
"""Of MACs, with as many networks each."""


def main(name: str) -> None:
    """Prints both comparisons."""
    table = read_table(name)
    archs = [table.archs[key] for key in table.truth.index]
    macs = np.log(table.truth["macs"].to_numpy(np.float64))
    error = np.log(table.truth["error"].to_numpy())
    left = error - np.polyval(np.polyfit(macs, error, 2), macs)
    rise = np.array([_rise(arch.growth_rates, arch.pools) for arch in archs])
    print(f"{table.name}: {len(archs)} networks, error at equal MACs by the growth rate's ratio")
    for kind in np.unique(rise):
        some = left[rise == kind]
        error_of_mean = some.std(ddof=1) / np.sqrt(len(some)) if len(some) > 1 else np.nan
        print(
            f"  {kind:>4.1f}  {100 * np.expm1(some.mean()):+5.1f} ± {100 * error_of_mean:.1f} %  "
            f"({len(some)} networks)"
        )
    print("error of the best of each kind, chosen by some seeds and measured by the others")
    edges = np.quantile(macs, np.linspace(0, 1, BANDS + 1))
    band = np.clip(np.searchsorted(edges, macs, side="right") - 1, 0, BANDS - 1)
    for each in range(BANDS):
        alike, rising = (_best(table, (band == each) & kind) for kind in (rise == 1, rise > 1))
        print(
            f"  {np.exp(edges[each]) / 1e3:>5.0f} to {np.exp(edges[each + 1]) / 1e3:>5.0f} k MACs: "
            f"{100 * alike:5.2f} % the same everywhere, {100 * rising:5.2f} % rising "
            f"({100 * (rising / alike - 1):+.1f} %)"
        )


def _rise(rates: tuple[int, ...], pools: tuple[bool, ...]) -> float:
    """The mean ratio of the growth rate from one resolution to the next, in tenths of halves."""
    return round(2 * (rates[-1] / rates[0]) ** (1 / max(1, sum(pools)))) / 2


def _best(table: Table, chosen: np.ndarray) -> float:
    """The mean over the ways to choose by all seeds but one, measured by that one; NaN for none."""
    errors: Floats = table.replicates("error")[chosen, :, -1]
    errors = errors[np.isfinite(errors).all(axis=1)]
    if not len(errors):
        return float("nan")
    seeds = range(errors.shape[1])
    picks = [np.delete(errors, seed, axis=1).mean(axis=1).argmin() for seed in seeds]
    return float(np.mean([errors[pick, seed] for seed, pick in zip(seeds, picks, strict=True)]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
