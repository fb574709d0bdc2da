"""Recommendations and queries on a small table."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from dnsearch.analysis import picks
from dnsearch.errors import ConfigError, RunError


@pytest.fixture
def candidates() -> pd.DataFrame:
    rows = [
        # key, state, error, macs, latency_ms, failure
        ("aa11", "finished", 0.30, 1e6, 1.0, ""),
        ("aa22", "finished", 0.12, 2e6, math.nan, ""),
        ("bb33", "finished", 0.10, 50e6, 2.0, ""),
        ("cc44", "finished", 0.40, 60e6, 3.0, ""),
        ("dd55", "unfit", 0.01, 1e5, 9.0, "over a limit"),
        ("ee66", "failed", math.nan, 1e6, math.nan, "out of memory\nand much more " * 40),
    ]
    names = ["key", "state", "error", "macs", "latency_ms", "failure"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(params=table["macs"] / 100, rung=9, number=range(len(rows)))


def key(candidate) -> str:
    return candidate["key"]


def test_recommended(candidates):
    found = picks.recommend(candidates, ["macs"])
    named = {"knee": "aa22", "least-error": "bb33", "least-cost": "aa11"}
    assert {name: key(row) for name, row in found.items()} == named
    assert next(iter(found)) == "knee"


def test_front_is_cheapest_first_and_leaves_out_what_does_not_count(candidates):
    assert picks.front(candidates[::-1], ["macs"])["key"].tolist() == ["aa11", "aa22", "bb33"]


def test_a_cost_not_measured_keeps_a_candidate_off_the_front(candidates):
    assert picks.front(candidates, ["latency_ms"])["key"].tolist() == ["aa11", "bb33"]


def test_nothing_finished_recommends_nothing(candidates):
    unfinished = candidates[candidates["state"] != "finished"]
    assert picks.recommend(unfinished, ["macs"]) == {}
    assert picks.recommend(candidates[:0], ["macs"]) == {}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("knee", "aa22"),
        ("least-cost", "aa11"),
        ("bb33", "bb33"),
        ("bb", "bb33"),
        ("dd55", "dd55"),
        ("macs<=50e6", "bb33"),
        ("macs <= 49.9M", "aa22"),
        ("macs<=50M, params<=15k", "aa11"),
        ("macs<=50M,macs<=2M", "aa22"),
        ("latency_ms<=2", "bb33"),
        ("error<=0.15", "bb33"),
    ],
)
def test_queries(candidates, query, expected):
    assert key(picks.pick(candidates, ["macs"], query)) == expected


def test_a_bound_on_one_cost_takes_candidates_whose_other_cost_is_unknown(candidates):
    assert key(picks.pick(candidates, ["latency_ms"], "macs<=5M")) == "aa22"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("mac<=5", "pick bounds an unknown figure, got 'mac'; did you mean 'macs'"),
        ("macs<=lots", "pick must bound by a number, got 'macs<=lots'; write bounds such as"),
        ("macs>=5", "pick must be bounds joined by commas, got 'macs>=5'"),
        ("macs<=5,", "pick must be bounds joined by commas"),
        ("macs<=", "pick must be bounds joined by commas"),
    ],
)
def test_queries_that_cannot_be_read(candidates, query, message):
    with pytest.raises(ConfigError, match=message) as caught:
        picks.pick(candidates, ["macs"], query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("macs<=1e3", "no finished candidate has macs<=1e3: the least macs left is 1 M MACs"),
        ("macs<=50M,params<=1", "the least params left is 10 k params"),
        ("zz", "no candidate is called 'zz': name knee, least-error, least-cost, a key"),
        ("", "no candidate is called ''"),
        ("aa", "'aa' begins the keys of 2 candidates"),
        ("ee66", "candidate ee66 failed: out of memory"),
    ],
)
def test_queries_that_nothing_answers(candidates, query, message):
    with pytest.raises(RunError, match=message) as caught:
        picks.pick(candidates, ["macs"], query)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_why_there_is_no_pick(candidates):
    with pytest.raises(RunError, match="no knee pick: no candidate was trained yet"):
        picks.pick(candidates[:0], ["macs"], "knee")
    unfinished = candidates[candidates["state"] != "finished"]
    with pytest.raises(RunError, match=r"none is finished .* \(1 unfit, 1 failed\)"):
        picks.pick(unfinished, ["macs"], "least-error")
    with pytest.raises(RunError, match="no finished candidate has macs<=1e9: of 2 candidates none"):
        picks.pick(unfinished, ["macs"], "macs<=1e9")


def test_objective_values_are_a_copy(candidates):
    picks.objective_values(candidates, ["macs"])[:] = np.nan
    assert candidates["macs"].notna().all()


def test_of_several_seeds_the_mean_makes_the_front_not_the_luckiest(candidates):
    """bb33 has one lucky and one unlucky seed; cc44, as cheap, is better in the mean."""
    lucky = candidates[candidates["key"] == "bb33"].assign(error=0.30)
    steady = candidates[candidates["key"] == "cc44"].assign(error=0.11, macs=50e6)
    table = pd.concat([candidates[candidates["key"] != "cc44"], lucky, steady, steady])
    members = picks.front(table, ["macs"])
    assert members["key"].tolist() == ["aa11", "aa22", "cc44"]
    assert key(picks.recommend(table, ["macs"])["least-error"]) == "cc44"


def test_expected_errors_choose_and_measured_ones_make_the_front(candidates):
    predicted = candidates.assign(predicted_error=[0.31, 0.11, 0.13, 0.40, math.nan, math.nan])
    assert key(picks.recommend(predicted, ["macs"])["least-error"]) == "aa22"
    assert key(picks.pick(predicted, ["macs"], "macs<=60e6")) == "aa22"
    assert picks.front(predicted, ["macs"])["key"].tolist() == ["aa11", "aa22", "bb33"]
    unlucky = candidates.assign(predicted_error=[0.31, 0.13, 0.12, 0.09, math.nan, math.nan])
    assert key(picks.recommend(unlucky, ["macs"])["least-error"]) == "cc44"  # off that front
    assert key(picks.pick(unlucky, ["macs"], "macs<=60e6")) == "cc44"
