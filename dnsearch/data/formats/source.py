"""What every format's reader returns: the files of each split, and its labels and pictures by row.

Labels come first, since which pictures are wanted is drawn from them; pictures are read by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np

from dnsearch.data.formats.images import Encoded
from dnsearch.errors import DataError
from dnsearch.text import agreeing, listed

SplitName = Literal["train", "validation", "test"]
SplitFiles = dict[SplitName, tuple[Path, ...]]

AT_ONCE = 1 << 22
"""Bytes of plain images that are read at a time."""


class Batch(NamedTuple):
    """Some pictures of a split: their rows (k,), and they themselves, encoded or as an array
    (k, h, w, c) uint8."""

    rows: np.ndarray
    pictures: Sequence[Encoded] | np.ndarray


@dataclass(frozen=True, eq=False)
class Split:
    """A split as it is in its files, of which only the labels are read.

    where: names it in messages. labels: (n,) int64. With ``classes`` label i means ``classes[i]``;
    without, labels are any integers, which name the classes. by_name: the files hold names, and
    labels are only their positions in ``classes``, so that numbers of other splits mean nothing
    beside them. every_class: each of ``classes`` must have a picture. notes: sentences on what was
    guessed.

    batches: (rows, ascending) -> those pictures, each once. shape: (h, w, c) of all of them where
    they are plain arrays; None where they are encoded, each of a size and kind of its own.
    """

    where: str
    labels: np.ndarray
    batches: Callable[[np.ndarray], Iterator[Batch]]
    shape: tuple[int, int, int] | None = None
    classes: tuple[str, ...] | None = None
    by_name: bool = False
    every_class: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Source:
    """A data set on disk that is not read yet.

    files: for each split that exists, the files that ``open`` reads.
    open: (split) -> Split; raises DataError on labels that cannot be used.
    notes: sentences on what lies there and is not used.
    labels: (split) -> the labels alone, in any bytes that change with them, for formats whose files
    may be too large to be read whole each time; None where there is no cheap way.
    """

    files: SplitFiles
    open: Callable[[SplitName], Split]
    notes: tuple[str, ...] = ()
    labels: Callable[[SplitName], bytes] | None = None


def plain_split(
    where: str,
    images: tuple[np.dtype, tuple[int, ...]],
    labels: np.ndarray,
    batches: Callable[[np.ndarray], Iterator[Batch]],
    classes: tuple[str, ...] | None = None,
) -> Split:
    """The split of an array of images of this type and shape, (n, h, w) if grey, or (n, h, w, c),
    and an array of labels, (n,) or (n, 1).

    Labels may be whole numbers of any type, booleans, or text, which is numbered in sorted order.
    Raises DataError naming ``where`` if the arrays cannot be images and their labels.
    """
    kind, given = images
    shape = (*given, 1) if len(given) == 3 else given
    if kind != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
        raise DataError(
            f"{where}: images must be uint8 of shape (n, h, w) or (n, h, w, c) with 1 or 3 "
            f"channels, got {kind} {given}"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iufbUS":
        raise DataError(
            f"{where}: labels must be whole numbers or text of shape (n,), "
            f"got {labels.dtype} {labels.shape}"
        )
    if shape[0] != len(labels):
        raise DataError(
            f"{where}: there must be as many labels as images, "
            f"got {shape[0]} images and {len(labels)} labels"
        )
    if 0 in shape:
        raise DataError(f"{where}: must hold images, got shape {given}")
    names, by_name = classes, False
    if labels.dtype.kind in "bUS":
        names, labels = named(labels)
        by_name = True
    return Split(where, whole(where, labels), batches, shape[1:], names, by_name)


def require_every_class(split: Split, labels: np.ndarray) -> None:
    """Raises DataError where a class that must have a picture has none with one of these labels."""
    names = split.classes or ()
    present = np.bincount(labels, minlength=len(names)) > 0
    empty = [name for name, there in zip(names, present, strict=True) if not there]
    if empty and split.every_class:
        raise DataError(
            f"{split.where}: every class must have pictures that can be read, "
            f"{listed(list(map(repr, empty)))} {agreeing(len(empty), 'has', 'have')} none; fill or "
            f"remove {agreeing(len(empty), 'the folder', 'the folders')}"
        )


def require_listed(where: str, labels: np.ndarray, listing: tuple[str, ...]) -> None:
    """Raises DataError naming ``where`` if a label is not the position of a name."""
    outside = (labels < 0) | (labels >= len(listing))
    if outside.any():
        got = int(labels[outside][0])
        raise DataError(f"{where}: labels must be among 0 to {len(listing) - 1}, got {got}")


def repeated(names: Sequence[str]) -> set[str]:
    """Those that occur more than once."""
    return {name for name, count in Counter(names).items() if count > 1}


class WrongLength(Exception):
    """A stream of images ended before the last of them, or went on behind it; ``got``: its bytes,
    at least."""

    def __init__(self, got: int) -> None:
        super().__init__(got)
        self.got = got


def stream_rows(file: IO[bytes], shape: tuple[int, ...], rows: np.ndarray) -> Iterator[Batch]:
    """These rows of the images (n, h, w, c) that begin here in the file. All of it is read, so that
    its checksum is looked at. Raises WrongLength."""
    count, *image = shape
    each = int(np.prod(image, dtype=np.int64))
    at_once = max(1, AT_ONCE // each)
    for start in range(0, count, at_once):
        stop = min(count, start + at_once)
        content = file.read((stop - start) * each)
        if len(content) < (stop - start) * each:
            raise WrongLength(start * each + len(content))
        wanted = rows[slice(*np.searchsorted(rows, [start, stop]))]
        if wanted.size:
            block = np.frombuffer(content, np.uint8).reshape(-1, *image)
            yield Batch(wanted, block[wanted - start])
    if more := file.read(AT_ONCE):
        raise WrongLength(count * each + len(more))


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
