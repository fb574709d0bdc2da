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
import math
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.cost.formula import cost_of
from dnsearch.files import write_text

sys.path.append(str(Path(__file__).parents[1] / "proof"))
from trainings import Found, Kept, Network, Trainer, recipe, standard_error

RUN = Path("reports/fashion14-scaling")
STUDY = Path(__file__).parent / "fashion14.toml"
PROOF = Path("reports/scaling")
TIMES, SEEDS, EPOCHS, SIDE = (4, 8), 3, 9, 14
SAME_COST = 1.15
"""Factor in MACs within which a published network is compared."""

AIM = 0.1
PROPOSED, PUBLISHED = "proposed", "published"
OWN = "schema", "checksum"
"""Keys of a network's file that are no part of the network."""


def main() -> None:
    PROOF.mkdir(parents=True, exist_ok=True)
    prediction = PROOF / "prediction.json"
    if not prediction.exists():
        shutil.copy(RUN / "scaling.json", prediction)
        for times in TIMES:
            shutil.copy(RUN / f"scaling/x{times}.json", PROOF)
    told = json.loads(prediction.read_text(encoding="utf-8"))
    train = Trainer(STUDY, Kept(PROOF / "trainings.json", recipe(STUDY)), EPOCHS, threads=2)
    found = train.all(networks(), seeds=range(SEEDS))
    rows = [row(each, told) for each in found]
    write_text(PROOF / "found.json", json.dumps(rows, indent=2) + "\n")
    text = report(rows)
    write_text(PROOF / "README.md", text)
    print(text)


def networks() -> list[Network]:
    """Those proposed, and the published ones of about as many MACs as one of them."""
    proposed = []
    for times in TIMES:
        kept = json.loads((PROOF / f"x{times}.json").read_text(encoding="utf-8"))
        arch = ArchConfig.from_dict({k: v for k, v in kept.items() if k not in OWN})
        proposed.append(Network(f"x{times}", PROPOSED, arch))
    gray = {name: arch.replace(in_channels=1) for name, arch in PRESETS.items()}
    published = [
        Network(name, PUBLISHED, arch)
        for name, arch in gray.items()
        if arch.stem == "cifar" and any(alike(macs_of(arch), macs_of(own.arch)) for own in proposed)
    ]
    return proposed + published


def macs_of(arch: ArchConfig) -> int:
    return cost_of(arch, SIDE, SIDE).macs


def alike(macs: int, other: int) -> bool:
    return 1 / SAME_COST < macs / other < SAME_COST


def row(found: Found, told: dict[str, Any]) -> dict[str, Any]:
    """What was predicted and found of a network, errors in percent."""
    validation = [100 * error for error in found.validation]
    next_ = {f"x{each['times']:g}": each for each in told["next"]}
    expected = next_[found.network.name]["error"] if found.network.kind == PROPOSED else None
    return {
        "network": found.network.name,
        "macs": macs_of(found.network.arch),
        "predicted": expected and {end: 100 * value for end, value in expected.items()},
        "validation_errors": validation,
        "test_errors": [100 * error for error in found.test],
        "mean": statistics.mean(validation),
        "sd": statistics.stdev(validation),
    }


def report(rows: Sequence[dict[str, Any]]) -> str:
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
        found = f"{each['mean']:.2f} ± {each['sd']:.2f}"
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


def against(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """The proposed network against each published one of about as many MACs."""
    found = []
    for other in rows:
        if alike(other["macs"], row["macs"]) and not other["predicted"]:
            gap = row["mean"] - other["mean"]
            error = math.hypot(*(standard_error(r["validation_errors"]) for r in (row, other)))
            verdict = "not worse: met" if gap <= 0 else "worse: the aim is missed"
            found.append(f"against {other['network']}: {gap:+.2f} ± {error:.2f} points, {verdict}.")
    return found


if __name__ == "__main__":
    main()
