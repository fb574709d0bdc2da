"""The DenseNet to train on a larger budget: what the best ones grow into, at a known cost."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import MOST_LAYERS, ArchArrays, ArchConfig
from dnsearch.arrays import Ints
from dnsearch.scaling.growth import Growth
from dnsearch.search.feasible import CostModel

UNSPENT = 16.0
"""What leaving budget unspent weighs beside another shape: 5 % of it as much as 20 % of width."""

WIDEST_BOTTLENECK = 8
AROUND = 3.0
"""Factor about the wanted growth rate and layers within which networks are looked at."""


def larger(
    near: Sequence[ArchConfig],
    growth: Mapping[str, Growth],
    model: CostModel,
    cost: str,
    budget: float,
) -> ArchConfig:
    """The network within ``budget`` of ``cost`` that is nearest to what the best ones grow into.

    near: the networks near the front. growth: of the best ``growth_rate``, ``layers`` and
    ``bn_size``. The distance is that of logs. Layers are shared among the blocks, and all other
    fields chosen, as in most of ``near``. Where nothing is within the budget it is the least
    network looked at.
    """
    wanted = {name: _wanted(near, growth[name], model, cost, budget) for name in growth}
    blocks = Counter(len(arch.block_config) for arch in near).most_common(1)[0][0]
    choices = _choices(near, blocks, wanted)
    archs = _archs(near, blocks, choices)
    costs = getattr(model.of_archs(archs), cost)
    if (costs > budget).all():
        return archs.config(int(costs.argmin()))
    aims = np.array([wanted["growth_rate"], wanted["layers"], wanted["bn_size"] or 1.0])
    distance = (np.log(np.maximum(choices, 1) / aims) ** 2).sum(axis=1)
    distance += UNSPENT * np.log(budget / costs) ** 2
    return archs.config(int(np.where(costs <= budget, distance, np.inf).argmin()))


def bottlenecked(near: Sequence[ArchConfig], costs: Sequence[float]) -> bool:
    """Whether most of the larger half have a bottleneck."""
    order = np.argsort(costs)[len(near) // 2 :]
    return bool(np.mean([max(near[i].bn_sizes) > 0 for i in order]) > 0.5)


def mean_growth(arch: ArchConfig) -> float:
    """The geometric mean of the growth rates of all layers."""
    return float(np.exp(np.average(np.log(arch.growth_rates), weights=arch.block_config)))


def layers(arch: ArchConfig) -> int:
    """Dense layers of all blocks together."""
    return sum(arch.block_config)


def _wanted(
    near: Sequence[ArchConfig], growth: Growth, model: CostModel, cost: str, budget: float
) -> float:
    """A dimension's value at the budget, or where it is not known how it grows the typical one of a
    third of the networks, the largest of those that have it; 0 for no bottleneck."""
    costs = [float(getattr(model.cost(arch), cost)) for arch in near]
    if growth.name == "bn_size" and not bottlenecked(near, costs):
        return 0.0
    if growth.is_known:
        return growth.at(budget).value
    figure = {"layers": layers, "growth_rate": mean_growth, "bn_size": lambda a: max(a.bn_sizes)}
    values = [value for i in np.argsort(costs) if (value := figure[growth.name](near[i]))]
    return float(np.exp(np.mean(np.log(values[-max(1, len(near) // 3) :]))))


def _choices(near: Sequence[ArchConfig], blocks: int, wanted: Mapping[str, float]) -> Ints:
    """Growth rate, layers and bottleneck's width of all networks that are looked at, (n, 3)."""
    rates, deep = wanted["growth_rate"], wanted["layers"]
    step = math.gcd(*(k for arch in near for k in arch.growth_rates))
    each = itertools.product(
        range(step * max(1, int(rates / AROUND / step)), int(AROUND * rates) + step, step),
        range(max(blocks, int(deep / AROUND)), max(blocks, int(AROUND * deep)) + 1),
        range(1, WIDEST_BOTTLENECK + 1) if wanted["bn_size"] else (0,),
    )
    return np.array(list(each))


def _archs(near: Sequence[ArchConfig], blocks: int, choices: Ints) -> ArchArrays:
    """Networks of these growth rates, layers and bottlenecks, (n, 3).

    The growth rates of the blocks are to each other as those of ``near`` are, in the mean, and
    blocks that mostly have no bottleneck in those that have any get none.
    """
    alike = [arch for arch in near if len(arch.block_config) == blocks]
    shares = np.mean([np.array(arch.block_config) / layers(arch) for arch in alike], axis=0)
    step = math.gcd(*(k for arch in near for k in arch.growth_rates))
    relative = np.exp(
        np.mean([np.log(np.array(a.growth_rates) / mean_growth(a)) for a in alike], axis=0)
    )
    rates = np.maximum(np.rint(choices[:, :1] * relative / step), 1).astype(np.int64) * step
    pools = Counter(arch.pools for arch in alike).most_common(1)[0][0]
    some = [arch.bn_sizes for arch in alike if max(arch.bn_sizes)] or [(1,) * blocks]
    plain = (np.array(some) == 0).mean(axis=0) > 0.5
    names = ("compression", "drop_rate", "norm", "stem", "in_channels", "num_classes")
    usual = {name: Counter(getattr(a, name) for a in alike).most_common(1)[0][0] for name in names}
    initial = Counter(arch.num_init_features for arch in alike).most_common(1)[0][0]
    twice = all(arch.num_init_features == 2 * arch.growth_rates[0] for arch in alike)
    return ArchArrays(
        growth_rate=rates,
        block_config=_split(choices[:, 1], shares),
        num_init_features=2 * rates[:, 0] if twice else np.full(len(rates), initial),
        bn_size=np.where(plain, 0, choices[:, 2:]),
        pools=np.tile(pools, (len(rates), 1)),
        **{name: np.full(len(rates), value) for name, value in usual.items()},
    )


def _split(count: Ints, shares: NDArray[np.float64]) -> Ints:
    """Whole layers a block that add up to each ``count`` (n,), at least 1, near their shares."""
    exact = np.maximum(1.0, count[:, None] * shares)
    whole = np.minimum(np.floor(exact).astype(np.int64), MOST_LAYERS)
    for _ in range(whole.shape[1]):  # largest remainders first; a block raised to 1 gives back
        rest = count - whole.sum(axis=1)
        row = np.arange(len(count))
        most, least = (
            (exact - whole).argmax(axis=1),
            np.where(whole > 1, exact - whole, 9).argmin(1),
        )
        whole[row, most] += rest > 0
        whole[row, least] -= rest < 0
    return whole
