"""Fronts of candidates: arrays in, arrays out.

Everywhere here ``values`` is (n, 1 + costs): the error in column 0, one cost a column behind it,
all to be minimised. A row with a figure that is not finite has no place: it is on no front, adds
no hypervolume and is never chosen.

An architecture that was trained with several seeds counts by the mean of their errors in all fronts
and hypervolumes of a search (``seed_means``): one lucky seed must not stand for it.

On the ``log`` axis costs count as their decimal logarithm, so that hypervolume is error times
decades of cost and a step from 1 M to 2 M weighs as much as one from 10 M to 20 M.
"""

from __future__ import annotations

from typing import Any, Literal

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnsearch.arrays import Floats

Axis = Literal["log", "linear"]

_SAME = 12
"""Decimals to which two distances count as equal, so that rounding never chooses a knee."""


def on_axis(values: ArrayLike, axis: Axis = "log") -> Floats:
    """The same rows with their costs on this axis. ``values`` may also be one row, (1 + costs,).

    Raises ValueError for a cost that is not positive on the log axis.
    """
    out = np.array(values, dtype=np.float64)
    if axis == "log":
        if np.any(out[..., 1:] <= 0):
            raise ValueError("costs must be positive on a log axis")
        out[..., 1:] = np.log10(out[..., 1:])
    return out


def nondominated(values: ArrayLike) -> NDArray[np.bool_]:
    """Which rows are on the front, (n,): no other row is as good in all figures and better in one.

    Rows with equal figures don't dominate each other: all of them are on the front or none is.
    """
    rows = _rows(values)
    mask = np.asarray(np.isfinite(rows).all(axis=1))
    if mask.any():
        mask[mask] = moocore.is_nondominated(rows[mask], keep_weakly=True)
    return mask


def hypervolume(values: ArrayLike, reference: ArrayLike, axis: Axis = "log") -> float:
    """The volume that the rows dominate, up to the reference point (1 + costs,).

    In units of error (0 to 1) times decades (log) or units (linear) of each cost. Rows that are
    not better than the reference in every figure add nothing.
    """
    rows = _rows(values)
    inside = rows[(rows < np.asarray(reference, dtype=np.float64)).all(axis=1)]
    if not len(inside):
        return 0.0
    return float(moocore.hypervolume(on_axis(inside, axis), ref=on_axis(reference, axis)))


def hypervolume_curve(
    values: ArrayLike, reference: ArrayLike, axis: Axis = "log", keys: ArrayLike | None = None
) -> Floats:
    """The hypervolume of the first 1, 2, ..., n rows, (n,).

    With ``keys`` (n,), which name architectures, every row counts with the mean error of its key's
    rows by then; so the curve falls where a further seed is worse than those before.
    """
    rows = _rows(values)
    _, which = np.unique(np.arange(len(rows)) if keys is None else keys, return_inverse=True)
    known = np.full_like(rows, np.nan)
    front, curve, volume = known[:0], np.zeros(len(rows)), 0.0
    for place, row in enumerate(rows):
        if np.isfinite(row[0]):
            known[place] = row
            seeds = (which == which[place]) & np.isfinite(known[:, 0])
            # Most rows change nothing, so the volume is only computed for those that may.
            if seeds.sum() > 1 or not (front <= row).all(axis=1).any():
                known[seeds, 0] = rows[seeds, 0].mean()
                front = known[nondominated(known)]
                volume = hypervolume(front, reference, axis)
        curve[place] = volume
    return curve


def seed_means(keys: ArrayLike, errors: ArrayLike) -> Floats:
    """Of each training (n,) the mean error of all trainings with its key, (n,)."""
    _, which = np.unique(np.asarray(keys), return_inverse=True)
    return (np.bincount(which, weights=np.asarray(errors)) / np.bincount(which))[which]


def least_error(values: ArrayLike) -> int:
    """The row of least error; among equals the one of least first cost, then the next."""
    rows = _rows(values)
    return _first(rows, [rows[:, column] for column in range(rows.shape[1])])


def least_cost(values: ArrayLike) -> int:
    """The row of least first cost; among equals of least further costs, then of least error."""
    rows = _rows(values)
    return _first(rows, [rows[:, column] for column in (*range(1, rows.shape[1]), 0)])


def knee(values: ArrayLike, axis: Axis = "log") -> int:
    """The row of the front where both giving up error and giving up cost stop paying.

    With every figure scaled to 0..1 over the front, it is the row farthest below the chord between
    the front's ends (Das 1999, doi:10.1007/s001580050111; Branke et al. 2004,
    doi:10.1007/978-3-540-30217-9_73), which is the row of least scaled error plus scaled cost.
    Several costs count as their mean, so that error keeps half the weight. Among equals the one
    of least error is taken, so a front of two gives its more accurate end.
    """
    rows = _rows(values)
    front = np.flatnonzero(nondominated(rows))
    if not len(front):
        raise ValueError("no row has finite figures")
    points = on_axis(rows[front], axis)
    spread = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    distance = np.round(scaled[:, 0] + scaled[:, 1:].mean(axis=1), _SAME)
    columns = [points[:, column] for column in range(points.shape[1])]
    return int(front[_first(points, [distance, *columns])])


def _rows(values: ArrayLike) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(f"values must be (n, 1 + costs), got shape {rows.shape}")
    return rows


def _first(rows: Floats, keys: list[NDArray[Any]]) -> int:
    """The finite row that comes first when sorted by these keys, the first key foremost."""
    order = np.lexsort(keys[::-1])
    order = order[np.isfinite(rows[order]).all(axis=1)]
    if not len(order):
        raise ValueError("no row has finite figures")
    return int(order[0])
