"""Each dense block as one autograd function of torch operations, for batch norm on CPU and CUDA.

It keeps a fraction of the activations that the modules keep (see ``arch.kernels.block``). Only the
weights and settings of modules after the stem are used; the modules themselves are not called.
Dropout draws what the reference draws for channels-last images.
"""

from __future__ import annotations

from torch import Tensor, nn

from dnsearch.arch.kernels.block import Stage
from dnsearch.arch.kernels.modules import untouched
from dnsearch.arch.kernels.operations import Operations
from dnsearch.arch.kernels.synchronised import SynchronisedOperations
from dnsearch.arch.plain import PlainDenseNet


def supports(model: PlainDenseNet, images: Tensor) -> bool:
    """Whether it can compute the model: batch norm, modules as the config builds them, at least one
    image, on the CPU or CUDA."""
    some = images.numel() > 0  # torch's batch norm raises on an empty batch
    known = model.config.norm == "batch" and images.device.type in ("cpu", "cuda")
    return some and known and untouched(model) is not None


def pooled_features(model: PlainDenseNet, images: Tensor) -> Tensor | None:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c), or None where it does not
    support them."""
    if not supports(model, images):
        return None
    synchronised = model.synchronised and model.training
    return run(model, images, SynchronisedOperations() if synchronised else Operations())


def run(model: PlainDenseNet, images: Tensor, operations: Operations) -> Tensor:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c), with each block computed
    by these operations. The model and the images must be supported."""
    x, layers = images, []
    for module in model.features.children():
        if isinstance(module, nn.ModuleDict):
            layers = list(module.values())
        elif not layers:  # the stem
            norm = isinstance(module, nn.BatchNorm2d)
            x = operations.stem_norm(module, x) if norm else module(x)
        elif isinstance(module, nn.BatchNorm2d):
            x = Stage(operations, layers, module)(x)
        else:
            x = Stage(operations, layers, module.norm, module.conv, hasattr(module, "pool"))(x)
    return x
