"""Puts `dnsearch scale` to the proof: trains the networks that it predicts at 4 and 8 times the
MACs of all it has seen, and the published ones of as many MACs, by the same recipe.

    dnsearch run studies/scaling/fashion14.toml --scaling
    dnsearch scale fashion14-scaling
    python studies/scaling/proof.py

Writes reports/scaling/: prediction.json is what `scale` wrote, before any of these was trained,
README.md what came of it. Each training is kept in trainings.json, so that typed again it goes on;
those of published networks serve later proofs, too. Takes most of an hour on two CPU cores.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from dnsearch.arch.presets import PRESETS
from dnsearch.cost.formula import cost_of
from dnsearch.files import write_text

RUN = Path("reports/fashion14-scaling")
PROOF = Path("reports/scaling")
TIMES, SEEDS, EPOCHS, SIDE = (4, 8), 3, 9, 14
SAME_COST = 1.15
"""Factor in MACs within which a published network is compared."""

AIM = 0.1
OWN = "schema", "checksum"
"""Keys of a network's file that are no part of the network."""


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
    kept = Kept(PROOF / "trainings.json")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda job: kept.train(nets[job[0]], *job), jobs))
    errors: dict[str, list[dict[str, Any]]] = {}
    for (name, _), result in zip(jobs, found, strict=True):
        errors.setdefault(name, []).append(result)
    rows = [row(name, results, macs[name], told) for name, results in errors.items()]
    (PROOF / "found.json").write_text(json.dumps(rows, indent=2) + "\n")
    text = report(rows)
    (PROOF / "README.md").write_text(text)
    print(text)


class Kept:
    """The errors of each training, by network and seed, in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()
        self.trainings = json.loads(path.read_text()) if path.exists() else []

    def train(self, network: str, name: str, seed: int) -> dict[str, Any]:
        """One full training by the command that a user would type, unless it is there."""
        arch = PRESETS[name].to_dict() if name in PRESETS else json.loads(Path(network).read_text())
        same = {"network": {k: v for k, v in arch.items() if k not in OWN}, "seed": seed}
        known = next((each for each in self.trainings if same.items() <= each.items()), None)
        if known is not None:
            return known["errors"]
        folder = f"proof-{name}-{seed}"
        command = [sys.executable, "-m", "dnsearch", "train", network]
        command += ["--study", RUN / "study.toml", "--epochs", EPOCHS, "--seed", seed]
        command += ["--threads", 1, "--name", folder]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        result = json.loads(Path("reports", folder, "result.json").read_text())
        errors = {split: result[split]["error"] for split in ("validation", "test")}
        with self._lock:
            self.trainings.append(same | {"errors": errors})
            write_text(self.path, json.dumps(self.trainings, indent=2) + "\n")
        return errors


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


def report(rows: list[dict[str, Any]]) -> str:
    """Predicted against found, and whether both aims were met, as Markdown."""
    lines = [
        "# `dnsearch scale` put to the proof",
        "",
        f"Written by `python studies/scaling/proof.py`. Validation errors in percent after "
        f"{EPOCHS} epochs, means of {SEEDS} seeds ± their standard deviation; test errors beside "
        "them.",
        "",
        "| network | M MACs | predicted (90 %) | found | off | test |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in rows:
        predicted, off = "", ""
        if each["predicted"]:
            value, low, high = (each["predicted"][end] for end in ("value", "low", "high"))
            predicted, off = f"{value:.2f} ({low:.2f} to {high:.2f})", f"{off_by(each):+.1f} %"
        found = f"{each['mean']:.2f} ± {each['sd'] or float('nan'):.2f}"
        test = f"{statistics.mean(each['test_errors']):.2f}"
        cells = (each["network"], f"{each['macs'] / 1e6:.1f}", predicted, found, off, test)
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for each in rows:
        if each["predicted"]:
            met = "met" if abs(off_by(each)) < 100 * AIM else "missed"
            lines.append(
                f"- {each['network']}: the prediction is off by {off_by(each):+.1f} %; the aim, "
                f"within {AIM:.0%}, is {met}."
            )
            lines += [f"- {each['network']} {line}" for line in against(each, rows)]
    return "\n".join(lines) + "\n"


def off_by(row: dict[str, Any]) -> float:
    return 100 * (row["predicted"]["value"] / row["mean"] - 1)


def against(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """The proposed network against each published one of about as many MACs."""
    found = []
    for other in rows:
        near = 1 / SAME_COST < other["macs"] / row["macs"] < SAME_COST
        if near and not other["predicted"]:
            gap = row["mean"] - other["mean"]
            verdict = "not worse: met" if gap <= 0 else "worse: the aim is missed"
            found.append(f"against {other['network']}: {gap:+.2f} points, {verdict}.")
    return found


if __name__ == "__main__":
    main()
