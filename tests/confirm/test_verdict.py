"""What follows from a certificate's figures: certificates made by hand, whose verdict is known."""

from __future__ import annotations

import math

import pytest

from dnsearch.analysis.trust import UNKNOWN, Agreement, Interval, Noise
from dnsearch.confirm.certificate import CEILING, Certificate, Kind, Signal, View
from dnsearch.confirm.verdict import Doubt, Standing, judge

NAN = math.nan
SURE = Interval(0.6, 0.4, 0.8)


def signal(name, kind, rung=None, matched=SURE, overall=SURE) -> Signal:
    return Signal(name, kind, rung, Agreement(overall, matched), Agreement(overall, matched), *TOP)


TOP = (Interval(0.1, 0.0, 0.2), Interval(0.8, 0.6, 1.0))


def proxy(rung=3, matched=SURE, overall=SURE) -> Signal:
    return signal(f"{rung} epochs", Kind.PROXY, rung, matched, overall)


def certificate(*signals, full=SURE, networks=16, seeds=3, noise=(0.004, 0.03)) -> Certificate:
    """``full``: of full training at matched cost; ``noise``: the seeds' sd and that of log error,
    beside a spread of .05 between networks."""
    ceiling = signal(CEILING, Kind.CEILING, matched=full)
    pairs = networks * (networks - 1) // 2
    known = Noise(*noise, 0.06, 0.05)
    return Certificate((*signals, ceiling), known, networks, pairs, seeds, 4, False)


@pytest.mark.parametrize(
    ("changes", "doubts"),
    [
        ({}, ()),
        ({"networks": 9}, (Doubt.FEW_PAIRS,)),  # 36 pairs
        ({"networks": 10}, ()),  # 45
        ({"seeds": 1}, (Doubt.ONE_SEED,)),
        ({"networks": 2, "seeds": 1}, (Doubt.FEW_PAIRS, Doubt.ONE_SEED)),
        ({"networks": 0, "seeds": 0}, (Doubt.FEW_PAIRS,)),
    ],
)
def test_too_little_is_unproven(changes, doubts):
    assert judge(certificate(proxy(), **changes)).doubts == doubts


@pytest.mark.parametrize(
    ("own", "standing"),
    [
        (Interval(0.6, 0.4, 0.8), Standing.AS_GOOD),  # a tie
        (Interval(0.7, 0.5, 0.9), Standing.AS_GOOD),
        (Interval(0.7, NAN, NAN), None),
        (Interval(0.5, 0.2, 0.7), Standing.NEAR),
        (Interval(0.3, 0.1, 0.4), Standing.NEAR),  # they touch
        (Interval(0.2, 0.1, 0.39), Standing.SHORT),
        (Interval(0.5, NAN, NAN), None),
        (UNKNOWN, None),
    ],
)
def test_a_proxy_is_held_against_full_training(own, standing):
    (found,) = judge(certificate(proxy(matched=own))).proxies
    assert found.standing is standing


def test_few_pairs_are_held_against_nothing():
    """An interval of few overlaps anything, and their noise is not known either."""
    found = judge(certificate(proxy(), networks=9))
    assert found.proxies[0].standing is None
    assert math.isnan(found.trainings)


def test_without_matched_cost_all_pairs_are_compared():
    low = Interval(0.1, 0.0, 0.2)
    found = judge(certificate(proxy(matched=UNKNOWN, overall=low), full=UNKNOWN))
    assert found.view is View.OVERALL
    assert found.ceiling == (0.8, 0.7, 0.9)  # (1 + tau) / 2
    assert found.proxies[0].standing is Standing.SHORT
    assert found.proxies[0].beats_chance is None
    assert judge(certificate(proxy())).view is View.MATCHED


def test_a_proxy_must_be_above_the_best_baseline_in_each_view():
    params = signal("params alone", Kind.BASELINE, None, Interval(0.4, 0.2, 0.6), SURE)
    macs = signal("MACs alone", Kind.BASELINE, None, UNKNOWN, Interval(0.7, 0.5, 0.9))
    (found,) = judge(certificate(proxy(), params, macs)).proxies
    assert found.beaten_by == ((macs, View.OVERALL),)
    (found,) = judge(certificate(proxy(matched=Interval(0.4, 0.1, 0.7)), params, macs)).proxies
    assert found.beaten_by == ((macs, View.OVERALL), (params, View.MATCHED))  # a tie is no more
    (found,) = judge(certificate(proxy(overall=Interval(0.8, 0.6, 0.9)), params, macs)).proxies
    assert found.beaten_by == ()


@pytest.mark.parametrize(
    ("matched", "beats"),
    [
        (Interval(0.2, 0.01, 0.4), True),
        (Interval(0.2, 0.0, 0.4), False),
        (Interval(0.2, NAN, NAN), None),
        (UNKNOWN, None),
    ],
)
def test_chance_is_half_of_the_pairs(matched, beats):
    (found,) = judge(certificate(proxy(matched=matched))).proxies
    assert found.beats_chance is beats


def test_training_runs_to_tell_networks_apart():
    """Their mean has the variance sd^2 / runs; tau 0.5, so 75 % of pairs, takes a correlation of
    sin(pi / 4) between two such means, 0.05^2 / (0.05^2 + sd^2 / runs)."""
    for sd in (0.01, 0.03, 0.2):
        runs = judge(certificate(proxy(), noise=(0.004, sd))).trainings
        assert 0.05**2 / (0.05**2 + sd**2 / runs) >= math.sin(math.pi / 4)
        fewer = runs - 1
        assert not fewer or 0.05**2 / (0.05**2 + sd**2 / fewer) < math.sin(math.pi / 4)
