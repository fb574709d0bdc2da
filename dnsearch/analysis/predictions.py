"""``Predictions``: what is known of networks' errors beyond their own measurements, as draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dnsearch.analysis.candidates import Basis
from dnsearch.analysis.confidence import LEVEL, front_probability, on_new_images
from dnsearch.arrays import Floats

HALF = 0.5
"""Images, added to errors before their logarithm is taken and taken off again: none wrong of so
many is no proof that none ever will be."""

FINEST = 0.1
"""Images: predicted errors are told in steps of this, so that none is better than another for less;
of equals the cheapest is recommended."""


@dataclass(frozen=True)
class Predictions:
    """Of the networks with these ``keys``, (n,): draws (s, n) of the error that a network has in
    the mean over seeds.

    images: of so many it is the error, validation images trained to the top rung, or, on the
    ``basis`` of a confirmation, test images trained for ``epochs``. seed_noise: the standard
    deviation of log error that one seed adds. confirmed: the networks that were trained again.
    """

    keys: tuple[str, ...]
    draws: Floats
    seed_noise: float
    images: float
    epochs: int
    basis: Basis = Basis.SEARCH
    confirmed: frozenset[str] = frozenset()

    @cached_property
    def place(self) -> dict[str, int]:
        """The column of each network's draws, by its key."""
        return {key: i for i, key in enumerate(self.keys)}

    @cached_property
    def error(self) -> Floats:
        """The median of each, (n,)."""
        return self.quantiles(0.5)[0]

    def interval(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Where each lies with this probability, (n,) and (n,)."""
        low, high = self.quantiles((1 - level) / 2, (1 + level) / 2)
        return low, high

    def quantiles(self, *shares: float) -> Floats:
        """(shares, n); between two draws on the straight line."""
        ordered = np.sort(self.draws, axis=0)  # numpy sorts far faster than it finds quantiles
        below, part = np.divmod(np.array(shares)[:, None] * (len(ordered) - 1), 1)
        below = below[:, 0].astype(np.intp)
        least, most = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
        return least + part * (most - least)

    def described(self, keys: Sequence[str], costs: Floats) -> dict[str, Any]:
        """What is predicted of a ``Candidate``, by the names of its fields, (n,) each, for the
        networks with these keys (n,), which must be among the predicted ones, and costs (n, d)."""
        which = [self.place[key] for key in keys]
        ends = (1 - LEVEL) / 2, (1 + LEVEL) / 2
        error, low, high = self.quantiles(0.5, *ends)[:, which]
        step = FINEST / self.images
        told = step * np.round(error / step)
        low, high = np.minimum(low, told), np.maximum(high, told)
        new_low, new_high = on_new_images(told, low, high, self.images)
        return {
            "predicted_error": told,
            "predicted_low": low,
            "predicted_high": high,
            "new_low": new_low,
            "new_high": new_high,
            "front_probability": front_probability(self.draws[:, which], costs),
        }

    def as_good(self, best: str, other: str, tolerance: float) -> float:
        """The probability of the ``other`` network to have an error of at most 1 + ``tolerance``
        times that of ``best``."""
        allowed = (1 + tolerance) * self.draws[:, self.place[best]]
        return float((self.draws[:, self.place[other]] <= allowed).mean())
