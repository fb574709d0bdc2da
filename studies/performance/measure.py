"""What the performance studies share: the real torchvision, networks, paired timings, records.

A record is what a study printed, with machine and date, under ``reports/performance/``.
"""

from __future__ import annotations

import datetime
import functools
import gc
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig
from dnsearch.rundir import environment

RECORDS = Path(__file__).parents[2] / "reports" / "performance"


@functools.cache
def torchvision_densenet() -> Any:
    """torchvision's densenet module; its C extension need not load beside a CPU build of torch."""
    library = None if torch.cuda.is_available() else torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        if library is not None:
            library.define(f"{operator}(Tensor a) -> Tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models import densenet
    if library is not None:
        library._destroy()
    return densenet


def torchvision_network(config: ArchConfig) -> nn.Module:
    """torchvision's network; for small images with the paper's stem, one 3x3 convolution."""
    theirs = torchvision_densenet().DenseNet(
        config.growth_rate,
        config.block_config,
        config.num_init_features,
        config.bn_size,
        num_classes=config.num_classes,
    )
    if config.stem == "cifar":
        for name in ("norm0", "relu0", "pool0"):
            setattr(theirs.features, name, nn.Identity())
        width = config.num_init_features
        theirs.features.conv0 = nn.Conv2d(config.in_channels, width, 3, padding=1, bias=False)
    return theirs


def networks(study: StudyConfig, count: int) -> list[ArchConfig]:
    """A sample of the study's space for grey images, the same every time."""
    space = study.space.build(1, 10)
    points = space.points(np.random.default_rng(0), count)
    return [points.config(i) for i in range(count)]


def paired(
    things: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each, taken in turns (A B C A B C ...) after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in things}
    gc.collect()
    for turn in range(rounds + 1):
        for name, thing in things.items():
            started = clock()
            thing()
            if turn:
                seconds[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


class Record:
    """Prints lines, and writes them with machine and date when all is done."""

    def __init__(self, name: str, command: str) -> None:
        machine = environment()
        torch_version = machine["packages"]["torch"]
        self.path = RECORDS / f"{name}.txt"
        self.lines = [
            f"{datetime.date.today()}  {machine['processor']}, {machine['cpu_cores']} cores, "
            f"torch {torch_version}",
            f"$ {command}",
            "",
        ]

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def write(self) -> None:
        """Writes the record, replacing an earlier one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
