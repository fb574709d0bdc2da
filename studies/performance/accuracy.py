"""The same networks trained with torch's modules and with dnsearch's kernels, to the top rung.

    python studies/performance/accuracy.py

The benchmark's recipe and images (studies/densenet-bench/fashion14.toml), five seeds. Both ways
start from the same weights and see the same batches, but rounding leads them apart, so a seed's
two trainings differ almost as much as two seeds do: the mean difference is held against its own
standard error.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from measure import Record

from dnsearch.arch import ArchConfig
from dnsearch.arch.kernels import Kernels
from dnsearch.config import load_study
from dnsearch.data import DeviceData, prepare
from dnsearch.machine import cpu_cores
from dnsearch.training.device import set_up
from dnsearch.training.trainer import Trainer

SEEDS = 5
STUDY = Path(__file__).parents[1] / "densenet-bench" / "fashion14.toml"
KERNELS: tuple[Kernels, ...] = ("reference", "portable", "cpu")
NETWORKS = (
    ArchConfig(4, (2, 2, 4), 16, 4, stem="cifar", in_channels=1, num_classes=10),
    ArchConfig(4, (2, 2, 4), 16, 0, stem="cifar", in_channels=1, num_classes=10),
)


def error(kernels: Kernels, arch: ArchConfig, seed: int) -> float:
    """Validation error of one training to the top rung."""
    set_up("cpu", 1)
    study = load_study(STUDY)
    recipe = study.training.model_copy(update={"kernels": kernels})
    data = DeviceData(prepare(study.data), "cpu")
    score = Trainer(arch, data, recipe, seed).train(recipe.rungs[-1])
    assert score.error is not None, score.failure
    return score.error


def main() -> None:
    """Measures and prints."""
    say = Record("accuracy", "python studies/performance/accuracy.py")
    epochs = load_study(STUDY).training.rungs[-1]
    for arch in NETWORKS:
        say(f"{arch.describe()}, {epochs} epochs, {SEEDS} seeds: validation error in points")
        jobs = [(kernels, arch, seed) for kernels in KERNELS for seed in range(SEEDS)]
        with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
            errors = np.reshape(list(pool.map(error, *zip(*jobs, strict=True))), (-1, SEEDS)) * 100
        for kernels, found in zip(KERNELS, errors, strict=True):
            apart = found - errors[0]
            line = f"  {kernels:<10} mean {found.mean():6.2f}, seeds ± {found.std(ddof=1):.2f}"
            if kernels != "reference":
                spread = apart.std(ddof=1) / np.sqrt(SEEDS)
                within = "within" if abs(apart.mean()) <= 2 * spread else "not within"
                line += f"; against reference {apart.mean():+.2f} ± {spread:.2f}, {within} 2 errors"
            say(line)
    say.write()


if __name__ == "__main__":
    main()
