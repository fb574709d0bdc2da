"""Readers of images on the local disk, one module a format; no torch, and nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dnsearch.config import DataConfig
from dnsearch.data.formats.cifar import CIFAR10, CIFAR100, open_cifar
from dnsearch.data.formats.folder import open_folder
from dnsearch.data.formats.idx import open_idx
from dnsearch.data.formats.images import MOST_LISTED, BadPictures, Encoded, Options
from dnsearch.data.formats.npz import open_npz
from dnsearch.data.formats.parquet import open_parquet
from dnsearch.data.formats.source import Batch, Source, Split, SplitName, require_every_class
from dnsearch.errors import ConfigError, DataError

__all__ = [
    "MOST_LISTED",
    "BadPictures",
    "Batch",
    "Encoded",
    "Options",
    "Source",
    "Split",
    "SplitName",
    "open_source",
    "require_every_class",
]

SHIPPED = "fashion-mnist-16k"
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
READERS: dict[str, Callable[[Path, DataConfig], Source]] = {
    SHIPPED: partial(open_idx, classes=CLOTHES, exact=True),
    "mnist": partial(open_idx, classes=DIGITS, exact=False),
    "fashion-mnist": partial(open_idx, classes=CLOTHES, exact=True),
    "cifar10": partial(open_cifar, layout=CIFAR10),
    "cifar100": partial(open_cifar, layout=CIFAR100),
    "parquet": open_parquet,
    "folder": open_folder,
    "npz": open_npz,
}


def open_source(config: DataConfig) -> Source:
    """The data set of these settings: its files are found, but no image is read yet.

    Raises ConfigError on data.path, DataError on what lies there.
    """
    path = _location(config)
    try:
        return READERS[config.format](path, config)
    except OSError as error:
        raise DataError(f"{error.filename}: must be readable: {error.strerror}") from None


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
