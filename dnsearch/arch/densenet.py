"""``DenseNet(config)``: the network that trains, with a choice of how it is computed."""

from __future__ import annotations

import torch
from torch import Tensor

from dnsearch.arch import kernels
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.plain import PlainDenseNet, is_traced


class DenseNet(PlainDenseNet):
    """The network of a config: images (n, in_channels, h, w) -> logits (n, num_classes).

    ``kernels`` names what computes it (see ``arch.kernels``); the results are the same. A new one
    has ``"reference"``, torch's own modules.
    """

    def __init__(self, config: ArchConfig) -> None:
        super().__init__(config)
        self.kernels = "reference"

    def pooled_features(self, images: Tensor) -> Tensor:
        """What the classifier reads of images (n, in_channels, h, w): (n, c).

        Raises ConfigError where ``kernels`` is no known name.
        """
        if torch.jit.is_scripting():  # pyright: ignore
            return self._by_modules(images)
        return self._fastest(images)

    def _fastest(self, images: Tensor) -> Tensor:
        fast = None if is_traced(images) else kernels.pooled_features(self, images, self.kernels)
        if fast is None and self.synchronised and self.training and self.config.norm == "batch":
            raise RuntimeError("modules do not synchronise their batch norms")
        return self._by_modules(images) if fast is None else fast

    def use_kernels(
        self,
        name: kernels.Kernels,
        device: torch.device,
        bf16: bool = False,
        synchronised: bool = False,
    ) -> DenseNet:
        """Moves the network to a device and makes it ready to train there with these kernels.

        ``auto`` is the fastest that supports network and device (see ``kernels.choose``).
        ``bf16``: whether it will train under autocast. ``synchronised``: whether each batch is
        shared by the processes of torch's default group. Returns the network itself.
        """
        self.synchronised = synchronised
        self.kernels, layout = kernels.choose(name, self.config, device, bf16, synchronised)
        return self.to(device).to(memory_format=layout)  # pyright: ignore
