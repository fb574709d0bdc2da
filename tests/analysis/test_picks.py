"""Recommendations and queries on a small table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import Candidate, State, figures
from dnsearch.arch import ArchConfig
from dnsearch.cost.formula import Cost
from dnsearch.errors import ConfigError, RunError

ARCHS = {
    name: ArchConfig(growth, (1, 2), 8, 0, stem="cifar", in_channels=1, num_classes=4)
    for name, growth in zip("abcdef", (4, 6, 8, 10, 12, 14), strict=True)
}
NAMES = {arch.key: name for name, arch in ARCHS.items()}
A, B, C, D, E, F = (arch.key for arch in ARCHS.values())


def candidate(name, state, error, macs, latency_ms, failure="") -> Candidate:
    cost = Cost(params=int(macs / 100), macs=int(macs), activations=1, train_bytes=1)
    measured = {"error": error, "latency_ms": latency_ms, "failure": failure}
    return Candidate(ARCHS[name], cost, state, 0, rung=9, seed=0, images=100, **measured)


@pytest.fixture
def candidates() -> list[Candidate]:
    nan = math.nan
    return [
        candidate("a", State.FINISHED, 0.30, 1e6, 1.0),
        candidate("b", State.FINISHED, 0.12, 2e6, nan),
        candidate("c", State.FINISHED, 0.10, 50e6, 2.0),
        candidate("d", State.FINISHED, 0.40, 60e6, 3.0),
        candidate("e", State.UNFIT, 0.01, 1e5, 9.0, "over a limit"),
        candidate("f", State.FAILED, nan, 1e6, nan, "out of memory\nand much more " * 40),
    ]


def name(found: Candidate) -> str:
    return NAMES[found.key]


def names(found) -> str:
    return "".join(map(name, found))


def predicted(candidates, errors):
    return [
        replace(each, predicted_error=error)
        for each, error in zip(candidates, [*errors, math.nan, math.nan], strict=True)
    ]


def test_recommended(candidates):
    found = picks.recommend(candidates, ["macs"])
    named = {"knee": "b", "least-error": "c", "least-cost": "a"}
    assert {rule: name(each) for rule, each in found.items()} == named
    assert next(iter(found)) == "knee"


def test_front_is_cheapest_first_and_leaves_out_what_does_not_count(candidates):
    assert names(picks.front(candidates[::-1], ["macs"])) == "abc"


def test_a_cost_not_measured_keeps_a_candidate_off_the_front(candidates):
    assert names(picks.front(candidates, ["latency_ms"])) == "ac"


def test_nothing_finished_recommends_nothing(candidates):
    unfinished = candidates[4:]
    assert picks.recommend(unfinished, ["macs"]) == {}
    assert picks.recommend([], ["macs"]) == {}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("knee", "b"),
        ("least-cost", "a"),
        (C, "c"),
        (C[:8], "c"),
        (E, "e"),
        ("macs<=50e6", "c"),
        ("macs <= 49.9M", "b"),
        ("macs<=50M, params<=15k", "a"),
        ("macs<=50M,macs<=2M", "b"),
        ("latency_ms<=2", "c"),
        ("error<=0.15", "c"),
    ],
)
def test_queries(candidates, query, expected):
    assert name(picks.pick(candidates, ["macs"], query)) == expected


def test_a_bound_on_one_cost_takes_candidates_whose_other_cost_is_unknown(candidates):
    assert name(picks.pick(candidates, ["latency_ms"], "macs<=5M")) == "b"


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
        (F, f"candidate {F} failed: out of memory"),
    ],
)
def test_queries_that_nothing_answers(candidates, query, message):
    with pytest.raises(RunError, match=message) as caught:
        picks.pick(candidates, ["macs"], query)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_why_there_is_no_pick(candidates):
    with pytest.raises(RunError, match="no knee pick: no candidate was trained yet"):
        picks.pick([], ["macs"], "knee")
    unfinished = candidates[4:]
    with pytest.raises(RunError, match=r"none is finished .* \(1 failed, 1 unfit\)"):
        picks.pick(unfinished, ["macs"], "least-error")
    with pytest.raises(RunError, match="no finished candidate has macs<=1e9: of 2 candidates none"):
        picks.pick(unfinished, ["macs"], "macs<=1e9")


def test_the_beginning_of_several_keys_names_none(candidates):
    archs = (ArchConfig(4, (1, 2), 8, 0, num_classes=n) for n in range(2, 19))
    alike = {arch.key[0]: arch for arch in archs}  # 17 architectures, 16 hex digits
    first = next(d for d in alike if any(k.startswith(d) and k != alike[d].key for k in NAMES))
    table = [*candidates, replace(candidates[0], arch=alike[first])]
    with pytest.raises(RunError, match=f"'{first}' begins the keys of .* candidates"):
        picks.pick(table, ["macs"], first)


def test_objective_values_are_a_copy(candidates):
    picks.objective_values(candidates, ["macs"])[:] = np.nan
    assert np.isfinite(figures(candidates, "macs")).all()


def test_of_several_seeds_the_mean_makes_the_front_not_the_luckiest(candidates):
    """c has one lucky and one unlucky seed; d, as cheap, is better in the mean."""
    a, b, c, d, *rest = candidates
    steady = replace(d, error=0.11, cost=c.cost)
    table = [a, b, c, replace(c, error=0.30), steady, replace(steady, seed=1), *rest]
    assert names(picks.front(table, ["macs"])) == "abd"
    assert name(picks.recommend(table, ["macs"])["least-error"]) == "d"


def test_predicted_errors_choose_and_measured_ones_make_the_front(candidates):
    lucky = predicted(candidates, [0.31, 0.11, 0.13, 0.40])
    assert name(picks.recommend(lucky, ["macs"])["least-error"]) == "b"
    assert name(picks.pick(lucky, ["macs"], "macs<=60e6")) == "b"
    assert names(picks.front(lucky, ["macs"])) == "abc"
    unlucky = predicted(candidates, [0.31, 0.13, 0.12, 0.09])
    assert name(picks.recommend(unlucky, ["macs"])["least-error"]) == "d"  # off that front
    assert name(picks.pick(unlucky, ["macs"], "macs<=60e6")) == "d"
