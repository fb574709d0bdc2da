"""Stratified draws: every class keeps its share."""

from __future__ import annotations

import numpy as np


def apportion(sizes: np.ndarray, total: int) -> np.ndarray:
    """``total`` seats for classes of these sizes: their shares rounded down or up (Hamilton)."""
    seats, remainders = np.divmod(sizes * total, sizes.sum())
    largest = np.argsort(-remainders, kind="stable")
    seats[largest[: total - seats.sum()]] += 1
    return seats


def draw(labels: np.ndarray, total: int, rng: np.random.Generator, leave: int = 0) -> np.ndarray:
    """A mask (n,) of about ``total`` images, drawn at random in each class's proportion.

    Every class gives at least one image and keeps at least ``leave``; classes so small that this
    binds move the number drawn away from ``total``. labels: (n,) in 0..classes-1, none empty.
    """
    sizes = np.bincount(labels)
    counts = np.clip(apportion(sizes, total), 1, sizes - leave)
    chosen = np.zeros(len(labels), bool)
    for label, count in enumerate(counts):
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:count]] = True
    return chosen
