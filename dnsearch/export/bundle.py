"""A network in a folder of its own: config, weights, preprocessing, and a README."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dnsearch.analysis.candidates import Candidate, finished
from dnsearch.analysis.metrics import METRICS, duration, error_label, format_error, format_value
from dnsearch.analysis.picks import LEAST_ERROR
from dnsearch.arch.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_network,
    load_weights,
    save_network,
)
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.config import LONGER
from dnsearch.confirm.run import FOLDER as CONFIRM_FOLDER
from dnsearch.errors import RunError
from dnsearch.rundir import RunDir, write_json, write_text
from dnsearch.search.answers import note_answer
from dnsearch.search.confirmed import best_run, fresh_error
from dnsearch.search.results import Results

PREPROCESSING_FILE = "preprocessing.json"


EXPORT_FILE = "export.json"


class Exported(NamedTuple):
    """The network, and the training run whose weights were written."""

    network: Candidate
    weights: Weights


class Weights(NamedTuple):
    """A training run's weights: its file, epochs, seed and validation error (0 to 1) with its
    standard error; ``confirmed`` says that it was one of `dnsearch confirm`, with its
    ``test_error``."""

    file: Path
    epochs: int
    seed: int
    error: float
    error_se: float
    confirmed: bool = False
    test_error: float = math.nan


def export_network(results: Results, run: RunDir, query: str, to: Path) -> Exported:
    """Writes the network that ``query`` picks into the new folder ``to``, whole or not at all.

    The weights are the averaged ones that were scored; of a confirmed network those of the run of
    least validation error that `dnsearch confirm` made. The files are loaded again and must give
    the same outputs. ``export.json`` says which network it is, of which run, and when it was
    written. Raises RunError where the query finds no network, its weights were not kept, or the
    folder is not empty.
    """
    network = results.pick(query)
    weights = weights_of(results, run, network)
    if weights is None:
        raise RunError(_not_kept(results, run, network))
    model = scored_network(network.arch, weights.file)
    record = _record(results, network, weights, query)
    write_bundle(to, model, results.data, _readme(results, network, weights, record), record)
    note_answer(results, run, to if query == LEAST_ERROR else None)
    return Exported(network, weights)


def weights_of(results: Results, run: RunDir, network: Candidate) -> Weights | None:
    """The weights to export of this network, None where none were kept."""
    best = best_run(results.confirmed, network.key)
    if best is not None:
        file = RunDir(run.path / CONFIRM_FOLDER).checkpoint(network.key, best.job.seed)
        if file.is_file():
            error, se = (
                math.nan if value is None else value
                for value in (best.score.error, best.score.error_se)
            )
            return Weights(file, best.job.rung, best.job.seed, error, se, True, fresh_error(best))
    for each in sorted(results.measured, key=lambda each: each.error):
        file = run.checkpoint(each.key, each.seed)
        if each.key == network.key and each.state is network.state and file.is_file():
            return Weights(file, each.rung, each.seed, each.error, each.error_se)
    return None


def _not_kept(results: Results, run: RunDir, network: Candidate) -> str:
    seconds = network.seconds / max(1, network.rung)
    epochs = LONGER * results.study.training.rungs[-1]
    length = f" in about {duration(epochs * seconds)}" if math.isfinite(seconds) else ""
    return (
        f"{run.path}: the weights of {network.key} were not kept; `dnsearch train "
        f"{run.name}:{network.key}` trains it in full ({epochs} epochs{length}), and so does "
        "--train"
    )


def _record(results: Results, network: Candidate, weights: Weights, query: str) -> dict[str, Any]:
    """The values of ``export.json``."""
    known = {name: _known(network.figure(name)) for name in _FIGURES}
    return {
        "run": results.name,
        "pick": query,
        "key": network.key,
        "name": network.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_runs": len(finished(results.measured)),
        "basis": str(network.basis),
        **known,
        "baseline_error": results.baseline.error,
        "weights": {
            "epochs": weights.epochs,
            "seed": weights.seed,
            "validation_error": _known(weights.error),
            "test_error": _known(weights.test_error),
            "from": "dnsearch confirm" if weights.confirmed else "the search",
        },
    }


_FIGURES = ("predicted_error", "predicted_low", "predicted_high", "new_low", "new_high")


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_bundle(
    to: Path,
    model: DenseNet,
    data: Mapping[str, Any],
    readme: str,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Writes a network for the images that ``data`` describes into the new folder ``to``, whole or
    not at all; ``readme`` is the README without the part on loading, ``record`` the values of
    ``export.json``. See ``export_network``.
    """
    with _new_folder(to) as folder:
        _write(folder, model, data, readme + _how_to_load(model, data, to.name))
        if record:
            write_json(folder / EXPORT_FILE, record)
        _require_same_outputs(model, folder, data["shape"])


def copy_bundle(bundle: Path, to: Path) -> None:
    """Copies what ``write_bundle`` wrote into the new folder ``to``, whole or not at all."""
    with _new_folder(to) as folder:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)


def require_new(to: Path) -> None:
    """Raises RunError unless ``to`` is an empty folder or not there."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RunError(f"{to}: must be a new or empty folder; choose another with --to")


@contextlib.contextmanager
def _new_folder(to: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``to`` where all went well. Raises RunError."""
    require_new(to)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as aside:
            folder = Path(aside) / "export"
            folder.mkdir()
            yield folder
            if to.is_dir():
                to.rmdir()
            shutil.move(folder, to)
    except OSError as error:
        raise RunError(f"{to}: cannot be written: {error.strerror or error}") from None


def scored_network(arch: ArchConfig, checkpoint: Path) -> DenseNet:
    """The network in a training's checkpoint, with the averaged weights that were scored, in eval
    mode. Raises CheckpointError where it cannot be read."""
    model = DenseNet(arch)
    load_weights(model, checkpoint)
    return model.eval()


def _write(folder: Path, model: DenseNet, data: Mapping[str, Any], readme: str) -> None:
    save_network(model, folder)
    preprocessing = {
        "shape": data["shape"],
        "mean": data["mean"],
        "std": data["std"],
        "classes": data["classes"],
        "resize": "largest centred square, to this size with Pillow's BILINEAR filter",
        "normalise": "(pixels / 255 - mean) / std, by channel",
    }
    write_json(folder / PREPROCESSING_FILE, preprocessing)
    write_text(folder / "README.md", readme)


def _require_same_outputs(model: DenseNet, folder: Path, shape: list[int]) -> None:
    images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not torch.equal(load_network(folder)(images), model(images)):
            raise RunError(f"{folder}: gives other outputs when loaded again; nothing is kept")


def _readme(
    results: Results, network: Candidate, weights: Weights, record: Mapping[str, Any]
) -> str:
    data, images = results.data, results.validation_images
    error, tested = format_error(weights.error, weights.error_se), format_error(weights.test_error)
    kind = results.study.objectives.error
    shown = ("params", "macs", "activations", "latency_ms")
    known = [n for n in shown if math.isfinite(network.figure(n))]
    rows = [
        (network.error_name, f"{error} ({images:,} images)"),
        *([(error_label(kind, "test"), tested)] if weights.confirmed else []),
        ("predicted error of another training run", _predicted(network)),
        (results.baseline.words, format_value("error", results.baseline.error)),
        *((METRICS[n].label, format_value(n, network.figure(n))) for n in known),
    ]
    lines = "\n".join(f"| {name} | {text} |" for name, text in rows)
    by = "`dnsearch confirm`" if weights.confirmed else "the search"
    return f"""# {network.name}

A DenseNet found by dnsearch in the run `{results.name}` (architecture `{network.key}`, picked by
`{record["pick"]}` on {record["written"]}, after {record["training_runs"]} training runs). The
weights are those that {by} trained for {weights.epochs} epochs with seed {weights.seed}, on
{data["images"]["train"]:,} images of {data["name"]}.

| figure | value |
| --- | --- |
{lines}

The validation images are those by which the search chose: measure on test images of your own before
quoting a figure.
"""


def _predicted(network: Candidate) -> str:
    value = format_value("error", network.predicted_error)
    low, high = (format_value("error", end) for end in (network.new_low, network.new_high))
    return f"{value} ({low.removesuffix(' %')} to {high} on new images)"


def _how_to_load(model: DenseNet, data: Mapping[str, Any], name: str) -> str:
    channels, height, width = data["shape"]
    return f"""
## Load it

```python
from dnsearch.arch import load_network
model = load_network("{name}")
logits = model(images)  # (n, {channels}, {height}, {width}) float -> (n, {len(data["classes"])})
```

`images` are pixels prepared as in `{PREPROCESSING_FILE}`, `(pixels / 255 - mean) / std`; it also
lists the classes in the order of the logits. `{CONFIG_FILE}` is the architecture and
`{WEIGHTS_FILE}` the weights{_torchvision(model.config)}.
"""


def _torchvision(arch: ArchConfig) -> str:
    if arch.stem == "imagenet" and arch.norm == "batch" and all(arch.bn_sizes):
        return ", with torchvision's names"
    return ""
