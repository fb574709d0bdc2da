"""The table of all candidates: what each cell shows and by what it sorts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis.frames import column, texts
from dnsearch.analysis.metrics import METRICS, MISSING
from dnsearch.report.digest import FIGURES, Digest
from dnsearch.report.style import LOOKS

_SHORT_REASON = 60


class Column(NamedTuple):
    """A header and how its cells look. ``hint`` explains the header when pointed at."""

    label: str
    numeric: bool = True
    hint: str = ""


class Cell(NamedTuple):
    """``sort`` is what JavaScript compares: a number, a text, or None, which sorts last."""

    text: str
    sort: float | str | None


class Row(NamedTuple):
    cells: list[Cell]
    front: bool
    state: str
    picks: list[str]
    failure: str


class Table(NamedTuple):
    columns: list[Column]
    rows: list[Row]


def table(digest: Digest) -> Table:
    """All candidates, best first; what would be the same or empty in all rows gets no column.

    Those that were only screened, or saw fewer images, come last: their errors are no match for the
    others.
    """
    less = np.isin(texts(digest.candidates, "state"), ["screened", "partial"])
    rows = digest.candidates.assign(less=less).sort_values(
        by=["less", "error"], kind="stable", na_position="last"
    )
    failures = texts(rows, "failure")
    cells = dict([_texts("key", rows, "key"), _texts("architecture", rows, "name")])
    if digest.counts["finished"] < digest.counts["candidates"]:
        cells |= dict([_texts("state", rows, "state")])
    cells |= dict(_numbers(digest, rows))
    if any(failures):
        reasons = [Cell(shortened(reason), reason or None) for reason in failures]
        cells[Column("reason", numeric=False)] = reasons
    picks: dict[int, list[str]] = {}
    for name, row in digest.picks.items():
        picks.setdefault(row["number"], []).append(LOOKS[name].label)
    lines = zip(*cells.values(), strict=True)
    marks = zip(rows["number"], rows["front"], texts(rows, "state"), failures, strict=True)
    return Table(
        list(cells),
        [
            Row(list(line), bool(front), state, picks.get(number, []), reason)
            for line, (number, front, state, reason) in zip(lines, marks, strict=True)
        ],
    )


def _texts(label: str, rows: pd.DataFrame, name: str) -> tuple[Column, list[Cell]]:
    return Column(label, numeric=False), [Cell(text, text) for text in texts(rows, name)]


def shortened(reason: str) -> str:
    """The first line of a failure's reason, cut where it is long."""
    line = reason.strip().splitlines()[0] if reason.strip() else ""
    return line if len(line) <= _SHORT_REASON else line[: _SHORT_REASON - 1].rstrip() + "…"


def _numbers(digest: Digest, rows: pd.DataFrame) -> list[tuple[Column, list[Cell]]]:
    errors, spread = column(rows, "error"), column(rows, "error_se")
    found = [
        (Column("error (%)", hint=METRICS["error"].label), _cells(errors, 100 * errors, 2)),
        (Column("± (%)", hint="binomial standard error"), _cells(spread, 100 * spread, 2)),
    ]
    expected = column(rows, "predicted_error")
    if np.isfinite(expected).any():
        hint = "in the mean over seeds, by all trainings together"
        found.append((Column("expected (%)", hint=hint), _cells(expected, 100 * expected, 2)))
    for name in dict.fromkeys((*digest.costs, *FIGURES)):
        values = column(rows, name)
        if np.isfinite(values).any():
            found.append(_cost(name, values))
    for name, label in (("depth", "depth"), ("rung", "epochs"), ("number", "trial")):
        values = column(rows, name)
        found.append((Column(label), _cells(values, values, 0)))
    seconds = column(rows, "seconds")
    found.append(
        (Column("train time (s)", hint=METRICS["seconds"].label), _cells(seconds, seconds, 1))
    )
    return found


def _cost(name: str, values: NDArray[np.float64]) -> tuple[Column, list[Cell]]:
    """One prefix for the whole column, in its header, so that numbers can be compared by eye."""
    if name == "latency_ms":
        unit, scale = "ms", 1.0
    else:
        scale, prefix = _prefix(float(np.nanmedian(values)))
        unit = prefix + "B" if name == "train_bytes" else prefix
    short = METRICS[name].short
    header = f"{short} ({unit})" if unit else short
    shown = values / scale
    least = float(np.nanmin(shown))
    decimals = int(np.clip(1 - math.floor(math.log10(least)), 0, 3)) if least > 0 else 0
    if scale == 1 and name != "latency_ms":
        decimals = 0
    return Column(header, hint=METRICS[name].label), _cells(values, shown, decimals)


def _prefix(value: float) -> tuple[float, str]:
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return scale, prefix
    return 1.0, ""


def _cells(values: Sequence[float] | NDArray[np.float64], shown: Any, decimals: int) -> list[Cell]:
    return [
        Cell(f"{text:,.{decimals}f}", float(value)) if math.isfinite(value) else Cell(MISSING, None)
        for value, text in zip(values, shown, strict=True)
    ]
