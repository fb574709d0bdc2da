"""What replays found, against each other: by hand, and within the study's space alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from dnsearch.config import parse_study
from dnsearch.replay.comparison import LEVEL, compare
from dnsearch.replay.measures import COLUMNS

from .test_run import STUDY, recorded


def trajectories(*segments) -> pd.DataFrame:
    """From (sampler, seed, step, key, rung, train_macs, ask_seconds)."""
    rows = [(*segment[:6], 0.0, segment[6], 0.5) for segment in segments]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def everything(table, sampler, seed=0, macs=1.0):
    """All architectures of a table, trained to the top at once."""
    return [(sampler, seed, step, key, 9, macs, 0.1) for step, key in enumerate(table.archs)]


def test_proposals_by_hand():
    table = recorded(take=3)
    a, b, _ = table.archs
    unit = 3 * table.images * 9 * table.truth["macs"].mean()
    found = trajectories(
        ("tpe", 0, 0, a, 3, unit, 0.1),
        ("tpe", 0, 1, a, 9, 2 * unit, 0.5),
        ("tpe", 1, 0, b, 9, 5 * unit, 0.2),
    )
    proposals = compare(table, found, ["tpe", "gp"], range(2)).proposals
    assert proposals["tpe"] == pytest.approx((0.2, 0.5, 1.0, 0.5, 4.0, 0.5))
    assert proposals["gp"] == pytest.approx((math.nan, math.nan, 0, 0, 0, math.nan), nan_ok=True)


def test_the_baseline_is_known_cost_or_else_the_first_to_reach_the_level():
    table = recorded(take=3)
    found = [*everything(table, "gp"), *everything(table, "tpe", macs=0.5)]
    found += everything(table, "known-cost", macs=9.0)
    for samplers, baseline in (
        (["gp", "tpe", "known-cost"], "known-cost"),
        (["gp", "tpe"], "tpe"),
        (["random", "gp"], "gp"),
    ):
        comparison = compare(table, trajectories(*found), samplers, range(1))
        assert comparison.baseline == baseline
        assert comparison.times(baseline, "log") == (1.0, True)
    assert comparison.times("random", "log") == (0.0, False)  # it spent nothing


def test_only_the_study_s_space_counts():
    table = recorded(noise=0)
    inside = parse_study(STUDY.replace("[2, 4, 6, 8]", "[2, 4, 6]"))
    smaller = replace(table, study=inside)
    outside = {key for key, arch in table.archs.items() if arch.growth_rate == 8}
    found = trajectories(*everything(table, "tpe"))
    whole, part = (compare(each, found, ["tpe"], range(1)) for each in (table, smaller))
    assert set(whole.keys) == set(table.archs)
    assert set(part.keys) == set(table.archs) - outside
    found = found[found["key"].isin(outside)]
    assert compare(table, found, ["tpe"], range(1)).shares("log")
    assert not compare(smaller, found, ["tpe"], range(1)).shares("log")
    assert compare(smaller, found, ["tpe"], range(1)).needed["tpe", "log", LEVEL].reached == 0


def test_given_architectures_count_alone():
    table = recorded(take=6)
    keys = list(table.archs)[:2]
    found = trajectories(*everything(table, "tpe")[:2])
    part = compare(table, found, ["tpe"], range(1), keys=[*keys, "no such key"])
    assert set(part.keys) == set(keys)
    assert part.needed["tpe", "linear", 0.99].reached == 1


def test_nothing_trained_is_empty():
    table = recorded(take=3)
    assert compare(table, trajectories(), ["tpe"], range(2)).is_empty
    assert not compare(table, trajectories(*everything(table, "gp")), ["gp"], range(1)).is_empty
