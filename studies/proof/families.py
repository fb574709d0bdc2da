"""Published shapes of DenseNets, scaled to a budget of MACs by their growth rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dnsearch.arch.config import ArchConfig, Stem
from dnsearch.cost.formula import cost_of


class Family(NamedTuple):
    """Growth rates of the blocks relative to the first's, and three depths to choose from."""

    growth: Sequence[float]
    depths: Sequence[tuple[int, ...]]
    init: float
    """Channels after the stem, in growth rates of the first block."""


STEP = 1 / 16
"""Of the first block's growth rate before rounding."""

FAMILIES = {
    # DenseNet-BC for CIFAR (Huang et al. 2017, arXiv:1608.06993): three equal blocks.
    "densenet-bc": Family((1, 1, 1), ((3, 3, 3), (6, 6, 6), (12, 12, 12)), 2),
    # densenet121's 6-12-24-16 (the same paper, table 1), behind the stem for small images.
    "densenet121": Family((1, 1, 1, 1), ((1, 2, 4, 3), (2, 4, 8, 5), (3, 6, 12, 8)), 2),
    # RDNet-T's growth of 64, 104, 128, 224 in 3-3-12-3 layers (Kim et al. 2024, arXiv:2403.19588).
    "rdnet": Family(
        (1, 104 / 64, 128 / 64, 224 / 64), ((1, 1, 4, 1), (2, 2, 8, 2), (3, 3, 12, 3)), 1
    ),
}


def scaled(
    family: Family, depths: tuple[int, ...], side: int, macs: float, stem: Stem = "cifar"
) -> ArchConfig:
    """The network of a family with these depths that takes most of ``macs`` on images of this side:
    as wide as fits, then with as many channels after the stem as fit too, since growth rates are
    whole numbers."""

    def fits(arch: ArchConfig) -> bool:
        return cost_of(arch, side, side).macs <= macs

    def of_width(k: float) -> ArchConfig:
        growth = tuple(max(1, round(k * each)) for each in family.growth)
        init = max(1, round(family.init * k))
        return ArchConfig(growth, depths, init, stem=stem, num_classes=10)

    width = 1.0
    while fits(of_width(width + STEP)):
        width += STEP
    arch = of_width(width)
    while fits(wider := arch.replace(num_init_features=arch.num_init_features + 1)):
        arch = wider
    return arch


def published(side: int, macs: int) -> Iterator[tuple[str, ArchConfig]]:
    """Every family at every depth of which a network fits, by family."""
    for name, family in FAMILIES.items():
        for depths in family.depths:
            arch = scaled(family, depths, side, macs)
            if cost_of(arch, side, side).macs <= macs:
                yield name, arch
