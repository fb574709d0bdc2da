import re

import numpy as np
import pytest

from dnsearch.arch import SearchSpace
from dnsearch.config import LimitsConfig
from dnsearch.errors import ConfigError, SpaceError
from dnsearch.search import boxes, feasible
from dnsearch.search.feasible import CostModel, feasible_points, within_limits

DEEP = SearchSpace(
    growth_rate=(2,),
    block_config=((1, 2),) * 4,
    transition=(("pool", "narrow"),) * 3,
    stem=("cifar", "imagenet", "patch2"),
)
RISING = """
[space]
growth_rate = [2, 4]
growth_ratio = [1, 1.5, 2]
block_config = [[1, 2], [1, 2], [1, 2]]
bn_size = [0, 2]
bn_cap = [0, 1]
num_init_features = [8, "2x growth"]
transition = [["pool", "narrow"], ["pool"]]
stem = ["cifar", "imagenet"]
"""


WIDE = {
    "alike": SearchSpace(growth_rate=(2, 4, 7, 12), block_config=(tuple(range(1, 7)),) * 3),
    "blocks": SearchSpace(
        growth_rate=((2, 5), (4, 9, 3)), block_config=((1, 4, 2), (1, 3)), bn_size=((0, 2), (4, 1)),
        num_init_features=("2x growth", 8, 5), compression=(1.0, 0.5), drop_rate=(0.0, 0.1),
    ),
    "ratios": SearchSpace(
        growth_rate=(5, 3, 6), growth_ratio=(1.0, 1.1, 2.0, 0.7), growth_divisor=4,
        block_config=((1, 2), (2, 1, 3), (1, 4)), transition=(("pool", "narrow"), ("narrow",)),
    ),
    "caps": SearchSpace(
        growth_rate=(2, 3, 5, 6, 9), block_config=((1, 2, 5), (1, 3)), bn_size=(0, 1, 2, 6),
        bn_cap=(0.0, 0.5, 1.0), num_init_features=(10, "2x growth"), norm=("group", "batch"),
    ),
    "deep": DEEP,
}  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("side", [1, 4, 5, 12])
def test_points_too_small_for_the_images_are_left_out(side, rng):
    """Against the definition, one architecture after another."""
    points, _ = feasible_points(DEEP, CostModel((3, side, side + 1)), rng)
    expected = [arch for arch in DEEP.points(rng) if arch.least_size <= side]
    assert list(points) == expected
    assert 0 < len(expected) < DEEP.size


def test_images_too_small_for_all_points_are_refused(rng):
    space = SearchSpace(growth_rate=(2,), block_config=((1,),) * 4, stem=("cifar", "imagenet"))
    rule = "space.block_config or data.image_size: input size must be at least 8x8 for 4 blocks"
    with pytest.raises(ConfigError, match=rule):
        feasible_points(space, CostModel((3, 7, 7)), rng)


def test_costs_belong_to_their_points(rng):
    space = SearchSpace(
        growth_rate=(2, 4), growth_ratio=(1.0, 1.3, 2.0), block_config=((1, 2), (1, 2)),
        num_init_features=("2x growth", 4), bn_size=(0, 2, 4), bn_cap=(0.0, 1.0),
    )  # fmt: skip
    model = CostModel((3, 8, 8), limits=LimitsConfig(max_macs=60_000))
    points, costs = feasible_points(space, model, rng)
    assert [costs[i] for i in range(len(points))] == [model.cost(arch) for arch in points]
    within = {arch for arch in space.points(rng) if model.cost(arch).macs <= 60_000}
    assert set(points) == within
    assert 0 < len(within) < len(set(space.points(rng)))


def of_large(space, model, rng, monkeypatch, drawn=400_000):
    """What is found by boxes of few points."""
    monkeypatch.setattr(feasible, "MOST_ENUMERATED", 0)
    monkeypatch.setattr(feasible, "MOST_DRAWN", drawn)
    monkeypatch.setattr(boxes, "FEW", 2)
    return within_limits(space, model, rng)


def quantiles(space, name, shares):
    _, costs = feasible_points(space, CostModel((3, 17, 14)), np.random.default_rng(0))
    costs = np.sort(getattr(costs, name))
    return [int(costs[int(share * (len(costs) - 1))]) for share in shares]


@pytest.mark.parametrize("limit", ["params", "macs", "activations", "train_bytes"])
@pytest.mark.parametrize("name", WIDE)
def test_the_boxes_of_a_large_space_hold_all_that_is_within_the_limits(
    name, limit, rng, monkeypatch
):
    """Against looking at every point, at limits from the tightest to none that matters."""
    space = WIDE[name]
    for bound in quantiles(space, limit, (0, 0.01, 0.3, 0.8, 1)):
        model = CostModel((3, 17, 14), limits=LimitsConfig(**{f"max_{limit}": bound}))
        expected = within_limits(space, model, rng)
        with monkeypatch.context() as patch:
            found = of_large(space, model, rng, patch)
        assert np.array_equal(found.points.digits, expected.points.digits)
        assert found.costs.macs.tolist() == expected.costs.macs.tolist()
        assert found.exact
        assert found.count == len(expected.points)


@pytest.mark.parametrize("name", WIDE)
def test_no_point_of_a_box_costs_less_than_its_low_corner_or_more_than_its_high_one(name, rng):
    order, model = boxes.Order(WIDE[name]), CostModel((3, 17, 14), batch_size=1)

    def all_fit(archs):
        return np.ones(len(archs), bool), model.of_archs(archs)

    found = boxes.boxes_within(order, all_fit)
    assert found.volume.sum() == WIDE[name].size
    for at in range(len(found)):
        box = found.take(np.array([at]))
        costs = model.of_points(order.points(box.listed()))
        low = model.of_archs(order.bounding(box.low, low=True))
        high = model.of_archs(order.bounding(box.high, low=False))
        for cost in ("params", "macs", "activations", "train_bytes"):
            assert getattr(low, cost)[0] <= getattr(costs, cost).min()
            assert getattr(costs, cost).max() <= getattr(high, cost)[0]


def test_what_boxes_leave_out_is_pruned_not_looked_at(rng, monkeypatch):
    space = SearchSpace(growth_rate=tuple(range(2, 30)), block_config=(tuple(range(1, 13)),) * 3)
    bound = quantiles(space, "macs", [0.01])[0]
    model = CostModel((3, 17, 14), limits=LimitsConfig(max_macs=bound))
    found = of_large(space, model, rng, monkeypatch)
    assert len(found.points) <= found.looked < 1.5 * len(found.points) < 0.02 * space.size


def test_a_sample_of_a_large_space_is_spread_over_log_cost_and_counts_what_it_is_of(
    rng, monkeypatch
):
    space = SearchSpace(growth_rate=tuple(range(2, 50)), block_config=(tuple(range(1, 21)),) * 3)
    bound = quantiles(space, "macs", [0.5])[0]
    model = CostModel((3, 17, 14), limits=LimitsConfig(max_macs=bound))
    every = within_limits(space, model, rng)
    found = of_large(space, model, rng, monkeypatch, drawn=10_000)
    assert not found.exact
    assert found.number.startswith("about ")
    assert found.count == pytest.approx(len(every.points), rel=0.03)
    assert len(set(map(bytes, found.points.digits))) == len(found.points)
    assert found.costs.macs.max() <= bound
    bins = np.geomspace(every.costs.macs.min(), bound * 1.001, 11)
    there, drawn = (np.histogram(each.costs.macs, bins)[0] for each in (every, found))
    assert np.all(drawn >= np.minimum(there, 500))
    cheapest = there.cumsum() < 300  # all of the cheapest are among them
    assert cheapest.any()
    assert np.array_equal(drawn[cheapest], there[cheapest])


@pytest.mark.parametrize("name", ["alike", "blocks", "ratios"])
def test_what_is_said_of_limits_that_nothing_meets_is_true_of_a_large_space(name, rng, monkeypatch):
    least = quantiles(WIDE[name], "macs", [0])[0]
    model = CostModel((3, 17, 14), limits=LimitsConfig(max_macs=least - 1))
    said = f"no point of the space has macs <= {least - 1:.4g}; the smallest has {least:.4g};"
    with pytest.raises(SpaceError, match=re.escape(said)):
        of_large(WIDE[name], model, rng, monkeypatch)


def test_of_capped_bottlenecks_only_a_bound_is_told(rng, monkeypatch):
    least = quantiles(WIDE["caps"], "macs", [0])[0]
    model = CostModel((3, 17, 14), limits=LimitsConfig(max_macs=least // 3))
    with pytest.raises(SpaceError, match=r"no point .* all have at least") as failure:
        of_large(WIDE["caps"], model, rng, monkeypatch)
    assert least // 3 < float(str(failure.value).split("at least ")[1].split(";")[0]) <= least


@pytest.mark.parametrize("sampler", ["known-cost", "mo-asha", "tpe", "random", "stratified"])
def test_every_sampler_stays_in_a_space_of_blocks_that_differ(make_search, sampler):
    """Also where some points are too deep for images of 8x8 pixels (imagenet stem: 9 or more)."""
    search = make_search(space=RISING, sampler=sampler, rungs=(1, 3), trials=15)
    search.run()
    archs = [record.job.arch for record in search.records]
    assert len(archs) == 15
    assert all(arch in search.space and arch.least_size <= 8 for arch in archs)
    whole = [r.job.arch for r in search.records if r.job.rung == 3]
    assert len(set(whole)) == len(whole)
    assert len({len(set(arch.growth_rates)) for arch in archs}) > 1


def test_a_random_search_takes_every_feasible_point_once(make_search):
    search = make_search(space=RISING, sampler="random", trials=10_000, limits={"max_macs": 5_000})
    search.run()
    archs = [record.job.arch for record in search.records]
    assert sorted(arch.key for arch in archs) == sorted(arch.key for arch in search.points)
    assert np.unique([arch.key for arch in archs]).size == len(archs)
