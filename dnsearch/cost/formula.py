"""What a DenseNet costs, in closed form, for one config or for arrays of them.

Layer ``l`` of a block with ``L`` layers sees ``c + l*k`` channels, so a block's sums are
``S = L*c + k*L*(L-1)/2`` input channels: no loop over layers is needed, only one over blocks.
MACs count one multiply-add of convolutions and of the linear layer as 1 (fvcore calls it a flop).
Checked to the unit against fvcore's count of the built module (``dnsearch.cost.trace``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import ArchArrays, ArchConfig, transition_width

Ints = NDArray[np.int64]
BYTES_FP32 = 4


@dataclass(frozen=True)
class Cost:
    """What is known of an architecture before training.

    params: parameters. macs: multiply-adds of one image. activations: elements that convolutions
    write for one image (Radosavovic et al. 2020, arXiv:2003.13678). train_bytes: bytes that a
    training step holds: weights, gradients, momentum, averaged weights, saved activations.
    """

    params: int
    macs: int
    activations: int
    train_bytes: int


@dataclass(frozen=True)
class CostArrays:
    """``Cost`` for many architectures: int64 arrays of shape (n,)."""

    params: Ints
    macs: Ints
    activations: Ints
    train_bytes: Ints

    def __getitem__(self, index: int) -> Cost:
        return Cost(**{name: int(column[index]) for name, column in vars(self).items()})


@dataclass(frozen=True)
class StageCost:
    """One stage's share, arrays of shape (n,), 0 where an architecture lacks the stage.

    ``saved`` counts the elements that the backward pass needs of one image.
    ``channels``, ``height`` and ``width`` are those of the stage's output.
    """

    name: str
    params: Ints
    macs: Ints
    activations: Ints
    saved: Ints
    channels: Ints
    height: Ints
    width: Ints


def costs(
    archs: ArchArrays,
    height: int,
    width: int,
    batch_size: int = 1,
    activation_bytes: int = BYTES_FP32,
) -> CostArrays:
    """Costs of many architectures for inputs of this size; ``batch_size`` matters to memory only.

    ``activation_bytes`` is the size of a saved element: 4 in fp32, 2 under bf16 autocast.
    """
    params = macs = activations = saved = np.zeros(len(archs), dtype=np.int64)
    for stage in stage_costs(archs, height, width):
        params, macs = params + stage.params, macs + stage.macs
        activations, saved = activations + stage.activations, saved + stage.saved
    state = 4 * BYTES_FP32 * params  # weights, gradients, momentum, averaged weights
    train_bytes = state + batch_size * activation_bytes * saved
    return CostArrays(params, macs, activations, train_bytes)


def cost_of(
    config: ArchConfig,
    height: int,
    width: int,
    batch_size: int = 1,
    activation_bytes: int = BYTES_FP32,
) -> Cost:
    """The cost of one architecture. Raises ConfigError for an input that is too small for it."""
    config.require_size(height, width)
    return costs(ArchArrays.of([config]), height, width, batch_size, activation_bytes)[0]


def stage_costs(archs: ArchArrays, height: int, width: int) -> Iterator[StageCost]:
    """The costs stage by stage, in the order of the forward pass.

    Names are the module's: stem, denseblock1, transition1, ..., classifier (with the last norm).
    """
    stem, h, w = _stem(archs, height, width)
    yield stem
    channels = archs.num_init_features
    blocks = archs.block_config.shape[1]
    for i in range(blocks):
        present = archs.block_config[:, i] > 0
        if i:
            transition = _transition(archs, channels, h, w, present)
            yield _named(f"transition{i}", transition)
            channels, h, w = transition["channels"], transition["height"], transition["width"]
        block = _block(archs, archs.block_config[:, i], channels, h, w)
        yield _named(f"denseblock{i + 1}", block)
        channels = block["channels"]
    yield _named("classifier", _classifier(archs, channels, h, w))


def _named(name: str, columns: dict[str, Any]) -> StageCost:
    return StageCost(name, **columns)


def _stem(archs: ArchArrays, height: int, width: int) -> tuple[StageCost, Ints, Ints]:
    """imagenet: conv7x7/2, norm, relu, max-pool3x3/2; cifar: conv3x3."""
    imagenet = archs.stem == "imagenet"
    out, halve = archs.num_init_features, lambda size: -(-size // 2)
    conv_h = np.where(imagenet, halve(height), height)
    conv_w = np.where(imagenet, halve(width), width)
    pixels = conv_h * conv_w
    weights = np.where(imagenet, 49, 9) * archs.in_channels * out
    h = np.where(imagenet, halve(conv_h), conv_h)
    w = np.where(imagenet, halve(conv_w), conv_w)
    # The image; in the imagenet stem the norm's input, the rectified output that the pooling
    # reads, and the pooling's int64 indices (two fp32 elements each).
    saved = archs.in_channels * height * width + imagenet * out * (2 * pixels + 2 * h * w)
    columns = {
        "params": weights + imagenet * 2 * out,
        "macs": weights * pixels,
        "activations": out * pixels,
        "saved": saved,
        "channels": out,
        "height": h,
        "width": w,
    }
    return _named("stem", columns), h, w


def _block(archs: ArchArrays, layers: Ints, channels: Ints, h: Ints, w: Ints) -> dict[str, Any]:
    k, bottleneck = archs.growth_rate, archs.bn_size * archs.growth_rate
    inputs = layers * channels + k * layers * (layers - 1) // 2  # over the block's layers
    plain = archs.bn_size == 0
    weights = np.where(plain, 9 * inputs * k, inputs * bottleneck + layers * 9 * bottleneck * k)
    written = np.where(plain, layers * k, layers * (bottleneck + k))
    out = channels + layers * k
    # Each layer keeps its concatenated input and the rectified one, and both sides of norm2;
    # dropout keeps a mask of one byte an element, a quarter of an fp32 one.
    kept = 2 * inputs + 2 * layers * bottleneck + (archs.drop_rate > 0) * layers * k // 4
    return {
        "params": weights + 2 * inputs + 2 * layers * bottleneck,
        "macs": weights * h * w,
        "activations": written * h * w,
        "saved": kept * h * w,
        "channels": out,
        "height": h,
        "width": w,
    }


def _transition(
    archs: ArchArrays, channels: Ints, h: Ints, w: Ints, present: NDArray[np.bool_]
) -> dict[str, Any]:
    """norm, relu, conv1x1, avg-pool2x2; where absent, channels and size pass through."""
    out = transition_width(channels, archs.compression)
    weights = channels * out
    return {
        "params": present * (weights + 2 * channels),
        "macs": present * weights * h * w,
        "activations": present * out * h * w,
        "saved": present * (2 * channels + out) * h * w,
        "channels": np.where(present, out, channels),
        "height": np.where(present, h // 2, h),
        "width": np.where(present, w // 2, w),
    }


def _classifier(archs: ArchArrays, channels: Ints, h: Ints, w: Ints) -> dict[str, Any]:
    """The last norm and relu, global pooling, the linear layer."""
    weights = channels * archs.num_classes
    zero = np.zeros_like(channels)
    return {
        "params": 2 * channels + weights + archs.num_classes,
        "macs": weights,
        "activations": zero,
        "saved": 2 * channels * h * w + channels,
        "channels": zero + archs.num_classes,
        "height": zero + 1,
        "width": zero + 1,
    }
