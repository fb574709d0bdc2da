"""Whether a call may by-pass the modules: not where it is watched, or where they were changed."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C import _len_torch_dispatch_stack
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.plain import PlainDenseNet, is_traced

_SETTINGS = (
    *("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"),
    *("drop_rate", "ceil_mode", "count_include_pad", "divisor_override"),
)
_HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
_PLAIN = Tensor, nn.Parameter
_OURS = "torch.nn.modules.", "dnsearch.arch.plain"


class _Expected(NamedTuple):
    """What a module must be like: its class, the shapes of its parameters, and its settings."""

    kind: type[nn.Module]
    shapes: tuple[torch.Size | None, ...]
    settings: tuple[tuple[str, Any], ...]


def is_watched(images: Tensor) -> bool:
    """Whether a call has to show the operations of every module: it is traced or compiled, under a
    transform of ``torch.func``, forward-mode differentiation or a dispatch mode (such as a counter
    of operations), or modules have global hooks."""
    return (
        is_traced(images)
        or type(images) not in _PLAIN
        or peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or _len_torch_dispatch_stack() > 0
        or bool(torch_module._has_any_global_hook())
    )


def untouched(model: PlainDenseNet) -> list[nn.Module] | None:
    """The modules of ``model.features`` in their order, if they are as the config builds them.

    None where one was replaced, quantised, pruned or parametrised, has a hook, another forward or
    another setting, or where parameters are of several types: then only calling the modules gives
    the right result.
    """
    modules = list(model.features.modules())
    dtypes: set[torch.dtype] = set()
    expected = _expected(model.config)
    if len(modules) != len(expected):
        return None
    for module, (kind, shapes, settings) in zip(modules, expected, strict=True):
        values = module.__dict__
        if type(module) is not kind or "forward" in values or any(map(values.get, _HOOKS)):
            return None
        parameters = values["_parameters"]
        if len(parameters) != len(shapes):
            return None
        for parameter, shape in zip(parameters.values(), shapes, strict=True):
            if parameter is None:
                if shape is not None:
                    return None
            elif type(parameter) not in _PLAIN or parameter.shape != shape:
                return None
            else:
                dtypes.add(parameter.dtype)
        for name, value in settings:
            if values.get(name) != value:
                return None
    known = len(dtypes) == 1 and all(map(_is_original, {kind for kind, *_ in expected}))
    return modules if known else None


def _is_original(kind: type[nn.Module]) -> bool:
    """Whether the class has the forward that it was defined with."""
    forward = kind.forward
    module, name = getattr(forward, "__module__", ""), getattr(forward, "__qualname__", "")
    return module.startswith(_OURS) and name.endswith(".forward")


@functools.lru_cache(maxsize=64)
def _expected(config: ArchConfig) -> list[_Expected]:
    with torch.device("meta"):
        modules = list(PlainDenseNet(config).features.modules())
    return [
        _Expected(
            type(module),
            tuple(None if p is None else p.shape for p in module._parameters.values()),
            tuple((name, vars(module)[name]) for name in _SETTINGS if name in vars(module)),
        )
        for module in modules
    ]
