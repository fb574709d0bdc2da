"""What a DenseNet costs, in closed form, for one config or for arrays of them.

Layer ``l`` of a block with ``L`` layers sees ``c + l*k`` channels, so all layers of the block read
``L*c + k*L*(L-1)/2``: no loop over layers is needed, only one over blocks.
A multiply-add of a convolution or of the linear layer counts as one MAC (fvcore calls it a flop).
Tests hold it, to the unit, to fvcore's count of these in the built network
(``dnsearch.cost.trace``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnsearch.arch.config import STEMS, ArchArrays, ArchConfig, StemShape, transition_width
from dnsearch.arch.kernels import Kernels
from dnsearch.arrays import Bools, Indices, Ints

BYTES_FP32 = 4


@dataclass(frozen=True)
class Cost:
    """The cost of an architecture, known before it is trained.

    params: parameters. macs: multiply-adds of one image. activations: elements that convolutions
    write for one image (Radosavovic et al. 2020, arXiv:2003.13678). train_bytes: memory of a
    training step in bytes: weights, gradients, momentum, averaged weights, saved activations.
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

    def take(self, rows: Bools | Indices) -> CostArrays:
        """Those at these positions, or where a mask is true."""
        return CostArrays(**{name: column[rows] for name, column in vars(self).items()})

    @classmethod
    def joined(cls, parts: Sequence[CostArrays]) -> CostArrays:
        """All of them, one part behind the other; at least one."""
        names = vars(parts[0])
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


@dataclass(frozen=True)
class StageCost:
    """One stage's share, arrays of shape (n,), 0 where an architecture lacks the stage.

    ``params``, ``macs`` and ``activations`` are as in ``Cost``; ``saved`` is the bytes of one image
    that are kept for the backward pass; ``channels``, ``height``, ``width`` are the output's.
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
    kernels: Kernels = "auto",
) -> CostArrays:
    """Costs of many architectures for inputs of this size, in pixels.

    The other arguments matter to ``train_bytes`` alone: ``activation_bytes`` is the size of a saved
    element, 4 in fp32 and 2 under bf16 autocast; ``kernels`` are those that will train (see
    ``arch.kernels``). Inputs that are too small for an architecture are not looked for.
    """
    params = macs = activations = saved = np.zeros(len(archs), dtype=np.int64)
    for stage in stage_costs(archs, height, width, activation_bytes, kernels):
        params, macs = params + stage.params, macs + stage.macs
        activations, saved = activations + stage.activations, saved + stage.saved
    state = 4 * BYTES_FP32 * params  # weights, gradients, momentum, averaged weights
    train_bytes = state + batch_size * saved
    return CostArrays(params, macs, activations, train_bytes)


def cost_of(
    config: ArchConfig,
    height: int,
    width: int,
    batch_size: int = 1,
    activation_bytes: int = BYTES_FP32,
    kernels: Kernels = "auto",
) -> Cost:
    """The cost of one architecture; the arguments are those of ``costs``.

    Raises ConfigError for an input that is too small for it.
    """
    config.require_size(height, width)
    archs = ArchArrays.of([config])
    return costs(archs, height, width, batch_size, activation_bytes, kernels)[0]


def stage_costs(
    archs: ArchArrays,
    height: int,
    width: int,
    activation_bytes: int = BYTES_FP32,
    kernels: Kernels = "auto",
) -> Iterator[StageCost]:
    """The costs stage by stage, in the order of the forward pass; see ``costs``.

    Stages are named stem, denseblock1, transition1, ..., classifier (which includes the last norm).
    """
    # Faster kernels keep a block's maps once and compute the output of norm and ReLU again.
    lean = (archs.norm == "batch") & (kernels != "reference")
    size = activation_bytes
    stem, h, w = _stem(archs, height, width, size)
    yield stem
    channels = archs.num_init_features
    blocks = archs.block_config.shape[1]
    for i in range(blocks):
        present = archs.block_config[:, i] > 0
        if i:
            transition = _transition(archs, i - 1, channels, h, w, present, lean, size)
            yield _named(f"transition{i}", transition)
            channels, h, w = transition["channels"], transition["height"], transition["width"]
        block = _block(archs, i, channels, h, w, lean, size)
        yield _named(f"denseblock{i + 1}", block)
        channels = block["channels"]
    yield _named("classifier", _classifier(archs, channels, h, w, lean, size))


def _named(name: str, columns: dict[str, Any]) -> StageCost:
    return StageCost(name, **columns)


def _stem(archs: ArchArrays, height: int, width: int, size: int) -> tuple[StageCost, Ints, Ints]:
    """A convolution; in the imagenet stem also norm, relu and max-pool3x3/2."""
    is_stem = [archs.stem == name for name in STEMS]

    def of(each: Callable[[StemShape], int]) -> Ints:
        return np.select(is_stem, [each(stem) for stem in STEMS.values()])

    def convolved(side: int) -> Ints:
        return of(lambda stem: (side + 2 * stem.padding - stem.kernel) // stem.stride + 1)

    out, pooled = archs.num_init_features, archs.stem_pools
    conv_h, conv_w = convolved(height), convolved(width)
    pixels = conv_h * conv_w
    weights = of(lambda stem: stem.kernel**2) * archs.in_channels * out
    h = np.where(pooled, -(-conv_h // 2), conv_h)
    w = np.where(pooled, -(-conv_w // 2), conv_w)
    # The image; in the imagenet stem also the norm's input, the ReLU's output that the pooling
    # reads, and the pooling's int64 indices.
    saved = size * (archs.in_channels * height * width + pooled * out * 2 * pixels)
    saved = saved + pooled * 8 * out * h * w
    columns = {
        "params": weights + pooled * 2 * out,
        "macs": weights * pixels,
        "activations": out * pixels,
        "saved": saved,
        "channels": out,
        "height": h,
        "width": w,
    }
    return _named("stem", columns), h, w


def _block(
    archs: ArchArrays, block: int, channels: Ints, h: Ints, w: Ints, lean: Bools, size: int
) -> dict[str, Any]:
    layers, k = archs.block_config[:, block], archs.growth_rate[:, block]
    bottleneck, inputs = archs.bottleneck(block), archs.layer_inputs(block, channels)
    plain = bottleneck == 0
    weights = np.where(plain, 9 * inputs * k, inputs * bottleneck + layers * 9 * bottleneck * k)
    written = np.where(plain, layers * k, layers * (bottleneck + k))
    out = channels + layers * k
    # Modules keep each layer's input, concatenated, once more after ReLU, and both sides of norm2;
    # lean kernels keep the block's maps and norm2's inputs. Dropout keeps a mask, a byte for each
    # new element (torch's own on the CPU, which only "reference" uses: four).
    once = (layers > 0) * out + layers * bottleneck
    kept = np.where(lean, once, 2 * inputs + 2 * layers * bottleneck)
    mask = (archs.drop_rate > 0) * layers * k
    return {
        "params": weights + 2 * inputs + 2 * layers * bottleneck,
        "macs": weights * h * w,
        "activations": written * h * w,
        "saved": (size * kept + mask) * h * w,
        "channels": out,
        "height": h,
        "width": w,
    }


def _transition(
    archs: ArchArrays,
    block: int,
    channels: Ints,
    h: Ints,
    w: Ints,
    present: Bools,
    lean: Bools,
    size: int,
) -> dict[str, Any]:
    """The one behind this block: norm, relu, conv1x1, and avg-pool2x2 where it pools; where absent,
    channels and size pass through."""
    out, pools = transition_width(channels, archs.compression), archs.pools[:, block]
    weights = channels * out
    return {
        "params": present * (weights + 2 * channels),
        "macs": present * weights * h * w,
        "activations": present * out * h * w,
        "saved": present * ~lean * size * (2 * channels + pools * out) * h * w,
        "channels": np.where(present, out, channels),
        "height": np.where(present & pools, h // 2, h),
        "width": np.where(present & pools, w // 2, w),
    }


def _classifier(
    archs: ArchArrays, channels: Ints, h: Ints, w: Ints, lean: Bools, size: int
) -> dict[str, Any]:
    """The last norm and relu, global pooling, the linear layer."""
    weights = channels * archs.num_classes
    zero = np.zeros_like(channels)
    return {
        "params": 2 * channels + weights + archs.num_classes,
        "macs": weights,
        "activations": zero,
        "saved": size * (~lean * 2 * channels * h * w + channels),
        "channels": zero + archs.num_classes,
        "height": zero + 1,
        "width": zero + 1,
    }
