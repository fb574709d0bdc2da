"""A whole training step on a GPU: torchvision's DenseNet, torch.compile of it, dnsearch's kernels.

    python studies/gpu/step.py [--compile] [--only WORD]

The step is dnsearch's: augmentation, forward, backward, optimiser and averaged weights, in bf16
autocast; only the network's computation differs. "graph" replays it as one CUDA graph. Times are
medians in turns of as many steps as take some milliseconds; memory is the peak of torch's allocator
over one plain step. "first" is the seconds until a first step's end, compilation included. The
roofline is the larger of the MACs at the card's rate and of what is kept, written once and read
twice, at the speed of a large copy, both measured here. With ``--compile`` also torch.compile,
minutes for a large network.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from card import DEVICE, Table, peak, rates, timed, torchvision_network
from torch import nn

from dnsearch.arch import ArchConfig, DenseNet, preset
from dnsearch.config import TrainingConfig
from dnsearch.cost.formula import cost_of
from dnsearch.data import DeviceData, LabelledImages, PreparedData
from dnsearch.training.captured import PLAIN_CALLS, Record, cuda_graph
from dnsearch.training.device import set_up
from dnsearch.training.recipe import AveragedWeights, make_optimiser
from dnsearch.training.trainer import Trainer

ROUNDS = 7
SMALL = {"stem": "cifar", "num_classes": 10}
CASES = {  # network, side of its images, batch, steps timed together
    "quickstart, 8-8-8 in 2-2-2": (ArchConfig(8, (2, 2, 2), 16, 4, **SMALL), 14, 128, 20),
    "12,20,34 in 2-4-6": (ArchConfig((12, 20, 34), (2, 4, 6), 24, 4, **SMALL), 32, 128, 20),
    "k=12 (16,16,16)": (ArchConfig(12, (16, 16, 16), 24, 4, **SMALL), 32, 512, 2),
    "k=24 (6,12,24,16)": (ArchConfig(24, (6, 12, 24, 16), 48, 4, **SMALL), 64, 256, 1),
    "densenet121": (preset("densenet121"), 224, 256, 1),
}  # fmt: skip
KERNELS = ("portable", "triton")


def main() -> None:
    """Measures and prints."""
    options = _options()
    set_up("cuda:0", 1)  # as dnsearch's workers are
    say = Table("compile" if options.compile else "step")
    macs_a_second, bytes_a_second = rates()
    say(f"{macs_a_second / 1e12:.0f} TMAC/s in bf16, {bytes_a_second / 1e12:.2f} TB/s, as measured")
    for name, (config, side, batch, count) in CASES.items():
        if options.only not in name:
            continue
        say()
        say(f"{name}, {side}x{side}, batch {batch}")
        say(
            f"{'':<22}{'ms':>9}{'ratio':>7}{'images/s':>11}{'peak GB':>9}{'ratio':>7}{'roof':>7}"
            f"{'first':>7}"
        )
        cost = cost_of(config, side, side, batch, 2)
        traffic = 3 * (cost.train_bytes - 16 * cost.params)  # what is kept: written, read twice
        roof = 1e3 * max(3 * batch * cost.macs / macs_a_second, traffic / bytes_a_second)
        base: list[float] = []
        for label, ms, memory, first in measured(config, side, batch, count, options.compile):
            base = base or [ms, memory]
            say(
                f"{label:<22}{ms:>9.3f}{ms / base[0]:>7.2f}{batch / ms * 1e3:>11,.0f}"
                f"{memory / 1e9:>9.2f}{memory / base[1]:>7.2f}{roof / ms:>7.2f}{first:>7.1f}"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", action="store_true", help="torch.compile instead of kernels")
    parser.add_argument("--only", default="", help="cases with this in their names")
    return parser.parse_args()


def measured(
    config: ArchConfig, side: int, batch: int, count: int, compiled: bool
) -> Iterator[tuple[str, float, float, float]]:
    """Milliseconds of a step, peak bytes and seconds to the first step, of each way."""
    data = images(config, side, batch)
    for label, make in ways(config, compiled).items():
        memory = 0
        for record, name in ((plain, label), (cuda_graph, f"{label}, graph")):
            try:
                step, first = stepper(config, data, make, record)
                memory = memory or peak(step)
                ms = timed({name: lambda step=step: [step() for _ in range(count)]}, ROUNDS)
                yield name, ms[name] / count, memory, first
            except RuntimeError as error:
                print(f"{name}: {str(error).splitlines()[0][:200]}")
            step = None  # its memory is the next one's
            gc.collect()
            torch.cuda.empty_cache()


def plain(work: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
    """In place of a recording: the step itself."""
    return work


def stepper(
    config: ArchConfig, data: DeviceData, make: Callable[[Trainer], None], record: Record
) -> tuple[Callable[[], None], float]:
    """A step on the same batch again and again, and the seconds that the first took."""
    trainer = Trainer(config, data, TrainingConfig(flip=True, shift=4, precision="bf16"), 0)
    make(trainer)
    trainer.model.train()
    train_on = trainer.stepper(record)
    batch = next(iter(data.drawn(data.steps(2) * 2, torch.Generator(DEVICE))))

    def step() -> None:
        train_on(*batch, 0.1)

    started = time.perf_counter()
    step()
    torch.cuda.synchronize()
    first = time.perf_counter() - started
    for _ in range(PLAIN_CALLS + 1):
        step()
    return step, first


def ways(config: ArchConfig, compiled: bool) -> dict[str, Callable[[Trainer], None]]:
    """How a trainer is made to compute its network."""

    def of(kernels: str) -> Callable[[Trainer], None]:
        def change(trainer: Trainer) -> None:
            trainer.model.kernels = kernels

        return change

    def theirs(trainer: Trainer) -> None:
        replace(trainer, published(config))

    def theirs_compiled(trainer: Trainer) -> None:
        theirs(trainer)
        trainer.model.compile()

    def ours_compiled(trainer: Trainer) -> None:
        replace(trainer, DenseNet(config).to(DEVICE).to(memory_format=torch.channels_last))
        trainer.model.compile()

    if compiled:
        pair = {"torchvision, compile": theirs_compiled, "dnsearch, compile": ours_compiled}
        return {"torchvision": theirs, **pair}
    return {"torchvision": theirs, **{kernels: of(kernels) for kernels in KERNELS}}


def replace(trainer: Trainer, model: nn.Module) -> None:
    """Lets the trainer train another network."""
    trainer.model = model  # type: ignore[assignment]
    trainer.optimiser = make_optimiser(model, trainer.recipe)
    trainer.averaged = AveragedWeights(model, trainer.recipe.ema)  # type: ignore[arg-type]


def published(config: ArchConfig) -> nn.Module:
    """torchvision's, channels-last; as dnsearch builds it where torchvision has no such network."""
    own = not isinstance(config.growth_rate, int)
    theirs = DenseNet(config) if own else torchvision_network(config)
    return theirs.to(DEVICE).to(memory_format=torch.channels_last)  # pyright: ignore


def images(config: ArchConfig, side: int, batch: int) -> DeviceData:
    """Random images, as many as a batch."""
    rng = np.random.default_rng(0)
    shape = batch, config.in_channels, side, side
    part = LabelledImages(
        rng.integers(0, 256, shape, dtype=np.uint8), np.arange(batch) % config.num_classes
    )
    names = tuple(map(str, range(config.num_classes)))
    each = (0.5,) * config.in_channels
    return DeviceData(
        PreparedData("random", names, part, part, each, each, "0" * 16, False), "cuda:0"
    )


if __name__ == "__main__":
    main()
