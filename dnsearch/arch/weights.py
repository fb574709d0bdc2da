"""Finding a DenseNet's weights in whatever was saved, by one rule.

People save state dicts alone or beside an optimiser, under all kinds of names, from a network that
something else wraps. What does not change are torchvision's names within the network
(``features.conv0``, ``features.denseblock1`` ...). So every mapping of names to tensors in a file
is searched for these; what stands before them is the prefix, and what does not have it belongs to
the wrapper and is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dnsearch.errors import CheckpointError
from dnsearch.text import agreeing, counted, listed

DEEPEST = 4
"""How many wrappers may lie one in another."""

_WRAPPERS = r"(?:(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)"
"""What torch.compile, DataParallel, and the like put into names, also of a part of a network."""

_NAME = re.compile(
    rf"((?:[^.]+\.)*?)features\.{_WRAPPERS}*(?:conv0|norm0|denseblock\d+|transition\d+|norm5)\."
)
_AVERAGED = re.compile(r"(?<![a-z])(?:averaged|average|avg|ema|swa|shadow)(?![a-z])", re.IGNORECASE)

# torchvision's files from before 2018 have denselayer1.norm.1.weight for denselayer1.norm1.weight.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")

# A linear layer with others about it that have no weights, such as dropout or a sigmoid.
_HEAD = re.compile(r"classifier\.\d+\.(weight|bias)")


class Found(NamedTuple):
    """A network's weights by torchvision's names of today; ``place`` says where in the file they
    were, and is empty for a bare state dict."""

    weights: dict[str, Tensor]
    place: str


def find_weights(content: Any) -> Found:
    """The weights of the DenseNet in what a file held.

    Of several networks it takes the one whose key or prefix says that it is an average (EMA, SWA).
    Raises CheckpointError, without the file's name, where there is none, or no one.
    """
    found = [each for path, mapping in _mappings(content) for each in _networks(path, mapping)]
    averaged = [each for each in found if _AVERAGED.search(each.place)]
    if not found:
        raise CheckpointError(_none_found(content))
    first, *others = averaged or found
    if not all(_same(first.weights, other.weights) for other in others):
        places = listed([each.place or "no prefix" for each in (first, *others)])
        raise CheckpointError(
            f"holds {1 + len(others)} networks ({places}); save the state dict of one alone"
        )
    return first


def _mappings(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(content, Mapping) or len(path) > DEEPEST:
        return
    yield ".".join(path), content
    for key, value in content.items():
        if isinstance(key, str):
            yield from _mappings(value, (*path, key))


def _networks(path: str, mapping: Mapping[str, Any]) -> Iterator[Found]:
    tensors = {k: v for k, v in mapping.items() if isinstance(k, str) and torch.is_tensor(v)}
    prefixes = list(dict.fromkeys(m[1] for m in map(_NAME.match, tensors) if m))
    for prefix in prefixes:
        longer = tuple(p for p in prefixes if p != prefix and p.startswith(prefix))
        inside = {
            _todays(name.removeprefix(prefix)): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix) and not (longer and name.startswith(longer))
        }
        key = f"key {path!r}" if path else ""
        yield Found(
            _with_head(inside), ", ".join(filter(None, (key, prefix and f"prefix {prefix!r}")))
        )


def _todays(name: str) -> str:
    return _OLD_NAME.sub(r"\1\2.", re.sub(rf"(^|\.){_WRAPPERS}+", r"\1", name))


def _with_head(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """``classifier.1.weight`` as ``classifier.weight``, where there is one such layer."""
    heads = [name for name in weights if _HEAD.fullmatch(name)]
    layers = {name.rpartition(".")[0] for name in heads}
    if len(layers) != 1:
        return weights
    (layer,) = layers
    return {name.replace(f"{layer}.", "classifier."): tensor for name, tensor in weights.items()}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether these are the same weights, as of a network that has two names."""
    return one.keys() == other.keys() and all(
        value.shape == other[name].shape and torch.equal(value, other[name])
        for name, value in one.items()
    )


def _none_found(content: Any) -> str:
    names = [
        name
        for _, mapping in _mappings(content)
        for name, value in mapping.items()
        if isinstance(name, str) and torch.is_tensor(value)
    ]
    if not names:
        return "must hold a state dict (names to tensors)"
    tensors = f"{counted(len(names), 'tensor')} {agreeing(len(names), 'is', 'are')}"
    shown = f"{', '.join(map(repr, names[:3]))}{', ...' * (len(names) > 3)}"
    return (
        f"holds no DenseNet: its {tensors} called {shown}; "
        "a DenseNet's are called 'features.conv0.weight' and so on, after any prefix"
    )
