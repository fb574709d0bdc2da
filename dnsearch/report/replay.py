"""Writes the report of replayed strategies: the page, and its numbers as files beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnsearch.analysis.frames import column
from dnsearch.analysis.metrics import METRICS, duration, format_value
from dnsearch.analysis.pareto import Axis
from dnsearch.analysis.reference import rules
from dnsearch.config import to_toml
from dnsearch.replay.comparison import (
    LEVEL,
    Comparison,
    amount,
    median_of,
    per_replay,
    ratio,
    summary,
    verdict,
)
from dnsearch.replay.measures import AXES, LEVELS, NOBODY, TIE, Needed, wins
from dnsearch.report.html import render_template
from dnsearch.report.parts import Picture
from dnsearch.report.shares import share_figure, share_series
from dnsearch.report.style import OTHER, STROKES, Stroke
from dnsearch.rundir import atomic, write_text

UNREACHED, OVER = "∞", "> "


class Cell(NamedTuple):
    """A figure, and in small print what goes with it, a line each."""

    text: str
    notes: Sequence[str] = ()


class Row(NamedTuple):
    sampler: str
    colour: str
    cells: list[Cell]


class Section(NamedTuple):
    """One axis: the picture, and the compute that each strategy needed."""

    picture: Picture
    verdict: str
    columns: list[str]
    rows: list[Row]
    note: str


def write_replay(comparison: Comparison, folder: Path) -> Path:
    """Writes report.html, summary.csv (by strategy), replays.csv (by replay) and
    trajectories.parquet into ``folder`` and returns the page's path.

    Each is replaced whole. Raises RunError where that fails.
    """
    with atomic(folder / "trajectories.parquet") as aside:
        comparison.trajectories.to_parquet(aside, index=False)
    for name, frame in (("summary", summary(comparison)), ("replays", per_replay(comparison))):
        write_text(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    page = folder / "report.html"
    write_text(page, render(comparison))
    return page


def render(comparison: Comparison) -> str:
    """The whole page as HTML."""
    table = comparison.table
    axes = sorted(AXES, key=lambda axis: axis != comparison.axis)
    return render_template(
        "replay.html.j2",
        kind="replay",
        name=table.name,
        answer=verdict(comparison, comparison.axis),
        facts=_facts(comparison),
        sections=[_section(comparison, axis) for axis in axes],
        proposals=_proposals(comparison),
        measured=_measured(comparison),
        settings=to_toml(table.study),
    )


def _facts(comparison: Comparison) -> list[str]:
    replays, strategies = len(comparison.seeds), len(comparison.samplers)
    facts = [
        f"{strategies} strateg{'ies' if strategies > 1 else 'y'}",
        f"medians of {replays} replays each" if replays > 1 else "1 replay each",
        f"{len(comparison.keys):,} recorded architectures",
    ]
    if comparison.budget is not None:
        facts.append(f"at most {format_value('trainings', comparison.budget)} full trainings each")
    return facts


def _section(comparison: Comparison, axis: Axis) -> Section:
    series = share_series(comparison, axis)
    note = (
        "Lines are medians, bands hold the middle half of the replays. Upwards, equal steps are "
        "equal factors of what is still missing. A line ends with the last of its replays."
        if len(comparison.seeds) > 1
        else "Upwards, equal steps are equal factors of what is still missing."
    )
    picture = Picture(
        anchor=f"shares-{axis}",
        title=f"Hypervolume found, cost on a {axis} axis",
        reading="Higher and further left is better: more of the front with less training.",
        figure=share_figure(series) if series else None,
        note=note if series else "No replay found anything.",
    )
    won = wins(comparison.replays, axis, LEVEL)
    return Section(
        picture=picture,
        verdict=verdict(comparison, axis),
        columns=["strategy", *map(_percent, LEVELS), "wins"],
        rows=[_row(comparison, sampler, axis, won[sampler]) for sampler in comparison.samplers],
        note=_legend(comparison, won),
    )


def _row(comparison: Comparison, sampler: str, axis: Axis, won: int) -> Row:
    cells = []
    for level in LEVELS:
        needed = comparison.needed[sampler, axis, level]
        notes = [quartiles(needed), f"{needed.reached} of {needed.replays}"]
        factor = ratio(comparison, sampler, axis, level, OVER)
        if factor and sampler != comparison.baseline:
            notes.insert(1, f"{factor} ×")
        cells.append(Cell(amount(needed, OVER), list(filter(None, notes))))
    return _named(sampler, [*cells, Cell(str(won), [f"of {len(comparison.seeds)}"])])


def quartiles(needed: Needed) -> str:
    """``2.6 to 4.1``; empty for a single replay."""
    if needed.replays < 2:
        return ""
    low, high = (
        format_value("trainings", value) if math.isfinite(value) else UNREACHED
        for value in (needed.q25, needed.q75)
    )
    return f"{low} to {high}"


def _named(sampler: str, cells: list[Cell]) -> Row:
    return Row(sampler, STROKES.get(sampler, Stroke(OTHER, "solid")).colour, cells)


def _legend(comparison: Comparison, won: dict[str, int]) -> str:
    against = f"how many times {comparison.baseline}'s median it is, "
    note = (
        "Compute in full trainings of mean size: the median, under it the quartiles, "
        f"{against if len(comparison.samplers) > 1 else ''}and how many replays reached the level. "
        f"One that did not counts as infinite ({UNREACHED}); a median that is infinite is told by "
        f"what it is certainly above. Wins: the replays that reached {_percent(LEVEL)} with the "
        "least compute of all strategies with the same seed"
    )
    tied, lost = won[TIE], won[NOBODY]
    note += f"; {tied} tied" if tied else ""
    note += f"; in {lost} no strategy reached it" if lost else ""
    return f"{note}."


def _proposals(comparison: Comparison) -> list[Row]:
    """What a replay of each strategy was made of, and how long its proposals took."""
    top, replays = comparison.table.rungs[-1], len(comparison.seeds)
    rows = []
    for sampler in comparison.samplers:
        own = comparison.of(sampler)
        asked, full = column(own, "ask_seconds"), column(own, "rung") >= top
        spent = sum(replay.spent for replay in comparison.replays[sampler]) / replays
        cells = [
            Cell(format_value("ask_seconds", median_of(own, "ask_seconds"))),
            Cell(format_value("ask_seconds", float(np.max(asked, initial=-math.inf)))),
            Cell(f"{full.sum() / replays:.1f}"),
            Cell(f"{(~full).sum() / replays:.1f}"),
            Cell(format_value("trainings", spent)),
        ]
        rows.append(_named(sampler, cells))
    return rows


def _measured(comparison: Comparison) -> dict[str, list[tuple[str, str]]]:
    """What the figures mean, by heading, in pairs of label and text."""
    table, words = comparison.table, rules(comparison.table.study)
    epochs = ", ".join(map(str, table.rungs))
    seeds = sorted({int(count) for count in table.truth["seeds"]})
    point = [
        (f"reference {METRICS[name].short}", f"{format_value(name, value)}, {words[name]}")
        for name, value in comparison.reference.items()
    ]
    return {
        "What counts": [
            ("found", f"an architecture trained to {format_value('rung', table.rungs[-1])}"),
            ("truth", "mean validation error over the recorded seeds, whatever a replay saw"),
            ("best hypervolume", f"that of all {len(comparison.keys):,} truths together"),
            *point,
            ("axis of the search", f"{comparison.axis}: the cost that known-cost decides by"),
            ("full training of mean size", format_value("train_macs", comparison.unit)),
        ],
        "What was recorded": [
            ("run", table.name),
            ("architectures", f"{len(comparison.keys):,}"),
            ("trainings of each", " or ".join(map(str, seeds))),
            ("rungs", f"{epochs} epochs"),
            ("images", f"{table.images:,} of {'x'.join(map(str, table.shape))}"),
            ("time to record", duration(table.seconds)),
        ],
    }


def _percent(level: float) -> str:
    return f"{100 * level:.0f} %"
