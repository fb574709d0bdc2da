"""What a dense block is computed with: norm, ReLU, 1x1 convolution and pooling of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, _foreach_add_, _foreach_mul, _foreach_mul_  # pyright: ignore
from torch.nn import functional as F

Shape = tuple[int, int, int]
"""Images, height and width of the pixels in a matrix of rows."""

Window = tuple[int, int]
"""Height and width of a pooling window, which is also its stride."""


class Norm(NamedTuple):
    """A batch norm in use: weight, bias and the statistics it normalises by, (c,) each."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    var: Tensor
    eps: float
    by_batch: bool  # the statistics are the batch's, so the gradient flows through them too

    @property
    def rstd(self) -> Tensor:
        """1 / standard deviation, (c,)."""
        return (self.var + self.eps).rsqrt()

    @property
    def scale(self) -> Tensor:
        """The factor of x, (c,): norm(x) = scale x + shift."""
        return self.weight * self.rstd

    @property
    def shift(self) -> Tensor:
        """What is added to scale x, (c,)."""
        return self.bias - self.mean * self.scale


class Gradient(NamedTuple):
    """The gradient of maps x while their readers add to it; at the end it is
    dx - expected[0] - (x - mean) expected[1].

    dx is (pixels, c), expected (2, c). See ``arch.kernels.block``.
    """

    dx: Tensor
    expected: Tensor

    def of(self, maps: slice) -> Gradient:
        """The part of these channels, a view."""
        return Gradient(self.dx[:, maps], self.expected[:, maps])


class Operations:
    """What a block is computed with, here by torch.

    x, y, z and their gradients are rows (pixels, c), strided where they are part of a block's
    buffer; weights of 1x1 convolutions are (out, in). Statistics are (2, c), mean and biased
    variance; sums are (2, c), the gradients of a norm's bias and weight. Both have 32 bits or more.
    """

    processes = 1
    """That share each batch; see ``arch.kernels.synchronised``."""

    def empty(self, like: Tensor, pixels: int, channels: int) -> Tensor:
        """Rows (pixels, channels) of anything, in the type and on the device of ``like``."""
        return like.new_empty(pixels, channels)

    def matrix(self, weight: Tensor, like: Tensor) -> Tensor:
        """A 1x1 convolution's weight, (out, in), in the type of the maps ``like``."""
        return weight.flatten(1).to(like.dtype)

    def place(self, x: Tensor, place: Tensor, by_batch: bool) -> Tensor | None:
        """Copies x to a place in a buffer; the statistics of x, if they are wanted."""
        place.copy_(x)
        return self.statistics(x) if by_batch else None

    def convolution(self, y: Tensor, shape: Shape, weight: Tensor) -> Tensor:
        """The 3x3 convolution of y: (n, k, h, w), channels-last."""
        return F.conv2d(image(y, shape), weight.to(y.dtype), padding=1)

    def convolution_backward(
        self, new: Tensor, y: Tensor, shape: Shape, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The gradients of y and of the weight, from that of the convolution, rows (pixels, k)."""
        dy, dweight, _ = torch.ops.aten.convolution_backward(
            image(new, shape), image(y, shape), weight.to(y.dtype), None,
            [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False],
        )  # fmt: skip
        return rows(dy), dweight

    def dropout(self, new: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """The maps (n, k, h, w), channels-last, with a share ``rate`` of them 0, and a mask that is
        true where they were kept."""
        return torch.native_dropout(new, rate, True)

    def stem_norm(self, module: Any, x: Tensor) -> Tensor:
        """What a module of the stem, a batch norm, makes of maps (n, c, h, w)."""
        return module(x)

    def statistics(self, x: Tensor) -> Tensor:
        """Mean and biased variance of each channel."""
        unused = x.new_zeros(x.shape[1], dtype=wide(x.dtype))  # sets the result's type
        return torch.stack(torch.batch_norm_update_stats(_column(x), unused, unused, 0.0))

    def normalise(self, x: Tensor, norm: Norm) -> Tensor:
        """y = relu(norm(x))."""
        if x.dtype == norm.mean.dtype:
            return torch.addcmul(norm.shift, x, norm.scale).relu_()
        column = _column(x.contiguous())  # strided, it takes torch 2.13 five times as long
        weight, bias, mean, var, eps, _ = norm
        y, *_ = torch.native_batch_norm(column, weight, bias, mean, var, False, 0.0, eps)
        return rows(y.relu_())

    def product(self, x: Tensor, norm: Norm, weight: Tensor) -> tuple[Tensor, Tensor]:
        """z = y weight^T with y = relu(norm(x)), and the statistics of z."""
        z = self.normalise(x, norm) @ weight.T
        return z, self.statistics(z)

    def folded(self, x: Tensor, norm: Norm, weight: Tensor, bias: Tensor) -> Tensor:
        """relu(y weight^T + bias) with y = relu(norm(x))."""
        return torch.addmm(bias, self.normalise(x, norm), weight.T).relu_()

    def product_backward(
        self, dz: Tensor, x: Tensor, norm: Norm, weight: Tensor, gradient: Gradient
    ) -> tuple[Tensor, Tensor]:
        """The gradient of the weight, and sums; adds to the gradient of x."""
        y = self.normalise(x, norm)
        dweight = dz.T @ y
        return dweight, self.normalise_backward(dz @ weight, y, x, norm, gradient)

    def normalise_backward(
        self, dy: Tensor, y: Tensor, x: Tensor, norm: Norm, gradient: Gradient
    ) -> Tensor:
        """Sums; adds to the gradient of x. May overwrite dy and y."""
        g = masked(dy, y)
        gradient.dx.addcmul_(g, norm.scale)
        return sums_of(g, y.copy_(x), norm, gradient.expected)

    def norm_backward(self, dy: Tensor, y: Tensor, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """The gradient of x, which nothing else reads, and sums. May overwrite dy and y."""
        g = masked(dy, y)
        dx, sums = _batch_norm_backward(g, x, norm, norm.by_batch, [True] * 3)
        return rows(dx), sums

    def whole(self, gradient: Gradient, x: Tensor, mean: Tensor) -> Tensor:
        """The finished gradient of x, rows."""
        dx, expected = gradient
        constant = expected[0] - mean * expected[1]
        return torch.addcmul(dx, x, expected[1], value=-1).sub_(constant).to(dx.dtype)

    def pool(self, x: Tensor, norm: Norm, shape: Shape, window: Window) -> Tensor:
        """Means of y = relu(norm(x)) over windows side by side, (windows, c)."""
        y = self.normalise(x, norm)
        return y if window == (1, 1) else rows(F.avg_pool2d(image(y, shape), window))

    def pool_backward(
        self, dp: Tensor, x: Tensor, norm: Norm, shape: Shape, window: Window
    ) -> tuple[Gradient, Tensor]:
        """The gradient of x, to which other readers will add, and sums. May overwrite dp."""
        y = self.normalise(x, norm)
        dy = dp
        if window != (1, 1):
            n, height, width = shape
            pooled = image(dp, (n, height // window[0], width // window[1]))
            dy = rows(torch.ops.aten.avg_pool2d_backward(
                pooled, image(y, shape), window, window, (0, 0), False, True, None
            ))  # fmt: skip
        g = masked(dy, y)
        expected = torch.zeros_like(norm.mean).repeat(2, 1)
        sums = sums_of(g, y.copy_(x), norm, expected)
        return Gradient(g.mul_(norm.scale), expected), sums


def masked(dy: Tensor, y: Tensor) -> Tensor:
    """The gradient before the ReLU, in the memory of dy: 0 where y is 0."""
    return torch.ops.aten.threshold_backward.grad_input(dy, y, 0, grad_input=dy)


def sums_of(g: Tensor, x: Tensor, norm: Norm, expected: Tensor) -> Tensor:
    """The sums; adds to the expectations what a norm by batch statistics subtracts."""
    _, sums = _batch_norm_backward(g, x, norm, False, [False, True, True])
    if norm.by_batch:
        scales = torch.stack([norm.scale, norm.scale * norm.rstd])
        expected.addcmul_(scales, sums, value=1 / len(x))
    return sums


def learn(learners: list[tuple[Any, Norm]], pixels: int) -> None:
    """running = (1 - momentum) running + momentum batch, for all norms (modules) at once; their
    statistics are those of so many pixels."""
    _foreach_add_([module.num_batches_tracked for module, _ in learners], 1)
    running: list[Tensor] = []
    batch: list[Tensor] = []
    kept: list[float] = []
    added: list[float] = []
    for module, norm in learners:
        momentum = module.momentum
        if momentum is None:  # the mean of all batches so far
            momentum = 1 / float(module.num_batches_tracked)
        running += [module.running_mean, module.running_var]
        batch += [norm.mean, norm.var]
        kept += [1 - momentum] * 2
        added += [momentum, momentum * pixels / (pixels - 1)]  # the variance unbiased
    _foreach_mul_(running, kept)
    _foreach_add_(running, _foreach_mul(batch, added))


def _batch_norm_backward(
    g: Tensor, x: Tensor, norm: Norm, by_batch: bool, wanted: list[bool]
) -> tuple[Tensor, Tensor]:
    dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
        _column(g), _column(x), norm.weight, norm.mean, norm.var, norm.mean, norm.rstd,
        by_batch, norm.eps, wanted,
    )  # fmt: skip
    return dx, torch.stack([dbias, dweight])


def _column(x: Tensor) -> Tensor:
    """(n, c) -> (1, c, n, 1), channels-last, as torch's batch norms take it without a copy."""
    return x.T[None, :, :, None]


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type of statistics and sums of maps of this type."""
    return torch.promote_types(dtype, torch.float32)


def rows(maps: Tensor) -> Tensor:
    """(n, c, h, w) -> (n h w, c), a view of maps that are channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def image(x: Tensor, shape: Shape) -> Tensor:
    """(n h w, c) -> (n, c, h, w), a view, channels-last."""
    return x.unflatten(0, shape).permute(0, 3, 1, 2)
