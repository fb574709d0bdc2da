"""Candidates an hour on one machine: by one worker that takes all cores, by one a core, and by Ray.

    python studies/scale/workers.py [--trials 24] [--rounds 3]

The quickstart, searched anew each time, in turns. Each candidate is another training, so what is
compared is multiply-adds of training an hour of search, and how often a training ended. Writes
reports/scale/workers.txt.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from dnsearch.files import write_text
from dnsearch.machine import cpu_cores
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results

WAYS = {
    "one worker, all cores": ["--workers", "1"],
    "a worker for each core": ["--workers", str(cpu_cores())],
    "the same by Ray": ["--engine", "ray", "--address", "local"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paces: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, words in WAYS.items():
            paces[name].append(pace(words, options.trials))
    lines = [
        f"quickstart, {options.trials} trials, medians of {options.rounds}; {cpu_cores()} cores",
        f"{'':>24} {'G MACs/s':>9} {'trainings an hour':>18} {'ratio of MACs/s by round':>28}",
    ]
    first = [macs for macs, _ in paces[next(iter(WAYS))]]
    for name, found in paces.items():
        macs, trainings = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = ", ".join(f"{m / f:.2f}" for (m, _), f in zip(found, first, strict=True))
        lines.append(f"{name:>24} {macs / 1e9:9.2f} {trainings:18,.0f} {ratios:>28}")
    text = "\n".join(lines) + "\n"
    write_text(Path("reports/scale/workers.txt"), text)
    print(text, end="")


def pace(words: list[str], trials: int) -> tuple[float, float]:
    """Multiply-adds of training a second of search, and trainings an hour."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dnsearch", "run", "--name", "run", "--to", folder]
        command += ["--trials", str(trials), "--quiet", *words]
        subprocess.run(command, check=True, capture_output=True)
        found = read_results(RunDir(Path(folder, "run")))
        macs = sum(candidate.train_macs for candidate in found.measured)
        return macs / found.seconds, 3600 * len(found.measured) / found.seconds


if __name__ == "__main__":
    main()
