"""The peak memory of a training step, measured in a process of its own."""

from __future__ import annotations

import pytest

from dnsearch.arch.presets import PRESETS
from dnsearch.cost.formula import cost_of
from dnsearch.training.peak import fresh_peak


def test_a_peak_holds_what_a_step_has_to_keep():
    """Weights, gradients, momentum, averages and what backward needs, which the formula counts;
    kernels take more beside them."""
    arch, shape, batch = PRESETS["densenet-40-12"], (3, 32, 32), 24
    peak = fresh_peak(arch, shape, batch, "cpu", 1)
    if peak is None:
        pytest.skip("this system does not tell a process's peak memory")
    kept = cost_of(arch, *shape[1:], batch).train_bytes
    assert kept < peak < 10 * kept
