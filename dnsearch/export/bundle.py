"""A network in a folder of its own: config, weights, preprocessing, and a README."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dnsearch.analysis.candidates import Candidate
from dnsearch.analysis.metrics import METRICS, format_error, format_value
from dnsearch.analysis.picks import front
from dnsearch.arch.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_network,
    load_weights,
    save_network,
)
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.errors import RunError
from dnsearch.rundir import RunDir, write_json, write_text
from dnsearch.search.results import Results

PREPROCESSING_FILE = "preprocessing.json"


def export_network(results: Results, run: RunDir, query: str, to: Path) -> Candidate:
    """Writes the network that ``query`` picks into the new folder ``to``, whole or not at all.

    The weights are the averaged ones that were scored. The files are loaded again and must give the
    same outputs. Returns the candidate. Raises RunError where the query finds no candidate,
    its weights were not kept, or the folder is not empty.
    """
    candidate = results.pick(query)
    model = _trained(results, run, candidate)
    write_bundle(to, model, results.data, _readme(results, candidate))
    return candidate


def write_bundle(to: Path, model: DenseNet, data: Mapping[str, Any], readme: str) -> None:
    """Writes a network for the images that ``data`` describes into the new folder ``to``, whole or
    not at all; ``readme`` is the README without the part on loading. See ``export_network``.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RunError(f"{to}: must be a new or empty folder; choose another with --to")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as aside:
            folder = Path(aside) / "export"
            folder.mkdir()
            _write(folder, model, data, readme + _how_to_load(model, data, to.name))
            _require_same_outputs(model, folder, data["shape"])
            if to.is_dir():
                to.rmdir()
            shutil.move(folder, to)
    except OSError as error:
        raise RunError(f"{to}: cannot be written: {error.strerror or error}") from None


def _trained(results: Results, run: RunDir, candidate: Candidate) -> DenseNet:
    checkpoint = run.checkpoint(candidate.key, candidate.seed)
    if not checkpoint.is_file():
        members = front(results.measured, results.study.objectives.costs)
        on_front = any(member.key == candidate.key for member in members)
        why = "are missing" if on_front else "were not kept, as it is not on the front"
        raise RunError(
            f"{checkpoint}: the weights of {candidate.key} {why}; pick another candidate, or "
            "search anew (--name) with keep_checkpoints = 'all'"
        )
    return scored_network(candidate.arch, checkpoint)


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


def _readme(results: Results, candidate: Candidate) -> str:
    data, images = results.data, results.validation_images
    error = format_error(candidate.error, candidate.error_se)
    shown = ("params", "macs", "activations", "latency_ms")
    known = [n for n in shown if math.isfinite(candidate.figure(n))]
    lines = "\n".join(
        f"| {METRICS[n].label} | {format_value(n, candidate.figure(n))} |" for n in known
    )
    return f"""# {candidate.name}

A DenseNet found by dnsearch in the run `{results.name}` (architecture `{candidate.key}`), trained
for {candidate.rung} epochs on {data["images"]["train"]:,} images of {data["name"]}.

| figure | value |
| --- | --- |
| {candidate.error_name} | {error} ({images:,} images; ± one standard error, one seed) |
{lines}

The error is that of a short training, on the validation images by which the search chose: expect a
new training to be a little worse, and measure on test images of your own before quoting a figure.
"""


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
    if arch.stem == "imagenet" and arch.norm == "batch" and arch.bn_size:
        return ", with torchvision's names"
    return ""
