"""Faster ways through a DenseNet than its own modules, with the same weights and results.

``model.kernels`` names the fastest that may be used; what it cannot do (group norm, modules that
were changed or are hooked, a device or a type it does not know; in ``cpu`` dropout) is done by the
next simpler one, down to the modules.

- ``reference``: the modules as they stand in ``arch.densenet``.
- ``portable``: each block as one autograd function of torch operations, which keeps a fraction of
  the activations.
- ``cpu``: forward and backward of the whole network as one C++ call each.
- ``triton``: ``portable`` with its inner operations fused, on CUDA.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal

from dnsearch.errors import ConfigError, nearest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dnsearch.arch.densenet import DenseNet

Kernels = Literal["auto", "reference", "portable", "cpu", "triton"]

_SIMPLER = {"cpu": "portable", "triton": "portable", "portable": "reference"}


def pooled_features(model: DenseNet, images: Tensor) -> Tensor:
    """Images (n, in_channels, h, w) -> what the classifier reads, (n, c)."""
    name = model.kernels
    while name != "reference":
        if name not in _SIMPLER:
            known = {*_SIMPLER, "reference"}
            raise ConfigError("kernels", "must name kernels", name, nearest(str(name), known))
        way = importlib.import_module(f"{__name__}.{name}")
        found = way.pooled_features(model, images)
        if found is not None:
            return found
        name = _SIMPLER[name]
    return model.pooled_features(images)


def use(model: DenseNet, kernels: Kernels, device: torch.device, bf16: bool = False) -> DenseNet:
    """Moves a model to a device, made ready for training with these kernels.

    ``auto`` is ``cpu`` where that serves the network and can be compiled, else ``portable``.
    """
    import torch

    from dnsearch.arch.kernels import cpu

    fused = device.type == "cpu" and not bf16 and cpu.serves(model.config)
    if kernels == "auto":
        kernels = "cpu" if fused and cpu.available(torch.float32) else "portable"
    model.kernels = kernels
    layout = torch.contiguous_format if fused and kernels == "cpu" else torch.channels_last
    return model.to(device).to(memory_format=layout)  # pyright: ignore
