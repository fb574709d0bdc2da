"""What ``drawing.js`` draws networks from: their layers, and stage by stage what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.cost.formula import stage_costs

PARTS = ("macs", "params", "activations")
"""Costs that are shown stage by stage."""


def shapes(archs: Sequence[ArchConfig], height: int, width: int) -> Iterator[dict[str, Any]]:
    """Of each architecture, on images of this size, its ``layers`` and ``growth`` by block, and
    what ``stages_of`` tells, in values that JSON can hold."""
    for arch, stages in zip(archs, stages_of(archs, height, width), strict=True):
        yield {
            "layers": list(arch.block_config),
            "growth": list(arch.growth_rates),
            "stages": stages,
        }


def stages_of(archs: Sequence[ArchConfig], height: int, width: int) -> list[list[list[Any]]]:
    """Of each architecture its stages: name, the channels, height and width it leaves, and its
    share of ``PARTS``."""
    found: list[list[list[Any]]] = [[] for _ in archs]
    for stage in stage_costs(ArchArrays.of(list(archs)), height, width):
        columns = [stage.channels, stage.height, stage.width]
        columns += [getattr(stage, part) for part in PARTS]
        for i, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            if row[3]:  # else the architecture lacks the stage
                found[i].append([stage.name, *row])
    return found
