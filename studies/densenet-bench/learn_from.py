"""What an earlier run is worth to a new search, as one more rung of known-cost's surrogate.

python studies/densenet-bench/learn_from.py bench:fashion14-growth bench:fashion14
python studies/densenet-bench/learn_from.py bench:fashion14 RUN reversed    # misleading on purpose

The first is searched, the second (a run or a table) is the earlier run. Its errors, of at most
``MOST`` architectures in the mean over seeds, are a level of their own beside the rungs: its
relation to the top rung, and how far it differs, are learnt as those of a rung are. Misleading on
purpose are an earlier run that is ``reversed`` (the logarithms of its errors are mirrored, so that
larger networks are worse) and one that is ``shuffled`` (what sizes do not explain is dealt to other
architectures). It is no setting of a study, since it does not pay everywhere (docs/log.md).

Prints the median compute, in full trainings of mean size, with and without it, and the geometric
mean of the ratio over replays with the same seed, with its standard error.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pandas as pd
from compare import COMPUTE, SEEDS, tight

from dnsearch.analysis.pareto import Axis
from dnsearch.arch.config import ArchArrays
from dnsearch.arrays import Floats
from dnsearch.cost.formula import CostArrays, costs
from dnsearch.errors import DnsearchError
from dnsearch.replay.comparison import BASELINE, Comparison, compare
from dnsearch.replay.files import read_table
from dnsearch.replay.measures import AXES
from dnsearch.replay.run import problem_of, replay
from dnsearch.replay.table import Table
from dnsearch.report.strategies import amount
from dnsearch.search.samplers import hyperparameters
from dnsearch.search.samplers.covariance import Rows
from dnsearch.search.samplers.history import Outcome
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.surrogate import Surrogate

MOST = 100
LEVELS = (0.95, 0.99)
MISLEADING = ("reversed", "shuffled")


@dataclass(frozen=True)
class Earlier:
    """Architectures (n), their costs on the earlier run's images, and log errors (n,)."""

    archs: ArchArrays
    cost: CostArrays
    value: Floats

    @classmethod
    def of(cls, table: Table, misleading: str | None) -> Earlier:
        """A random part of a table, as it is or misleading."""
        rng, trained = np.random.default_rng(0), set(table.truth.index)
        keys = [arch.key for arch in problem_of(table).points if arch.key in trained]
        rng.shuffle(keys)
        keys = keys[:MOST]
        archs = ArchArrays.of([table.archs[key] for key in keys])
        cost = costs(archs, *table.shape[1:])
        value = np.log(table.truth.loc[keys, "error"].to_numpy())
        if misleading == "reversed":
            value = 2 * value.mean() - value
        elif misleading == "shuffled":
            sizes = np.column_stack([np.ones(len(keys)), np.log(cost.params), np.log(cost.macs)])
            expected = sizes @ np.linalg.lstsq(sizes, value)[0]
            value = expected + np.random.default_rng(1).permutation(value - expected)
        return cls(archs, cost, value)

    @contextlib.contextmanager
    def known(self) -> Iterator[None]:
        """Within, every surrogate of errors has these as the level behind the lower rungs."""
        measured, count = Learner.error_rows, len(self.value)

        def error_rows(learner: Learner, outcomes: Sequence[Outcome]) -> Rows:
            rows = measured(learner, outcomes)
            others = 1 + rows.training.max() + np.arange(count)
            return Rows(
                np.vstack([rows.features, learner.features.of(self.archs, self.cost)]),
                np.concatenate([rows.level, np.full(count, len(learner.rungs))]),
                np.concatenate([rows.training, others]),
                np.concatenate([rows.value, self.value]),
                rows.trend,
            )

        def errors(learner: Learner, finished: Sequence[Outcome]) -> Surrogate:
            levels = len(learner.rungs) + 1
            return learner._posterior("error", finished, learner.error_rows, levels)

        most = hyperparameters.MOST_FITTED + count
        with (
            patch.object(Learner, "error_rows", error_rows),
            patch.object(Learner, "errors", errors),
            patch.object(hyperparameters, "MOST_FITTED", most),
        ):
            yield


def replayed(table: Table) -> Comparison:
    """All replays of known-cost, as it is now."""
    rows = pd.concat([replay(table, BASELINE, seed, COMPUTE) for seed in range(SEEDS)])
    return compare(table, rows, (BASELINE,), range(SEEDS), COMPUTE)


def needed(found: Comparison, axis: Axis, level: float) -> Floats:
    """Log compute of each replay to a level, (seeds,); all that it spent if it never got there."""
    spent = []
    for each in found.replays[BASELINE]:
        there = np.flatnonzero(each.shares[axis] >= level - 1e-12)
        spent.append(each.compute[there[0]] if len(there) else each.spent)
    return np.log(spent)


def main(target: str, source: str, misleading: str | None = None) -> None:
    """Prints both references."""
    whole, earlier = read_table(target), Earlier.of(read_table(source), misleading)
    print(f"{target}, learnt from {len(earlier.value)} of {source} {misleading or ''}")
    for words, table in (("default reference", whole), ("tight reference", tight(whole))):
        with earlier.known():
            after = replayed(table)
        before = replayed(table)
        print(f"  {words}: without, with, ratio")
        for axis in AXES:
            for level in LEVELS:
                ratio = needed(after, axis, level) - needed(before, axis, level)
                figures = [amount(f.needed[BASELINE, axis, level], ">") for f in (before, after)]
                factor, error = np.exp(ratio.mean()), ratio.std(ddof=1) / np.sqrt(SEEDS)
                print(
                    f"    {axis:<8}{level:.0%}{figures[0]:>8}{figures[1]:>8}"
                    f"{factor:>8.2f} ± {factor * error:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[3:] not in ([], *([name] for name in MISLEADING)):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
