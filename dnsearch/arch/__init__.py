"""What a DenseNet is: its configuration, the network, its weights, and the space of choices.

The configuration and the space import no torch, so the network's names are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "densenet" if name == "DenseNet" else "checkpoint"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
