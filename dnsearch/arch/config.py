"""``ArchConfig``: one DenseNet, frozen and validated.

Names follow torchvision's ``DenseNet`` and the paper (Huang et al. 2017, arXiv:1608.06993).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from dnsearch.errors import ConfigError, nearest

Norm = Literal["batch", "group"]
Stem = Literal["imagenet", "cifar", "patch2", "patch4"]
Transition = Literal["pool", "narrow"]

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
_BY_BLOCK = ("growth_rate", "bn_size")
_LATER = {"transition": "pool"}
"""Fields that the first versions lacked, and what they stand at there: left out of ``to_dict``, so
that the keys of their architectures stay as they were."""


class StemShape(NamedTuple):
    """The convolution of a stem, and whether a 3x3/2 max-pool follows it."""

    kernel: int
    stride: int
    padding: int
    pooled: bool = False

    def least_size(self, pools: Any) -> Any:
        """Smallest side of an image of which a pixel is left after so many halvings behind the
        stem; a number or an array. The halvings of the stem with a max-pool round up."""
        if self.pooled:
            return 2 * self.stride * (2**pools - 1) + 1
        return self.stride * 2**pools


STEMS: Mapping[Stem, StemShape] = MappingProxyType(
    {
        "imagenet": StemShape(7, 2, 3, pooled=True),
        "cifar": StemShape(3, 1, 1),
        "patch2": StemShape(2, 2, 0),
        "patch4": StemShape(4, 4, 0),
    }
)


def transition_width(channels: Any, compression: Any) -> Any:
    """Channels after a transition, ``floor(compression * channels)``; for numbers or arrays.

    The small offset makes up for rounding: 0.29 * 100 is 28.999999999999996 in floating point.
    """
    return np.floor(np.asarray(channels) * compression + 1e-9).astype(np.int64)


def entering_widths(initial: Any, depths: Any, growth: Any, compression: Any) -> NDArray[np.int64]:
    """Channels entering each block, (n, blocks); where there is none, those behind the last.

    initial, compression: (n,). depths, growth: (n, blocks), depths 0 where there is no block.
    """
    widths, channels = [], initial
    for block, (layers, k) in enumerate(zip(depths.T, growth.T, strict=True)):
        if block:
            narrowed = transition_width(channels, compression)
            channels = np.where(layers > 0, narrowed, channels)
        widths.append(channels)
        channels = channels + layers * k
    return np.stack(widths, axis=1)


@dataclass(frozen=True)
class ArchConfig:
    """One DenseNet. The defaults are densenet121's.

    growth_rate: feature maps each layer adds (k in the paper), or a number for each block.
    block_config: layers of each dense block; any number of blocks from 1.
    num_init_features: channels after the stem.
    bn_size: width of the 1x1 bottleneck in multiples of growth_rate, or a number for each block; 0
    means no bottleneck.
    compression: share of the channels that a transition keeps (theta in the paper).
    drop_rate: share of its new maps that each dense layer drops in training.
    norm: ``batch`` or ``group`` (GroupNorm, Wu & He 2018, arXiv:1803.08494).
    stem: ``imagenet`` (7x7/2 convolution, norm, 3x3/2 max-pool), ``cifar`` (one 3x3 convolution),
    ``patch2`` or ``patch4`` (one 2x2/2 or 4x4/4 convolution, as in RDNet).
    transition: what is behind every block but the last, or a word for each: ``pool``, a 1x1
    convolution and pooling as in the paper, or ``narrow``, the convolution alone, which leaves the
    resolution as it is (RDNet, Kim et al. 2024, arXiv:2403.19588).

    What is the same for all blocks is kept as one value, so that equal networks are equal configs.
    Raises ConfigError naming the field, the rule and the value got.
    """

    growth_rate: int | tuple[int, ...] = 32
    block_config: tuple[int, ...] = (6, 12, 24, 16)
    num_init_features: int = 64
    bn_size: int | tuple[int, ...] = 4
    compression: float = 0.5
    drop_rate: float = 0.0
    norm: Norm = "batch"
    stem: Stem = "imagenet"
    in_channels: int = 3
    num_classes: int = 1000
    transition: Transition | tuple[Transition, ...] = "pool"

    def __post_init__(self) -> None:
        object.__setattr__(self, "block_config", _block_config(self.block_config))
        blocks = len(self.block_config)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if name in _BY_BLOCK and isinstance(value, (list, tuple)):
                _require_each(name, value, blocks, "block")
                for block, each in enumerate(value):
                    _require_int(f"{name}[{block}]", each, least, most)
                object.__setattr__(self, name, _shortest(value))
            else:
                _require_int(name, value, least, most)
        for name, kind in (("norm", Norm), ("stem", Stem), ("transition", Transition)):
            value = getattr(self, name)
            several = name == "transition" and isinstance(value, (list, tuple))
            for each in value if several else (value,):
                if each not in get_args(kind):
                    raise ConfigError(name, f"must be one of {', '.join(get_args(kind))}", each)
        if isinstance(self.transition, (list, tuple)):
            _require_each("transition", self.transition, blocks - 1, "block but the last")
            object.__setattr__(self, "transition", _shortest(self.transition))
        if blocks == 1:
            object.__setattr__(self, "transition", "pool")
        object.__setattr__(self, "compression", _require_float("compression", self.compression))
        object.__setattr__(self, "drop_rate", _require_float("drop_rate", self.drop_rate))
        if not 0 < self.compression <= 1:
            raise ConfigError("compression", "must lie in (0, 1]", self.compression)
        if not 0 <= self.drop_rate < 1:
            raise ConfigError("drop_rate", "must lie in [0, 1)", self.drop_rate)
        if 0 in self.widths:
            raise ConfigError(
                "compression", "leaves no channel after a transition", self.compression
            )

    @property
    def growth_rates(self) -> tuple[int, ...]:
        """The growth rate of each block."""
        return self._by_block(self.growth_rate, len(self.block_config))

    @property
    def bn_sizes(self) -> tuple[int, ...]:
        """The ``bn_size`` of each block."""
        return self._by_block(self.bn_size, len(self.block_config))

    @property
    def bottlenecks(self) -> tuple[int, ...]:
        """Outputs of the 1x1 convolution of a layer of each block, 0 without one."""
        return tuple(b * k for b, k in zip(self.bn_sizes, self.growth_rates, strict=True))

    @property
    def pools(self) -> tuple[bool, ...]:
        """Whether each transition halves the resolution."""
        kinds = self._by_block(self.transition, len(self.block_config) - 1)
        return tuple(kind == "pool" for kind in kinds)

    @staticmethod
    def _by_block(value: Any, count: int) -> tuple[Any, ...]:
        return value if isinstance(value, tuple) else (value,) * count

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels entering each dense block, then those entering the classifier."""
        channels, widths = self.num_init_features, []
        for block, (layers, k) in enumerate(zip(self.block_config, self.growth_rates, strict=True)):
            if block:
                channels = int(transition_width(channels, self.compression))
            widths.append(channels)
            channels += layers * k
        return (*widths, channels)

    @property
    def depth(self) -> int:
        """Weighted layers, counted as in the paper: densenet121 has 121."""
        each = (2 if width else 1 for width in self.bottlenecks)
        layers = sum(n * convs for n, convs in zip(self.block_config, each, strict=True))
        return 2 + layers + len(self.block_config) - 1

    @property
    def least_size(self) -> int:
        """Smallest side of an input of which a pixel is left after the last transition."""
        return int(STEMS[self.stem].least_size(sum(self.pools)))

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that name this architecture everywhere: a hash of its JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def describe(self) -> str:
        """A short name for people, such as ``k=12 blocks 6-12-24 bottleneck 4``; a ``+`` between
        blocks is a transition that does not pool. Initial channels are named where they are not
        twice the first growth rate, as in the paper, and stems but ``cifar``. Architectures for the
        same channels and classes have the same name only if they are equal."""
        text = f"k={joined(self.growth_rate)} blocks {self.describe_blocks()}"
        text += f" bottleneck {joined(self.bn_size)}" if self.bn_size else " no bottleneck"
        if self.num_init_features != 2 * self.growth_rates[0]:
            text += f" init {self.num_init_features}"
        if self.compression != 0.5:
            text += f" θ {_in_full(self.compression)}"
        if self.norm != "batch":
            text += f" {self.norm}-norm"
        if self.stem != "cifar":
            text += f" {self.stem}"
        if self.drop_rate:
            text += f" drop {_in_full(self.drop_rate)}"
        return text

    def describe_blocks(self) -> str:
        """The depths of the blocks, such as ``6-12-24``, with the ``+`` of ``describe``."""
        joints = ("-" if pools else "+" for pools in self.pools)
        first, *rest = map(str, self.block_config)
        return first + "".join(joint + depth for joint, depth in zip(joints, rest, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """The fields in values that JSON can hold, ``transition`` only where it is not ``pool``;
        ``from_dict`` reads them back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if name not in _LATER or value != _LATER[name]
        }

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
            raise ConfigError(
                "input size", rule, f"{height}x{width}", "take larger images or fewer blocks"
            )


@dataclass(frozen=True)
class ArchArrays:
    """Many architectures as arrays, one entry each, for formulas that take them all at once.

    ``growth_rate``, ``block_config`` and ``bn_size`` are (n, most blocks), padded with 0, and
    ``pools``, whether a transition halves the resolution, is (n, most blocks - 1), padded with
    False; all others are (n,), stem and norm too, so that architectures of any kind can be in one
    table.
    """

    growth_rate: NDArray[np.int64]
    block_config: NDArray[np.int64]
    num_init_features: NDArray[np.int64]
    bn_size: NDArray[np.int64]
    compression: NDArray[np.float64]
    drop_rate: NDArray[np.float64]
    norm: NDArray[np.str_]
    stem: NDArray[np.str_]
    pools: NDArray[np.bool_]
    in_channels: NDArray[np.int64]
    num_classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.block_config)

    @property
    def least_size(self) -> NDArray[np.int64]:
        """``ArchConfig.least_size`` of each, (n,)."""
        pools = self.pools.sum(axis=1)
        sizes = [stem.least_size(pools) for stem in STEMS.values()]
        return np.select([self.stem == name for name in STEMS], sizes)

    @property
    def output_widths(self) -> NDArray[np.int64]:
        """Channels behind each block, (n, most blocks); where there is none, behind the last."""
        depths, growth = self.block_config, self.growth_rate
        entering = entering_widths(self.num_init_features, depths, growth, self.compression)
        return entering + depths * growth

    @property
    def stem_pools(self) -> NDArray[np.bool_]:
        """Whether a max-pool follows the stem's convolution, (n,)."""
        return np.isin(self.stem, [name for name, stem in STEMS.items() if stem.pooled])

    def bottleneck(self, block: int) -> NDArray[np.int64]:
        """``ArchConfig.bottlenecks`` of this block, from 0, of each, (n,)."""
        return self.bn_size[:, block] * self.growth_rate[:, block]

    def layer_inputs(self, block: int, entering: NDArray[np.int64]) -> NDArray[np.int64]:
        """Channels that the layers of this block read, summed over them, (n,), where so many
        channels (n,) enter the block: ``L*c + k*L*(L-1)/2``."""
        layers, k = self.block_config[:, block], self.growth_rate[:, block]
        return layers * entering + k * layers * (layers - 1) // 2

    @classmethod
    def of(cls, configs: list[ArchConfig]) -> ArchArrays:
        """These architectures, in this order."""
        most = max((len(c.block_config) for c in configs), default=1)
        columns = {
            field.name: np.array([getattr(c, field.name) for c in configs])
            for field in fields(cls)
            if field.name not in (*_BY_BLOCK, "block_config", "pools")
        }
        return cls(
            growth_rate=_padded([c.growth_rates for c in configs], most, np.int64),
            block_config=_padded([c.block_config for c in configs], most, np.int64),
            bn_size=_padded([c.bn_sizes for c in configs], most, np.int64),
            pools=_padded([c.pools for c in configs], most - 1, np.bool_),
            **columns,
        )

    def config(self, index: int) -> ArchConfig:
        """The architecture at this position."""
        values = {field.name: getattr(self, field.name)[index] for field in fields(self)}
        blocks = int(np.count_nonzero(values["block_config"]))
        by_block = {
            name: tuple(values.pop(name)[:blocks].tolist()) for name in (*_BY_BLOCK, "block_config")
        }
        pools = values.pop("pools")[: blocks - 1]
        transition: tuple[Transition, ...] = tuple("pool" if each else "narrow" for each in pools)
        rest = {name: value.item() for name, value in values.items()}
        return ArchConfig(transition=transition, **by_block, **rest)


def _padded(rows: Sequence[Sequence[Any]], width: int, dtype: Any) -> NDArray[Any]:
    padded = np.zeros((len(rows), width), dtype)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def _shortest(values: Sequence[Any]) -> Any:
    """One value for all where they are equal."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def joined(value: int | tuple[int, ...]) -> str:
    """One number, or one for each block as ``6-11-23``."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _in_full(value: float) -> str:
    """The fewest decimal digits that tell a number from all others, such as ``1`` or ``0.61``."""
    return np.format_float_positional(value, trim="-")


def _require_each(name: str, values: Sequence[Any], count: int, what: str) -> None:
    if len(values) != count:
        rule = f"must be one value, or one for each {what}, which are {count}"
        raise ConfigError(name, rule, list(values))


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
