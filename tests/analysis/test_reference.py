"""The reference point: against enumeration, and independent of results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dnsearch.analysis import reference
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import costs


def study(**sections) -> StudyConfig:
    return StudyConfig.model_validate(sections)


@pytest.mark.parametrize("initial", [["2x growth"], [8, "2x growth"], [64]])
def test_largest_costs_equal_enumeration(initial):
    space = study(
        space={
            "growth_rate": [4, 12, 9],
            "block_config": [[1, 3], [2, 5, 4]],
            "bn_size": [0, 1, 4],
            "num_init_features": initial,
            "compression": [0.5, 1.0],
            "norm": ["batch", "group"],
        }
    ).space.build(3, 10)
    every = costs(space.points(np.random.default_rng(0)).arrays(), 17, 23)
    largest = {name: int(figures.max()) for name, figures in vars(every).items()}
    assert reference.largest_costs(space, 17, 23) == largest


def test_largest_costs_where_blocks_differ():
    """A transition that does not pool costs more, though "pool" comes later in the alphabet."""
    space = study(
        space={
            "growth_rate": [3, 8],
            "growth_ratio": [1, 1.5, 2],
            "block_config": [[1, 3], [2], [1, 2]],
            "bn_size": [[0, 2], [4], [0, 1]],
            "transition": [["pool", "narrow"], ["narrow", "pool"]],
            "stem": ["cifar", "imagenet"],
        }
    ).space.build(3, 10)
    every = costs(space.points(np.random.default_rng(0)).arrays(), 17, 23)
    largest = {name: int(figures.max()) for name, figures in vars(every).items()}
    assert reference.largest_costs(space, 17, 23) == largest


def test_costs_come_from_the_space_and_error_from_guessing():
    point = reference.reference_point(study(objectives={"costs": ["params"]}), (1, 28, 28), 10)
    largest = reference.largest_costs(study().space.build(1, 10), 28, 28)
    assert point == {"error": 0.9, "params": pytest.approx(1.1 * largest["params"])}


def test_limits_come_first_where_they_bind():
    limited = study(limits={"max_macs": 1_000_000, "max_latency_ms": 5.0})
    assert reference.reference_point(limited, (1, 28, 28), 4) == {
        "error": 0.75,
        "macs": pytest.approx(1.1e6),
    }
    loose = study(limits={"max_macs": 10**15})
    largest = reference.largest_costs(loose.space.build(1, 4), 28, 28)
    assert reference.reference_point(loose, (1, 28, 28), 4)["macs"] == 1.1 * largest["macs"]


def test_latency_follows_its_limit_or_the_first_candidate():
    free = study(objectives={"costs": ["latency_ms"]})
    assert reference.reference_point(free, (1, 28, 28), 10, 0.5)["latency_ms"] == 5.0
    assert math.isnan(reference.reference_point(free, (1, 28, 28), 10)["latency_ms"])
    limited = study(objectives={"costs": ["latency_ms"]}, limits={"max_latency_ms": 3.0})
    assert reference.reference_point(limited, (1, 28, 28), 10, 0.5)["latency_ms"] == 1.1 * 3.0


def test_the_first_latency_is_that_of_whatever_finished_first():
    assert reference.first_latency([(9.0, 3.0), (5.0, None), (7.0, 2.0), (6.0, math.nan)]) == 2.0
    assert reference.first_latency([(5.0, 3.0), (5.0, 1.0)]) == 3.0
    assert math.isnan(reference.first_latency([(1.0, None)]))
    assert math.isnan(reference.first_latency([]))


def test_rules_name_every_figure():
    mixed = study(objectives={"costs": ["macs", "latency_ms"]}, limits={"max_macs": 50_000})
    assert reference.rules(mixed) == {
        "error": "that of always giving the same answer",
        "macs": "1.1 times limits.max_macs or the largest in the search space, the lesser of them",
        "latency_ms": "10 times that of the first candidate of the space that finished",
    }


def test_the_study_may_name_the_point():
    named = study(objectives={"costs": ["macs"], "reference": {"error": 0.3}})
    assert reference.reference_point(named, (1, 28, 28), 10)["error"] == 0.3
    assert list(reference.reference_point(named, (1, 28, 28), 10)) == ["error", "macs"]
    assert reference.rules(named) == {
        "error": "as the study file says",
        "macs": "1.1 times the largest in the search space",
    }
