"""A dense block, with the transition or last norm that reads all of it, as one autograd function.

One buffer holds the block's maps, a row of channels for each pixel; every layer writes its new maps
after those that it read. Kept for the backward pass are the buffer, the outputs of the 1x1
convolutions and a few numbers a channel; the outputs of norm and ReLU are computed again (Pleiss et
al. 2017, arXiv:1707.06990).

The batch statistics of a map are the same for all its readers, so they are taken once. With
y = relu(a (x - mean) + bias), a = weight / std, and g the gradient of y where y > 0, the gradient
of x is a (g - E[g] - (x - mean) E[g (x - mean)] / var). Only the term a g has to be computed at
every pixel for every reader; the two expectations are summed over the readers, and subtracted once
the backward pass reaches the layer that made the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from dnsearch.arch.kernels.operations import (
    Norm,
    Operations,
    Shape,
    Window,
    image,
    learn,
    rows,
    wide,
)


class Layer(NamedTuple):
    """What a layer's backward pass needs; weight1, z and norm2 only where it has a bottleneck."""

    norm: Norm
    weight1: Tensor | None  # of the 1x1 convolution
    z: Tensor | None  # its output
    norm2: Norm | None
    weight3: Tensor  # of the 3x3 convolution
    mask: Tensor | None  # true where dropout kept the value
    share: float  # that dropout keeps


class Kept(NamedTuple):
    """What a stage's backward pass needs."""

    shape: Shape
    buffer: Tensor
    mean: Tensor
    layers: list[Layer]
    norm: Norm
    weight: Tensor | None
    window: Window


@dataclass(frozen=True)
class Stage:
    """A dense block with what reads all of it: a transition, or the last norm and pooling.

    ``conv`` is the transition's convolution, None behind the last norm; ``pools`` is whether the
    transition halves the resolution.
    """

    operations: Operations
    layers: list[Any]
    norm: Any
    conv: Any = None
    pools: bool = True

    def __call__(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c', h // 2, w // 2) with a transition that pools, (n, c', h, w) with
        one that does not, (n, c') with the last norm."""
        device = x.device.type
        if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
            x = x.to(torch.get_autocast_dtype(device))
        parameters = list(self.parameters())
        with torch.autocast(device, enabled=False):  # types are chosen explicitly here
            if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *parameters)):
                return cast(Tensor, _Function.apply(self, x, *parameters))
            return Forward(self, x, keep=False).run()[0]

    def parameters(self) -> Iterator[Tensor]:
        """All parameters, in the order in which ``Backward`` returns their gradients."""
        for layer in self.layers:
            yield from (layer.norm1.weight, layer.norm1.bias, layer.conv1.weight)
            if hasattr(layer, "conv2"):
                yield from (layer.norm2.weight, layer.norm2.bias, layer.conv2.weight)
        yield from (self.norm.weight, self.norm.bias)
        if self.conv is not None:
            yield self.conv.weight


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stage: Stage, x: Tensor, *_: Tensor) -> Tensor:
        out, kept = Forward(stage, x, keep=True).run()
        leaves, ctx.structure = pytree.tree_flatten(kept)
        ctx.save_for_backward(*(leaf for leaf in leaves if isinstance(leaf, Tensor)))
        ctx.leaves = [_SAVED if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        ctx.operations = stage.operations
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("second derivatives need the model's kernels to be 'reference'")
        saved = iter(ctx.saved_tensors)
        leaves = [next(saved) if leaf is _SAVED else leaf for leaf in ctx.leaves]
        kept = pytree.tree_unflatten(leaves, ctx.structure)
        with torch.autocast(grads[0].device.type, enabled=False):
            return None, *Backward(ctx.operations, kept).run(grads[0])


_SAVED = object()


class Forward:
    """The forward pass of a stage; ``keep`` what the backward pass needs, if one will follow."""

    def __init__(self, stage: Stage, x: Tensor, keep: bool) -> None:
        n, _, height, width = x.shape
        self.stage, self.operations, self.x, self.keep = stage, stage.operations, x, keep
        self.shape: Shape = n, height, width
        self.pixels = n * height * width
        self.buffer = self.operations.empty(x, self.pixels, stage.norm.num_features)
        self.statistics = x.new_zeros(2, stage.norm.num_features, dtype=wide(x.dtype))
        readers = (stage.norm, *(layer.norm1 for layer in stage.layers))
        self.by_batch = any(map(_by_batch, readers))
        self.end = 0  # of the channels written so far
        self.learners: list[tuple[Any, Norm]] = []

    def run(self) -> tuple[Tensor, Kept]:
        """The stage's output, and what its backward pass needs. Updates running statistics."""
        self._write(rows(self.x))
        layers = [self._layer(layer) for layer in self.stage.layers]
        norm, conv = self._norm(self.stage.norm, self.statistics), self.stage.conv
        side = 2 if self.stage.pools else 1
        window = self.shape[1:] if conv is None else (side, side)
        out = self.operations.pool(self.buffer, norm, self.shape, window)
        if conv is not None:  # pooling first is the same, and leaves it a quarter of the work
            n, height, width = self.shape
            shape = n, height // side, width // side
            out = image(out @ self.operations.matrix(conv.weight, out).T, shape)
        if self.learners:
            learn(self.learners, self.pixels * self.operations.processes)
        weight = None if conv is None else conv.weight
        mean = self.statistics[0]
        return out, Kept(self.shape, self.buffer, mean, layers, norm, weight, window)

    def _write(self, maps: Tensor) -> None:
        start, self.end = self.end, self.end + maps.shape[1]
        place = self.buffer[:, start : self.end]
        statistics = self.operations.place(maps, place, self.by_batch)
        if statistics is not None:
            self.statistics[:, start : self.end] = statistics

    def _layer(self, layer: Any) -> Layer:
        x = self.buffer[:, : self.end]
        norm = self._norm(layer.norm1, self.statistics[:, : self.end])
        weight1 = z = norm2 = mask = None
        if hasattr(layer, "conv2"):
            weight1, weight3 = layer.conv1.weight, layer.conv2.weight
            y, z, norm2 = self._bottleneck(layer, x, norm)
        else:
            weight3 = layer.conv1.weight
            y = self.operations.normalise(x, norm)
        new = self.operations.convolution(y, self.shape, weight3)
        if layer.drop_rate and layer.training:
            new = new.contiguous(memory_format=torch.channels_last)  # so are the reference's draws
            new, mask = self.operations.dropout(new, layer.drop_rate)
        self._write(rows(new))
        return Layer(norm, weight1, z, norm2, weight3, mask, 1 - layer.drop_rate)

    def _bottleneck(self, layer: Any, x: Tensor, norm: Norm) -> tuple[Tensor, Tensor | None, Norm]:
        """relu(norm2(z)), z if it is to be kept, and norm2."""
        weight = layer.conv1.weight
        if self.keep or _by_batch(layer.norm2):
            z, statistics = self.operations.product(x, norm, self.operations.matrix(weight, x))
            norm2 = self._norm(layer.norm2, statistics)
            return self.operations.normalise(z, norm2), z if self.keep else None, norm2
        norm2 = self._norm(layer.norm2, self.statistics)
        weight = self.operations.matrix(weight.flatten(1) * norm2.scale[:, None], x)
        return self.operations.folded(x, norm, weight, norm2.shift.to(x.dtype)), None, norm2

    def _norm(self, module: Any, statistics: Tensor) -> Norm:
        """The norm of this module, for maps with these batch statistics."""
        by_batch = _by_batch(module)
        if not by_batch:
            mean, var = module.running_mean, module.running_var
        elif self.pixels * self.operations.processes > 1:
            mean, var = statistics
        else:  # torch's own words
            size = torch.Size((self.shape[0], module.num_features, *self.shape[1:]))
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {size}"
            )
        weight, bias, mean, var = (
            tensor.to(self.statistics.dtype) for tensor in (module.weight, module.bias, mean, var)
        )
        norm = Norm(weight, bias, mean, var, module.eps, by_batch)
        if module.training and module.track_running_stats:
            self.learners.append((module, norm))
        return norm


class Backward:
    """The backward pass of a stage."""

    def __init__(self, operations: Operations, kept: Kept) -> None:
        self.operations, self.kept = operations, kept

    def run(self, grad: Tensor) -> tuple[Tensor, ...]:
        """The gradients of the stage's input and of its parameters."""
        operations, (shape, buffer, _, layers, norm, weight, window) = self.operations, self.kept
        last: list[Tensor] = []
        if weight is not None:
            grad = rows(grad)
            pooled = operations.pool(buffer, norm, shape, window)
            last = [(grad.T @ pooled).view_as(weight)]
            grad = grad @ operations.matrix(weight, grad)
        else:
            grad = grad.clone(memory_format=torch.contiguous_format)  # autograd's own must stay
        self.gradient, sums = operations.pool_backward(grad, buffer, norm, shape, window)
        gradients = [[sums[1], sums[0], *last]]
        gradients += [self._layer(layer) for layer in reversed(layers)]
        first = image(self._whole(slice(len(layers[0].norm.mean))), shape)
        return first, *(gradient for group in reversed(gradients) for gradient in group)

    def _layer(self, layer: Layer) -> list[Tensor]:
        operations, shape = self.operations, self.kept.shape
        norm, z, norm2 = layer.norm, layer.z, layer.norm2
        width = len(norm.mean)
        x, gradient = self.kept.buffer[:, :width], self.gradient.of(slice(width))
        new = self._whole(slice(width, width + len(layer.weight3)))
        if layer.mask is not None:
            new = torch.ops.aten.native_dropout_backward(new, rows(layer.mask), 1 / layer.share)
        if z is None or norm2 is None or layer.weight1 is None:
            y = operations.normalise(x, norm)
            dy, dweight3 = operations.convolution_backward(new, y, shape, layer.weight3)
            sums = operations.normalise_backward(dy, y, x, norm, gradient)
            inner = []
        else:
            v = operations.normalise(z, norm2)
            dv, dweight3 = operations.convolution_backward(new, v, shape, layer.weight3)
            dz, sums2 = operations.norm_backward(dv, v, z, norm2)
            del v, dv
            weight = operations.matrix(layer.weight1, x)
            dweight1, sums = operations.product_backward(dz, x, norm, weight, gradient)
            inner = [dweight1.view_as(layer.weight1), sums2[1], sums2[0]]
        return [sums[1], sums[0], *inner, dweight3]

    def _whole(self, maps: slice) -> Tensor:
        """The gradient of these maps, rows, once all their readers have added to it."""
        x, mean = self.kept.buffer[:, maps], self.kept.mean[maps]
        return self.operations.whole(self.gradient.of(maps), x, mean)


def _by_batch(norm: Any) -> bool:
    return norm.training or norm.running_mean is None
