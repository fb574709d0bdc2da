"""Where labels go in a picture so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnsearch.arrays import Floats

# From straight below, clockwise as seen: nothing lies below and left of a Pareto front.
_ANGLES = np.deg2rad([225, 270, 247, 202, 292, 180, 315, 135, 0, 90, 45, 112])
_DISTANCES = (34.0, 52.0, 74.0, 100.0)
_OVERLAP, _OUTSIDE, _COVERED, _FAR, _ORDER = 50.0, 20.0, 1.0, 0.01, 0.03
_PAD = 4.0


def place(
    anchors: Floats, sizes: Floats, obstacles: Floats, extents: Sequence[tuple[int, int]]
) -> Floats:
    """Offsets of label centres from their anchors in pixels, y upwards, (labels, 2).

    anchors (labels, 2) and obstacles (points, 2) are shares of the plot's width and height; sizes
    (labels, 2) are pixels. The choice is the best over all ``extents`` (width, height) at once,
    since a page is read at many widths. Greedy: earlier labels choose first.
    """
    placed: list[Floats] = []
    for position in range(len(anchors)):
        choices = [
            (_penalty(offset, position, anchors, sizes, placed, obstacles, extents) + extra, offset)
            for offset, extra in _choices(sizes[position])
        ]
        placed.append(min(choices, key=lambda choice: choice[0])[1])
    return np.array(placed).reshape(-1, 2)


def _choices(size: Floats) -> list[tuple[Floats, float]]:
    """Offsets to try, each with the small penalty that settles ties: near ones first."""
    tried = []
    for distance in _DISTANCES:
        for order, angle in enumerate(_ANGLES):
            direction = np.array([np.cos(angle), np.sin(angle)])
            # Beside a point, a label stands off by half its width as well.
            offset = direction * distance + direction * [size[0] / 2, 0]
            tried.append((offset, _FAR * distance + _ORDER * order))
    return tried


def _penalty(
    offset: Floats,
    position: int,
    anchors: Floats,
    sizes: Floats,
    placed: list[Floats],
    obstacles: Floats,
    extents: Sequence[tuple[int, int]],
) -> float:
    total = 0.0
    for extent in np.array(extents, dtype=float):
        centre, half = anchors[position] * extent + offset, sizes[position] / 2 + _PAD
        total += _COVERED * np.sum((np.abs(obstacles * extent - centre) < half).all(axis=1))
        total += _OUTSIDE * np.sum((centre - half < 0) | (centre + half > extent))
        for other, moved in enumerate(placed):
            gap = np.abs(anchors[other] * extent + moved - centre)
            total += _OVERLAP * bool((gap < half + sizes[other] / 2).all())
    return total
