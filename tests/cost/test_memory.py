"""The predicted peak of a training step, by hand and against a measured one."""

from __future__ import annotations

import numpy as np
import pytest

from dnsearch.arch import ArchConfig
from dnsearch.arch.config import ArchArrays
from dnsearch.arch.presets import PRESETS
from dnsearch.cost import cost_of, predicted_peak_bytes


def test_by_hand():
    """Two blocks on 8x8 images of 1 channel: what is kept and the larger gradients, in floats."""
    arch = ArchConfig(4, (2, 1), 8, 2, stem="cifar", in_channels=1, num_classes=10)
    first, second = (8 + 2 * 4) * 64, (8 + 4) * 16
    kept = 64 + first + 2 * 8 * 64 + second + 8 * 16 + 12  # image, maps and bottlenecks, features
    back = max(first + 8 * 64, first, second + 8 * 16, second + first)
    state = 16 * cost_of(arch, 8, 8).params
    expected = 1.4e6 + 1.18 * state + 5 * 4 * 1.07 * (kept + back)
    assert predicted_peak_bytes(ArchArrays.of([arch]), 8, 8, 5)[0] == pytest.approx(expected)


def test_architectures_of_all_kinds_at_once():
    archs = [
        PRESETS["densenet-40-12"],
        ArchConfig(8, (2,), 16, 4, stem="patch2", num_classes=10),
        PRESETS["densenet121"],
    ]
    together = predicted_peak_bytes(ArchArrays.of(archs), 64, 64, 8)
    alone = [predicted_peak_bytes(ArchArrays.of([arch]), 64, 64, 8)[0] for arch in archs]
    assert together == pytest.approx(alone)
    kept = np.array([cost_of(arch, 64, 64, 8).train_bytes for arch in archs])
    assert (together > kept).all()


def test_a_measured_peak_is_near():
    """densenet-40-12, batch 64, 32x32, took 160.4 MB on two cores (Linux, glibc; docs/log.md)."""
    arch = ArchArrays.of([PRESETS["densenet-40-12"].replace(num_classes=10)])
    assert predicted_peak_bytes(arch, 32, 32, 64)[0] == pytest.approx(160.4e6, rel=0.1)
