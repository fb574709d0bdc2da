"""Whether a model's modules are still those that its config builds."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.plain import PlainDenseNet

_SETTINGS = (
    *("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    *("drop_rate", "ceil_mode", "count_include_pad", "divisor_override"),
)


def untouched(model: PlainDenseNet) -> list[nn.Module] | None:
    """The modules of ``model.features`` in their order, if they are as the config builds them.

    None where one was replaced, pruned or parametrised, has a hook or another setting: then only
    calling the modules gives the right result.
    """
    modules = list(model.features.modules())
    expected = _expected(model.config)
    if len(modules) != len(expected):
        return None
    for module, description in zip(modules, expected, strict=True):
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
            return None
        if _describe(module) != description:
            return None
    return modules


@functools.lru_cache(maxsize=64)
def _expected(config: ArchConfig) -> list[tuple[Any, ...]]:
    with torch.device("meta"):
        return [_describe(module) for module in PlainDenseNet(config).features.modules()]


def _describe(module: nn.Module) -> tuple[Any, ...]:
    shapes = [None if p is None else p.shape for p in module._parameters.values()]
    values = vars(module)
    return type(module), shapes, [values.get(name) for name in _SETTINGS]
