"""Full trainings by the command that a user would type, and their errors, kept in a file.

What proof.py, the other scripts of this folder and studies/scaling/proof.py share.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from dnsearch.arch.config import ArchConfig
from dnsearch.config import load_study
from dnsearch.files import write_json
from dnsearch.rundir import RESULT_FILE, RunDir
from dnsearch.training.full import with_defaults


class Network(NamedTuple):
    """One of those compared: by which name, of what kind, and what it is."""

    name: str
    kind: str
    arch: ArchConfig


class Found(NamedTuple):
    """Errors of a network's full trainings, by seed."""

    network: Network
    validation: list[float]
    test: list[float]


class Kept:
    """What has ended of a proof, in a file: its searches and full trainings, by one ``recipe``.
    Raises SystemExit where the file is of another recipe."""

    def __init__(self, path: Path, recipe: dict[str, Any]) -> None:
        self.path, self.recipe, self._lock = path, recipe, Lock()
        self.searches: dict[str, dict[str, Any]] = {}
        self.trainings: list[dict[str, Any]] = []
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if with_defaults(kept["recipe"]) != with_defaults(recipe):
                raise SystemExit(f"{path}: is of another recipe; move it away, or change the study")
            self.searches, self.trainings = kept["searches"], kept["trainings"]

    def training(self, arch: ArchConfig, epochs: int, seed: int) -> dict[str, Any] | None:
        """The training of a network, if it has ended, here or in a proof with the same recipe."""
        same = {"network": arch.to_dict(), "epochs": epochs, "seed": seed}
        known = self.trainings
        for path in sorted(self.path.parent.glob("*M*.json")):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if with_defaults(kept["recipe"]) == with_defaults(self.recipe):
                known = known + kept["trainings"]
        return next((each for each in known if same.items() <= each.items()), None)

    def add_search(self, name: str, found: dict[str, Any]) -> None:
        """Keeps what a search found."""
        with self._lock:
            self.searches[name] = found
            self._write()

    def add_training(self, training: dict[str, Any]) -> None:
        """Keeps what a training scored."""
        with self._lock:
            self.trainings.append(training)
            self._write()

    def _write(self) -> None:
        kept = {"recipe": self.recipe, "searches": self.searches, "trainings": self.trainings}
        write_json(self.path, kept)


def recipe(study: Path) -> dict[str, Any]:
    """All that a full training depends on beside its network, epochs and seed."""
    known = load_study(study)
    training = known.training.model_dump(mode="json", exclude={"rungs"})
    return {"data": known.data.model_dump(mode="json", exclude={"path"}), "training": training}


class Trainer:
    """Trains networks in full, each with a seed, ``threads`` at a time on one thread each."""

    def __init__(self, study: Path, kept: Kept, epochs: int, threads: int) -> None:
        self.study, self.kept, self.epochs, self.threads = study, kept, epochs, threads

    def all(self, networks: Sequence[Network], seeds: Sequence[int]) -> list[Found]:
        """Every network with every seed."""
        jobs = [(network.arch, seed) for seed in seeds for network in networks]
        with ThreadPoolExecutor(self.threads) as pool:
            results = list(pool.map(lambda job: self.train(*job), jobs))
        count = len(networks)
        return [
            Found(
                network,
                [result["validation"] for result in results[i::count]],
                [result["test"] for result in results[i::count]],
            )
            for i, network in enumerate(networks)
        ]

    def train(self, arch: ArchConfig, seed: int) -> dict[str, Any]:
        """What one full training scored: errors of validation and test images."""
        known = self.kept.training(arch, self.epochs, seed)
        if known is not None:
            return known
        folder = f"proof-{self.study.stem}-{self.epochs}-{arch.key}-{seed}"
        run = RunDir(Path("reports", folder))
        if not (run.path / RESULT_FILE).exists():
            config = self.kept.path.parent / f"{arch.key}.json"
            write_json(config, arch.to_dict())
            words = ["train", config, "--study", self.study, "--epochs", self.epochs]
            output_of(*words, "--seed", seed, "--threads", 1, "--name", folder)
        scored = run.read_json(RESULT_FILE, "validation", "test")
        training = {"network": arch.to_dict(), "epochs": self.epochs, "seed": seed}
        training |= {images: scored[images]["error"] for images in ("validation", "test")}
        self.kept.add_training(training)
        return training


def dnsearch(*words: Any) -> list[str]:
    """A command as a user would type it."""
    return [sys.executable, "-m", "dnsearch", *map(str, words)]


def output_of(*words: Any) -> str:
    """What such a command prints."""
    return subprocess.run(dnsearch(*words), check=True, capture_output=True, text=True).stdout


def mean_error(errors: Sequence[float]) -> str:
    """In percent, with the standard error."""
    return f"{100 * statistics.mean(errors):.2f} ± {100 * standard_error(errors):.2f}"


def standard_error(errors: Sequence[float]) -> float:
    """Of the mean over seeds."""
    return statistics.stdev(errors) / math.sqrt(len(errors)) if len(errors) > 1 else math.nan
