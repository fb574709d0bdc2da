"""``SearchSpace``: the DenseNets a search may choose from, as a grid of choices.

A point is a row of digits, one for each dimension: the position of the choice it takes. Points are
kept as arrays, so that the costs of a whole space are computed at once (``dnsearch.cost``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.errors import ConfigError

MOST_ENUMERATED = 10_000_000
"""Spaces of up to this many points are listed in full; larger ones are sampled."""

TWICE_GROWTH = "2x growth"
"""The paper's choice of initial features for its BC networks: twice the growth rate."""

Choice = int | float | str


@dataclass(frozen=True)
class SearchSpace:
    """All combinations of these choices: a tuple for each field, in ``block_config`` one a block.

    ``num_init_features`` takes numbers and ``"2x growth"``. Stem, in_channels and num_classes are
    the same for every point, the latter two those of the data. Raises ConfigError for a field
    without choices, a repeated choice, and one that no architecture may have.
    """

    growth_rate: tuple[int, ...]
    block_config: tuple[tuple[int, ...], ...]
    bn_size: tuple[int, ...] = (4,)
    num_init_features: tuple[int | str, ...] = (TWICE_GROWTH,)
    compression: tuple[float, ...] = (0.5,)
    drop_rate: tuple[float, ...] = (0.0,)
    norm: tuple[str, ...] = ("batch",)
    stem: str = "cifar"
    in_channels: int = 3
    num_classes: int = 10

    def __post_init__(self) -> None:
        if not self.block_config:
            raise ConfigError("block_config", "must give the depths of one or more blocks", [])
        for name, choices in self.dimensions.items():
            field = re.sub(r"^depth(\d+)$", lambda m: f"block_config[{int(m[1]) - 1}]", name)
            if not choices:
                raise ConfigError(field, "must offer at least one choice", list(choices))
            if len(set(choices)) < len(choices):
                raise ConfigError(field, "must not repeat a choice", list(choices))
        for name, choices in self.dimensions.items():
            for choice in choices:
                self.config({name: choice})
        # The one rule on several fields is that a transition must keep a channel: if any point
        # breaks it, the one with the least of every choice does.
        least = {n: min(c) for n, c in self.dimensions.items() if n != "num_init_features"}
        for choice in self.num_init_features:
            self.config({**least, "num_init_features": choice})

    @cached_property
    def dimensions(self) -> Mapping[str, tuple[Choice, ...]]:
        """The choices by name, those of the blocks as ``depth1``, ``depth2``, and so on."""
        depths = {f"depth{i}": tuple(c) for i, c in enumerate(self.block_config, start=1)}
        return {
            "growth_rate": self.growth_rate,
            **depths,
            "bn_size": self.bn_size,
            "num_init_features": self.num_init_features,
            "compression": self.compression,
            "drop_rate": self.drop_rate,
            "norm": self.norm,
        }

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(choices) for choices in self.dimensions.values())

    def config(self, values: Mapping[str, Any]) -> ArchConfig:
        """The architecture of these choices, by dimension; the first choice where none is given."""
        chosen = {name: values.get(name, choices[0]) for name, choices in self.dimensions.items()}
        depths = tuple(chosen.pop(f"depth{i + 1}") for i in range(len(self.block_config)))
        if chosen["num_init_features"] == TWICE_GROWTH:
            chosen["num_init_features"] = 2 * chosen["growth_rate"]
        fixed = {
            "stem": self.stem,
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
        }
        return ArchConfig(block_config=depths, **chosen, **fixed)

    def points(self, rng: np.random.Generator, most: int = MOST_ENUMERATED) -> Points:
        """All points in lexicographic order, or ``most`` random ones, no two alike, of more."""
        radices = [len(choices) for choices in self.dimensions.values()]
        if self.size <= most:
            return Points(self, _all_digits(radices))
        return Points(self, _sampled_digits(radices, most, rng))

    def __contains__(self, config: ArchConfig) -> bool:
        return self.values_of(config) is not None

    def values_of(self, config: ArchConfig) -> dict[str, Choice] | None:
        """The choices that give this architecture, by dimension; None if it is not in the space."""
        wanted: dict[str, Any] = {f"depth{i}": d for i, d in enumerate(config.block_config, 1)}
        wanted |= {n: getattr(config, n) for n in self.dimensions if not n.startswith("depth")}
        init = wanted["num_init_features"]
        if init not in self.num_init_features and init == 2 * config.growth_rate:
            wanted["num_init_features"] = TWICE_GROWTH
        inside = len(config.block_config) == len(self.block_config) and all(
            wanted[name] in choices for name, choices in self.dimensions.items()
        )
        return wanted if inside and self.config(wanted) == config else None


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

    def arrays(self) -> ArchArrays:
        """The architectures of all points."""
        columns = {
            name: np.array(choices, dtype=_dtype(choices))[digit]
            for (name, choices), digit in zip(
                self.space.dimensions.items(), self.digits.T, strict=True
            )
            if name != "num_init_features"
        }
        init = [0 if c == TWICE_GROWTH else int(c) for c in self.space.num_init_features]
        names = list(self.space.dimensions)
        initial = np.array(init)[self.digits[:, names.index("num_init_features")]]
        growth = columns.pop("growth_rate")
        depths = [columns.pop(f"depth{i + 1}") for i in range(len(self.space.block_config))]
        same = {n: np.full(len(self), getattr(self.space, n)) for n in _FIXED}
        return ArchArrays(
            growth_rate=growth,
            block_config=np.stack(depths, axis=1),
            num_init_features=np.where(initial == 0, 2 * growth, initial),
            **columns,
            **same,
        )

    def __iter__(self) -> Iterator[ArchConfig]:
        return map(self.config, range(len(self)))


_FIXED = ("stem", "in_channels", "num_classes")


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
