"""How well latencies are predicted for networks of two studies' spaces that were held out.

    OMP_WAIT_POLICY=passive python studies/performance/latency.py FILE   # measures into FILE, JSON
    python studies/performance/latency.py                                # evaluates latency.json

On one thread, in processor time, so that other work on the machine matters less. Every network is
measured in several rounds. The least of the even rounds and the least of the odd ones differ by the
noise, which no prediction can beat. Writes reports/performance/latency.txt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from measure import RECORDS, Record

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.config import ArchArrays
from dnsearch.config import load_study
from dnsearch.cost.device import measure_latency
from dnsearch.cost.latency import HeldOut, LatencyModel, Setting, work
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.latency import Shape, general_networks, own_networks

STUDIES = Path(__file__).parents[1]
SPACES = {
    "quickstart, 14x14, up to 4 M MACs": (STUDIES / "quickstart.toml", (1, 14, 14)),
    "CIFAR-10, 32x32, up to 300 M MACs": (STUDIES / "proof" / "cifar10-300M.toml", (3, 32, 32)),
}
ANY = "any"
SETTING = Setting("cpu", 1, 1, "fp32", "reference")
NETWORKS, ROUNDS, SECONDS = 60, 6, 0.07
FEW, DRAWS = 10, 20
"""Networks that a run has measured, and how often they are drawn anew."""


class Timed(NamedTuple):
    """Networks for images of these shapes, and milliseconds of each in every round, (n, rounds)."""

    archs: list[ArchConfig]
    shapes: list[Shape]
    ms: np.ndarray


def main() -> None:
    """Measures, or evaluates what was measured."""
    if sys.argv[1:]:
        measure(Path(sys.argv[1]))
        return
    say = Record("latency", "python studies/performance/latency.py")
    recorded = json.loads((RECORDS / "latency.json").read_text("utf-8"))
    timed = {name: read(rows) for name, rows in recorded.items()}
    archs, shapes, ms = timed.pop(ANY)
    table = LatencyModel.fitted(SETTING, archs, [s[1:] for s in shapes], ms.min(axis=1).tolist())
    say(f"{SETTING}; a table of {table.networks} networks of any kind:")
    say(f"  milliseconds per unit of work {np.round(table.times, 4).tolist()}")
    say(f"  held out, 10 parts: standard deviation of log error {table.error:.3f}")
    for name, (archs, shapes, rounds) in timed.items():
        told = work(ArchArrays.of(archs), *shapes[0][1:], SETTING.batch_size)
        ms = rounds.min(axis=1)
        say()
        say(f"{name}: {len(ms)} networks of {ms.min():.2f} to {ms.max():.1f} ms")
        noise = HeldOut.of(rounds[:, ::2].min(axis=1), rounds[:, 1::2].min(axis=1))
        say(line("noise: even rounds against odd ones", noise))
        say(line("the table alone", HeldOut.of(table.predicted_ms(told), ms)))
        for prior, of in ((table, "table"), (LatencyModel(SETTING), "guess")):
            say(line(f"the {of} and {FEW} measured networks", few(prior, told, ms)))
            found = prior.held_out(told, ms)
            assert found is not None
            say(line(f"the {of} and all others measured", found))
    say.write()


def measure(file: Path) -> None:
    """Measures all networks, those of every space in turn, in an order of its own each round."""
    torch.set_num_threads(SETTING.threads)
    networks = {ANY: general_networks(SETTING)} | {
        name: networks_of(file, shape) for name, (file, shape) in SPACES.items()
    }
    every = [(name, place) for name, own in networks.items() for place in range(len(own))]
    ms: dict[tuple[str, int], list[float]] = {each: [] for each in every}
    rng, device = np.random.default_rng(0), torch.device(SETTING.device)
    for _ in range(ROUNDS):
        for index in rng.permutation(len(every)):
            name, place = every[index]
            arch, shape = networks[name][place]
            found = measure_latency(DenseNet(arch), shape, SETTING, device, SECONDS, rounds=1)
            ms[name, place].append(found.least_ms)
    rows = {
        name: [[arch.to_dict(), shape, ms[name, i]] for i, (arch, shape) in enumerate(own)]
        for name, own in networks.items()
    }
    file.write_text(json.dumps(rows), encoding="utf-8")


def networks_of(file: Path, shape: Shape) -> list[tuple[ArchConfig, Shape]]:
    """Of all sizes of a study's space."""
    study = load_study(file)
    model, space = CostModel(shape, limits=study.limits), study.space.build(shape[0], 10)
    points = feasible_points(space, model, np.random.default_rng(0))
    return own_networks(*points, shape, NETWORKS)


def read(rows: list[tuple[dict, list[int], list[float]]]) -> Timed:
    """What ``measure`` wrote of one space."""
    archs, shapes, ms = zip(*rows, strict=True)
    return Timed([ArchConfig.from_dict(a) for a in archs], [*map(tuple, shapes)], np.array(ms))


def few(model: LatencyModel, told: np.ndarray, ms: np.ndarray) -> HeldOut:
    """All but a ``FEW`` networks predicted from these, in the mean over ``DRAWS``."""
    rng, found = np.random.default_rng(0), []
    for _ in range(DRAWS):
        order = rng.permutation(len(ms))
        mine, others = order[:FEW], order[FEW:]
        mean, _ = model.given(told[mine], ms[mine]).predict(told[others])
        found.append(HeldOut.of(np.exp(mean), ms[others]))
    networks, *figures = np.mean(found, axis=0).tolist()
    return HeldOut(int(networks), *figures)


def line(name: str, found: HeldOut) -> str:
    """One row of the table."""
    return (
        f"  {name:<36} median error {100 * found.median_error:5.1f} %   "
        f"rank correlation {found.rank_correlation:.3f}"
    )


if __name__ == "__main__":
    main()
