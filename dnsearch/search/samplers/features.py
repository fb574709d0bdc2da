"""What the surrogate knows of an architecture: a few numbers that its error may depend on, and what
is believed of each before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from dnsearch.arch.config import ArchArrays
from dnsearch.arrays import Floats
from dnsearch.cost.formula import CostArrays
from dnsearch.search.samplers.covariance import Trend

POWERS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"params": (-0.1, 0.1), "macs": (-0.02, 0.1)}
)
"""Mean and standard deviation of what is believed of error's power in a size, all else equal. More
parameters at the same MACs are worth more than more MACs at the same parameters (docs/log.md)."""

SHAPE = 0.02
"""Standard deviation of the change of log error beforehand a standard deviation of any other
feature: shapes of the same size are a few percent apart."""

STRUCTURE, BY_SIZE = 0.1, ("group_norm", "imagenet_stem", "patch_stem")
"""The same of features that are another kind of network, and of what each is worth more or less in
larger networks: a stem that is 10 % better at 3 M MACs may be 8 % worse at 9 M (docs/log.md)."""


def raw_features(archs: ArchArrays, cost: CostArrays) -> dict[str, Floats]:
    """By name, (n,): sizes as logarithms, so that a straight line in them is a power law; and of
    each block the channels behind it relative to the root of the MACs, which are as the square of
    widths. They tell more of a shape than the growth rates and depths that they follow from
    (docs/log.md)."""
    blocks = archs.block_config.astype(np.float64)
    columns = {
        "params": np.log(cost.params),
        "macs": np.log(cost.macs),
        "bottleneck": _share((archs.bn_size > 0).astype(np.float64), blocks),
        "bn_size": _share(np.log(np.maximum(archs.bn_size, 1)), blocks),
        "num_init_features": np.log(archs.num_init_features),
        "compression": np.log(archs.compression),
        "drop_rate": archs.drop_rate,
        "group_norm": (archs.norm == "group").astype(np.float64),
        "imagenet_stem": (archs.stem == "imagenet").astype(np.float64),
        "patch_stem": np.select([archs.stem == "patch2", archs.stem == "patch4"], [1.0, 2.0]),
    }
    for block, width in enumerate(archs.output_widths.T, start=1):
        columns[f"width of block {block}"] = np.log(width) - columns["macs"] / 2
    for block in range(1, blocks.shape[1]):
        present = blocks[:, block] > 0
        columns[f"bottleneck in block {block + 1}"] = present * (
            (archs.bn_size[:, block] > 0) - (archs.bn_size[:, 0] > 0).astype(np.float64)
        )
        columns[f"pooled before block {block + 1}"] = archs.pools[:, block - 1].astype(np.float64)
    return columns


def _share(of_block: Floats, layers: Floats) -> Floats:
    """The mean of a figure of blocks over an architecture's layers, (n,)."""
    return (of_block * layers).sum(axis=1) / layers.sum(axis=1)


class Features:
    """Features scaled to mean 0 and standard deviation 1 over the points of a space; those that
    are the same for all points are left out. With those ``BY_SIZE`` come their products with log
    MACs."""

    def __init__(self, archs: ArchArrays, cost: CostArrays) -> None:
        columns = raw_features(archs, cost)
        self._scaling = {
            name: (column.mean(), column.std())
            for name, column in columns.items()
            if np.ptp(column) > 1e-9
        }
        self.points = self._scaled(columns, len(archs))
        self.trend = self._trend()

    def of(self, archs: ArchArrays, cost: CostArrays) -> Floats:
        """(n, features), scaled as the points are."""
        return self._scaled(raw_features(archs, cost), len(archs))

    @property
    def _by_size(self) -> list[str]:
        return [name for name in BY_SIZE if {name, "macs"} <= self._scaling.keys()]

    def _trend(self) -> Trend:
        """What is believed of the slopes of log error in the scaled features."""
        slopes = [
            (deviation * POWERS[name][0], deviation * POWERS[name][1])
            if name in POWERS
            else (0.0, STRUCTURE if name in BY_SIZE else SHAPE)
            for name, (_, deviation) in self._scaling.items()
        ]
        slopes += [(0.0, STRUCTURE)] * len(self._by_size)
        mean, sd = np.array(slopes or [(0.0, SHAPE)]).T
        return Trend(mean, sd)

    def _scaled(self, columns: dict[str, Floats], count: int) -> Floats:
        scaled = {
            name: (columns[name] - mean) / deviation
            for name, (mean, deviation) in self._scaling.items()
        }
        products = [scaled[name] * scaled["macs"] for name in self._by_size]
        found = [*scaled.values(), *products]
        return np.column_stack(found) if found else np.zeros((count, 1))
