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
    by_name: the files hold names, and labels are only their positions in ``classes``, so that
    numbers of other splits mean nothing beside them. notes: sentences on what was left out or
    changed.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] | None = None
    by_name: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A data set on disk that is not read yet.

    files: for each split that exists, the files that ``read`` opens for it.
    read: (split, size) -> Split, with images resized to size x size unless size is None.
    notes: sentences on what lies there and is not used.
    labels: (split) -> the labels alone, in any bytes that change with them, for formats whose files
    may be too large to be read whole each time; None where there is no cheap way.
    """

    files: SplitFiles
    read: Callable[[SplitName, int | None], Split]
    notes: tuple[str, ...] = ()
    labels: Callable[[SplitName], bytes] | None = None


def checked_split(
    where: object, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | None = None
) -> Split:
    """The split with these arrays; grey images may be (n, h, w), labels (n, 1).

    Labels may be whole numbers of any type, booleans, or text, which is numbered in sorted order.
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
    if labels.ndim != 1 or labels.dtype.kind not in "iufbUS":
        raise DataError(
            f"{where}: labels must be whole numbers or text of shape (n,), "
            f"got {labels.dtype} {labels.shape}"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{where}: there must be as many labels as images, "
            f"got {len(images)} images and {len(labels)} labels"
        )
    if images.size == 0:
        raise DataError(f"{where}: must hold images, got shape {images.shape}")
    names, by_name = classes, False
    if labels.dtype.kind in "bUS":
        names, labels = named(labels)
        by_name = True
    return Split(images.reshape(shape), whole(where, labels), names, by_name)


def named(labels: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Text or booleans as the names that occur, sorted, and each label's position among them."""
    if labels.dtype.kind == "b":
        labels = np.where(labels, "true", "false")
    elif labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    names, positions = np.unique(labels, return_inverse=True)
    return tuple(map(str, names)), positions.astype(np.int64)


def whole(where: object, labels: np.ndarray) -> np.ndarray:
    """Numbers as int64. Raises DataError naming ``where`` if one has a fraction."""
    with np.errstate(invalid="ignore"):
        numbers = labels.astype(np.int64)
    if labels.dtype.kind == "f":
        wrong = ~np.isfinite(labels) | (numbers != labels)
        if wrong.any():
            raise DataError(
                f"{where}: labels must be whole numbers or text, got {labels[wrong][0]:g}"
            )
    return numbers
