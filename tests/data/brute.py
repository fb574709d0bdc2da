"""Reads whole splits by brute force, picture after picture: what rows of the cache must equal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dnsearch.data.formats import Options, Source, SplitName
from dnsearch.data.formats.images import decode, resize_all


class Images(NamedTuple):
    """images: (n, h, w, c) uint8; labels: (n,) int64, which number ``classes`` if there are any."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] | None
    by_name: bool
    notes: tuple[str, ...]


def read(source: Source, name: SplitName, size: int | None = None) -> Images:
    """The whole split. Raises DataError on the first picture that cannot be read."""
    split = source.open(name)
    found = {}
    for batch in split.batches(np.arange(len(split))):
        if isinstance(batch.pictures, np.ndarray):
            pixels = list(resize_all(batch.pictures, Options(size)))
        else:
            pixels = [decode(each, Options(size)).pixels for each in batch.pictures]
        found |= dict(zip(batch.rows.tolist(), pixels, strict=True))
    assert sorted(found) == list(range(len(split)))
    channels = max(each.shape[2] for each in found.values())
    alike = [np.broadcast_to(found[i], (*found[i].shape[:2], channels)) for i in range(len(split))]
    return Images(np.stack(alike), split.labels, split.classes, split.by_name, split.notes)
