"""What every format's reader returns: the files of each split, and a function that reads one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dnsearch.errors import DataError

SplitName = Literal["train", "validation", "test"]
SplitFiles = dict[SplitName, tuple[Path, ...]]


@dataclass(frozen=True, eq=False)
class Split:
    """A split as it is in its files.

    images: (n, h, w, c) uint8 with c = 1 (grey) or 3 (RGB); labels: (n,) int64. With ``classes``
    label i means ``classes[i]``; without, labels are any integers, which name the classes.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """A data set on disk that is not read yet.

    files: for each split that exists, the files that ``read`` opens for it.
    read: (split, size) -> Split, with images resized to size x size unless size is None.
    """

    files: SplitFiles
    read: Callable[[SplitName, int | None], Split]


def checked_split(
    where: object, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | None = None
) -> Split:
    """The split with these arrays; grey images may be (n, h, w), labels (n, 1).

    Raises DataError naming ``where`` if the arrays cannot be images and their labels.
    """
    shape = (*images.shape, 1) if images.ndim == 3 else images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
        raise DataError(
            f"{where}: images must be uint8 of shape (n, h, w) or (n, h, w, c) with 1 or 3 "
            f"channels, got {images.dtype} {images.shape}"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{where}: labels must be integers of shape (n,), got {labels.dtype} {labels.shape}"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{where}: there must be as many labels as images, "
            f"got {len(images)} images and {len(labels)} labels"
        )
    if images.size == 0:
        raise DataError(f"{where}: must hold images, got shape {images.shape}")
    return Split(images.reshape(shape), labels.astype(np.int64), classes)
