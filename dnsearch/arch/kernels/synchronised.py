"""Batch norm over a batch that several processes share: statistics and gradients are those of all
of its images, as torch's SyncBatchNorm has them, which is for GPUs alone.

Each process of torch's default group has as many images of a batch as the others, in the order of
ranks. A dense layer exchanges two numbers a channel for each of its norms, forward and backward.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from dnsearch.arch.kernels.operations import (
    Gradient,
    Norm,
    Operations,
    image,
    learn,
    masked,
    rows,
    sums_of,
    wide,
)


class Synchronised(Operations):
    """Operations whose batch statistics are those of all processes; for one process's own ones to
    inherit from, too."""

    def __init__(self) -> None:
        super().__init__()
        self.processes, self.rank = distributed.get_world_size(), distributed.get_rank()

    def place(self, x: Tensor, place: Tensor, by_batch: bool) -> Tensor | None:
        """See ``Operations``."""
        statistics = super().place(x, place, by_batch)
        return None if statistics is None else self.pooled(statistics)

    def product(self, x: Tensor, norm: Norm, weight: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Operations``."""
        z, statistics = super().product(x, norm, weight)
        return z, self.pooled(statistics)

    def whole(self, gradient: Gradient, x: Tensor, mean: Tensor) -> Tensor:
        """See ``Operations``: the expectations are means over all processes."""
        expected = gradient.expected.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(expected)
        return super().whole(Gradient(gradient.dx, expected / self.processes), x, mean)

    def dropout(self, new: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """See ``Operations``: draws for the whole batch, as one process would, so that generators
        stay alike, and takes its own images' part."""
        count = len(new)
        ones = new.new_ones(count * self.processes, *new.shape[1:])
        ones = ones.contiguous(memory_format=torch.channels_last)
        _, mask = torch.native_dropout(ones, rate, True)
        mask = mask[self.rank * count :][:count]
        return (new * mask).div_(1 - rate), mask

    def stem_norm(self, module: Any, x: Tensor) -> Tensor:
        """See ``Operations``."""
        if not module.training:
            return module(x)
        own = SynchronisedOperations(), module, x, module.weight, module.bias
        return cast(Tensor, _StemNorm.apply(*own))

    def pooled(self, statistics: Tensor) -> Tensor:
        """Mean and biased variance, (2, c), of all processes' images, from each one's."""
        every = [torch.empty_like(statistics) for _ in range(self.processes)]
        distributed.all_gather(every, statistics.contiguous())
        means, variances = torch.stack(every).unbind(1)  # (processes, c) each
        return torch.stack([means.mean(0), variances.mean(0) + means.var(0, correction=0)])


class SynchronisedOperations(Synchronised):
    """The synchronised operations by torch."""

    def norm_backward(self, dy: Tensor, y: Tensor, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """See ``Operations``."""
        g, expected = masked(dy, y), torch.zeros_like(norm.mean).repeat(2, 1)
        sums = sums_of(g, x, norm, expected)
        return self.whole(Gradient(g.mul_(norm.scale), expected), x, norm.mean), sums


class _StemNorm(torch.autograd.Function):
    """The batch norm of a stem, which no block contains: (n, c, h, w) -> the same."""

    @staticmethod
    def forward(
        ctx: Any, operations: SynchronisedOperations, module: nn.BatchNorm2d, x: Tensor, *_: Tensor
    ) -> Tensor:
        pixels = rows(x)
        statistics = operations.pooled(operations.statistics(pixels))
        weight, bias = (t.to(wide(x.dtype)) for t in (module.weight, module.bias))
        norm = Norm(weight, bias, statistics[0], statistics[1], module.eps, True)
        learn([(module, norm)], len(pixels) * operations.processes)
        ctx.operations, ctx.eps, ctx.shape = operations, module.eps, (len(x), *x.shape[2:])
        ctx.save_for_backward(x, *norm[:4])
        y = torch.empty_like(x, memory_format=torch.channels_last)  # no view: a ReLU writes into it
        rows(y).copy_(torch.addcmul(norm.shift, pixels, norm.scale))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, bias, mean, var = ctx.saved_tensors
        norm = Norm(weight, bias, mean, var, ctx.eps, True)
        g, expected = rows(grads[0]), torch.zeros_like(norm.mean).repeat(2, 1)
        sums = sums_of(g, rows(x), norm, expected)
        gradient = Gradient((g * norm.scale).to(x.dtype), expected)
        dx = ctx.operations.whole(gradient, rows(x), norm.mean)
        return None, None, image(dx, ctx.shape), sums[1], sums[0]
