"""Did the kernels change what is learnt? The first half of a run's seeds against the second.

python studies/densenet-bench/halves.py reports/fashion14

Of bench:fashion14 the first two trainings of an architecture were done with torch's modules, the
others with the C++ kernels: the mean difference over architectures, with its standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results

FIRST = 2


def main(run: str) -> None:
    found = read_results(RunDir(Path(run))).candidates
    found = found[found["state"] == "finished"].sort_values("finished_after")
    place = found.groupby("key").cumcount()
    for figure, unit in (("error", 100), ("loss", 1), ("train_loss", 1)):
        before = found[place < FIRST].groupby("key")[figure].mean()
        after = found[place >= FIRST].groupby("key")[figure].agg(["mean", "size"])
        after = after.loc[after["size"] == FIRST, "mean"]
        apart = unit * (after - before.loc[after.index])
        error = apart.std() / np.sqrt(len(apart))
        print(f"{figure:<11}{apart.mean():+.4f} ± {error:.4f}   ({len(apart)} architectures)")


if __name__ == "__main__":
    main(*sys.argv[1:])
