"""Stratified random draws: every class keeps its proportion."""

from __future__ import annotations

import numpy as np


def apportion(sizes: np.ndarray, total: int) -> np.ndarray:
    """How many of ``total`` fall to classes of these sizes: their exact shares, rounded down or up
    so that they sum to ``total`` (the largest remainders up: Hamilton's method)."""
    seats, remainders = np.divmod(sizes * total, sizes.sum())
    largest = np.argsort(-remainders, kind="stable")
    seats[largest[: total - seats.sum()]] += 1
    return seats


def draw(labels: np.ndarray, total: int, rng: np.random.Generator, leave: int = 0) -> np.ndarray:
    """A mask (n,) of about ``total`` random images, each class in proportion.

    At least one image of every class is drawn and at least ``leave`` are left; where classes are
    too small for that, the number drawn differs from ``total``. labels: (n,) in 0..classes-1, of
    every class at least one.
    """
    sizes = np.bincount(labels)
    counts = np.clip(apportion(sizes, total), 1, sizes - leave)
    chosen = np.zeros(len(labels), bool)
    for label, count in enumerate(counts):
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:count]] = True
    return chosen
