"""Fingerprints of replays: two versions of the code that print the same ones search alike.

python studies/densenet-bench/fingerprints.py                          # the code beside this script
PYTHONPATH=OTHER_TREE python studies/densenet-bench/fingerprints.py    # that of another checkout

Each line is one replay of bench:fashion14: how many training segments it has, their compute, and a
hash of what was trained in which order (key, rung, MACs and virtual seconds of every segment). How
long proposals took is left out. Samplers work with floating-point numbers, so compare fingerprints
of one machine with one set of packages.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

SEEDS = 3
COMPUTE = {"known-cost": 5, "mo-asha": 20, "tpe": 20, "nsga2": 20, "random": 20}
"""By strategy, the full trainings of mean size that a replay may spend."""

COLUMNS = ["key", "rung", "train_macs", "seconds"]
TREE = Path(__file__).parents[2]


def main() -> None:
    """Prints a line for each replay."""
    os.environ.setdefault("PYTHONPATH", str(TREE))
    for sampler, compute in COMPUTE.items():
        rows = replayed(sampler, compute)
        for seed, own in rows.groupby("seed"):
            spent = own["train_macs"].sum()
            print(
                f"{sampler:<11} seed {seed}  {len(own):>4} segments  {spent:.6e} MACs  "
                f"{fingerprint(own)}",
                flush=True,
            )


def replayed(sampler: str, compute: float) -> pd.DataFrame:
    """Trajectories of one strategy, by ``dnsearch replay`` as a user types it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "dnsearch",
            "replay",
            "bench:fashion14",
            "--processes",
            "1",
        ]
        command += ["--samplers", sampler, "--seeds", str(SEEDS), "--compute", str(compute)]
        command += ["--free-proposals", "--name", "found", "--to", folder]
        # -m imports from the current folder first, so it must not be a checkout.
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return pd.read_parquet(Path(folder) / "found" / "trajectories.parquet")


def fingerprint(trajectory: pd.DataFrame) -> str:
    """A hash of the segments in their order."""
    rows = trajectory.sort_values("step")[COLUMNS].itertuples(index=False)
    lines = (f"{row.key} {row.rung} {row.train_macs!r} {row.seconds!r}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
