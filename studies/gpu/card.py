"""What the GPU studies share: the card's own speed, timings in turns, and tables."""

from __future__ import annotations

import datetime
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "performance"))
from measure import networks, torchvision_network

__all__ = ["DEVICE", "Table", "networks", "peak", "rates", "timed", "torchvision_network"]

TABLES = Path("reports/gpu")
DEVICE = torch.device("cuda:0")
WARM_UP = 2
"""Rounds that are not counted."""


class Table:
    """Prints lines, and writes them to reports/gpu/NAME.txt with card and date."""

    def __init__(self, name: str) -> None:
        if not torch.cuda.is_available():
            sys.exit("not run: torch sees no GPU on this machine")
        self.path = TABLES / f"{name}.txt"
        self.lines: list[str] = []
        self(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {datetime.date.today()}")
        self(f"$ python {' '.join(sys.argv)}")
        self()

    def __call__(self, line: str = "") -> None:
        """Adds a line; the file is complete at every moment."""
        print(line, flush=True)
        self.lines.append(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def rates() -> tuple[float, float]:
    """Multiply-adds a second of a large bf16 product, bytes a second of a large copy."""
    a = torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16)
    source = torch.randint(256, (2**30,), device=DEVICE, dtype=torch.uint8)
    target = torch.empty_like(source)
    ms = timed({"product": lambda: a @ a, "copy": lambda: target.copy_(source)}, 10)
    return 8192**3 / ms["product"] * 1e3, 2 * source.numel() / ms["copy"] * 1e3


def timed(things: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each on the card, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in things}
    for turn in range(rounds + WARM_UP):
        for name, thing in things.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            thing()
            end.record()
            torch.cuda.synchronize()
            if turn >= WARM_UP:
                taken[name].append(start.elapsed_time(end))
    return {name: statistics.median(values) for name, values in taken.items()}


def peak(step: Callable[[], object]) -> int:
    """Bytes that a step takes at most beyond what was allocated before it."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
