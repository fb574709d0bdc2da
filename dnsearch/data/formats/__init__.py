"""Readers of images on the local disk, one module a format; no torch, and nothing is downloaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from dnsearch.config import DataConfig, Format
from dnsearch.data.formats.cifar import CIFAR10, CIFAR100, open_cifar
from dnsearch.data.formats.folder import open_folder
from dnsearch.data.formats.idx import open_idx
from dnsearch.data.formats.images import MOST_LISTED, BadPictures, Encoded, Options, size_of
from dnsearch.data.formats.npz import open_npz
from dnsearch.data.formats.parquet import open_parquet
from dnsearch.data.formats.source import (
    Batch,
    Source,
    Split,
    SplitName,
    repeated,
    require_every_class,
    require_listed,
)
from dnsearch.errors import ConfigError, DataError, cannot_read

__all__ = [
    "MOST_LISTED",
    "BadPictures",
    "Batch",
    "Encoded",
    "Glance",
    "Options",
    "Source",
    "Split",
    "SplitName",
    "find_format",
    "glance",
    "open_source",
    "repeated",
    "require_every_class",
    "require_listed",
]

SHIPPED: Final = "fashion-mnist-16k"
DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
READERS: dict[Format, Callable[[Path, DataConfig], Source]] = {
    SHIPPED: partial(open_idx, classes=CLOTHES, exact=True),
    "mnist": partial(open_idx, classes=DIGITS, exact=False),
    "fashion-mnist": partial(open_idx, classes=CLOTHES, exact=True),
    "cifar10": partial(open_cifar, layout=CIFAR10),
    "cifar100": partial(open_cifar, layout=CIFAR100),
    "parquet": open_parquet,
    "folder": open_folder,
    "npz": open_npz,
}
OF_FOLDERS: tuple[Format, ...] = ("parquet", "cifar10", "cifar100", "mnist", "folder")
"""The formats of folders; last the one that takes any files."""
OF_FILES: dict[str, Format] = {".npz": "npz", ".parquet": "parquet", ".pq": "parquet"}
ARCHIVES = (".tar.gz", ".tgz", ".tar")
GLANCED = 100
"""Pictures of each split whose sizes ``glance`` looks at."""


def open_source(config: DataConfig) -> Source:
    """The data set of these settings: its files are found, but no image is read yet.

    Raises ConfigError on data.path, DataError on what lies there, MachineError where the machine is
    at fault.
    """
    return _source(_location(config), config)


def _source(path: Path, config: DataConfig) -> Source:
    try:
        return READERS[config.format](path, config)
    except OSError as error:
        rule = f"must be readable: {error.strerror}"
        raise cannot_read(error.filename or path, error, rule) from None


def find_format(path: Path) -> Format:
    """The format of the data set at this path, by the names of its files; none is read.

    Raises DataError where it is of none, or there is nothing.
    """
    if not os.path.exists(path):
        raise DataError(f"{str(path)!r}: must be a file or folder that exists")
    for name in _by_suffix(path) if path.is_file() else OF_FOLDERS:
        try:
            _source(path, DataConfig(format=name, path=path))
        except DataError:
            continue
        fashion = name == "mnist" and "fashion" in str(path.absolute()).lower()
        return "fashion-mnist" if fashion else name
    raise DataError(
        f"{path}: must be a data set of format {', '.join(READERS)}; no such files are there"
    )


class Glance(NamedTuple):
    """What is told of a data set by its labels and some headers. splits: those that exist; classes:
    training pictures of each class that has any, (classes,); sizes: (h, w) of some pictures of all
    splits."""

    splits: frozenset[SplitName]
    classes: np.ndarray
    sizes: tuple[tuple[int, int], ...]


def glance(config: DataConfig) -> Glance:
    """Sizes are those of up to ``GLANCED`` pictures of each split, evenly over all; of those whose
    header can be read.

    Raises what ``open_source`` does, also on labels that cannot be used.
    """
    source = open_source(config)
    train = source.open("train")
    sizes = _sizes(train)
    for name in source.files.keys() - {"train"}:
        with contextlib.suppress(DataError):  # what is wrong with it is said when it is used
            sizes += _sizes(source.open(name))
    classes = np.unique(train.labels, return_counts=True)[1]
    return Glance(frozenset(source.files), classes, sizes)


def _sizes(split: Split) -> tuple[tuple[int, int], ...]:
    if split.shape is not None:
        return (split.shape[:2],)
    rows = np.unique(np.linspace(0, len(split) - 1, GLANCED).round().astype(np.int64))
    sizes = (size_of(picture) for batch in split.batches(rows) for picture in batch.pictures)
    return tuple(size for size in sizes if size is not None)


def _by_suffix(path: Path) -> tuple[Format, ...]:
    name = path.name.lower()
    for suffix, known in OF_FILES.items():
        if name.endswith(suffix):
            return (known,)
    if name.endswith(ARCHIVES):
        return ("cifar100",) if "100" in name else ("cifar10",)
    return ("mnist",)


def _location(config: DataConfig) -> Path:
    if config.format == SHIPPED:
        if config.path is not None:
            raise ConfigError(
                "data.path",
                f"must not be set for format {SHIPPED!r}, which is shipped",
                str(config.path),
            )
        return Path(__file__).parents[1] / SHIPPED
    if config.path is None:
        raise ConfigError("data.path", f"must be set for format {config.format!r}")
    path = config.path.expanduser()
    if not os.path.exists(path):  # Path.exists raises on a name that is too long
        raise DataError(f"data.path must be a file or folder that exists, got {str(path)!r}")
    return path
