"""What the performance studies share: the real torchvision, paired timings, and records.

A record is what a study printed, with machine and date, under ``reports/performance/``.
"""

from __future__ import annotations

import datetime
import gc
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from dnsearch.rundir import environment

RECORDS = Path(__file__).parents[2] / "reports" / "performance"


def torchvision_densenet() -> Any:
    """torchvision's densenet module; its C extension need not load beside a CPU build of torch."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor a) -> Tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models import densenet
    library._destroy()
    return densenet


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
