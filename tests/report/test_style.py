"""Ticks at round values."""

from __future__ import annotations

import pytest

from dnsearch.report.style import LOOKS, linear_ticks, log_ticks


def within(ticks, low, high):
    pairs = zip(ticks["tickvals"], ticks["ticktext"], strict=True)
    return [text for value, text in pairs if low <= value <= high]


def test_ticks_by_hand():
    assert within(log_ticks(1e6, 1e9, "macs"), 1e6, 1e9)[:3] == ["1 M", "3 M", "10 M"]
    assert within(log_ticks(0.05, 0.2, "error"), 0.05, 0.2) == [
        "5 %",
        "6 %",
        "8 %",
        "10 %",
        "15 %",
        "20 %",
    ]
    assert linear_ticks(0, 4.1e14, "train_macs")["ticktext"] == [
        "0",
        "100 T",
        "200 T",
        "300 T",
        "400 T",
    ]
    assert linear_ticks(0, 0, "train_macs") == {}


@pytest.mark.parametrize("decades", [0.05, 0.1, 0.2, 0.4, 0.6, 1, 1.5, 2.5, 5, 8])
@pytest.mark.parametrize("low", [1.0, 3.7e5])
def test_every_log_axis_has_some_ticks_and_not_too_many(low, decades):
    high = low * 10**decades
    assert 2 <= len(within(log_ticks(low, high, "macs"), low, high)) <= 11


def test_marks_differ_in_colour_and_shape():
    assert len({look.colour for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.symbol for look in LOOKS.values()}) == len(LOOKS)
