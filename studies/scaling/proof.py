"""Puts `dnsearch scale` to the proof: trains the networks that it predicts at 4 and 8 times the
MACs of all it has seen, and the published ones of as many MACs, by the same recipe.

    dnsearch run studies/scaling/fashion14.toml --scaling
    dnsearch scale fashion14-scaling
    python studies/scaling/proof.py

Writes reports/scaling/: prediction.json is what `scale` wrote, before any of these was trained.
Takes most of an hour on two CPU cores; typed again it goes on, and trains nothing twice.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dnsearch.arch.presets import PRESETS
from dnsearch.cost.formula import cost_of

RUN = Path("reports/fashion14-scaling")
PROOF = Path("reports/scaling")
TIMES, SEEDS, EPOCHS, SIDE = (4, 8), 3, 9, 14
SAME_COST = 1.15
"""Factor in MACs within which a published network is compared."""


def main() -> None:
    PROOF.mkdir(parents=True, exist_ok=True)
    prediction = PROOF / "prediction.json"
    if not prediction.exists():
        shutil.copy(RUN / "scaling.json", prediction)
        for times in TIMES:
            shutil.copy(RUN / f"scaling/x{times}.json", PROOF)
    told = json.loads(prediction.read_text())
    nets = {f"x{times}": str(PROOF / f"x{times}.json") for times in TIMES}
    macs = {f"x{each['times']:g}": each["macs"] for each in told["next"]}
    for name, arch in PRESETS.items():
        if arch.stem == "cifar":
            cost = cost_of(arch.replace(in_channels=1), SIDE, SIDE).macs
            if any(1 / SAME_COST < cost / macs[n] < SAME_COST for n in nets if n in macs):
                nets[name], macs[name] = name, cost
    jobs = [(name, seed) for seed in range(SEEDS) for name in nets]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda job: train(nets[job[0]], *job), jobs))
    errors: dict[str, list[dict[str, Any]]] = {}
    for (name, _), result in zip(jobs, found, strict=True):
        errors.setdefault(name, []).append(result)
    rows = [row(name, results, macs[name], told) for name, results in errors.items()]
    (PROOF / "found.json").write_text(json.dumps(rows, indent=2) + "\n")
    table(rows)


def train(network: str, name: str, seed: int) -> dict[str, Any]:
    """One full training by the command that a user would type."""
    folder = f"proof-{name}-{seed}"
    command = [sys.executable, "-m", "dnsearch", "train", network, "--study", RUN / "study.toml"]
    command += ["--epochs", EPOCHS, "--seed", seed, "--threads", 1, "--name", folder]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    result = json.loads(Path("reports", folder, "result.json").read_text())
    return {split: result[split]["error"] for split in ("validation", "test")}


def row(
    name: str, results: list[dict[str, Any]], macs: int, told: dict[str, Any]
) -> dict[str, Any]:
    """What was predicted and found of a network, errors in percent."""
    validation = [100 * result["validation"] for result in results]
    next_ = {f"x{each['times']:g}": each for each in told["next"]}
    expected = (next_.get(name) or {}).get("error")
    return {
        "network": name,
        "macs": macs,
        "predicted": expected and {end: 100 * value for end, value in expected.items()},
        "validation_errors": validation,
        "test_errors": [100 * result["test"] for result in results],
        "mean": statistics.mean(validation),
        "sd": statistics.stdev(validation) if len(validation) > 1 else None,
    }


def table(rows: list[dict[str, Any]]) -> None:
    print(
        f"{'network':20s} {'M MACs':>7s} {'predicted':>22s} {'found':>14s} {'off':>7s} {'test':>6s}"
    )
    for each in rows:
        predicted, off = "", ""
        if each["predicted"]:
            value, low, high = (each["predicted"][end] for end in ("value", "low", "high"))
            predicted = f"{value:.2f} ({low:.2f} to {high:.2f})"
            off = f"{100 * (value / each['mean'] - 1):+.1f} %"
        found = f"{each['mean']:.2f} ± {each['sd'] or float('nan'):.2f}"
        test = statistics.mean(each["test_errors"])
        print(
            f"{each['network']:20s} {each['macs'] / 1e6:7.1f} {predicted:>22s} {found:>14s} "
            f"{off:>7s} {test:6.2f}"
        )


if __name__ == "__main__":
    main()
