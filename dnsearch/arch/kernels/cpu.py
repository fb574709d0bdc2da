"""Forward and backward of a whole DenseNet as one C++ call each (``cpu.cpp``), in fp32 or float64.

Kept for the backward pass are each block's buffer and the outputs of its 1x1 convolutions (Pleiss
et al. 2017, arXiv:1707.06990). With the same number of threads, results are the same bit for bit.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.kernels.build import build
from dnsearch.arch.kernels.modules import is_watched, untouched
from dnsearch.arch.plain import PlainDenseNet
from dnsearch.errors import KernelError

_SCALARS = {torch.float32: "float", torch.float64: "double"}
_BY_BLOCK = ("layers", "widths", "growth_rates", "bottlenecks", "pools")


class _Shape(ctypes.Structure):
    """``Shape`` of cpu.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n", "in_channels", "h", "w", "blocks")),
        *((name, ctypes.POINTER(ctypes.c_int64)) for name in _BY_BLOCK),
        *((name, ctypes.c_double) for name in ("epsilon", "momentum")),
    ]


def serves(config: ArchConfig) -> bool:
    """Whether these kernels can train such a network: one with batch norm and without dropout."""
    return config.norm == "batch" and not config.drop_rate


def available(dtype: torch.dtype) -> bool:
    """Whether the kernels can be had for this type; compiles them if need be (once, in seconds)."""
    return dtype in _SCALARS and _library(dtype) is not None


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled kernels; None, with one warning, where they cannot be had."""
    try:
        return ctypes.CDLL(str(build(_SCALARS[dtype])))
    except (KernelError, OSError) as error:
        warnings.warn(f"training without the C++ kernels: {error}", stacklevel=1)
        return None


def supports(model: PlainDenseNet, images: Tensor) -> bool:
    """Whether these kernels can compute the model on these images: in training, or in inference
    without autograd; plain tensors in fp32 or float64 on the CPU; modules as the config builds
    them, without dropout."""
    return _network(model, images) is not None


def pooled_features(model: PlainDenseNet, images: Tensor) -> Tensor | None:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c), or None where they do not
    support them. Second derivatives raise RuntimeError."""
    network = _network(model, images)
    if network is None:
        return None
    if model.config.stem != "cifar":
        if not model.training:  # takes half the time, but makes gradients less exact
            images = images.contiguous(memory_format=torch.channels_last)
        for module in _stem(model):
            images = module(images)
    if model.training:
        for batches in network.batches_tracked:
            batches += 1
        return _Pooled.apply(images, network, *network.weights)
    out = images.new_empty(len(images), model.config.widths[-1])
    network.call("infer", images.shape, network.weights, images.contiguous(), out)
    return out


def _network(model: PlainDenseNet, images: Tensor) -> _Network | None:
    config, gradients = model.config, torch.is_grad_enabled()
    if not (
        serves(config)
        and images.device.type == "cpu"
        and images.ndim == 4
        and images.shape[1] == config.in_channels
        and (model.training or not gradients)
        and not (config.stem == "cifar" and images.requires_grad and gradients)
        # A batch of one may have maps of a single pixel, on which torch raises its own error.
        and len(images) > (1 if model.training else 0)
        and not torch.is_autocast_enabled("cpu")
        and not is_watched(images)
        and available(images.dtype)
    ):
        return None
    modules = untouched(model)
    network = None if modules is None else _Network.of(model, modules)
    return network if network is not None and network.is_like(images) else None


def _stem(model: PlainDenseNet) -> list[nn.Module]:
    """The modules of a stem that is not computed here, as the cifar stem is."""
    if model.config.stem == "cifar":
        return []
    parts = model.features.children()
    return list(itertools.takewhile(lambda part: not isinstance(part, nn.ModuleDict), parts))


class _Network(NamedTuple):
    """A model as the kernels see it: weights and running statistics in order, and its shape."""

    config: ArchConfig
    weights: list[Tensor]
    running: list[Tensor]
    batches_tracked: list[Tensor]
    epsilon: float
    momentum: float

    @classmethod
    def of(cls, model: PlainDenseNet, modules: list[nn.Module]) -> _Network | None:
        """None where the norms differ in their settings, as with frozen statistics."""
        skipped = set(map(id, _stem(model)))
        leaves = [m for m in modules if m._parameters and id(m) not in skipped]
        norms: list[Any] = [m for m in leaves if isinstance(m, nn.BatchNorm2d)]
        settings = {(m.eps, m.momentum, m.training, m.running_mean is None) for m in norms}
        epsilon, momentum = norms[0].eps, norms[0].momentum
        if settings != {(epsilon, momentum, model.training, False)} or momentum is None:
            return None
        return cls(
            model.config,
            [p for m in leaves for p in m._parameters.values() if p is not None],
            [m._buffers[name] for m in norms for name in ("running_mean", "running_var")],
            [m._buffers["num_batches_tracked"] for m in norms],
            epsilon,
            momentum,
        )

    def is_like(self, images: Tensor) -> bool:
        """Whether all its tensors are of the images' type and in the CPU's memory."""
        statistics = all(tensor.is_contiguous() for tensor in self.running)
        return statistics and all(
            tensor.dtype == images.dtype and tensor.is_cpu
            for tensor in (*self.weights, *self.running)
        )

    def saved_size(self, shape: Sequence[int]) -> int:
        """How many numbers a training step on images of this shape keeps for the backward pass."""
        size = ctypes.c_int64()
        self.call("saved_size", shape, self.weights, ctypes.byref(size))
        return size.value

    def call(self, entry: str, shape: Sequence[int], weights: Sequence[Tensor], *rest: Any) -> None:
        """Calls an entry of cpu.cpp with tensors and lists of tensors as pointers.

        ``shape`` is that of the images, or of what another stem than cifar made of them. Raises
        RuntimeError, in torch's words, where there is too little memory.
        """
        library = _library(weights[0].dtype)
        assert library is not None
        described, threads = self._shape(shape), torch.get_num_threads()
        kept = [weight.contiguous() for weight in weights]
        arguments = [_pointer(a) for a in (kept, self.running, *rest)]
        if library[entry](ctypes.byref(described), threads, *arguments):
            raise RuntimeError("the C++ kernels can't allocate memory")

    def _shape(self, shape: Sequence[int]) -> _Shape:
        config, (n, _, h, w) = self.config, shape
        blocks = len(config.block_config)
        counts = ctypes.c_int64 * blocks
        return _Shape(
            n=n,
            in_channels=config.in_channels if config.stem == "cifar" else 0,
            h=h,
            w=w,
            blocks=blocks,
            layers=counts(*config.block_config),
            widths=counts(*config.widths[:-1]),
            growth_rates=counts(*config.growth_rates),
            bottlenecks=counts(*config.bottlenecks),
            pools=counts(*config.pools),
            epsilon=self.epsilon,
            momentum=self.momentum,
        )


def _pointer(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, list):
        return (ctypes.c_void_p * len(argument))(*(tensor.data_ptr() for tensor in argument))
    return argument


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, network: _Network, *weights: Tensor) -> Tensor:
        images = images.contiguous()
        saved = images.new_empty(network.saved_size(images.shape))
        out = images.new_empty(len(images), network.config.widths[-1])
        network.call("forward", images.shape, weights, images, saved, out)
        ctx.network, ctx.shape = network, images.shape
        read_again = network.config.stem == "cifar"
        ctx.save_for_backward(images if read_again else None, saved, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        images, saved, *weights = ctx.saved_tensors
        grads = [torch.empty_like(w, memory_format=torch.contiguous_format) for w in weights]
        d_images = saved.new_empty(ctx.shape) if ctx.needs_input_grad[0] else None
        out = d_out.contiguous()
        ctx.network.call("backward", ctx.shape, weights, grads, images, saved, out, d_images)
        return d_images, None, *grads
