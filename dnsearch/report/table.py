"""The table of all candidates: what each cell shows and by what it sorts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.candidates import COSTS, Candidate, State, figures
from dnsearch.analysis.metrics import DIMENSIONS, METRICS, MISSING, error_label
from dnsearch.arch.config import joined
from dnsearch.confirm.findings import Confirmed
from dnsearch.report.digest import Digest
from dnsearch.report.style import LOOKS

_SHORT_REASON = 60
PREDICTED = "predicted (%)"


class Column(NamedTuple):
    """A header, and how its cells look. name: by which it is filtered and saved, as in
    candidates.csv. hint: what explains the header when pointed at. extra: hidden at first."""

    label: str
    name: str
    numeric: bool = True
    hint: str = ""
    extra: bool = False


class SortedCell(NamedTuple):
    """``sort`` is what JavaScript compares: a number, a text, or None, which sorts last."""

    text: str
    sort: float | str | None


class CandidateRow(NamedTuple):
    """A candidate's cells; ``picks`` are the labels of what it is recommended for, ``anchor`` its
    key in the first row of several."""

    cells: list[SortedCell]
    front: bool
    state: State
    picks: list[str]
    failure: str
    anchor: str


class CandidateTable(NamedTuple):
    """The columns, a row a network or a training run that did not finish, the states there are to
    filter by, and the header of the column that the rows are sorted by."""

    columns: list[Column]
    rows: list[CandidateRow]
    states: list[State]
    sorted_by: str


def candidate_table(digest: Digest, confirmed: Confirmed | None = None) -> CandidateTable:
    """All candidates, best first; what would be the same or empty in all rows gets no column.

    Those that were only screened, or saw fewer images, come last: their errors are no match for the
    others.
    """
    rows = sorted(digest.networks, key=_order)
    cells = dict(
        [
            _texts("key", "key", [c.key for c in rows]),
            _texts("architecture", "name", [c.name for c in rows]),
        ]
    )
    if len(digest.finished) < len(rows):
        cells |= dict([_texts("state", "state", [str(c.state) for c in rows])])
    cells |= dict(_numbers(digest, rows, confirmed))
    cells |= dict(_choices(rows))
    failures = [candidate.failure for candidate in rows]
    if any(failures):
        reasons = [SortedCell(shortened(reason), reason or None) for reason in failures]
        cells[Column("reason", "failure", numeric=False)] = reasons
    picks: dict[Candidate, list[str]] = {}
    for name, candidate in digest.picks.items():
        picks.setdefault(candidate, []).append(LOOKS[name].label)
    first = {candidate.key: candidate for candidate in reversed(rows)}
    lines = [
        CandidateRow(
            list(line),
            c in digest.on_front,
            c.state,
            picks.get(c, []),
            c.failure,
            c.key if first[c.key] is c else "",
        )
        for c, line in zip(rows, zip(*cells.values(), strict=True), strict=True)
    ]
    states = [state for state, count in digest.counts.items() if count]
    sorted_by = PREDICTED if digest.finished else "measured (%)"
    return CandidateTable(list(cells), lines, states, sorted_by)


def _order(candidate: Candidate) -> tuple[bool, bool, float]:
    told = candidate.predicted_error if candidate.counts else candidate.error
    less = candidate.state in (State.SCREENED, State.PARTIAL)
    return less, math.isnan(told), told


def _texts(
    label: str, name: str, texts: Sequence[str], extra: bool = False
) -> tuple[Column, list[SortedCell]]:
    column = Column(label, name, numeric=False, extra=extra)
    return column, [SortedCell(text, text) for text in texts]


def _choices(rows: Sequence[Candidate]) -> Iterator[tuple[Column, list[SortedCell]]]:
    """What the networks are made of, as far as they differ in it."""
    for name, label in DIMENSIONS.items():
        texts = [joined(getattr(row.arch, name)) for row in rows]
        if len(set(texts)) > 1:
            yield _texts(label, name, texts, extra=True)


def shortened(reason: str) -> str:
    """The first line of a failure's reason, cut where it is long."""
    line = reason.strip().splitlines()[0] if reason.strip() else ""
    return line if len(line) <= _SHORT_REASON else line[: _SHORT_REASON - 1].rstrip() + "…"


def _numbers(
    digest: Digest, rows: Sequence[Candidate], confirmed: Confirmed | None
) -> list[tuple[Column, list[SortedCell]]]:
    errors, spread = figures(rows, "error"), figures(rows, "error_se")
    predicted = figures(rows, "predicted_error")
    label = error_label(digest.results.study.objectives.error)
    found = []
    if digest.finished:
        hint = f"predicted {digest.error_name} averaged over seeds: where the network stands"
        column = Column(PREDICTED, "predicted_error", hint=hint)
        found.append((column, _cells(predicted, 100 * predicted, 2)))
        column = Column("on new images (%)", "new_high", hint="its 90 % interval")
        found.append((column, _intervals(rows)))
    if confirmed is not None:
        hint = f"{error_label(confirmed.error, 'test')} of fresh seeds after full training"
        tested = np.array([_tested(row, confirmed) for row in rows])
        found.append((Column("test (%)", "test_error", hint=hint), _cells(tested, 100 * tested, 2)))
    found += [
        (Column("measured (%)", "error", hint=label), _cells(errors, 100 * errors, 2)),
        (
            Column("± (%)", "error_se", hint="standard error by the choice of images"),
            _cells(spread, 100 * spread, 2),
        ),
    ]
    top1 = figures(rows, "top1_error")
    if np.isfinite(top1).any():
        hint = "share of validation images whose class is wrong"
        found.append((Column("top-1 (%)", "top1_error", hint=hint), _cells(top1, 100 * top1, 2)))
    seeds = figures(rows, "seeds")
    if seeds.max(initial=1) > 1:
        hint = "training runs of which the measured error is the mean"
        found.append((Column("seeds", "seeds", hint=hint), _cells(seeds, seeds, 0)))
    for name in dict.fromkeys((*digest.costs, *COSTS)):
        values = figures(rows, name)
        if np.isfinite(values).any():
            found.append(_cost(name, values))
    for name, label in (("depth", "depth"), ("rung", "epochs"), ("number", "trial")):
        values = figures(rows, name)
        found.append((Column(label, name), _cells(values, values, 0)))
    seconds = figures(rows, "seconds")
    found.append(
        (
            Column("train time (s)", "seconds", hint=METRICS["seconds"].label),
            _cells(seconds, seconds, 1),
        )
    )
    return found


def _tested(candidate: Candidate, confirmed: Confirmed) -> float:
    """The test error of a network that was confirmed; NaN of others."""
    network = confirmed.network(candidate.key)
    return network.test.value if network is not None and candidate.counts else math.nan


def _intervals(rows: Sequence[Candidate]) -> list[SortedCell]:
    """What lies between the ends on new images, sorted by the upper one."""
    return [
        SortedCell(f"{100 * row.new_low:.1f}–{100 * row.new_high:.1f}", row.new_high)
        if row.counts
        else SortedCell(MISSING, None)
        for row in rows
    ]


def _cost(name: str, values: NDArray[np.float64]) -> tuple[Column, list[SortedCell]]:
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
    return Column(header, name, hint=METRICS[name].label), _cells(values, shown, decimals)


def _prefix(value: float) -> tuple[float, str]:
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return scale, prefix
    return 1.0, ""


def _cells(
    values: Sequence[float] | NDArray[np.float64], shown: Any, decimals: int
) -> list[SortedCell]:
    return [
        SortedCell(f"{text:,.{decimals}f}", float(value))
        if math.isfinite(value)
        else SortedCell(MISSING, None)
        for value, text in zip(values, shown, strict=True)
    ]
