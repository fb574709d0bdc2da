"""Faster ways to compute a DenseNet than its own modules, with the same weights and results.

``model.kernels`` names the fastest that may be used. What that does not support is left to the next
simpler one, down to the modules: group norm, modules that were changed or have hooks, other devices
and types; for ``cpu`` also dropout. A call that is traced, compiled, exported or transformed goes
through the modules.

- ``reference``: the modules as they stand in ``arch.plain``.
- ``portable``: each block as one autograd function of torch operations, which keeps a fraction of
  the activations.
- ``cpu``: forward and backward of the whole network as one C++ call each.
- ``triton``: ``portable`` with its inner operations fused, on CUDA.

These modules know ``arch.plain``; ``arch.densenet`` stands above them. Nothing here imports torch
before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal

from dnsearch.arch.config import ArchConfig
from dnsearch.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dnsearch.arch.plain import PlainDenseNet

Kernels = Literal["auto", "reference", "portable", "cpu", "triton"]

_SIMPLER = {"cpu": "portable", "triton": "portable", "portable": "reference"}


def pooled_features(model: PlainDenseNet, images: Tensor, kernels: str) -> Tensor | None:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c).

    None where the modules themselves have to be called: with ``reference``, and where neither these
    kernels nor simpler ones support the model or the images. Raises ConfigError on unknown names.
    """
    if kernels == "reference":
        return None
    if kernels not in _SIMPLER:
        hint = nearest(str(kernels), {*_SIMPLER, "reference"})
        raise ConfigError("kernels", "must name kernels", kernels, hint)
    from dnsearch.arch.kernels.modules import is_watched

    if is_watched(images):
        return None
    while kernels != "reference":
        found = importlib.import_module(f"{__name__}.{kernels}").pooled_features(model, images)
        if found is not None:
            return found
        kernels = _SIMPLER[kernels]
    return None


def choose(
    kernels: Kernels,
    config: ArchConfig,
    device: torch.device,
    bf16: bool = False,
    synchronised: bool = False,
) -> tuple[Kernels, torch.memory_format]:
    """The kernels to train with on a device, ``auto`` resolved, and the layout they want.

    ``auto`` is ``cpu`` where that supports the network and can be compiled, ``triton`` in bf16 on a
    GPU that it supports (in fp32 it has not been measured), else ``portable``. ``synchronised``:
    each batch is shared by processes, which only ``triton`` and ``portable`` know how to do.
    """
    import torch

    from dnsearch.arch.kernels import cpu, triton

    if synchronised and kernels != "triton":
        kernels = "auto" if device.type == "cuda" else "portable"
    in_one_call = device.type == "cpu" and not bf16 and cpu.serves(config)
    if kernels == "auto" and device.type == "cuda":
        kernels = "triton" if bf16 and triton.available(device) else "portable"
    elif kernels == "auto":
        kernels = "cpu" if in_one_call and cpu.available(torch.float32) else "portable"
    by_cpp = in_one_call and kernels == "cpu"
    return kernels, torch.contiguous_format if by_cpp else torch.channels_last
