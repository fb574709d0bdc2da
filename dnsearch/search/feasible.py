"""The part of a space that meets the limits, known from the cost formula before any training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.kernels import Kernels
from dnsearch.arch.space import MOST_ENUMERATED, TWICE_GROWTH, Points, SearchSpace
from dnsearch.arrays import Floats
from dnsearch.config import LimitsConfig, StudyConfig
from dnsearch.cost.formula import BYTES_FP32, Cost, CostArrays, cost_of, costs
from dnsearch.cost.latency import GUESSED, LatencyModel
from dnsearch.errors import ConfigError, SpaceError
from dnsearch.search.boxes import CHUNK, Drawn, Order, boxes_within, corners, points_within
from dnsearch.search.design import thinned

MOST_DRAWN = 400_000
"""Points of a space that is too large to be enumerated: all within the limits if they are no more,
else a sample."""


@dataclass(frozen=True)
class CostModel:
    """The exact cost of any architecture on this study's images, and its limits.

    ``shape`` is (channels, height, width) of an image; batch size (of images trained at once),
    bytes of a saved activation and the kernels that train matter to training memory alone.
    ``latency`` predicts what is not exact.
    """

    shape: tuple[int, int, int]
    batch_size: int = 128
    activation_bytes: int = BYTES_FP32
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    kernels: Kernels = "auto"
    latency: LatencyModel = GUESSED

    @classmethod
    def of(
        cls,
        study: StudyConfig,
        shape: tuple[int, int, int],
        activation_bytes: int,
        latency: LatencyModel | None = None,
    ) -> CostModel:
        """For a study's images of this shape, as its recipe trains on them; latencies by a guess
        unless they are given."""
        recipe = study.training
        model = cls(shape, recipe.at_once, activation_bytes, study.limits, recipe.kernels)
        return model if latency is None else replace(model, latency=latency)

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

    def is_too_small_for(self, arch: ArchConfig) -> bool:
        """Whether the images have too few pixels for the architecture's transitions."""
        return arch.least_size > min(self.shape[1:])

    def excess(self, arch: ArchConfig, latency_ms: float | None = None) -> dict[str, float]:
        """How far each limit is exceeded, as a share of it: at most 0 where it is met.

        A latency not measured yet counts as met.
        """
        cost, most = self.cost(arch), self.limits.max_latency_ms
        excess = {name: getattr(cost, name) / bound - 1 for name, bound in self.bounds.items()}
        if most is not None:
            excess["latency_ms"] = 0.0 if latency_ms is None else latency_ms / most - 1
        return excess

    def is_too_slow(self, latency_ms: float | None) -> bool:
        """Whether a measured latency exceeds its limit; None is one not measured."""
        most = self.limits.max_latency_ms
        return latency_ms is not None and most is not None and latency_ms > most

    @property
    def latency_bound_ms(self) -> float | None:
        """The predicted latency above which a network is not tried: the limit and the margin of
        what predicts it. None without a limit, and where latencies are but guessed."""
        limit = self.limits.max_latency_ms
        return None if limit is None or self.latency.is_guess else limit * self.latency.margin

    def foreseen_excess(self, arch: ArchConfig) -> dict[str, float]:
        """``excess`` before training, that of a predicted latency by ``latency_bound_ms``."""
        excess, bound = self.excess(arch), self.latency_bound_ms
        if bound is not None:
            predicted = self.latency.predicted_ms(self.work(ArchArrays.of([arch])))
            excess["latency_ms"] = max(0.0, float(predicted[0]) / bound - 1)
        return excess

    def work(self, archs: ArchArrays) -> Floats:
        """What latencies are predicted from, (n, kinds of work)."""
        return self.latency.work(archs, *self.shape[1:])

    def of_archs(self, archs: ArchArrays) -> CostArrays:
        """The costs of n architectures, (n,) each."""
        return costs(archs, *self.shape[1:], *self._memory)

    def of_points(self, points: Points) -> CostArrays:
        """The costs of n points of a space, (n,) each, in bounded memory."""
        return CostArrays.joined([self.of_archs(chunk.arrays()) for chunk in _in_chunks(points)])


def feasible_points(
    space: SearchSpace, model: CostModel, rng: np.random.Generator
) -> tuple[Points, CostArrays]:
    """The points of the space that meet the limits, and their costs; of a large one a sample, see
    ``within_limits``, which raises what this does."""
    found = within_limits(space, model, rng)
    return found.points, found.costs


def within_limits(space: SearchSpace, model: CostModel, rng: np.random.Generator) -> Drawn:
    """The points of the space that meet the limits, and how many there are; of spaces of more than
    ``MOST_ENUMERATED`` points with over ``MOST_DRAWN`` within the limits a sample, evenly over log
    MACs.

    Raises ConfigError for images that are too small, SpaceError where no point meets the limits.
    """
    shallowest = min(_of_all_sizes(space), key=lambda arch: arch.least_size)
    try:
        shallowest.require_size(*model.shape[1:])
    except ConfigError as error:
        raise error.within("space.block_config or data.image_size:") from None
    enumerable = space.size <= MOST_ENUMERATED
    found = _enumerated(space, model, rng) if enumerable else _drawn(space, model, rng)
    single = ~_twins(found.points)
    points, costs = found.points.take(single), found.costs.take(single)
    count = len(points) if found.exact else found.count * float(single.mean())
    return replace(found, points=points, costs=costs, count=count)


def _enumerated(space: SearchSpace, model: CostModel, rng: np.random.Generator) -> Drawn:
    kept: list[Points] = []
    known: list[CostArrays] = []
    least: dict[str, int] = {}
    for chunk in _in_chunks(space.points(rng)):
        archs = chunk.arrays()
        cost = model.of_archs(archs)
        fits = _fits(archs, cost, model)
        for name in model.bounds:
            lowest = int(getattr(cost, name).min())
            least[name] = min(least.get(name, lowest), lowest)
        kept.append(chunk.take(fits))
        known.append(cost.take(fits))
    points, cost = Points.joined(kept), CostArrays.joined(known)
    if not len(points):
        raise SpaceError(_nothing_fits(model, least))
    return Drawn(points, cost, len(points), exact=True, looked=space.size)


def _drawn(space: SearchSpace, model: CostModel, rng: np.random.Generator) -> Drawn:
    def fits(archs: ArchArrays) -> tuple[NDArray[np.bool_], CostArrays]:
        cost = model.of_archs(archs)
        return _fits(archs, cost, model), cost

    order = Order(space)
    boxes = boxes_within(order, fits)
    found = points_within(order, boxes, fits, MOST_DRAWN, rng) if len(boxes) else None
    if found is not None and len(found.points):
        return found
    cheapest = model.of_archs(order.bounding(corners(order), low=True))
    least = {name: int(getattr(cheapest, name).min()) for name in model.bounds}
    if found is None or found.exact:
        raise SpaceError(_nothing_fits(model, least, is_bound=space.bn_cap != (0.0,)))
    raise SpaceError(
        f"none of the {found.looked:,} points that were drawn from a space of {space.size:.3g} "
        "meets all limits; raise one of them or offer smaller choices in [space]"
    )


def _of_all_sizes(space: SearchSpace) -> Iterator[ArchConfig]:
    """An architecture of every least size of an image that the space has."""
    decisive = {n: c for n, c in space.dimensions.items() if n.startswith(("transition", "stem"))}
    for choices in itertools.product(*decisive.values()):
        yield space.config(dict(zip(decisive, choices, strict=True)))


def fitting(points: Points, model: CostModel) -> tuple[Points, CostArrays]:
    """Those of the points, perhaps none, that meet the limits and are no twins of others, and their
    costs."""
    archs = points.arrays()
    cost = model.of_archs(archs)
    fits = np.flatnonzero(_fits(archs, cost, model))
    points = points.take(fits)
    single = ~_twins(points)
    return points.take(single), cost.take(fits[single])


def _fits(archs: ArchArrays, cost: CostArrays, model: CostModel) -> NDArray[np.bool_]:
    """Which architectures meet the limits and are not too deep for the images, (n,)."""
    fits = archs.least_size <= min(model.shape[1:])
    for name, bound in model.bounds.items():
        fits &= getattr(cost, name) <= bound
    if (most := model.latency_bound_ms) is not None:
        fits &= model.latency.predicted_ms(model.work(archs)) <= most
    return fits


def _twins(points: Points) -> NDArray[np.bool_]:
    """Points that are the same architecture as another that ``SearchSpace.values_of`` prefers: as
    "2x growth" where that number is a choice too, or ratios that round to the same growth."""
    space = points.space
    one = TWICE_GROWTH not in space.num_init_features or len(space.num_init_features) == 1
    if one and len(space.growth_ratio) == len(space.bn_cap) == 1 and space.bn_cap == (0.0,):
        return np.zeros(len(points), dtype=bool)
    order = np.arange(len(points))
    if TWICE_GROWTH in space.num_init_features:
        column = points.digits[:, list(space.dimensions).index("num_init_features")]
        twice = column == space.num_init_features.index(TWICE_GROWTH)
        order = np.argsort(twice, kind="stable")
    _, first = np.unique(identities(points)[order], return_index=True)
    twins = np.ones(len(points), dtype=bool)
    twins[order[first]] = False
    return twins


_MERGED = ("growth_rate", "growth_ratio", "bn_size", "bn_cap", "num_init_features")
"""Dimensions of which different choices may give the same architecture."""


def identities(points: Points) -> NDArray[np.uint64]:
    """A number for each point, (n,), the same for points that are the same architecture: of 10^7,
    the odds that any two different ones are alike are 3e-6 (SplitMix64, Steele et al. 2014,
    doi:10.1145/2660193.2660195)."""
    return np.concatenate(
        [np.empty(0, np.uint64), *(_identities(chunk) for chunk in _in_chunks(points))]
    )


def _identities(points: Points) -> NDArray[np.uint64]:
    archs = points.arrays()
    rest = [
        digits
        for name, digits in zip(points.space.dimensions, points.digits.T, strict=True)
        if not name.startswith(_MERGED)
    ]
    hashed = np.zeros(len(points), np.uint64)
    for column in (*archs.growth_rate.T, *archs.bn_size.T, archs.num_init_features, *rest):
        hashed += column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashed ^= hashed >> np.uint64(31)
    return hashed


def _in_chunks(points: Points) -> Iterator[Points]:
    """The points, some at a time, to bound memory."""
    for start in range(0, len(points), CHUNK):
        yield points.take(np.arange(start, min(start + CHUNK, len(points))))


def sampled(
    points: Points, known: CostArrays, most: int, rng: np.random.Generator
) -> tuple[Points, CostArrays]:
    """The points with their costs; of more than ``most`` a sample stratified over log MACs."""
    if len(points) <= most:
        return points, known
    rows = thinned(known.macs, most, rng)
    return points.take(rows), known.take(rows)


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


def _nothing_fits(model: CostModel, least: Mapping[str, int], is_bound: bool = False) -> str:
    """``least``: of each cost that has a limit, over the whole space; ``is_bound``: a cost that
    none is below, and perhaps none has."""
    for name, bound in model.bounds.items():
        if least[name] > bound:
            smallest = "all have at least" if is_bound else "the smallest has"
            return (
                f"no point of the space has {name} <= {bound:.4g}; {smallest} "
                f"{least[name]:.4g}; raise limits.max_{name} or offer smaller choices in [space]"
            )
    if model.latency_bound_ms is not None:
        return (
            "no point of the space meets all limits and has a predicted latency below "
            f"{model.latency_bound_ms:.3g} ms (limits.max_latency_ms and a margin); raise it or "
            "offer smaller choices in [space]"
        )
    if not model.bounds:
        return "no point of the space fits the images; offer fewer blocks in [space]"
    bounds = ", ".join(f"{name} <= {bound:.4g}" for name, bound in model.bounds.items())
    return f"no point of the space meets all limits together ({bounds}); raise one of them"
