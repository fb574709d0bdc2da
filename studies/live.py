"""The quickstart study searched live: known-cost against tpe and random, equal wall-clock time.

python studies/live.py reports/live 60s       # a quarter of an hour; interrupted, it goes on

Runs go round by round, so that a machine that slows down slows all of them. Printed is what each
found at the end: its hypervolume on the study's axis, against the study's reference point.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from dnsearch.analysis.candidates import figures, finished
from dnsearch.analysis.pareto import hypervolume
from dnsearch.config import StudyConfig, load_study
from dnsearch.config.values import parse_seconds
from dnsearch.errors import DnsearchError
from dnsearch.rundir import RunDir
from dnsearch.search.engine import INTERRUPTED
from dnsearch.search.results import read_results
from dnsearch.search.session import search

SAMPLERS, SEEDS = ("known-cost", "tpe", "random"), 5
MANY = 10_000  # trials: time is what ends a search


def main(folder: Path, seconds: float) -> None:
    """Searches with every sampler and seed, and prints what each found."""
    study = load_study(Path(__file__).parent / "quickstart.toml")
    found = {sampler: [] for sampler in SAMPLERS}
    for seed in range(SEEDS):
        for sampler in SAMPLERS:
            run = RunDir(folder / f"{sampler}-{seed}")
            share, trainings, best = searched(study, sampler, seed, seconds, run)
            found[sampler].append(share)
            print(
                f"seed {seed}  {sampler:<11} hypervolume {share:.4f}  {trainings:>3} trainings  "
                f"least error {best:.2%}",
                flush=True,
            )
    print(f"\n{SEEDS} searches of {seconds:g} s each; hypervolume, mean and standard deviation:")
    for sampler, values in found.items():
        print(f"  {sampler:<11} {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
    for sampler in SAMPLERS[1:]:
        won = np.sum(np.array(found[SAMPLERS[0]]) > np.array(found[sampler]))
        print(f"  known-cost found more than {sampler} in {won} of {SEEDS} seeds")


def searched(
    study: StudyConfig, sampler: str, seed: int, seconds: float, run: RunDir
) -> tuple[float, int, float]:
    """Hypervolume, trainings and least error of one search; it goes on where it was."""
    changes = {"sampler": sampler, "seed": seed, "time": seconds, "trials": MANY}
    study = study.model_copy(update={"search": study.search.model_copy(update=changes)})
    run.path.mkdir(parents=True, exist_ok=True)
    if search(study, run, lambda opened: None, lambda progress: None) == INTERRUPTED:
        sys.exit("interrupted; the same command goes on")
    results = read_results(run)
    done = finished(results.measured)
    reference = list(results.reference().values())
    values = np.column_stack([figures(done, name) for name in ("error", *study.objectives.costs)])
    volume = hypervolume(values, reference, study.objectives.axis)
    return volume, len(results.measured), min((each.error for each in done), default=math.nan)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), parse_seconds(sys.argv[2]))
    except DnsearchError as error:
        sys.exit(f"error: {error}")
