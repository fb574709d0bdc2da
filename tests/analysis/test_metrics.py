"""How figures are written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dnsearch.analysis.metrics import METRICS, duration, format_error, format_value, short_number
from dnsearch.errors import ConfigError
from dnsearch.training.measured import binomial_standard_error


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("macs", 12.34e6, "12.3 M MACs"),
        ("macs", 999_600, "1 M MACs"),
        ("params", 46_123, "46.1 k params"),
        ("params", 512, "512 params"),
        ("train_bytes", 12.3e6, "12.3 MB"),
        ("train_bytes", 640, "640 B"),
        ("error", 0.0456, "4.56 %"),
        ("latency_ms", 1.2, "1.2 ms"),
        ("train_macs", 3.2e16, "32 P MACs"),
        ("rung", 9, "9 epochs"),
        ("rung", 1, "1 epoch"),
        ("trainings", 0.1234, "0.12"),
        ("trainings", 3.14, "3.1"),
        ("trainings", 41.7, "42"),
        ("trainings", 1234.5, "1,234"),
        ("ask_seconds", 0.0123, "12 ms"),
        ("ask_seconds", 1.23, "1.2 s"),
        ("error", math.nan, "–"),
        ("latency_ms", None, "–"),
    ],
)
def test_figures(name, value, text):
    assert format_value(name, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.84, "0.8 s"),
        (9.97, "10 s"),
        (42, "42 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_numbers_keep_three_digits():
    assert [short_number(v) for v in (0, 0.0123, 1.2, 1234, 1.999e6)] == [
        "0",
        "0.0123",
        "1.20",
        "1.23 k",
        "2 M",
    ]


def test_error_with_its_standard_error():
    assert format_error(0.098, 0.0047) == "9.80 ± 0.47 %"
    assert format_error(0.098) == "9.80 %"
    assert format_error(None, 0.1) == "–"


def test_unknown_metric_names_the_nearest():
    with pytest.raises(ConfigError, match="metric is unknown, got 'mac'; did you mean 'macs'"):
        format_value("mac", 1.0)


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError, match="does not support item assignment"):
        METRICS["macs"] = METRICS["params"]  # type: ignore[index]


def test_binomial_standard_error_against_draws():
    shares = np.random.default_rng(0).binomial(4000, 0.1, size=20_000) / 4000
    assert binomial_standard_error(0.1, 4000) == pytest.approx(shares.std(), rel=0.02)


def test_binomial_standard_error_is_never_zero():
    assert binomial_standard_error([0.0, 1.0], 100) == pytest.approx([0.00995] * 2, abs=1e-5)
    assert np.isnan(binomial_standard_error(0.1, 0))
