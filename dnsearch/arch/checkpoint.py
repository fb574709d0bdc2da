"""Weights from files: torchvision's ``.pth`` (old and new), safetensors, and dnsearch's own.

Pickled files are opened with ``weights_only=True``, so that no file can run code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.arch.presets import preset
from dnsearch.errors import CheckpointError, ConfigError, DnsearchError

Layer = Literal["stem", "classifier"]
_KEYS = {"stem": ("features.conv0.weight",), "classifier": ("classifier.weight", "classifier.bias")}
_FIELD = {"stem": "in_channels", "classifier": "num_classes"}

# torchvision's files from before 2018 have denselayer1.norm.1.weight for denselayer1.norm1.weight.
_OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU, with today's keys.

    Accepts a state dict, one wrapped as ``state_dict`` or ``model``, DataParallel's ``module.``
    prefix, and dnsearch's training checkpoints, whose averaged weights it takes.
    Raises CheckpointError naming the file when it is missing, unreadable or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen types, in words for programmers
        raise CheckpointError(
            f"{path}: cannot be read as weights; it is damaged, another kind of file, or holds "
            "more than tensors"
        ) from None
    for wrapper in ("averaged", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in content.items()
    ):
        raise CheckpointError(f"{path}: must hold a state dict (names to tensors)")
    return {_OLD_KEY.sub(r"\1\2.", key.removeprefix("module.")): v for key, v in content.items()}


def load_weights(model: DenseNet, path: Path | str, reinitialise: Collection[Layer] = ()) -> None:
    """Loads a file's weights into the network, all of them or, where any does not fit, none.

    ``reinitialise`` names layers that keep the values they have, for transfer to other classes
    (``"classifier"``) or channels (``"stem"``). Counters that files from before 2018 lack become 0.
    Raises CheckpointError naming the first entry that is missing, unknown or of another shape.
    """
    weights, own = read_weights(path), model.state_dict()
    if isinstance(reinitialise, str) or not set(reinitialise) <= _KEYS.keys():
        raise ConfigError("reinitialise", "must be a list of 'stem' and 'classifier'", reinitialise)
    for layer in reinitialise:
        weights |= {key: own[key] for key in _KEYS[layer]}
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            weights.setdefault(key, torch.zeros_like(value))
    _require_same_names(path, own, weights)
    for key, value in own.items():
        if weights[key].shape != value.shape:
            raise CheckpointError(_misshapen(path, key, weights[key], value))
    model.load_state_dict(weights)


def _require_same_names(
    path: Path | str, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> None:
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} weights of this network are missing, first {missing[0]!r}; "
            "is it another architecture's file?"
        )
    if unknown:
        raise CheckpointError(
            f"{path}: holds {len(unknown)} weights this network lacks, first {unknown[0]!r}; "
            "is it another architecture's file?"
        )


def _misshapen(path: Path | str, key: str, given: Tensor, wanted: Tensor) -> str:
    text = f"{path}: {key} must have shape {tuple(wanted.shape)}, got {tuple(given.shape)}"
    for layer, keys in _KEYS.items():
        if key in keys and wanted.shape[2:] == given.shape[2:]:
            text += f"; another {_FIELD[layer]}: pass reinitialise=[{layer!r}] to train it anew"
    return text


def save_network(model: DenseNet, folder: Path) -> None:
    """Writes ``config.json`` and ``model.safetensors`` into an existing folder. Raises OSError."""
    text = json.dumps(model.config.to_dict(), indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    (folder / WEIGHTS_FILE).write_bytes(safetensors.torch.save(weights))


def load_network(folder: Path | str) -> DenseNet:
    """The network that ``dnsearch export`` wrote into this folder, in eval mode, on the CPU.

    Raises CheckpointError naming the file that is missing or wrong.
    """
    folder = Path(folder)
    model = DenseNet(read_config(folder / CONFIG_FILE))
    load_weights(model, folder / WEIGHTS_FILE)
    return model.eval()


def read_config(path: Path) -> ArchConfig:
    """The architecture in a ``config.json``. Raises CheckpointError naming file and rule."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise CheckpointError("must be a JSON object of an architecture's fields")
        return ArchConfig.from_dict(values)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except DnsearchError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: must be valid JSON: {error}") from None


def _named(
    name: str,
    weights: Path | str | None,
    reinitialise: Collection[Layer],
    fields: Mapping[str, Any],
) -> DenseNet:
    model = DenseNet(preset(name).replace(**fields))
    if weights is not None:
        load_weights(model, weights, reinitialise)
    return model


def densenet121(
    weights: Path | str | None = None, reinitialise: Collection[Layer] = (), **fields: Any
) -> DenseNet:
    """torchvision's densenet121, with weights from a local file; ``fields`` are ArchConfig's.

    To fine-tune on other classes: ``weights=PATH, num_classes=N, reinitialise=["classifier"]``.
    """
    return _named("densenet121", weights, reinitialise, fields)


def densenet161(
    weights: Path | str | None = None, reinitialise: Collection[Layer] = (), **fields: Any
) -> DenseNet:
    """torchvision's densenet161; see ``densenet121``."""
    return _named("densenet161", weights, reinitialise, fields)


def densenet169(
    weights: Path | str | None = None, reinitialise: Collection[Layer] = (), **fields: Any
) -> DenseNet:
    """torchvision's densenet169; see ``densenet121``."""
    return _named("densenet169", weights, reinitialise, fields)


def densenet201(
    weights: Path | str | None = None, reinitialise: Collection[Layer] = (), **fields: Any
) -> DenseNet:
    """torchvision's densenet201; see ``densenet121``."""
    return _named("densenet201", weights, reinitialise, fields)
