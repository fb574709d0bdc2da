"""How errors are worded."""

from __future__ import annotations

import ctypes

import pytest

from dnsearch.errors import ConfigError, is_machines, nearest


def test_message_names_field_rule_value_and_hint():
    error = ConfigError("growth_rate", "must be at least 1", -4, "take 12")
    assert str(error) == "growth_rate must be at least 1, got -4; take 12"


def test_long_value_is_cut():
    assert len(str(ConfigError("x", "must be short", list(range(10_000))))) < 250


@pytest.mark.parametrize(
    ("field", "parent", "text"),
    [
        ("rate", "start[1]", "start[1].rate is wrong"),
        ("rate", "a.toml:", "a.toml: rate is wrong"),
        ("", "start[1]", "start[1] is wrong"),
        ("rate", "", "rate is wrong"),
    ],
)
def test_within(field, parent, text):
    assert str(ConfigError(field, "is wrong").within(parent)) == text


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("growht", "did you mean 'growth_rate'?"),
        ("bnsize", "did you mean 'bn_size'?"),
        ("depth", "known are bn_size, growth_rate"),
    ],
)
def test_nearest(word, hint):
    assert nearest(word, ["growth_rate", "bn_size"]) == hint


def opened(path):
    with pytest.raises(OSError) as raised:  # noqa: PT011 (any, by its number)
        path.open("rb")
    return raised.value


def test_a_fault_of_the_machine_is_known_by_its_number_not_by_the_name_of_a_file(tmp_path):
    assert not is_machines(opened(tmp_path / "a shared object" / "x.png"))
    assert not is_machines(opened(tmp_path))
    with pytest.raises(OSError, match="shared object") as raised:
        ctypes.CDLL("libnone-of-this-name.so")
    assert is_machines(raised.value)
