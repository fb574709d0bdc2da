"""The memory that a training step takes at its peak, predicted.

``Cost.train_bytes`` counts what is kept for the backward pass. On its way back a step also holds a
block's gradient with the next block's, or with that of a layer's bottleneck, and what the stem's
modules take; and an allocator never fits quite. The factors of these parts were fitted to peaks of
resident memory that ``training.peak`` measured (``studies/performance/peak_memory.py``).
"""

from __future__ import annotations

import numpy as np

from dnsearch.arch.config import ArchArrays
from dnsearch.arrays import Floats
from dnsearch.cost.formula import BYTES_FP32, stage_costs

ALWAYS, STATE, MAPS, STEM = 1.4e6, 1.18, 1.07, 2.45
"""Bytes that every step takes, and the factors of weights with gradients, momentum and average, of
maps that are kept and their gradients, and of what another stem than ``cifar`` puts out."""


def predicted_peak_bytes(archs: ArchArrays, height: int, width: int, batch_size: int) -> Floats:
    """Bytes of a training step at its peak, (n,), with the C++ kernels in fp32, for ``batch_size``
    images of this size. Other kernels and GPUs have not been measured."""
    params = kept = before = back = stem = np.zeros(len(archs), np.int64)
    for stage in stage_costs(archs, height, width, BYTES_FP32, "cpu"):
        params, kept = params + stage.params, kept + stage.saved
        maps = BYTES_FP32 * stage.channels * stage.height * stage.width
        if stage.name == "stem":
            stem = np.where(archs.stem == "cifar", 0, BYTES_FP32 * stage.activations)
        elif stage.name.startswith("denseblock"):
            block = int(stage.name.removeprefix("denseblock")) - 1
            there = archs.block_config[:, block] > 0
            inner = BYTES_FP32 * archs.bottleneck(block) * stage.height * stage.width
            back = np.maximum(back, there * (maps + np.maximum(inner, before)))
            before = np.where(there, maps, before)
    state = 4 * BYTES_FP32 * params
    return ALWAYS + STATE * state + batch_size * (MAPS * (kept + back) + STEM * stem)
