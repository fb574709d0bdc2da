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
    from dnsearch.arch.checkpoint import load_weights
    from dnsearch.arch.densenet import DenseNet

__all__ = [
    "PRESETS",
    "ArchArrays",
    "ArchConfig",
    "DenseNet",
    "Points",
    "SearchSpace",
    "load_weights",
    "preset",
]

_NEEDS_TORCH = {"DenseNet": "densenet", "load_weights": "checkpoint"}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
