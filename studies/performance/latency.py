"""How well latencies are predicted for networks of two studies' spaces that were held out.

OMP_WAIT_POLICY=passive python studies/performance/latency.py

On one thread, in processor time, so that other work on the machine matters less. Every network is
measured twice over; the two measurements of a network differ by the noise, which no prediction can
beat. Writes reports/performance/latency.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from measure import Record

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.config import ArchArrays
from dnsearch.config import load_study
from dnsearch.cost.device import measure_latency
from dnsearch.cost.latency import HeldOut, LatencyModel, Setting, work
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.latency import LatencyTable, Shape, general_networks, own_networks, profile

STUDIES = Path(__file__).parents[1]
SPACES = {
    "quickstart, 14x14, up to 4 M MACs": (STUDIES / "quickstart.toml", (1, 14, 14)),
    "CIFAR-10, 32x32, up to 300 M MACs": (STUDIES / "proof" / "cifar10-300M.toml", (3, 32, 32)),
}
SETTING = Setting("cpu", 1, 1, "fp32", "reference")
NETWORKS, ROUNDS, SECONDS = 60, 4, 0.05
FEW, DRAWS = 10, 20
"""Networks that a run has measured, and how often they are drawn anew."""


def main() -> None:
    """Measures and prints."""
    torch.set_num_threads(SETTING.threads)
    say = Record("latency", "python studies/performance/latency.py")
    table = measured(general_networks(SETTING))
    say(f"{SETTING}; a table of {len(table.timed)} networks of any kind:")
    say(f"  times per unit of work {np.round(table.model.times, 4).tolist()}")
    say(f"  held out, 10 parts: standard deviation of log error {table.model.error:.3f}")
    for name, (file, shape) in SPACES.items():
        study = load_study(file)
        model = CostModel(shape, limits=study.limits)
        space = study.space.build(shape[0], 10)
        networks = own_networks(
            *feasible_points(space, model, np.random.default_rng(0)), shape, NETWORKS
        )
        first, again = (ms_of(measured(networks)) for _ in range(2))
        told = work(ArchArrays.of([arch for arch, _ in networks]), *shape[1:], 1)
        say()
        say(f"{name}: {len(networks)} networks of {first.min():.2f} to {first.max():.1f} ms")
        say(line("noise: the same measured again", HeldOut.of(first, again)))
        ms = np.minimum(first, again)
        say(line("the table alone", HeldOut.of(table.model.predicted_ms(told), ms)))
        for prior, of in ((table.model, "table"), (LatencyModel(SETTING), "guess")):
            say(line(f"the {of} and {FEW} measured networks", few(prior, told, ms)))
            found = prior.held_out(told, ms)
            assert found is not None
            say(line(f"the {of} and all others measured", found))
    say.write()


def measured(networks: list[tuple[ArchConfig, Shape]]) -> LatencyTable:
    """Each the least of ``ROUNDS``."""

    def measure(arch: ArchConfig, shape: Shape) -> float:
        device = torch.device(SETTING.device)
        return measure_latency(DenseNet(arch), shape, SETTING, device, SECONDS).least_ms

    return profile(LatencyTable(SETTING), networks, measure, rounds=ROUNDS)


def ms_of(table: LatencyTable) -> np.ndarray:
    """Milliseconds (n,)."""
    return np.array([each.ms for each in table.timed])


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
