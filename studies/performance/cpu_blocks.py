"""Training steps of networks whose blocks differ, beside those of networks whose blocks are alike.

    python studies/performance/cpu_blocks.py

Ratios of the C++ kernels to torch's modules (channels-last, the faster layout) in fp32, and of the
time they take for a multiply-add to that of the network with blocks alike in the same group. All of
a group is taken in turns in one process of one thread; the time is the processor's, so that others
may share it. A step is forward, loss and backward.
"""

from __future__ import annotations

import time
from functools import partial

import torch
from cpu_step import CPU, inferrer, stepper
from measure import Record, paired

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.cost.device import saved_bytes
from dnsearch.cost.formula import cost_of

ROUNDS = 9
FIELDS = {"num_init_features": 16, "stem": "cifar", "num_classes": 10}


def network(growth_rate, block_config, bn_size, **fields) -> ArchConfig:
    """A network with the fields above."""
    return ArchConfig(growth_rate, block_config, bn_size=bn_size, **FIELDS | fields)


GROUPS = {  # side of the images, batch, networks: the first has blocks alike
    "plain, 14x14 grey, batch 64": (
        14,
        64,
        [
            network(12, (1, 1, 4), 0, in_channels=1),
            network((6, 11, 23), (1, 2, 3), 0, in_channels=1),
        ],
    ),
    "bottlenecks, 32x32, batch 16": (
        32,
        16,
        [
            network(12, (3, 3, 3), 4),
            network((8, 12, 18), (2, 3, 4), 4),
            network((8, 12, 18), (2, 3, 4), (0, 4, 4)),
        ],
    ),
    "narrow transitions, 32x32, batch 16": (
        32,
        16,
        [
            network(12, (6, 6), 4),
            network(12, (3, 3, 3, 3), 4, transition=("narrow", "pool", "narrow")),
            network(12, (3, 3, 3, 3), 0, transition=("narrow", "pool", "narrow")),
            network(12, (6, 6), 4, transition="narrow"),
        ],
    ),
    "patches, 32x32, batch 32": (
        32,
        32,
        [
            network(12, (2, 4, 4), 0),
            network((12, 20, 34), (2, 4, 4), 0, stem="patch2"),
            network((12, 20, 34), (2, 4, 4), 4, stem="patch2"),
        ],
    ),
}


def main() -> None:
    """Measures and prints."""
    torch.set_num_threads(1)
    timed = partial(paired, rounds=ROUNDS, clock=time.process_time)
    say = Record("cpu_blocks", "python studies/performance/cpu_blocks.py")
    for name, (side, batch, configs) in GROUPS.items():
        say(f"{name}; step, inference and saved bytes: of the modules'")
        say(f"{'':<32}{'MMACs':>7}{'step':>7}{'inference':>11}{'saved':>7}{'time a MAC':>12}")
        images = torch.randn(batch, configs[0].in_channels, side, side)
        labels = torch.randint(10, (batch,))
        models = {
            f"{config.describe()}, {kernels}": DenseNet(config).use_kernels(kernels, CPU)
            for config in configs
            for kernels in ("reference", "cpu")
        }
        kept = {name: saved_bytes(model.train(), images) for name, model in models.items()}
        step = timed({n: stepper(m, images, labels) for n, m in models.items()})
        inference = timed({n: inferrer(m, images) for n, m in models.items()})
        alike = None
        for text in map(ArchConfig.describe, configs):
            ours, theirs = f"{text}, cpu", f"{text}, reference"
            ratios = [times[ours] / times[theirs] for times in (step, inference, kept)]
            macs = cost_of(models[ours].config, side, side).macs
            a_mac = step[ours] / macs
            alike = alike or a_mac
            say(
                f"{text:<32}{macs / 1e6:>7.2f}{ratios[0]:>7.2f}{ratios[1]:>11.2f}"
                f"{ratios[2]:>7.2f}{a_mac / alike:>12.2f}"
            )
        say()
    say.write()


if __name__ == "__main__":
    main()
