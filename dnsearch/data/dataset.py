"""The types that a prepared data set is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnsearch.arrays import release

AT_ONCE = 1 << 22
"""Bytes of images in memory at a time in a pass over all of them; NumPy counts in eight times as
many."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their labels (n,) int64 in 0..classes-1.

    pixels: (m, c, h, w) uint8, perhaps memory-mapped; rows: (n,), which of those the images are, in
    order; None where they are all of them.
    """

    pixels: np.ndarray
    labels: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> LabelledImages:
        """The images where a mask is true, or at these positions; pixels are not copied."""
        own = np.arange(len(self)) if self.rows is None else self.rows
        return LabelledImages(self.pixels, self.labels[rows], own[rows])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @property
    def nbytes(self) -> int:
        """Bytes that the images take in memory."""
        return len(self) * int(np.prod(self.shape, dtype=np.int64))

    @property
    def images(self) -> np.ndarray:
        """All of them in one array (n, c, h, w): a copy in memory where they are some of those in
        ``pixels``. For small sets; ``chunks`` is for large ones."""
        return self.pixels if self.rows is None else self.pixels[self.rows]

    def chunks(self) -> Iterator[np.ndarray]:
        """The images in arrays (k, c, h, w) of some megabytes, in order; what was mapped for one is
        given back before the next."""
        at_once = max(1, AT_ONCE // max(1, self.nbytes // max(1, len(self))))
        for start in range(0, len(self), at_once):
            some = slice(start, start + at_once)
            yield self.pixels[some if self.rows is None else self.rows[some]]
            release(self.pixels)


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The training and validation images of a data set: all that a search may see.

    mean, std: of each channel of the training images, on a scale from 0 (black) to 1 (white).
    fingerprint: 16 hex digits of classes and images; equal only for equal data.
    test_split: whether there are test images as well; none are opened to find that out.
    notes: sentences on what the files hold that was left out, changed, or is doubtful.
    The arrays may be memory-mapped: another process should call ``prepare`` itself rather than be
    sent a pickled copy.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    test_split: bool
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        return self.train.shape

    @property
    def nbytes(self) -> int:
        """Bytes that all images take, decoded."""
        return self.train.nbytes + self.validation.nbytes

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def counts(self) -> dict[str, int]:
        """How many images each split has."""
        return {"train": len(self.train), "validation": len(self.validation)}

    @property
    def class_counts(self) -> dict[str, list[int]]:
        """How many images of each class each split has, in the order of ``classes``."""
        splits = {"train": self.train, "validation": self.validation}
        return {
            name: np.bincount(split.labels, minlength=self.num_classes).tolist()
            for name, split in splits.items()
        }

    def describe(self) -> dict[str, Any]:
        """The data set in values that JSON can hold: what a run keeps as ``data.json``."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "classes": list(self.classes),
            "images": self.counts,
            "class_counts": self.class_counts,
            "mean": list(self.mean),
            "std": list(self.std),
            "fingerprint": self.fingerprint,
            "test_split": self.test_split,
            "notes": list(self.notes),
        }
