"""How well the peak memory of a training step is predicted, on networks of many sizes.

OMP_WAIT_POLICY=passive python studies/performance/peak_memory.py

Each step runs in a fresh process with one thread and the C++ kernels. Some ten minutes on two busy
cores. Writes reports/performance/peak_memory.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measure import Record

from dnsearch.arch import ArchConfig
from dnsearch.arch.config import ArchArrays
from dnsearch.arch.presets import PRESETS
from dnsearch.config import load_study
from dnsearch.cost import cost_of, predicted_peak_bytes
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.latency import own_networks
from dnsearch.training.peak import measured_peak_bytes

STUDIES = Path(__file__).parents[1]
SPACES = (
    (STUDIES / "quickstart.toml", (1, 14, 14), (64, 512, 2048), 5),
    (STUDIES / "proof" / "cifar10-300M.toml", (3, 32, 32), (32, 64, 128), 7),
    (STUDIES / "cifar10.toml", (3, 32, 32), (64, 256), 4),
)
PUBLISHED = (
    ("densenet-40-12", (3, 32, 32), 64),
    ("densenet-bc-100-12", (3, 32, 32), 32),
    ("densenet121", (3, 64, 64), 8),
    ("densenet121", (3, 128, 128), 16),
)
Case = tuple[ArchConfig, tuple[int, int, int], int]
"""A network, the shape of its images, and images a step."""


def main() -> None:
    """Measures and prints."""
    say = Record("peak_memory", "python studies/performance/peak_memory.py")
    say(
        f"{'network':<46}{'images':>14}{'measured':>10}{'predicted':>11}{'ratio':>7}{'kept':>8}  MB"
    )
    ratios = []
    for arch, shape, batch in cases():
        peak = measured_peak_bytes(arch, shape, batch, "cpu", 1)
        if peak is None:
            raise SystemExit("this system does not tell a process's peak memory")
        predicted = float(predicted_peak_bytes(ArchArrays.of([arch]), *shape[1:], batch)[0])
        kept = cost_of(arch, *shape[1:], batch).train_bytes
        ratios.append(predicted / peak)
        images = f"{batch} of {shape[1]}x{shape[2]}"
        say(
            f"{arch.describe()[:45]:<46}{images:>14}{peak / 1e6:>10.1f}{predicted / 1e6:>11.1f}"
            f"{ratios[-1]:>7.2f}{kept / 1e6:>8.1f}"
        )
    apart = np.abs(np.array(ratios) - 1)
    say()
    say(
        f"median error {100 * np.median(apart):.1f} %, {100 * (apart < 0.1).mean():.0f} % of "
        f"{len(apart)} within 10 %, largest {100 * apart.max():.0f} %"
    )
    say.write()


def cases() -> list[Case]:
    """Networks of all sizes of some studies, and published ones."""
    found: list[Case] = []
    for file, shape, batches, count in SPACES:
        study = load_study(file)
        model, space = CostModel(shape, limits=study.limits), study.space.build(shape[0], 10)
        points = feasible_points(space, model, np.random.default_rng(1))
        for place, (arch, _) in enumerate(own_networks(*points, shape, count)):
            found.append((arch, shape, batches[place % len(batches)]))
    return found + [(PRESETS[name], shape, batch) for name, shape, batch in PUBLISHED]


if __name__ == "__main__":
    main()
