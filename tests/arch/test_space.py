import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.arch import ArchArrays, ArchConfig, SearchSpace, preset
from dnsearch.errors import ConfigError

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


def test_arrays_are_the_configs(rng):
    points = SPACE.points(rng)
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


@given(st.integers(0, SPACE.size - 1))
def test_a_point_finds_its_way_back(index):
    config = SPACE.points(np.random.default_rng(0)).config(index)
    assert config in SPACE
    assert SPACE.config(SPACE.values_of(config)) == config


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
    ],
)
def test_an_impossible_space_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        SearchSpace(**{"growth_rate": (4,), "block_config": ((1,), (1,))} | fields)
