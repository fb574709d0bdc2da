"""Which tile sizes of the Triton kernels are fastest on this card.

    python studies/gpu/tiles.py [--compile KIND] [--json FILE]

Each kind of kernel with some sizes, on rows as small and large networks have them, in bf16. The
sizes with the least mean of the logarithms of time over the present ones' are marked; ``--json``
also writes them to a file. ``--compile`` only compiles those of a kind, to do so for all kinds at
the same time beforehand.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from card import DEVICE, Table, timed

from dnsearch.arch.kernels import triton
from dnsearch.arch.kernels.operations import Gradient, Norm

SIZES = {
    "rows": [(128, 64, 0, 8), (64, 64, 0, 8), (64, 64, 0, 4), (128, 64, 0, 4), (64, 128, 0, 8),
             (32, 64, 0, 4), (256, 64, 0, 8)],
    "product": [(128, 128, 32, 8), (128, 64, 32, 4), (128, 64, 32, 8), (64, 128, 32, 4),
                (128, 128, 64, 8), (64, 64, 32, 4), (256, 64, 32, 8)],
    "product_backward": [(64, 64, 32, 8), (64, 64, 32, 4), (128, 64, 32, 8), (128, 64, 32, 4),
                         (64, 128, 32, 8), (128, 64, 64, 8), (64, 64, 64, 4), (32, 64, 32, 4)],
    "product_weight": [(128, 64, 32, 8), (128, 64, 64, 8), (128, 128, 32, 8), (128, 64, 32, 4),
                       (64, 64, 64, 4), (128, 64, 128, 8)],
}  # fmt: skip
SHAPES = [  # rows, columns of the buffer, channels, outputs
    (12544, 48, 32, 32),
    (131072, 64, 36, 48),
    (131072, 224, 132, 48),
    (32768, 400, 300, 48),
    (50176, 1024, 640, 128),
    (802816, 256, 160, 128),
]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compile", choices=SIZES, help="only compile those of a kind")
    parser.add_argument("--json", type=Path, help="file for the fastest sizes")
    options = parser.parse_args()
    if options.compile:
        for shape in SHAPES:
            for size in SIZES[options.compile]:
                attempt(options.compile, size, works(options.compile, *shape))
        return
    say = Table("tiles")
    fastest = dict(triton._TILES)
    for kind, sizes in SIZES.items():
        columns = "".join(f"{'x'.join(map(str, shape)):>20}" for shape in SHAPES)
        say(f"{kind:<22}{columns}{'mean':>8}   (ratios of time to the first)")
        base: list[float] = []
        scores: dict[tuple[int, ...], float] = {}
        for size in sizes:
            ms = [attempt(kind, size, works(kind, *shape)) for shape in SHAPES]
            base = base or ms
            ratios = [each / first for each, first in zip(ms, base, strict=True)]
            scores[size] = math.exp(sum(map(math.log, ratios)) / len(ratios))
            cells = "".join(f"{r:>10.2f}{m:>7.3f} ms" for r, m in zip(ratios, ms, strict=True))
            say(f"{size!s:<22}{cells}{scores[size]:>8.3f}")
        fastest[kind] = min(scores, key=scores.__getitem__)
        say(f"fastest: {fastest[kind]}")
        say()
    if options.json:
        options.json.write_text(json.dumps(fastest), encoding="utf-8")


def attempt(kind: str, size: tuple[int, ...], work: Callable[[], object]) -> float:
    """Milliseconds with these sizes; infinite where the card cannot."""
    before = triton._TILES[kind]
    triton._TILES[kind] = size  # type: ignore[assignment]
    try:
        work()
        return timed({"": lambda: [work() for _ in range(4)]}, 5)[""] / 4
    except Exception as error:  # Triton's own types: too much shared memory, say
        print(f"{kind} {size}: {str(error).splitlines()[0][:100]}")
        return math.inf
    finally:
        triton._TILES[kind] = before


def works(
    kind: str, pixels: int, columns: int, channels: int, outputs: int
) -> Callable[[], object]:
    """What the kernels of a kind do on rows of these sizes, called as often as in a layer."""
    by = triton.FusedOperations()

    def rows(width: int, used: int) -> torch.Tensor:
        like = torch.empty(0, device=DEVICE, dtype=torch.bfloat16)
        return by.empty(like, pixels, width).normal_()[:, :used]

    x, dx = rows(columns, channels), rows(columns, channels)
    dz, dy = rows(outputs, outputs), rows(channels, channels)
    weight = by.matrix(torch.randn(outputs, channels, 1, 1, device=DEVICE), x)
    mean, var = torch.zeros(channels, device=DEVICE), torch.ones(channels, device=DEVICE)
    norm = Norm(torch.ones_like(mean), mean, mean, var, 1e-5, True)
    gradient = Gradient(dx, torch.zeros(2, channels, device=DEVICE))
    if kind == "product":
        return lambda: by.product(x, norm, weight)
    if kind == "product_weight":
        return lambda: by._product_weight(dz, x, norm)
    if kind == "product_backward":
        return lambda: by.product_backward(dz, x, norm, weight, gradient)

    def all_rows() -> None:
        by.normalise(x, norm)
        by.statistics(x)
        by.normalise_backward(dy, dy, x, norm, gradient)
        by.whole(gradient, x, mean)

    return all_rows


if __name__ == "__main__":
    main()
