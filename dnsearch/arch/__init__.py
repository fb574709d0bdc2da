"""What a DenseNet is: its configuration, the network, its weights, and the space of choices.

    ArchConfig, ArchArrays       one architecture, validated; many of them as arrays
    PRESETS, preset(name)        torchvision's networks and the paper's
    SearchSpace, Points          the architectures a search may choose from
    DenseNet(config)             the network, a torch module
    densenet121(weights=...)     torchvision's four, with weights from a local file
    load_weights, load_network   weights into a network; the network that an export holds

The networks need torch, so those names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.presets import PRESETS, preset
from dnsearch.arch.space import Points, SearchSpace

if TYPE_CHECKING:
    from dnsearch.arch.checkpoint import (
        densenet121,
        densenet161,
        densenet169,
        densenet201,
        load_network,
        load_weights,
    )
    from dnsearch.arch.densenet import DenseNet

__all__ = [
    "PRESETS",
    "ArchArrays",
    "ArchConfig",
    "DenseNet",
    "Points",
    "SearchSpace",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "load_network",
    "load_weights",
    "preset",
]

__getattr__ = lazily(
    __name__,
    {
        "DenseNet": "densenet",
        "densenet121": "checkpoint",
        "densenet161": "checkpoint",
        "densenet169": "checkpoint",
        "densenet201": "checkpoint",
        "load_network": "checkpoint",
        "load_weights": "checkpoint",
    },
)
