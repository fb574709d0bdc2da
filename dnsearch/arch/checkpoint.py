"""Weights from files: torchvision's ``.pth`` (old and new), safetensors, checkpoints of other
people and dnsearch's own.

Pickled files are opened with ``weights_only=True``, so that no file can run code.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.arch.presets import preset
from dnsearch.arch.weights import Found, find_weights
from dnsearch.errors import CheckpointError, ConfigError, DamagedError, DnsearchError, RunError
from dnsearch.files import read_json, require_as_listed, require_sound_zip
from dnsearch.text import agreeing, counted

Layer = Literal["stem", "classifier"]
"""What may be another one in a file: for other channels, classes or sizes of images."""

_LAYERS: Mapping[str, Layer] = {
    "features.conv0.": "stem",
    "features.norm0.": "stem",
    "classifier.": "classifier",
}
"""By how the names of their weights begin, whatever their kind."""

_UNREADABLE = "cannot be read as weights"

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def write_whole(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Writes what ``save`` writes into memory. Raises OSError; torch itself, writing into a file,
    would say of a full disk only that a position is unexpected."""
    content = io.BytesIO()
    save(content)
    path.write_bytes(content.getbuffer())


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The state dict of the DenseNet in a file, on the CPU, with today's names.

    However it was saved (``arch.weights``): bare, under any key of a checkpoint, with any prefix,
    as of DataParallel, torch.compile or Lightning; of a network and its average (dnsearch's own
    training checkpoints, EMA) the average.
    Raises CheckpointError naming the file when it is missing, unreadable or holds no such weights.
    """
    return _read(Path(path)).weights


def _read(path: Path) -> Found:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file")
    try:
        require_as_listed(path)
    except DamagedError as error:
        raise CheckpointError(str(error)) from None
    try:
        return find_weights(_content(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except Exception:  # half a dozen types, in words for programmers
            raise CheckpointError(f"{_UNREADABLE}; it is damaged or another kind of file") from None
    try:
        require_sound_zip(path)
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a file looks like TorchScript
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        refused = re.search(r"Unsupported (?:global|class): (?:GLOBAL )?([\w.]+)", str(error))
        if refused is None and "TorchScript" not in str(error):
            raise CheckpointError(f"{_UNREADABLE}; it is damaged or another kind of file") from None
        what = f"a Python object, {refused[1]}," if refused else "a TorchScript program"
        raise CheckpointError(
            f"{_UNREADABLE}; it holds {what} which could run code, such as a whole model; where it "
            "was made, write torch.save(model.state_dict(), PATH)"
        ) from None


def _harmless() -> list[Any]:
    """Types beside torch's that checkpoints often hold and that cannot run code: numbers of NumPy,
    as of a best score, and argparse's options."""
    scalar: Any = np._core.multiarray.scalar  # pyright: ignore
    names = "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"
    kinds = [type(np.dtype(code)) for code in (*np.typecodes["All"],) if code not in "OSUVMm"]
    return [argparse.Namespace, np.dtype, *kinds, *((scalar, name) for name in names)]


def load_weights(model: DenseNet, path: Path | str, reinitialise: Collection[Layer] = ()) -> None:
    """Loads a file's weights (see ``read_weights``) into the network, all of them or, where any
    does not fit, none.

    ``reinitialise`` names layers that keep the values they have, for transfer to other classes
    (``"classifier"``), channels or sizes of images (``"stem"``). Raises CheckpointError as
    ``read_fitting`` does.
    """
    if isinstance(reinitialise, str) or not set(reinitialise) <= {*_LAYERS.values()}:
        raise ConfigError("reinitialise", "must be a list of 'stem' and 'classifier'", reinitialise)
    own = model.state_dict()
    weights, _ = read_fitting(Path(path), own, reinitialise)
    model.load_state_dict(own | weights)


def read_fitting(
    path: Path, own: Mapping[str, Tensor], reinitialise: Collection[Layer] | None = None
) -> tuple[dict[str, Tensor], tuple[Layer, ...]]:
    """A file's weights (see ``read_weights``) for a network whose state dict is ``own``, without
    the layers to ``reinitialise``, which are the second value: with None those that are others in
    the file. Counters that files from before 2018 lack are 0.

    Raises CheckpointError naming the first weights of other layers that are missing, unknown or of
    another shape.
    """
    found, place = _read(path)
    found = _with_counters(found, own)
    if reinitialise is None:
        layers = dict.fromkeys(_LAYERS.values())
        reinitialise = [each for each in layers if _shapes(own, each) != _shapes(found, each)]
    own, found = (
        {key: value for key, value in weights.items() if _layer(key) not in reinitialise}
        for weights in (own, found)
    )
    _require_same(f"{path}{f' ({place})' if place else ''}", own, found)
    return found, tuple(reinitialise)


def _layer(key: str) -> Layer | None:
    """Which of the layers that can be reinitialised a weight belongs to."""
    return next((layer for start, layer in _LAYERS.items() if key.startswith(start)), None)


def _shapes(weights: Mapping[str, Tensor], layer: Layer) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in weights.items() if _layer(key) == layer}


def _with_counters(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With counts of batches of 0 for those that files from before 2018 lack."""
    counters = [key for key in own if key.endswith("num_batches_tracked")]
    return dict(found) | {key: torch.tensor(0) for key in counters if key not in found}


def _require_same(where: str, own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError where weights are not the network's own by name and shape."""
    missing = [name for name in own if name not in found]
    unknown = [name for name in found if name not in own]
    shared = [name for name in own if name in found]
    misshapen = [name for name in shared if own[name].shape != found[name].shape]
    told: list[str] = []
    if missing:
        told.append(f"lacks {counted(len(missing), 'weight')} of this network{_few(missing)}")
    if unknown:
        others = agreeing(len(unknown), "another one", f"{len(unknown)} others")
        told.append(f"holds {others}{_few(unknown)}")
    if misshapen and not told:
        name = misshapen[0]
        wanted, given = tuple(own[name].shape), tuple(found[name].shape)
        told.append(f"{name} must have shape {wanted}, got {given}")
    if not told:
        return
    layers = {_layer(name) for name in (*missing, *unknown, *misshapen)}
    hint = "is it another architecture's file?"
    if None not in layers:
        hint = f"pass reinitialise={sorted(map(str, layers))} to train this anew"
    raise CheckpointError(f"{where}: {' and '.join(told)}; {hint}")


def _few(names: Sequence[str]) -> str:
    return f" ({', '.join(map(repr, names[:3]))}{', ...' * (len(names) > 3)})"


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
        values = read_json(path)
        require_as_listed(path)
    except RunError as error:
        raise CheckpointError(str(error)) from None
    try:
        return ArchConfig.from_dict(values)
    except DnsearchError as error:
        raise CheckpointError(f"{path}: {error}") from None


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
