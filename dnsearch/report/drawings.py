"""What ``drawing.js`` draws networks from: their layers, and stage by stage what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arrays import Floats, Ints
from dnsearch.cost.formula import stage_costs
from dnsearch.cost.latency import LatencyModel

PARTS = ("macs", "params", "activations")
"""Costs that are shown stage by stage, beside latency where it was measured."""

FINENESS = 4
"""Digits of a share of the latency."""


def shapes(
    archs: Sequence[ArchConfig], height: int, width: int, latency: LatencyModel | None = None
) -> Iterator[dict[str, Any]]:
    """Of each architecture, on images of this size, its ``layers`` and ``growth`` by block, and
    what ``stages_of`` tells, in values that JSON can hold."""
    for arch, stages in zip(archs, stages_of(archs, height, width, latency), strict=True):
        yield {
            "layers": list(arch.block_config),
            "growth": list(arch.growth_rates),
            "stages": stages,
        }


def stages_of(
    archs: Sequence[ArchConfig], height: int, width: int, latency: LatencyModel | None = None
) -> list[list[list[Any]]]:
    """Of each architecture its stages: name, the channels, height and width it leaves, its part of
    each of ``PARTS``, and by ``latency`` its share of the network's latency (0 to 1)."""
    found: list[list[list[Any]]] = [[] for _ in archs]
    every = ArchArrays.of(list(archs))
    shares = latency.stage_shares(every, height, width) if latency else {}
    for stage in stage_costs(every, height, width):
        columns: list[Ints | Floats] = [stage.channels, stage.height, stage.width]
        columns += [getattr(stage, part) for part in PARTS]
        if latency:
            columns.append(shares[stage.name].round(FINENESS))
        for i, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            if row[3]:  # else the architecture lacks the stage
                found[i].append([stage.name, *row])
    return found
