import itertools

import numpy as np
import pytest

from dnsearch.arch import ArchArrays, ArchConfig, SearchSpace, preset
from dnsearch.arch.space import scaled_growth
from dnsearch.errors import ConfigError
from dnsearch.search.feasible import CostModel, feasible_points

SPACE = SearchSpace(
    growth_rate=(4, 8),
    block_config=((1, 2, 3), (2, 4)),
    bn_size=(0, 2),
    num_init_features=("2x growth", 12),
    compression=(0.5, 1.0),
    norm=("batch", "group"),
    num_classes=5,
)


def test_points_are_all_combinations(rng):
    """Against nested loops."""
    expected = {
        ArchConfig(k, (d1, d2), init, bn, theta, 0.0, norm, "cifar", 3, 5)
        for k, d1, d2, bn, theta, norm in itertools.product(
            (4, 8), (1, 2, 3), (2, 4), (0, 2), (0.5, 1.0), ("batch", "group")
        )
        for init in (2 * k, 12)
    }
    points = SPACE.points(rng)
    assert len(points) == SPACE.size == len(expected)
    assert set(points) == expected


@pytest.mark.parametrize("name", ["uniform", "rising", "by block", "one block"])
def test_arrays_are_the_configs(name, rng):
    points = SPACES[name].points(rng)
    arrays, direct = points.arrays(), ArchArrays.of(list(points))
    for name, column in vars(direct).items():
        np.testing.assert_array_equal(getattr(arrays, name), column)


def test_a_larger_space_is_sampled_without_repeats(rng):
    points = SPACE.points(rng, most=50)
    assert len(points) == 50
    assert len(set(points)) == 50


def test_a_sample_is_even(rng):
    """Each choice of a dimension turns up about equally often: 10,000 of 10^12 points."""
    space = SearchSpace(growth_rate=tuple(range(1, 11)), block_config=(tuple(range(1, 11)),) * 11)
    digits = space.points(rng, most=10_000).digits
    for column in digits[:, :12].T:
        counts = np.bincount(column, minlength=10)
        assert abs(counts - 1000).max() < 150  # five standard deviations


RISING = SearchSpace(
    growth_rate=(3, 4),
    growth_ratio=(1.0, 1.2, 2.0),
    growth_divisor=2,
    block_config=((1, 3), (2,), (1, 2)),
    bn_size=(0, 1, 4),
    bn_cap=(0.0, 1.0),
    num_init_features=(16, "2x growth"),
    transition=(("pool",), ("pool", "narrow")),
    stem=("cifar", "imagenet", "patch4"),
)
BY_BLOCK = SearchSpace(
    growth_rate=((4, 8), (6,), (8, 12)),
    block_config=((1,), (2,), (1, 2)),
    bn_size=((0,), (0, 2), (2, 4)),
    norm=("batch", "group"),
)
ONE_BLOCK = SearchSpace(growth_rate=(4, 8), block_config=((1, 3),), growth_ratio=(1.0, 2.0))
SPACES = {"uniform": SPACE, "rising": RISING, "by block": BY_BLOCK, "one block": ONE_BLOCK}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_point_finds_its_way_back(space, rng):
    for config in space.points(rng):
        assert config in space
        assert space.config(space.values_of(config)) == config


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_of_twins_the_first_is_kept_and_found(space, rng):
    """Against a dictionary of all points."""
    points, _ = feasible_points(space, CostModel((3, 32, 32)), rng)
    kept = list(points)
    assert set(kept) == set(space.points(rng))
    assert len(kept) == len(set(kept))
    for index, config in enumerate(kept):
        assert points.values(index) == space.values_of(config)


def test_growth_rises_with_every_resolution():
    """RDNet's stages of 64, 104, 128 and 224 come of no ratio, but 6, 12, 24 do."""
    space = SearchSpace(
        growth_rate=(6,),
        growth_ratio=(2.0,),
        block_config=((1,),) * 4,
        transition=(("pool",), ("narrow",), ("pool",)),
    )
    assert space.config({}).growth_rate == (6, 12, 12, 24)


@pytest.mark.parametrize(
    ("rate", "ratio", "stage", "divisor", "expected"),
    [(5, 1.5, 1, 1, 8), (5, 1.0, 2, 4, 5), (5, 1.5, 0, 4, 5), (5, 1.5, 1, 4, 8), (2, 0.5, 2, 1, 1)],
)
def test_growth_is_rounded_to_multiples(rate, ratio, stage, divisor, expected):
    assert scaled_growth(rate, ratio, stage, divisor) == expected


def test_a_bottleneck_is_capped_by_what_enters_its_block():
    """k = 12 of 16 channels: one growth rate is 0.75 of them, two are 1.5."""
    fixed = {"growth_rate": (12,), "num_init_features": (16,), "block_config": ((1,), (1,))}
    sizes = {
        cap: SearchSpace(bn_size=(4,), bn_cap=(cap,), **fixed).config({}).bn_sizes
        for cap in (0.0, 0.5, 1.5, 4.0)
    }
    assert sizes == {0.0: (4, 4), 0.5: (1, 1), 1.5: (2, 1), 4.0: (4, 4)}
    without = SearchSpace(bn_size=(0,), bn_cap=(1.0,), **fixed)
    assert without.config({}).bn_sizes == (0, 0)


@pytest.mark.parametrize(
    "config",
    [
        preset("densenet121"),
        ArchConfig(4, (1, 2, 2), 8, 2, stem="cifar", num_classes=5),
        ArchConfig(4, (1, 2), 9, 2, stem="cifar", num_classes=5),
        ArchConfig(4, (1, 2), 8, 2, stem="imagenet", num_classes=5),
        ArchConfig(4, (1, 2), 8, 2, stem="cifar", num_classes=6),
    ],
)
def test_what_lies_outside(config):
    assert config not in SPACE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"growth_rate": ()}, "growth_rate must offer at least one choice"),
        ({"growth_rate": (4, 4)}, "growth_rate must not repeat a choice"),
        ({"growth_rate": (4, -1)}, "growth_rate must be an integer from 1 to 4096, got -1"),
        ({"block_config": ()}, "block_config must give the depths"),
        ({"block_config": ((1,), ())}, r"block_config\[1\] must offer at least one choice"),
        ({"num_init_features": ("3x growth",)}, "num_init_features must be an integer"),
        ({"compression": (0.5, 0.01)}, "leaves no channel"),
        ({"growth_rate": ((4,), (4, -1))}, r"growth_rate\[1\] must be an integer .*, got -1"),
        ({"growth_rate": ((4,), ())}, r"growth_rate\[1\] must offer at least one choice"),
        ({"growth_rate": ((4,),)}, "growth_rate must be choices .* together, or 2 lists"),
        ({"growth_ratio": (float("nan"),)}, "growth_ratio must be a number above 0, got nan"),
        ({"growth_ratio": (1.0, 9999.0)}, r"growth_rate\[1\] must be an integer .*, got 39996"),
        ({"transition": ("wide",)}, "transition must be one of pool, narrow, got 'wide'"),
        ({"growth_rate": ((4,), (8,)), "growth_ratio": (2.0,)}, "growth_ratio must be left out"),
    ],
)
def test_an_impossible_space_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        SearchSpace(**{"growth_rate": (4,), "block_config": ((1,), (1,))} | fields)
