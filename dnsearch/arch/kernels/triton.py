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
from torch.nn import functional as F

from dnsearch.arch.kernels import portable
from dnsearch.arch.kernels.operations import Gradient, Norm, Operations, Shape, Window
from dnsearch.arch.kernels.synchronised import Synchronised
from dnsearch.arch.plain import PlainDenseNet

# Sizes are fixed: tuning takes seconds for each shape, and a search has hundreds of shapes. Rows of
# a tile with the most columns, those columns, what a product sums over at a time, warps. Chosen by
# studies/gpu/tiles.py.
_TILES = {
    "rows": (64, 64, 0, 4),
    "product": (128, 128, 64, 8),
    "product_backward": (128, 64, 32, 4),
    "product_weight": (128, 64, 64, 8),  # of (outputs, channels), over pixels
}
_STRIP = {"T": 1024, "num_warps": 4}  # tiles whose sums a program adds up at a time
_SHARES = 512, 128  # of a weight's gradient: most programs; fewest pixels of each
_ROOM = 16
"""Rows are as long as a multiple of this, so that they can be moved 16 bytes at a time."""

_PADDED = 8
"""cuDNN takes maps in multiples of this as they are; of others it makes copies at every call."""


def supports(model: PlainDenseNet, images: Tensor) -> bool:
    """Whether it can compute the model: as ``portable``, but not in float64, and only where it is
    available."""
    if images.dtype == torch.float64 or not portable.supports(model, images):
        return False
    return available(images.device)


def available(device: torch.device) -> bool:
    """Whether there is Triton, and a GPU of compute capability 8 or Triton's interpreter."""
    if importlib.util.find_spec("triton") is None:  # it comes with torch for CUDA
        return False
    if device.type != "cuda":
        return os.environ.get("TRITON_INTERPRET") == "1"
    return torch.cuda.get_device_capability(device) >= (8, 0)  # the first with bf16


def pooled_features(model: PlainDenseNet, images: Tensor) -> Tensor | None:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c), or None where it does not
    support them."""
    if not supports(model, images):
        return None
    with torch.cuda.device_of(images):  # where Triton launches
        synchronised = model.synchronised and model.training
        own = SynchronisedFusedOperations() if synchronised else FusedOperations()
        return portable.run(model, images, own)


class FusedOperations(Operations):
    """The operations of a block, each as one or a few Triton kernels; see ``Operations``."""

    def __init__(self) -> None:
        from dnsearch.arch.kernels import fused  # imports Triton

        self.kernels: Any = fused

    def empty(self, like: Tensor, pixels: int, channels: int) -> Tensor:
        """Rows (pixels, channels) of anything, with room."""
        return like.new_empty(pixels, _up(channels, _ROOM))[:, :channels]

    def matrix(self, weight: Tensor, like: Tensor) -> Tensor:
        """A 1x1 convolution's weight, (out, in), in the type of the maps, with room."""
        return self.empty(like, *weight.shape[:2]).copy_(weight.flatten(1))

    def place(self, x: Tensor, place: Tensor, by_batch: bool) -> Tensor | None:
        """Copies x to a place in a buffer; the statistics of x, if they are wanted."""
        if by_batch:
            return self._statistics(x, place)
        place.copy_(x)
        return None

    def convolution(self, y: Tensor, shape: Shape, weight: Tensor) -> Tensor:
        """The 3x3 convolution of y: (n, k, h, w), channels-last, perhaps with room."""
        y, k = _aligned(y), len(weight)
        padded = _padded(weight, _up(k, _PADDED), y.shape[1])
        return super().convolution(y, shape, padded)[:, :k]

    def convolution_backward(
        self, new: Tensor, y: Tensor, shape: Shape, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The gradients of y and of the weight, from that of the convolution, rows (pixels, k)."""
        k, channels = weight.shape[:2]
        new, y = _aligned(new), _aligned(y)
        padded = _padded(weight, new.shape[1], y.shape[1])
        dy, dweight = super().convolution_backward(new, y, shape, padded)
        return dy[:, :channels], dweight[:k, :channels]

    def statistics(self, x: Tensor) -> Tensor:
        """Mean and biased variance of each channel, from the moments of tiles."""
        return self._statistics(x, None)

    def normalise(self, x: Tensor, norm: Norm) -> Tensor:
        """y = relu(norm(x)): pooling over windows of one pixel."""
        return self.pool(x, norm, (len(x), 1, 1), (1, 1))

    def product(self, x: Tensor, norm: Norm, weight: Tensor) -> tuple[Tensor, Tensor]:
        """z = y weight^T with y = relu(norm(x)), and the statistics of z, in one kernel."""
        z, sums, rows = self._product(x, norm, weight, None)
        return z, self._moments(sums, len(x), rows)

    def folded(self, x: Tensor, norm: Norm, weight: Tensor, bias: Tensor) -> Tensor:
        """relu(y weight^T + bias) with y = relu(norm(x)), in one kernel."""
        return self._product(x, norm, weight, bias)[0]

    def product_backward(
        self, dz: Tensor, x: Tensor, norm: Norm, weight: Tensor, gradient: Gradient
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the weight, and sums; adds to the gradient of x in place."""
        dx = gradient.dx
        sizes = (*x.shape, dz.shape[1], _room(x, dx))
        grid, sums, tile = _tiles("product_backward", x)
        strides = (x.stride(0), weight.stride(0), dz.stride(0), dx.stride(0))
        rooms = (_room(weight), _room(dz))
        self.kernels.product_backward[grid](
            dz, weight, x, dx, sums, *norm[:5], *sizes, *rooms, *strides, **_exact(tile)
        )
        dweight = self._product_weight(dz, x, norm)
        return dweight, self._total(sums, norm, gradient.expected, len(x), add=True)

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
        """The finished gradient of x, rows with room."""
        dx, expected = gradient
        out = self.empty(dx, *dx.shape)
        grid, _, tile = _tiles("rows", x)
        sizes = (*x.shape, _room(x, dx), _room(out))
        strides = (x.stride(0), dx.stride(0), out.stride(0), expected.stride(0))
        self.kernels.whole[grid](dx, x, out, mean, expected, *sizes, *strides, **tile)
        return out

    def pool(self, x: Tensor, norm: Norm, shape: Shape, window: Window) -> Tensor:
        """Means of y = relu(norm(x)) over windows side by side, rows with room."""
        n, height, width = shape
        y = self.empty(x, n * (height // window[0]) * (width // window[1]), x.shape[1])
        grid, _, tile = _tiles("rows", y)
        sizes = (*y.shape, _room(x), _room(y), x.stride(0), y.stride(0), height, width, *window)
        self.kernels.pool[grid](x, y, *norm[:5], *sizes, **tile)
        return y

    def pool_backward(
        self, dp: Tensor, x: Tensor, norm: Norm, shape: Shape, window: Window
    ) -> tuple[Gradient, Tensor]:
        """The gradient of x, to which other readers will add, and sums."""
        gradient = Gradient(self.empty(x, *x.shape), norm.mean.new_empty(2, x.shape[1]))
        return gradient, self._pool_backward(dp, x, norm, shape, window, gradient, add=False)

    def _statistics(self, x: Tensor, copy: Tensor | None) -> Tensor:
        grid, sums, tile = _tiles("rows", x)
        strides = (x.stride(0), 0 if copy is None else copy.stride(0))
        self.kernels.statistics[grid](x, copy, sums, *x.shape, _room(x), *strides, **tile)
        return self._moments(sums, len(x), tile["P"])

    def _product(
        self, x: Tensor, norm: Norm, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor, int]:
        """The product: with a bias relu(product + bias), without one also the sums of its tiles,
        and their rows."""
        z = self.empty(x, len(x), len(weight))
        grid, sums, tile = _tiles("product", z)
        sizes = (*x.shape, len(weight), _room(x), _room(weight), _room(z))
        strides = (x.stride(0), weight.stride(0), z.stride(0))
        self.kernels.product[grid](
            x, weight, z, sums, bias, *norm[:5], *sizes, *strides, **_exact(tile)
        )
        return z, sums, tile["P"]

    def _product_weight(self, dz: Tensor, x: Tensor, norm: Norm) -> Tensor:
        """dz^T y with y = relu(norm(x))."""
        outputs, channels = dz.shape[1], x.shape[1]
        rows, most, depth, warps = _TILES["product_weight"]
        down, across = _size(outputs, rows), _size(channels, most)
        tiles = _quotient(outputs, down) * _quotient(channels, across)
        shares = max(1, min(_SHARES[0] // tiles, len(x) // _SHARES[1]))
        dweight = torch.empty(shares, outputs, channels, dtype=torch.float32, device=x.device)
        tile = {"P": down, "C": across, "K": depth, "num_warps": warps}
        sizes = (*x.shape, outputs, _room(x), _room(dz), x.stride(0), dz.stride(0))
        self.kernels.product_weight[tiles, shares](
            dz, x, dweight, *norm[:5], *sizes, **_exact(tile)
        )
        return dweight.sum(0)

    def _pool_backward(
        self, dp: Tensor, x: Tensor, norm: Norm, shape: Shape, window: Window,
        gradient: Gradient, add: bool,
    ) -> Tensor:  # fmt: skip
        """Adds to the gradient of x, or sets it, and returns the sums."""
        dx, expected = gradient
        grid, sums, tile = _tiles("rows", x)
        strides = (dp.stride(0), x.stride(0), dx.stride(0))
        sizes = (*x.shape, _room(dp, x, dx), *strides, *shape[1:], *window)
        self.kernels.pool_backward[grid](dp, x, dx, sums, *norm[:5], *sizes, ADD=add, **tile)
        return self._total(sums, norm, expected, len(x), add)

    def _total(self, sums: Tensor, norm: Norm, expected: Tensor, pixels: int, add: bool) -> Tensor:
        """The sums over all tiles; adds their part of the expectations, or sets it."""
        _, channels, tiles = sums.shape
        total = sums.new_empty(2, channels)
        numbers = (norm.eps, norm.by_batch / pixels, tiles, expected.stride(0))
        self.kernels.total[(channels,)](
            sums, total, expected, norm.weight, norm.var, *numbers, ADD=add, **_STRIP
        )
        return total

    def _moments(self, sums: Tensor, pixels: int, rows: int) -> Tensor:
        """The statistics from the moments of all tiles, of so many rows each."""
        _, channels, tiles = sums.shape
        statistics = sums.new_empty(2, channels)
        self.kernels.moments[(channels,)](sums, statistics, tiles, pixels, P=rows, **_STRIP)
        return statistics


class SynchronisedFusedOperations(Synchronised, FusedOperations):
    """``FusedOperations`` with the batch statistics of all processes that share a batch."""


def _tiles(kind: str, x: Tensor) -> tuple[tuple[int], Tensor, dict[str, int]]:
    """For tiles of x, (pixels, c): the grid of programs, space for two sums of each, their size."""
    pixels, most, depth, warps = _TILES[kind]
    channels = _size(x.shape[1], most)
    if kind == "rows":
        pixels *= most // channels
    down, across = _quotient(len(x), pixels), _quotient(x.shape[1], channels)
    sums = torch.empty(2, x.shape[1], down, dtype=torch.float32, device=x.device)
    tile = {"P": pixels, "C": channels, "num_warps": warps}
    return (down * across,), sums, tile | ({"K": depth} if depth else {})


def _exact(tile: dict[str, int]) -> dict[str, Any]:
    """A product's tile, with what its factors of 32 bits are rounded to."""
    return {**tile, "PRECISION": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"}


def _room(*tensors: Tensor) -> int:
    """How many columns of each row may be read, and written where nothing else lies."""
    channels = tensors[0].shape[1]
    room = _up(channels, _ROOM)
    for x in tensors:
        stride = x.stride(0)
        if stride % _ROOM or x.storage_offset() % stride + room > stride:
            return channels
    return room


def _aligned(rows: Tensor) -> Tensor:
    """Rows (pixels, c) with columns of zeros up to a multiple that cuDNN takes: those of the
    kernels' own rows, or of a copy."""
    channels, stride = rows.shape[1], rows.stride(0)
    if stride == _up(channels, _ROOM) and rows.storage_offset() == 0:
        return rows.as_strided((len(rows), stride), (stride, 1))
    return F.pad(rows, (0, _up(channels, _PADDED) - channels))


def _padded(weight: Tensor, outputs: int, channels: int) -> Tensor:
    """A 3x3 convolution's weight with zeros up to so many outputs and channels."""
    more = outputs - len(weight), channels - weight.shape[1]
    return F.pad(weight, (0, 0, 0, 0, 0, more[1], 0, more[0])) if any(more) else weight


def _size(channels: int, most: int) -> int:
    """The least power of two that holds them, from 16 (the least a product takes) to ``most``."""
    return max(16, min(most, 1 << (channels - 1).bit_length()))


def _up(number: int, multiple: int) -> int:
    return _quotient(number, multiple) * multiple


def _quotient(number: int, by: int) -> int:
    return -(-number // by)
