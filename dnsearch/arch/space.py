"""``SearchSpace``: the DenseNets a search may choose from, as a grid of choices.

A point is a row of digits, one for each dimension: the position of the choice it takes. Points are
kept as arrays, so that the costs of a whole space are computed at once (``dnsearch.cost``).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import ArchArrays, ArchConfig, entering_widths
from dnsearch.errors import ConfigError

MOST_ENUMERATED = 3_000_000
"""Spaces of up to this many points are listed in full, which takes 3 s."""

TWICE_GROWTH = "2x growth"
"""The paper's choice of initial features for its BC networks: twice the growth rate."""

Choice = int | float | str
ByBlock = tuple[Choice, ...] | tuple[tuple[Choice, ...], ...]
"""Choices for all blocks together, or a tuple of choices for each."""

_BY_BLOCK = {
    "growth_rate": "growth_rate",
    "block_config": "depth",
    "bn_size": "bn_size",
    "transition": "transition",
}
"""Fields that may have choices for each block, and what the dimensions are called then."""

_PLAIN = ("compression", "drop_rate", "norm", "stem")
_ORDER = (
    "growth_rate", "block_config", "bn_size", "num_init_features", "compression", "drop_rate",
    "norm", "growth_ratio", "bn_cap", "transition", "stem",
)  # fmt: skip
"""Of the dimensions, by field."""


def scaled_growth(growth_rate: Any, ratio: Any, stage: Any, divisor: int) -> Any:
    """``growth_rate * ratio ** stage`` to the nearest whole multiple of ``divisor``, at least one.

    For numbers or arrays. What no ratio changes stays as it is, whatever the divisor.
    """
    factor = np.asarray(ratio, np.float64) ** stage
    nearest = np.floor(np.asarray(growth_rate) * factor / divisor + 0.5 + 1e-9) * divisor
    scaled = np.maximum(nearest, divisor).astype(np.int64)
    return np.where(factor == 1, growth_rate, scaled)


def capped_bottleneck(bn_size: Any, growth_rate: Any, channels: Any, cap: Any) -> Any:
    """``bn_size`` lowered until the bottleneck is no wider than ``cap`` times the ``channels`` that
    enter its block, but not below 1; 0 is no cap. For numbers or arrays.

    As in PeleeNet (Wang et al. 2018, arXiv:1804.06882), which does so in every layer.
    """
    cap = np.asarray(cap, np.float64)
    room = np.floor(cap * channels / np.maximum(growth_rate, 1) + 1e-9).astype(np.int64)
    capped = np.minimum(bn_size, np.maximum(room, 1))
    return np.where(cap > 0, capped, bn_size)


@dataclass(frozen=True)
class SearchSpace:
    """All combinations of these choices: a tuple for each field, in ``block_config`` one a block.

    ``growth_rate``, ``bn_size`` and ``transition`` take choices for all blocks together, or a tuple
    of choices for each (``transition`` for each but the last). ``growth_ratio`` multiplies the
    growth rate at each resolution by that before (see ``scaled_growth``); ``bn_cap`` limits the
    bottleneck's width (see ``capped_bottleneck``). ``num_init_features`` takes numbers and
    ``"2x growth"``, of the first block. in_channels and num_classes are the same for every point,
    those of the data. Raises ConfigError for a field without choices, a repeated choice, and one
    that no architecture may have.
    """

    growth_rate: ByBlock
    block_config: tuple[tuple[int, ...], ...]
    growth_ratio: tuple[float, ...] = (1.0,)
    growth_divisor: int = 1
    bn_size: ByBlock = (4,)
    bn_cap: tuple[float, ...] = (0.0,)
    num_init_features: tuple[int | str, ...] = (TWICE_GROWTH,)
    compression: tuple[float, ...] = (0.5,)
    drop_rate: tuple[float, ...] = (0.0,)
    norm: tuple[str, ...] = ("batch",)
    transition: ByBlock = ("pool",)
    stem: str | tuple[str, ...] = ("cifar",)
    in_channels: int = 3
    num_classes: int = 10

    def __post_init__(self) -> None:
        if isinstance(self.stem, str):
            object.__setattr__(self, "stem", (self.stem,))
        if not self.block_config:
            raise ConfigError("block_config", "must give the depths of one or more blocks", [])
        blocks = len(self.block_config)
        for name, parts, count in (
            ("growth_rate", "blocks", blocks),
            ("bn_size", "blocks", blocks),
            ("transition", "transitions", blocks - 1),
        ):
            value = getattr(self, name)
            if _is_by_block(value) and len(value) != count:
                rule = f"must be choices for all {parts} together, or {count} lists of choices"
                raise ConfigError(name, rule, [list(choices) for choices in value])
        if self.growth_divisor < 1:
            raise ConfigError("growth_divisor", "must be at least 1", self.growth_divisor)
        for name, choices in self.dimensions.items():
            if not choices:
                raise ConfigError(_field(name), "must offer at least one choice", list(choices))
            if len(set(choices)) < len(choices):
                raise ConfigError(_field(name), "must not repeat a choice", list(choices))
        for ratio in self.growth_ratio:
            if not (math.isfinite(ratio) and ratio > 0):
                raise ConfigError("growth_ratio", "must be a number above 0", ratio)
        for cap in self.bn_cap:
            if not (math.isfinite(cap) and cap >= 0):
                raise ConfigError("bn_cap", "must be 0, which is no cap, or above", cap)
        if _is_by_block(self.growth_rate) and self.growth_ratio != (1.0,):
            rule = "must be left out where growth_rate has choices for each block"
            raise ConfigError("growth_ratio", rule, list(self.growth_ratio))
        for name, choices in self.dimensions.items():
            for choice in choices:
                self.config({"growth_ratio": 1.0, "bn_cap": 0.0, name: choice})
        # The rules on several fields, that a transition must keep a channel and that a growth rate
        # times a ratio has a most, are broken by the least or the most of every choice, if by any.
        rest = {n: c for n, c in self.dimensions.items() if n != "num_init_features"}
        for choice in self.num_init_features:
            for extreme in (min, max):
                values = {name: extreme(choices) for name, choices in rest.items()}
                self.config({**values, "num_init_features": choice})

    @cached_property
    def dimensions(self) -> Mapping[str, tuple[Any, ...]]:
        """The choices by name, those of single blocks as ``depth1``, ``depth2``, and so on, and
        where they differ between blocks ``growth_rate1``, ``bn_size1``, ``transition1``."""
        dimensions: dict[str, tuple[Any, ...]] = {}
        for field in _ORDER:
            choices, names = getattr(self, field), self._names.get(field, [field])
            each = choices if _is_by_block(choices) else [choices]
            dimensions |= {name: tuple(c) for name, c in zip(names, each, strict=True)}
        return dimensions

    @cached_property
    def _names(self) -> Mapping[str, list[str]]:
        """The dimensions of each field that may have one a block."""
        return {
            field: [f"{name}{i}" for i in range(1, len(getattr(self, field)) + 1)]
            if _is_by_block(getattr(self, field))
            else [field]
            for field, name in _BY_BLOCK.items()
        }

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(choices) for choices in self.dimensions.values())

    def config(self, values: Mapping[str, Any]) -> ArchConfig:
        """The architecture of these choices, by dimension; the first choice where none is given."""
        chosen = {name: values.get(name, choices[0]) for name, choices in self.dimensions.items()}
        fields: dict[str, Any] = {}
        for field, names in self._names.items():
            each = tuple(chosen.pop(name) for name in names)
            fields[field] = each if _is_by_block(getattr(self, field)) else each[0]
        ratio, cap = chosen.pop("growth_ratio"), chosen.pop("bn_cap")
        if chosen["num_init_features"] == TWICE_GROWTH:
            growth = fields["growth_rate"]
            first = growth[0] if isinstance(growth, tuple) else growth
            # ArchConfig refuses a growth rate that is no number
            chosen["num_init_features"] = 2 * first if isinstance(first, int) else 1
        arch = ArchConfig(
            **fields, **chosen, in_channels=self.in_channels, num_classes=self.num_classes
        )
        if ratio != 1:
            stages = np.cumsum([0, *arch.pools])
            rates = scaled_growth(arch.growth_rate, ratio, stages, self.growth_divisor)
            arch = arch.replace(growth_rate=tuple(rates.tolist()))
        if cap:
            sizes = capped_bottleneck(arch.bn_sizes, arch.growth_rates, arch.widths[:-1], cap)
            arch = arch.replace(bn_size=tuple(sizes.tolist()))
        return arch

    def points(self, rng: np.random.Generator, most: int = MOST_ENUMERATED) -> Points:
        """All points in lexicographic order, or ``most`` random ones, no two alike, of more."""
        radices = [len(choices) for choices in self.dimensions.values()]
        if self.size <= most:
            return Points(self, _all_digits(radices))
        return Points(self, _sampled_digits(radices, most, rng))

    def __contains__(self, config: ArchConfig) -> bool:
        return self.values_of(config) is not None

    def values_of(self, config: ArchConfig) -> dict[str, Choice] | None:
        """The choices that give this architecture, by dimension; None if it is not in the space.

        Of several the first in the order of the dimensions, a number before ``"2x growth"``.
        """
        if len(config.block_config) != len(self.block_config):
            return None
        by_block = {
            "growth_rate": config.growth_rates,  # no ratio changes the first
            "block_config": config.block_config,
            "transition": ["pool" if pools else "narrow" for pools in config.pools],
        }
        if self.bn_cap == (0.0,):
            by_block["bn_size"] = config.bn_sizes
        wanted: dict[str, Any] = {
            name: value
            for field, values in by_block.items()
            for name, value in zip(self._names[field], values, strict=False)
        }
        wanted |= {name: getattr(config, name) for name in _PLAIN}
        number = config.num_init_features in self.num_init_features
        wanted["num_init_features"] = config.num_init_features if number else TWICE_GROWTH
        offered = [
            [choice for choice in choices if name not in wanted or choice == wanted[name]]
            for name, choices in self.dimensions.items()
        ]
        for choices in itertools.product(*offered):
            values = dict(zip(self.dimensions, choices, strict=True))
            if self.config(values) == config:
                return values
        return None


@dataclass(frozen=True)
class Points:
    """Points of a space: ``digits`` (n, dimensions) holds the position of each choice taken."""

    space: SearchSpace
    digits: NDArray[np.int16]

    @classmethod
    def of(cls, space: SearchSpace, configs: Iterable[ArchConfig]) -> Points:
        """The points of these architectures; those outside the space are left out."""
        inside = [values for values in map(space.values_of, configs) if values is not None]
        digits = [[c.index(v[n]) for n, c in space.dimensions.items()] for v in inside]
        return cls(space, np.array(digits, np.int16).reshape(-1, len(space.dimensions)))

    @classmethod
    def at(cls, space: SearchSpace, choices: Sequence[Mapping[str, Choice]]) -> Points:
        """The points with these choices by dimension, the first where one is not given."""
        digits = [
            [
                every.index(each[name]) if name in each else 0
                for name, every in space.dimensions.items()
            ]
            for each in choices
        ]
        return cls(space, np.array(digits, np.int16).reshape(-1, len(space.dimensions)))

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """All of them, one part behind the other; at least one."""
        return cls(parts[0].space, np.concatenate([part.digits for part in parts]))

    def __len__(self) -> int:
        return len(self.digits)

    def values(self, index: int) -> dict[str, Choice]:
        """The choices of the point at this position, by dimension."""
        names = self.space.dimensions.items()
        return {n: c[d] for (n, c), d in zip(names, self.digits[index], strict=True)}

    def config(self, index: int) -> ArchConfig:
        """The architecture of the point at this position."""
        return self.space.config(self.values(index))

    def take(self, rows: NDArray[Any]) -> Points:
        """The points at these positions, or where a mask is true."""
        return Points(self.space, self.digits[rows])

    def distance(self, values: Mapping[str, Choice]) -> NDArray[np.float64]:
        """How far each point lies from these choices, (n,): in each dimension the steps between the
        two choices as a share of all its steps, summed. Dimensions not given count as equal."""
        total = np.zeros(len(self))
        for (name, choices), digit in zip(
            self.space.dimensions.items(), self.digits.T, strict=True
        ):
            if name in values and len(choices) > 1:
                total += np.abs(digit - choices.index(values[name])) / (len(choices) - 1)
        return total

    def arrays(self, capped: bool = True) -> ArchArrays:
        """The architectures of all points; without ``capped`` as if no ``bn_cap`` were set."""
        space, digits = self.space, dict(zip(self.space.dimensions, self.digits.T, strict=True))
        columns = {
            name: np.array(choices, dtype=_dtype(choices))[digits[name]]
            for name, choices in space.dimensions.items()
            if name != "num_init_features"
        }
        blocks = len(space.block_config)

        def by_block(field: str, count: int = blocks) -> NDArray[Any]:
            each = [columns.pop(name) for name in space._names[field]]
            return np.stack(each if len(each) == count else each * count, axis=1) if count else (
                np.empty((len(self), 0))
            )  # fmt: skip

        depths, pools = by_block("block_config"), by_block("transition", blocks - 1) == "pool"
        growth, ratio = by_block("growth_rate"), columns.pop("growth_ratio")
        init = np.array([0 if c == TWICE_GROWTH else int(c) for c in space.num_init_features])
        initial = init[digits["num_init_features"]]
        initial = np.where(initial == 0, 2 * growth[:, 0], initial)
        if space.growth_ratio != (1.0,):
            stages = np.cumsum(np.pad(pools, ((0, 0), (1, 0))), axis=1)
            growth = scaled_growth(growth, ratio[:, None], stages, space.growth_divisor)
        sizes, cap = by_block("bn_size"), columns.pop("bn_cap")
        if capped and space.bn_cap != (0.0,):
            channels = entering_widths(initial, depths, growth, columns["compression"])
            sizes = capped_bottleneck(sizes, growth, channels, cap[:, None])
        return ArchArrays(
            growth_rate=growth,
            block_config=depths,
            num_init_features=initial,
            bn_size=sizes,
            pools=pools,
            in_channels=np.full(len(self), space.in_channels),
            num_classes=np.full(len(self), space.num_classes),
            **columns,
        )

    def __iter__(self) -> Iterator[ArchConfig]:
        return map(self.config, range(len(self)))


def _is_by_block(choices: Sequence[Any]) -> bool:
    return bool(choices) and isinstance(choices[0], (tuple, list))


def _field(dimension: str) -> str:
    """The field of a dimension, with the block's position where it has one a block."""
    match = re.fullmatch(r"(.*?)(\d+)", dimension)
    if match is None:
        return dimension
    fields = {name: field for field, name in _BY_BLOCK.items()}
    return f"{fields[match[1]]}[{int(match[2]) - 1}]"


def _all_digits(radices: list[int]) -> NDArray[np.int16]:
    """All combinations of digits below these radices, in lexicographic order: (n, dimensions)."""
    digits = np.empty((math.prod(radices), len(radices)), dtype=np.int16)
    for i, radix in enumerate(radices):
        before, after = math.prod(radices[:i]), math.prod(radices[i + 1 :])
        digits[:, i] = np.tile(np.repeat(np.arange(radix, dtype=np.int16), after), before)
    return digits


def _sampled_digits(radices: list[int], count: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """``count`` random combinations, no two alike: (count, dimensions).

    Of 2^63 combinations and more, two are so unlikely to be alike that nothing looks for it.
    """
    size = math.prod(radices)
    if size >= 2**63:
        drawn = [rng.integers(0, radix, size=count, dtype=np.int16) for radix in radices]
        return np.stack(drawn, axis=1)
    if size <= 4 * count:
        flat = rng.permutation(size)[:count]
    else:
        flat = np.unique(rng.integers(0, size, size=count + count // 4))
        while len(flat) < count:
            flat = np.unique(np.concatenate([flat, rng.integers(0, size, size=count)]))
        flat = rng.permutation(flat)[:count]
    digits = np.empty((count, len(radices)), dtype=np.int16)
    for i in reversed(range(len(radices))):
        flat, digits[:, i] = np.divmod(flat, radices[i])
    return digits


def _dtype(choices: Sequence[Choice]) -> Any:
    if isinstance(choices[0], str):
        return np.str_
    return np.float64 if any(isinstance(c, float) for c in choices) else np.int64
