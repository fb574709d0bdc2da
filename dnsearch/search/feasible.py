"""The part of a space that meets the limits, known from the cost formula before any training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.kernels import Kernels
from dnsearch.arch.space import TWICE_GROWTH, Points, SearchSpace
from dnsearch.config import LimitsConfig, StudyConfig
from dnsearch.cost.formula import BYTES_FP32, Cost, CostArrays, cost_of, costs
from dnsearch.errors import ConfigError, SpaceError

CHUNK = 1_000_000  # points costed at a time, to bound memory


@dataclass(frozen=True)
class CostModel:
    """The exact cost of any architecture on this study's images, and its limits.

    ``shape`` is (channels, height, width) of an image; batch size, bytes of a saved activation and
    the kernels that train matter to training memory alone.
    """

    shape: tuple[int, int, int]
    batch_size: int = 128
    activation_bytes: int = BYTES_FP32
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    kernels: Kernels = "auto"

    @classmethod
    def of(
        cls, study: StudyConfig, shape: tuple[int, int, int], activation_bytes: int
    ) -> CostModel:
        """For a study's images of this shape, as its recipe trains on them."""
        recipe = study.training
        return cls(shape, recipe.batch_size, activation_bytes, study.limits, recipe.kernels)

    @property
    def bounds(self) -> dict[str, int]:
        """The limits that are set on costs known before training, by cost name."""
        names = ("params", "macs", "activations", "train_bytes")
        bounds = {name: getattr(self.limits, f"max_{name}") for name in names}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def _memory(self) -> tuple[int, int, Kernels]:
        return self.batch_size, self.activation_bytes, self.kernels

    def cost(self, arch: ArchConfig) -> Cost:
        """Raises ConfigError where the images are too small for the architecture."""
        return cost_of(arch, *self.shape[1:], *self._memory)

    def excess(self, arch: ArchConfig, latency_ms: float | None = None) -> dict[str, float]:
        """How far each limit is exceeded, as a share of it: at most 0 where it is met.

        A latency not measured yet counts as met.
        """
        cost, most = self.cost(arch), self.limits.max_latency_ms
        excess = {name: getattr(cost, name) / bound - 1 for name, bound in self.bounds.items()}
        if most is not None:
            excess["latency_ms"] = 0.0 if latency_ms is None else latency_ms / most - 1
        return excess

    def of_archs(self, archs: ArchArrays) -> CostArrays:
        """The costs of n architectures, (n,) each."""
        return costs(archs, *self.shape[1:], *self._memory)

    def of_points(self, points: Points) -> CostArrays:
        """The costs of n points of a space, (n,) each, in bounded memory."""
        parts = []
        for start in range(0, len(points), CHUNK):
            chunk = points.take(np.arange(start, min(start + CHUNK, len(points))))
            parts.append(self.of_archs(chunk.arrays()))
        columns = {n: np.concatenate([getattr(p, n) for p in parts]) for n in vars(parts[0])}
        return CostArrays(**columns)


def feasible_points(
    space: SearchSpace, model: CostModel, rng: np.random.Generator
) -> tuple[Points, CostArrays]:
    """The points of the space that meet the limits, and their costs.

    Raises ConfigError for images that are too small, SpaceError where no point meets the limits.
    """
    try:
        space.config({}).require_size(*model.shape[1:])
    except ConfigError as error:
        raise error.within("space.block_config or data.image_size:") from None
    points = space.points(rng)
    points = points.take(~_twins(points))
    cost = model.of_points(points)
    fits = _fits(model, cost)
    if not fits.any():
        raise SpaceError(_nothing_fits(model, cost))
    return points.take(fits), CostArrays(**{n: c[fits] for n, c in vars(cost).items()})


def fitting(points: Points, model: CostModel) -> tuple[Points, CostArrays]:
    """Those of the points, perhaps none, that meet the limits and are no twins of others, and their
    costs."""
    points = points.take(~_twins(points))
    cost = model.of_archs(points.arrays())
    fits = _fits(model, cost)
    return points.take(fits), CostArrays(**{n: c[fits] for n, c in vars(cost).items()})


def _fits(model: CostModel, cost: CostArrays) -> NDArray[np.bool_]:
    fits = np.ones(len(cost.macs), dtype=bool)
    for name, bound in model.bounds.items():
        fits &= getattr(cost, name) <= bound
    return fits


def _twins(points: Points) -> NDArray[np.bool_]:
    """Points that are the same architecture as another: "2x growth" where that number is a choice
    too."""
    choices = points.space.num_init_features
    if TWICE_GROWTH not in choices:
        return np.zeros(len(points), dtype=bool)
    column = list(points.space.dimensions).index("num_init_features")
    twice = points.digits[:, column] == choices.index(TWICE_GROWTH)
    return twice & np.isin(
        points.arrays().num_init_features, [c for c in choices if c != TWICE_GROWTH]
    )


def require_within_limits(start: list[ArchConfig], model: CostModel) -> None:
    """Raises ConfigError naming the first known design that is over a limit or too deep."""
    for position, arch in enumerate(start):
        field = f"search.start[{position}]"
        try:
            excess = model.excess(arch)
        except ConfigError as error:
            raise error.within(f"{field}:") from None
        for name, share in excess.items():
            if share > 0:
                rule = f"must have {name} <= limits.max_{name} = {model.bounds[name]}"
                raise ConfigError(field, rule, getattr(model.cost(arch), name))


def _nothing_fits(model: CostModel, cost: CostArrays) -> str:
    for name, bound in model.bounds.items():
        least = int(getattr(cost, name).min())
        if least > bound:
            return (
                f"no point of the space has {name} <= {bound:.4g}; the smallest has {least:.4g}; "
                f"raise limits.max_{name} or offer smaller choices in [space]"
            )
    bounds = ", ".join(f"{name} <= {bound:.4g}" for name, bound in model.bounds.items())
    return f"no point of the space meets all limits together ({bounds}); raise one of them"
