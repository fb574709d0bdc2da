"""Did the kernels change what is learnt? The first half of a run's seeds against the second.

python studies/densenet-bench/halves.py reports/fashion14

Of bench:fashion14 the first two trainings of an architecture were done with torch's modules, the
others with the C++ kernels: the mean difference over architectures, with its standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dnsearch.analysis.candidates import Candidate, figures, finished
from dnsearch.errors import DnsearchError
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results

FIRST = 2


def main(run: str) -> None:
    """Prints the difference of each figure."""
    halves = split(finished(read_results(RunDir(Path(run))).measured))
    if len(halves) < 2:
        sys.exit(f"error: {run}: fewer than two architectures were trained {2 * FIRST} times")
    for figure, unit in (("error", 100), ("loss", 1), ("train_loss", 1)):
        means = [[figures(half, figure).mean() for half in pair] for pair in halves]
        apart = unit * np.diff(means, axis=1)[:, 0]
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        print(f"{figure:<11}{apart.mean():+.4f} ± {error:.4f}   ({len(apart)} architectures)")


def split(candidates: list[Candidate]) -> list[tuple[list[Candidate], list[Candidate]]]:
    """The first and the other trainings of each architecture that has as many of both."""
    trainings: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda each: each.finished_after):
        trainings.setdefault(candidate.key, []).append(candidate)
    return [(own[:FIRST], own[FIRST:]) for own in trainings.values() if len(own) == 2 * FIRST]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
