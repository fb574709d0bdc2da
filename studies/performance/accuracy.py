"""The same networks trained with torch's modules and with dnsearch's kernels, to the top rung.

    python studies/performance/accuracy.py

Five seeds on the quickstart's images; the difference of the mean errors against what the seeds make
of it (the standard error of a difference of two means).
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
from dnsearch.rundir import cpu_cores
from dnsearch.training.device import set_up
from dnsearch.training.trainer import Trainer

SEEDS, RUNG = 5, 9
KERNELS: tuple[Kernels, ...] = ("reference", "portable", "cpu")
NETWORKS = (
    ArchConfig(8, (2, 3, 3), 16, 4, stem="cifar", in_channels=1, num_classes=10),
    ArchConfig(8, (2, 3, 3), 16, 0, stem="cifar", in_channels=1, num_classes=10),
)


def error(kernels: Kernels, arch: ArchConfig, seed: int) -> float:
    """Validation error of one training."""
    set_up("cpu", 1)
    study = load_study(Path(__file__).parents[1] / "quickstart.toml")
    recipe = study.training.model_copy(update={"kernels": kernels, "rungs": (RUNG,)})
    score = Trainer(arch, DeviceData(prepare(study.data), "cpu"), recipe, seed).train(RUNG)
    assert score.error is not None, score.failure
    return score.error


def main() -> None:
    say = Record("accuracy", "python studies/performance/accuracy.py")
    for arch in NETWORKS:
        say(f"{arch.describe()}, {RUNG} epochs, {SEEDS} seeds: validation error in points")
        jobs = [(kernels, arch, seed) for kernels in KERNELS for seed in range(SEEDS)]
        with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
            errors = np.reshape(list(pool.map(error, *zip(*jobs, strict=True))), (-1, SEEDS)) * 100
        noise = np.sqrt(2 * errors.var(axis=1, ddof=1).mean() / SEEDS)
        for kernels, found in zip(KERNELS, errors, strict=True):
            apart = found.mean() - errors[0].mean()
            say(
                f"  {kernels:<10} mean {found.mean():6.2f}, seeds ± {found.std(ddof=1):.2f}, "
                f"against reference {apart:+.2f}"
            )
        worst = float(np.abs(errors.mean(axis=1) - errors[0].mean()).max())
        say(
            f"  standard error of a difference {noise:.2f}; largest difference {worst:.2f}: "
            f"{'within' if worst <= 2 * noise else 'not within'} the noise"
        )
    say.write()


if __name__ == "__main__":
    main()
