"""A network in a folder of its own: weights, code, preprocessing, a model card, a manifest.

config.json, model.safetensors   the architecture and its weights, for dnsearch
network.py                       the same as one file that needs torch alone
torchvision.pth                  the weights for torchvision's DenseNet, where it can be this one
network.onnx, network.pt2        on request
preprocessing.json               what is done to a picture, and the classes
export.json                      of a search: which network this is, why, and when
README.md                        the model card, and how to load each file
manifest.json                    of every file its size and SHA-256, and what was checked of it
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dnsearch import __version__
from dnsearch.arch.checkpoint import load_network, load_weights
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.cost.formula import cost_of
from dnsearch.errors import RunError, cannot_write
from dnsearch.export.check import TOLERANCE, Check, check
from dnsearch.export.formats import ALWAYS, Format
from dnsearch.export.preprocessing import Preprocessing
from dnsearch.files import MANIFEST, atomic_folder, read_json, sha256, write_json, write_text

EXPORT_FILE, README_FILE = "export.json", "README.md"


def write_bundle(
    to: Path,
    model: DenseNet,
    images: Preprocessing,
    card: str,
    record: Mapping[str, Any] | None = None,
    more: Sequence[Format] = (),
) -> None:
    """Writes a network, in eval mode, into the new folder ``to``, whole or not at all.

    ``card`` is the README without the part on loading, ``record`` the values of ``export.json``,
    ``more`` are formats beside those that every folder has. Each file is read back and must give
    the network's outputs. Raises RunError.
    """
    with _new_folder(to) as folder:
        images.write(folder)
        if record:
            write_json(folder / EXPORT_FILE, record)
        formats = [form for form in ALWAYS if form.fits(model.config)]
        _fill(folder, model, images, [*formats, *more], card)


def copy_bundle(bundle: Path, to: Path, more: Sequence[Format] = ()) -> None:
    """Copies what ``write_bundle`` wrote into the new folder ``to``, whole or not at all, with
    ``more`` formats. Raises RunError."""
    with _new_folder(to) as folder:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)
        if more:
            readme = (folder / README_FILE).read_text(encoding="utf-8")
            _fill(folder, load_network(folder), Preprocessing.read(folder), more, readme)


def require_new(to: Path) -> None:
    """Raises RunError unless ``to`` is an empty folder or not there."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RunError(f"{to}: must be a new or empty folder; choose another with --to")


@contextlib.contextmanager
def _new_folder(to: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``to`` where all went well. Raises RunError."""
    require_new(to)
    try:
        with atomic_folder(to) as folder:
            yield folder
    except OSError as error:
        raise cannot_write(to, error) from None


def scored_network(arch: ArchConfig, checkpoint: Path) -> DenseNet:
    """The network in a training's checkpoint, with the averaged weights that were scored, in eval
    mode. Raises CheckpointError where it cannot be read."""
    model = DenseNet(arch)
    load_weights(model, checkpoint)
    return model.eval()


def _fill(
    folder: Path, model: DenseNet, images: Preprocessing, formats: Sequence[Format], readme: str
) -> None:
    """Writes these formats and the README, checks them, and writes the manifest of all files."""
    path = folder / MANIFEST
    before = read_json(path, "files")["files"] if path.is_file() else {}
    path.unlink(missing_ok=True)  # it no longer lists what is there
    for form in formats:
        form.written(model, images, folder)
    usage = [form.usage(model.config, images) for form in formats]
    write_text(folder / README_FILE, "".join([readme, *usage]))
    checks = {form.file: check(form, folder, model, images) for form in formats}
    _write_manifest(folder, model, images, checks, before)


def _write_manifest(
    folder: Path,
    model: DenseNet,
    images: Preprocessing,
    checks: Mapping[str, Check],
    before: Mapping[str, Any],
) -> None:
    found = {name: each._asdict() for name, each in checks.items()}
    files = {
        file.name: {
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
            "check": found.get(file.name, before.get(file.name, {}).get("check")),
        }
        for file in sorted(folder.iterdir())
    }
    cost = cost_of(model.config, *images.shape[1:])
    manifest = {
        "key": model.config.key,
        "params": cost.params,
        "macs": cost.macs,
        "input": list(images.shape),
        "tolerance": TOLERANCE,
        "written_by": {"dnsearch": __version__, "torch": torch.__version__},
        "files": files,
    }
    write_json(folder / MANIFEST, manifest)
