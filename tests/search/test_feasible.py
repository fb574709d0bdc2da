import numpy as np
import pytest

from dnsearch.arch import SearchSpace
from dnsearch.config import LimitsConfig
from dnsearch.errors import ConfigError
from dnsearch.search.feasible import CostModel, feasible_points

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
