"""Forward and backward of a whole DenseNet as one C++ call each (``cpu.cpp``), in fp32 or float64.

Kept for the backward pass are each block's buffer and the outputs of its 1x1 convolutions (Pleiss
et al. 2017, arXiv:1707.06990). Results repeat to the last bit for the same number of threads.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dnsearch.arch.kernels.compile import build
from dnsearch.errors import KernelError

if TYPE_CHECKING:
    from dnsearch.arch.densenet import DenseNet

_SCALARS = {torch.float32: "float", torch.float64: "double"}
_IMAGENET_STEM = ("conv0", "norm0", "relu0", "pool0")
_RUNNING = ("running_mean", "running_var")


class _Shape(ctypes.Structure):
    """``Shape`` of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n", "in_channels", "h", "w", "growth_rate")),
        *((name, ctypes.c_int64) for name in ("bottleneck", "blocks")),
        *((name, ctypes.POINTER(ctypes.c_int64)) for name in ("layers", "widths")),
        *((name, ctypes.c_double) for name in ("epsilon", "momentum")),
    ]


def available(dtype: torch.dtype) -> bool:
    """Whether the kernels are compiled; they are now (some seconds, once a machine) if need be."""
    return dtype in _SCALARS and _library(dtype) is not None


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled kernels; None, with one warning, where they cannot be had."""
    try:
        library = ctypes.CDLL(str(build(_SCALARS[dtype])))
    except (KernelError, OSError) as error:
        warnings.warn(f"training without the C++ kernels: {error}", stacklevel=1)
        return None
    library.saved_size.restype = ctypes.c_int64
    return library


def supports(model: DenseNet, images: Tensor) -> bool:
    """Batch norm without dropout, in fp32 or float64 on the CPU: training, or inference without
    autograd."""
    config, gradients = model.config, torch.is_grad_enabled()
    return (
        images.device.type == "cpu"
        and images.dtype == model.classifier.weight.dtype
        and not torch.is_autocast_enabled("cpu")
        and config.norm == "batch"
        and not (config.drop_rate and model.training)
        and (model.training or not gradients)
        and not (config.stem == "cifar" and images.requires_grad and gradients)
        and len(images) > model.training  # a lone pixel has no variance: torch's error
        and available(images.dtype)
    )


def pooled_features(model: DenseNet, images: Tensor) -> Tensor:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c).

    Hooks of submodules are not run, and there is no way back twice.
    """
    if model.config.stem == "imagenet":
        for name in _IMAGENET_STEM:
            images = model.features.get_submodule(name)(images)
    network = _Network(model)
    if model.training:
        for batches in network.batches_tracked:
            batches += 1
        return _Pooled.apply(images, network, *network.weights)
    out = images.new_empty(len(images), model.config.widths[-1])
    network.call("infer", images, network.weights, images.contiguous(), out)
    return out


class _Network:
    """A model as the kernels see it: weights and running statistics in order, and its shape."""

    def __init__(self, model: DenseNet) -> None:
        self.config = model.config
        stem = _IMAGENET_STEM if self.config.stem == "imagenet" else ()
        parts = [part for name, part in model.features.named_children() if name not in stem]
        leaves = [leaf for part in parts for leaf in part.modules() if leaf._parameters]
        norms = [leaf for leaf in leaves if isinstance(leaf, nn.BatchNorm2d)]
        self.weights = [p for leaf in leaves for p in leaf._parameters.values() if p is not None]
        self.running = [n.get_buffer(name) for n in norms for name in _RUNNING]
        self.batches_tracked = [norm.get_buffer("num_batches_tracked") for norm in norms]
        self.epsilon, self.momentum = norms[0].eps, norms[0].momentum

    def call(self, entry: str, images: Tensor, weights: Sequence[Tensor], *rest: Any) -> int:
        """Calls an entry of cpu.cpp with tensors and lists of tensors as pointers."""
        library = _library(images.dtype)
        assert library is not None
        team = () if entry == "saved_size" else (torch.get_num_threads(),)
        shape = self._shape(images)
        kept = [w.contiguous() for w in weights]
        arguments = [_pointer(a) for a in (kept, self.running, *rest)]
        return library[entry](ctypes.byref(shape), *team, *arguments)

    def _shape(self, images: Tensor) -> _Shape:
        config, (n, channels, h, w) = self.config, images.shape
        blocks = len(config.block_config)
        counts = ctypes.c_int64 * blocks
        return _Shape(
            n=n,
            in_channels=channels if config.stem == "cifar" else 0,
            h=h,
            w=w,
            growth_rate=config.growth_rate,
            bottleneck=config.bn_size * config.growth_rate,
            blocks=blocks,
            layers=counts(*config.block_config),
            widths=counts(*config.widths[:-1]),
            epsilon=self.epsilon,
            momentum=self.momentum,
        )


def _pointer(argument: Tensor | Sequence[Tensor] | None) -> Any:
    if argument is None:
        return None
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return (ctypes.c_void_p * len(argument))(*(tensor.data_ptr() for tensor in argument))


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, network: _Network, *weights: Tensor) -> Tensor:
        images = images.contiguous()
        saved = images.new_empty(network.call("saved_size", images, weights))
        out = images.new_empty(len(images), network.config.widths[-1])
        network.call("forward", images, weights, images, saved, out)
        ctx.network = network
        ctx.save_for_backward(images, saved, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        images, saved, *weights = ctx.saved_tensors
        flat = images.new_empty(sum(weight.numel() for weight in weights))
        sizes = [weight.numel() for weight in weights]
        grads = [g.view(w.shape) for g, w in zip(flat.split(sizes), weights, strict=True)]
        d_images = torch.empty_like(images) if ctx.needs_input_grad[0] else None
        d_out = d_out.contiguous()
        ctx.network.call("backward", images, weights, grads, images, saved, d_out, d_images)
        return d_images, None, *grads
