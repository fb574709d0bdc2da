"""``ArchConfig``: one DenseNet, frozen and validated.

Names follow torchvision's ``DenseNet`` and the paper (Huang et al. 2017, arXiv:1608.06993).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dnsearch.errors import ConfigError, nearest

Norm = Literal["batch", "group"]
Stem = Literal["imagenet", "cifar"]

MOST_LAYERS = 1024
"""The most layers of a block. Like the ranges below it is far beyond any real network: it stops a
mistyped number before it asks for more memory than there is."""

_RANGES = {
    "growth_rate": (1, 4096),
    "num_init_features": (1, 65536),
    "bn_size": (0, 64),
    "in_channels": (1, 4096),
    "num_classes": (1, 1_000_000),
}


def transition_width(channels: Any, compression: Any) -> Any:
    """Channels after a transition, ``floor(compression * channels)``; for numbers or arrays.

    The small offset makes up for rounding: 0.29 * 100 is 28.999999999999996 in floating point.
    """
    return np.floor(np.asarray(channels) * compression + 1e-9).astype(np.int64)


@dataclass(frozen=True)
class ArchConfig:
    """One DenseNet. The defaults are densenet121's.

    growth_rate: feature maps each layer adds (k in the paper).
    block_config: layers of each dense block; any number of blocks from 1.
    num_init_features: channels after the stem.
    bn_size: width of the 1x1 bottleneck in multiples of growth_rate; 0 means no bottleneck.
    compression: share of the channels that a transition keeps (theta in the paper).
    drop_rate: share of its new maps that each dense layer drops in training.
    norm: ``batch`` or ``group`` (GroupNorm, Wu & He 2018, arXiv:1803.08494).
    stem: ``imagenet`` (7x7/2 convolution, norm, 3x3/2 max-pool) or ``cifar`` (one 3x3 convolution).

    Raises ConfigError naming the field, the rule and the value got.
    """

    growth_rate: int = 32
    block_config: tuple[int, ...] = (6, 12, 24, 16)
    num_init_features: int = 64
    bn_size: int = 4
    compression: float = 0.5
    drop_rate: float = 0.0
    norm: Norm = "batch"
    stem: Stem = "imagenet"
    in_channels: int = 3
    num_classes: int = 1000

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            _require_int(name, getattr(self, name), least, most)
        object.__setattr__(self, "block_config", _block_config(self.block_config))
        object.__setattr__(self, "compression", _require_float("compression", self.compression))
        object.__setattr__(self, "drop_rate", _require_float("drop_rate", self.drop_rate))
        if not 0 < self.compression <= 1:
            raise ConfigError("compression", "must lie in (0, 1]", self.compression)
        if not 0 <= self.drop_rate < 1:
            raise ConfigError("drop_rate", "must lie in [0, 1)", self.drop_rate)
        for name, allowed in (("norm", get_args(Norm)), ("stem", get_args(Stem))):
            if getattr(self, name) not in allowed:
                raise ConfigError(name, f"must be one of {', '.join(allowed)}", getattr(self, name))
        if 0 in self.widths:
            raise ConfigError(
                "compression", "leaves no channel after a transition", self.compression
            )

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels entering each dense block, then those entering the classifier."""
        channels, widths = self.num_init_features, []
        for stage, layers in enumerate(self.block_config):
            if stage:
                channels = int(transition_width(channels, self.compression))
            widths.append(channels)
            channels += layers * self.growth_rate
        return (*widths, channels)

    @property
    def depth(self) -> int:
        """Weighted layers, counted as in the paper: densenet121 has 121."""
        layer = 2 if self.bn_size else 1
        return 2 + layer * sum(self.block_config) + len(self.block_config) - 1

    @property
    def least_size(self) -> int:
        """Smallest side of an input of which a pixel is left after the last transition."""
        halvings = 2 ** (len(self.block_config) - 1)
        return halvings if self.stem == "cifar" else 4 * (halvings - 1) + 1

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that name this architecture everywhere: a hash of its JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def describe(self) -> str:
        """A short name for people, such as ``k=12 blocks 6-12-24 bn 4``."""
        text = f"k={self.growth_rate} blocks {'-'.join(map(str, self.block_config))}"
        text += f" bn {self.bn_size}" if self.bn_size else " plain"
        if self.compression != 0.5:
            text += f" θ {self.compression:g}"
        if self.norm != "batch":
            text += f" {self.norm}-norm"
        if self.drop_rate:
            text += f" drop {self.drop_rate:g}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """All fields in values that JSON can hold; ``from_dict`` reads them back."""
        return asdict(self) | {"block_config": list(self.block_config)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ArchConfig:
        """The config with these fields, the others at their defaults.

        Raises ConfigError on an unknown name or a value that breaks a rule.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ConfigError(name, "is no field of an architecture", hint=nearest(name, known))
        return cls(**values)

    def replace(self, **changes: Any) -> ArchConfig:
        """A copy with these fields changed. Raises ConfigError as the constructor does."""
        return replace(self, **changes)

    def require_size(self, height: int, width: int) -> None:
        """Raises ConfigError where an input of this size is too small for so many blocks."""
        if min(height, width) < self.least_size:
            rule = (
                f"must be at least {self.least_size}x{self.least_size} for "
                f"{len(self.block_config)} blocks after the {self.stem} stem"
            )
            raise ConfigError("input size", rule, f"{height}x{width}", "use fewer blocks")


@dataclass(frozen=True)
class ArchArrays:
    """Many architectures as arrays, one entry each, for formulas that take them all at once.

    ``block_config`` is (n, most blocks), padded with 0; all others are (n,), stem and norm too, so
    that architectures of any kind can be in one table.
    """

    growth_rate: NDArray[np.int64]
    block_config: NDArray[np.int64]
    num_init_features: NDArray[np.int64]
    bn_size: NDArray[np.int64]
    compression: NDArray[np.float64]
    drop_rate: NDArray[np.float64]
    norm: NDArray[np.str_]
    stem: NDArray[np.str_]
    in_channels: NDArray[np.int64]
    num_classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.growth_rate)

    @classmethod
    def of(cls, configs: list[ArchConfig]) -> ArchArrays:
        """These architectures, in this order."""
        most = max((len(c.block_config) for c in configs), default=1)
        blocks = np.zeros((len(configs), most), dtype=np.int64)
        for row, config in zip(blocks, configs, strict=True):
            row[: len(config.block_config)] = config.block_config
        columns = {
            field.name: np.array([getattr(c, field.name) for c in configs])
            for field in fields(cls)
            if field.name != "block_config"
        }
        return cls(block_config=blocks, **columns)

    def config(self, index: int) -> ArchConfig:
        """The architecture at this position."""
        values = {field.name: getattr(self, field.name)[index] for field in fields(self)}
        blocks = tuple(int(layers) for layers in values.pop("block_config") if layers)
        return ArchConfig(block_config=blocks, **{k: v.item() for k, v in values.items()})


def _require_int(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(name, f"must be an integer from {least} to {most}", value)


def _require_float(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(name, "must be a finite number", value)
    return float(value)


def _block_config(value: object) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ConfigError("block_config", "must be a list of one or more block depths", value)
    for stage, layers in enumerate(value):
        _require_int(f"block_config[{stage}]", layers, 1, MOST_LAYERS)
    return tuple(value)
