"""What taking the best k by a signal finds: regret and precision, ties in expectation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from dnsearch.arrays import Floats


def top_k(signal: Floats, truth: Floats, k: int) -> tuple[Floats, Floats]:
    """Regret and precision of the ``k`` rows of least ``signal`` by ``truth``, both (..., n).

    Regret is the least truth among them less the least of all, precision the share of them among
    the k rows of least truth; of ties each is as likely to be taken, and the expectation is given.
    Rows in which either is NaN do not count. Both (...), NaN where no more than k rows are left.
    """
    if signal.shape[-1] <= k:
        return np.full(signal.shape[:-1], np.nan), np.full(signal.shape[:-1], np.nan)
    known = np.isfinite(signal) & np.isfinite(truth)
    order = np.argsort(np.where(known, truth, np.inf), axis=-1)
    known = np.take_along_axis(known, order, -1)
    signal = np.where(known, np.take_along_axis(signal, order, -1), np.inf)
    truth = np.where(known, np.take_along_axis(truth, order, -1), np.inf)
    sure, tied, places = _taken(signal, k)
    # The chance that none of the rows up to here, best first, is taken: no sure one, and all of the
    # places go to the ties further on.
    further = tied.sum(-1, keepdims=True) - np.cumsum(tied, axis=-1)
    none = comb(further, places) / comb(tied.sum(-1, keepdims=True), places)
    none = np.where(np.cumsum(sure, axis=-1) > 0, 0.0, none)
    first = -np.diff(none, axis=-1, prepend=1.0)  # the chance to be the best that is taken
    least = np.where(known[..., 0], truth[..., 0], 0.0)
    regret = (first * np.where(known, truth - least[..., None], 0.0)).sum(-1)
    precision = (_chances(signal, k) * _chances(truth, k)).sum(-1) / k
    enough = known.sum(-1) > k
    return np.where(enough, regret, np.nan), np.where(enough, precision, np.nan)


def _chances(values: Floats, k: int) -> Floats:
    """The chance of each to be among the k least."""
    sure, tied, places = _taken(values, k)
    return sure + tied * (places / tied.sum(-1, keepdims=True))


def _taken(values: Floats, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int_]]:
    """Of the k least: which are sure to be among them, which tie for the rest of the places, and
    how many places (..., 1) these are."""
    last = np.partition(values, k - 1, axis=-1)[..., [k - 1]]
    sure = values < last
    return sure, values == last, k - sure.sum(-1, keepdims=True)
