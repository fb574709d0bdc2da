"""``portable`` with the work between its 3x3 convolutions fused by Triton, in 16 or 32 bits.

The 1x1 convolutions normalise their input as they read it and sum up their output for its batch
statistics; in the backward pass they add to the gradient of the block's maps in place. Sums are
written tile by tile and added up in a fixed order, so that the same seed gives the same figures.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

from dnsearch.arch.kernels import portable
from dnsearch.arch.kernels.operations import Gradient, Norm, Operations, Shape, Window
from dnsearch.arch.plain import PlainDenseNet

# Sizes are fixed: tuning takes seconds for each shape, and a search has hundreds of shapes. By the
# compiler's figures for an H100, two tiles or more fit most of its processors.
_TILE = 64, 64  # pixels; channels at most: 128 bytes of a row in 16 bits
_PRODUCT = 128, 128  # pixels; outputs at most: those of a bottleneck of 4 x 32
_DEPTH = 32  # channels that a product sums over at a time
_STRIP = {"T": 512, "C": 16, "num_warps": 8}  # tiles whose sums a program adds up at a time
_SHARES = 512, 128  # of a weight's gradient: most programs; fewest pixels of each


def supports(model: PlainDenseNet, images: Tensor) -> bool:
    """Whether it can compute the model: as ``portable``, but not in float64, and only with Triton
    and a GPU of compute capability 8 or Triton's interpreter."""
    if images.dtype == torch.float64 or not portable.supports(model, images):
        return False
    if importlib.util.find_spec("triton") is None:  # it comes with torch for CUDA
        return False
    if not images.is_cuda:
        return os.environ.get("TRITON_INTERPRET") == "1"
    return torch.cuda.get_device_capability(images.device) >= (8, 0)  # the first with bf16


def pooled_features(model: PlainDenseNet, images: Tensor) -> Tensor | None:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c), or None where it does not
    support them."""
    if not supports(model, images):
        return None
    with torch.cuda.device_of(images):  # where Triton launches
        return portable.run(model, images, FusedOperations())


class FusedOperations(Operations):
    """The operations of a block, each as one or a few Triton kernels; see ``Operations``."""

    def __init__(self) -> None:
        from dnsearch.arch.kernels import fused  # imports Triton

        self.kernels: Any = fused

    def statistics(self, x: Tensor) -> Tensor:
        """Mean and biased variance of each channel, from the moments of tiles."""
        grid, sums, tile = _tiles(x)
        self.kernels.statistics[grid](x, sums, *x.shape, x.stride(0), **tile)
        return self._moments(sums, len(x), tile["P"])

    def normalise(self, x: Tensor, norm: Norm) -> Tensor:
        """y = relu(norm(x)): pooling over windows of one pixel."""
        return self.pool(x, norm, (len(x), 1, 1), (1, 1))

    def product(self, x: Tensor, norm: Norm, weight: Tensor) -> tuple[Tensor, Tensor]:
        """z = y weight^T with y = relu(norm(x)), and the statistics of z, in one kernel."""
        z, sums = self._product(x, norm, weight, None)
        return z, self._moments(sums, len(x), _PRODUCT[0])

    def folded(self, x: Tensor, norm: Norm, weight: Tensor, bias: Tensor) -> Tensor:
        """relu(y weight^T + bias) with y = relu(norm(x)), in one kernel."""
        return self._product(x, norm, weight, bias)[0]

    def product_backward(
        self, dz: Tensor, x: Tensor, norm: Norm, weight: Tensor, gradient: Gradient
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the weight, and sums; adds to the gradient of x in place."""
        dx, (outputs, channels) = gradient.dx, weight.shape
        sizes = (*x.shape, outputs, x.stride(0))
        grid, sums, tile = _tiles(x)
        self.kernels.product_backward[grid](
            dz, weight, x, dx, sums, *norm[:5], *sizes, dx.stride(0), **_product_tile(), **tile
        )
        tile["P"] = _size(outputs, _PRODUCT[1])
        tiles = _quotient(outputs, tile["P"]) * _quotient(channels, tile["C"])
        shares = max(1, min(_SHARES[0] // tiles, len(x) // _SHARES[1]))
        dweight = torch.empty(shares, outputs, channels, dtype=torch.float32, device=x.device)
        self.kernels.product_weight[tiles, shares](
            dz, x, dweight, *norm[:5], *sizes, **_product_tile(), **tile
        )
        return dweight.sum(0), self._total(sums, norm, gradient.expected, len(x), add=True)

    def normalise_backward(
        self, dy: Tensor, y: Tensor, x: Tensor, norm: Norm, gradient: Gradient
    ) -> Tensor:
        """Sums; adds to the gradient of x in place. y is computed again, not read."""
        return self._pool_backward(dy, x, norm, (len(x), 1, 1), (1, 1), gradient, add=True)

    def norm_backward(self, dy: Tensor, y: Tensor, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """The gradient of x, which nothing else reads, and sums. Overwrites dy."""
        gradient = Gradient(dy, norm.mean.new_empty(2, x.shape[1]))
        sums = self._pool_backward(dy, x, norm, (len(x), 1, 1), (1, 1), gradient, add=False)
        return self.whole(gradient, x, norm.mean), sums

    def whole(self, gradient: Gradient, x: Tensor, mean: Tensor) -> Tensor:
        """The finished gradient of x, contiguous."""
        dx, expected = gradient
        out = dx.new_empty(dx.shape)
        grid, _, tile = _tiles(x)
        strides = (x.stride(0), dx.stride(0), expected.stride(0))
        self.kernels.whole[grid](dx, x, out, mean, expected, *x.shape, *strides, **tile)
        return out

    def pool(self, x: Tensor, norm: Norm, shape: Shape, window: Window) -> Tensor:
        """Means of y = relu(norm(x)) over windows side by side, (windows, c)."""
        n, height, width = shape
        y = x.new_empty(n * (height // window[0]) * (width // window[1]), x.shape[1])
        grid, _, tile = _tiles(y)
        sizes = (*y.shape, x.stride(0), height, width, *window)
        self.kernels.pool[grid](x, y, *norm[:5], *sizes, **tile)
        return y

    def pool_backward(
        self, dp: Tensor, x: Tensor, norm: Norm, shape: Shape, window: Window
    ) -> tuple[Gradient, Tensor]:
        """The gradient of x, to which other readers will add, and sums."""
        gradient = Gradient(torch.empty_like(x), norm.mean.new_empty(2, x.shape[1]))
        return gradient, self._pool_backward(dp, x, norm, shape, window, gradient, add=False)

    def _product(
        self, x: Tensor, norm: Norm, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The product: with a bias relu(product + bias), without one also the sums of its tiles."""
        z = x.new_empty(len(x), len(weight))
        grid, sums, tile = _tiles(z, *_PRODUCT)
        sizes = (*x.shape, len(weight), x.stride(0))
        self.kernels.product[grid](
            x, weight, z, sums, bias, *norm[:5], *sizes, **_product_tile(), **tile
        )
        return z, sums

    def _pool_backward(
        self, dp: Tensor, x: Tensor, norm: Norm, shape: Shape, window: Window,
        gradient: Gradient, add: bool,
    ) -> Tensor:  # fmt: skip
        """Adds to the gradient of x, or sets it, and returns the sums."""
        dx, expected = gradient
        grid, sums, tile = _tiles(x)
        sizes = (*x.shape, x.stride(0), dx.stride(0), *shape[1:], *window)
        self.kernels.pool_backward[grid](dp, x, dx, sums, *norm[:5], *sizes, ADD=add, **tile)
        return self._total(sums, norm, expected, len(x), add)

    def _total(self, sums: Tensor, norm: Norm, expected: Tensor, pixels: int, add: bool) -> Tensor:
        """The sums over all tiles; adds their part of the expectations, or sets it."""
        tiles, _, channels = sums.shape
        total = sums.new_empty(2, channels)
        numbers = (norm.eps, norm.by_batch / pixels, tiles, channels, expected.stride(0))
        self.kernels.total[_strips(channels)](
            sums, total, expected, norm.weight, norm.var, *numbers, ADD=add, **_STRIP
        )
        return total

    def _moments(self, sums: Tensor, pixels: int, rows: int) -> Tensor:
        """The statistics from the moments of all tiles, of so many rows each."""
        tiles, _, channels = sums.shape
        statistics = sums.new_empty(2, channels)
        self.kernels.moments[_strips(channels)](
            sums, statistics, tiles, channels, pixels, P=rows, **_STRIP
        )
        return statistics


def _tiles(
    x: Tensor, pixels: int = _TILE[0], most: int = _TILE[1]
) -> tuple[tuple[int], Tensor, dict[str, int]]:
    """For tiles of x, (pixels, c): the grid of programs, room for two sums of each, their size."""
    channels = _size(x.shape[1], most)
    down, across = _quotient(len(x), pixels), _quotient(x.shape[1], channels)
    sums = torch.empty(down, 2, x.shape[1], dtype=torch.float32, device=x.device)
    return (down * across,), sums, {"P": pixels, "C": channels, "num_warps": 8}


def _product_tile() -> dict[str, Any]:
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"  # of 32 bits
    return {"K": _DEPTH, "PRECISION": precision}


def _size(channels: int, most: int) -> int:
    """The least power of two that holds them, from 16 (the least a product takes) to ``most``."""
    return max(16, min(most, 1 << (channels - 1).bit_length()))


def _strips(channels: int) -> tuple[int]:
    return (_quotient(channels, _STRIP["C"]),)


def _quotient(number: int, by: int) -> int:
    return -(-number // by)
