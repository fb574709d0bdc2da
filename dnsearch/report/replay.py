"""Writes the report of replayed strategies: the page, and its numbers as files beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dnsearch.analysis.metrics import METRICS, MISSING, duration, format_value
from dnsearch.analysis.pareto import Axis
from dnsearch.analysis.reference import rules
from dnsearch.config import to_toml
from dnsearch.files import atomic, require_ours, write_text
from dnsearch.replay.comparison import LEVEL, Comparison
from dnsearch.replay.measures import AXES, LEVELS, NOBODY, TIE, Needed, compute_to
from dnsearch.report.html import render_template
from dnsearch.report.parts import Cell, Picture, Row, Table
from dnsearch.report.shares import share_figure
from dnsearch.report.strategies import amount, ratio, simulated, verdict
from dnsearch.report.style import stroke_of
from dnsearch.rundir import PAGE_SIGN
from dnsearch.text import counted

UNREACHED, OVER = "∞", "> "


class Section(NamedTuple):
    """One axis of cost: the picture, and the compute or time that each strategy needed, under a
    heading."""

    picture: Picture
    heading: str
    verdict: str
    needed: Table


def write_replay(comparison: Comparison, folder: Path) -> Path:
    """Writes report.html, summary.csv (by strategy), replays.csv (by replay) and
    trajectories.parquet into ``folder`` and returns the page's path.

    Each is replaced whole. Raises RunError where that fails.
    """
    page = folder / "report.html"
    require_ours(page, PAGE_SIGN)
    with atomic(folder / "trajectories.parquet") as aside:
        comparison.trajectories.to_parquet(aside, index=False)
    for name, frame in (("summary", summary(comparison)), ("replays", per_replay(comparison))):
        write_text(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    write_text(page, render(comparison))
    return page


def summary(comparison: Comparison) -> pd.DataFrame:
    """One row a strategy, axis and level: ``Needed``, and ``times`` the baseline's median.

    The median is infinite where half of the replays did not reach the level, and ``times`` is then
    a lower bound. ``wins``: seeds with which this strategy reached the level first.
    ``ask_seconds``: the median time of a proposal. ``seconds``: simulated, the median, infinite as
    that of compute; ``busy``: the share of the workers' time in which they trained.
    """
    return pd.DataFrame(
        {
            "sampler": sampler,
            "axis": axis,
            "level": level,
            **needed._asdict(),
            "times": comparison.times(sampler, axis, level).value,
            "wins": comparison.wins[axis, level][sampler],
            "ask_seconds": comparison.proposals[sampler].median_seconds,
            "seconds": comparison.needed_seconds[sampler, axis, level].median,
            "busy": comparison.proposals[sampler].busy,
        }
        for (sampler, axis, level), needed in comparison.needed.items()
    )


def per_replay(comparison: Comparison) -> pd.DataFrame:
    """Compute to each level in each replay, infinite where unreached, and all that it spent."""
    return pd.DataFrame(
        {
            "sampler": sampler,
            "seed": seed,
            "axis": axis,
            "level": level,
            "compute": compute,
            "spent": replay.spent,
        }
        for sampler, own in comparison.replays.items()
        for axis in AXES
        for level in LEVELS
        for seed, replay, compute in zip(
            comparison.seeds, own, compute_to(own, axis, level), strict=True
        )
    )


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
        sections=[
            _section(comparison, axes[0]),
            *_timed(comparison, axes[0]),
            *(_section(comparison, axis) for axis in axes[1:]),
        ],
        proposals=_proposals(comparison),
        measured=_measured(comparison),
        settings=to_toml(table.study),
    )


def _facts(comparison: Comparison) -> list[str]:
    replays = len(comparison.seeds)
    facts = [
        counted(len(comparison.samplers), "strategy", "strategies"),
        f"medians of {replays} replays each" if replays > 1 else "1 replay each",
        f"{len(comparison.keys):,} recorded architectures",
    ]
    facts.append(simulated(comparison.machine))
    if comparison.budget is not None:
        facts.append(f"at most {format_value('trainings', comparison.budget)} full trainings each")
    return facts


def _section(comparison: Comparison, axis: Axis) -> Section:
    found, note = comparison.shares(axis), _reading(comparison)
    picture = Picture(
        anchor=f"shares-{axis}",
        title=f"Hypervolume found, cost on a {axis} axis",
        reading="Higher and further left is better: more of the front with less training.",
        figure=share_figure(found) if found else None,
        note=note if found else "No replay found anything.",
    )
    needed = Table(
        columns=["strategy", *map(_percent, LEVELS), "wins"],
        rows=[_needed_row(comparison, sampler, axis) for sampler in comparison.samplers],
        note=_legend(comparison, comparison.wins[axis, LEVEL]),
    )
    heading = "Compute to reach a share of the best hypervolume"
    return Section(picture, heading, verdict(comparison, axis), needed)


def _reading(comparison: Comparison) -> str:
    """How to read a picture of shares."""
    note = "The vertical axis is logarithmic in the share that is still missing."
    if len(comparison.seeds) > 1:
        note = f"Lines are medians, bands hold the middle half of the replays. {note} "
        note += "A line ends with the last of its replays."
    return note


def _timed(comparison: Comparison, axis: Axis) -> list[Section]:
    """The same against simulated time; nothing where no time was recorded."""
    found = comparison.shares(axis, by_time=True)
    if not found:
        return []
    machine = simulated(comparison.machine)
    picture = Picture(
        anchor=f"time-{axis}",
        title=f"Hypervolume found by time, cost on a {axis} axis",
        reading="Higher and further left is better: more of the front sooner.",
        figure=share_figure(found, "replay_seconds"),
        note=f"Simulated: {machine}. {_reading(comparison)}",
    )
    rows = []
    for sampler in comparison.samplers:
        cells = []
        for level in LEVELS:
            needed = comparison.needed_seconds[sampler, axis, level]
            notes = [quartiles(needed, "replay_seconds"), f"{needed.reached} of {needed.replays}"]
            cells.append(Cell(amount(needed, OVER, "replay_seconds"), list(filter(None, notes))))
        busy = comparison.proposals[sampler].busy
        rows.append(_row(sampler, *cells, Cell(_percent(busy) if busy == busy else MISSING)))
    needed = Table(
        columns=["strategy", *map(_percent, LEVELS), "workers busy"],
        rows=rows,
        note=f"Simulated seconds with {machine}: each training takes the time that was recorded. "
        "The median, under it the quartiles and how many replays reached the level. Workers busy: "
        "the share of their time in which they trained.",
    )
    heading = "Time to reach a share of the best hypervolume"
    return [Section(picture, heading, f"With {machine}.", needed)]


def _needed_row(comparison: Comparison, sampler: str, axis: Axis) -> Row:
    cells = []
    for level in LEVELS:
        needed = comparison.needed[sampler, axis, level]
        notes = [quartiles(needed), f"{needed.reached} of {needed.replays}"]
        factor = ratio(comparison, sampler, axis, level, OVER)
        if factor and sampler != comparison.baseline:
            notes.insert(1, f"{factor} ×")
        cells.append(Cell(amount(needed, OVER), list(filter(None, notes))))
    won = Cell(str(comparison.wins[axis, LEVEL][sampler]), [f"of {len(comparison.seeds)}"])
    return _row(sampler, *cells, won)


def _row(sampler: str, *cells: Cell) -> Row:
    return Row(sampler, cells, colour=stroke_of(sampler).colour)


def quartiles(needed: Needed, metric: str = "trainings") -> str:
    """``2.6 to 4.1``; empty for a single replay."""
    if needed.replays < 2:
        return ""
    low, high = (
        format_value(metric, value) if math.isfinite(value) else UNREACHED
        for value in (needed.q25, needed.q75)
    )
    return f"{low} to {high}"


def _legend(comparison: Comparison, won: Mapping[str, int]) -> str:
    several = len(comparison.samplers) > 1
    against = f"how many times {comparison.baseline}'s median it is, " if several else ""
    note = (
        "Compute in full trainings of mean size: the median, under it the quartiles, "
        f"{against}and how many replays reached the level. A replay that did not counts as "
        f"infinite ({UNREACHED}); where the median is infinite, its lower bound is given (>). "
        f"Wins: the replays that reached {_percent(LEVEL)} with the least compute of all "
        "strategies with the same seed"
    )
    tied, lost = won[TIE], won[NOBODY]
    note += f"; {tied} tied" if tied else ""
    note += f"; in {lost} no strategy reached it" if lost else ""
    return f"{note}."


def _proposals(comparison: Comparison) -> Table:
    """What a replay of each strategy was made of, and how long its proposals took."""
    rows = [
        _row(
            sampler,
            Cell(format_value("ask_seconds", made.median_seconds)),
            Cell(format_value("ask_seconds", made.longest_seconds)),
            Cell(f"{made.full:.1f}"),
            Cell(f"{made.screened:.1f}"),
            Cell(format_value("trainings", made.spent)),
        )
        for sampler, made in comparison.proposals.items()
    ]
    return Table(
        columns=[
            "strategy",
            "a proposal, median",
            "longest",
            "trained to the top",
            "screened",
            "compute spent",
        ],
        rows=rows,
        note="Means over the replays, except for the times of proposals. Screened: trained to a "
        f"lower rung, which finds nothing by itself but costs compute. A replay ends when its "
        f"compute is spent, when every architecture is trained, or when it has found "
        f"{_percent(max(LEVELS))} on both axes.",
    )


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
            ("true error", "mean validation error over all recorded seeds"),
            ("best hypervolume", f"that of all {len(comparison.keys):,} architectures together"),
            *point,
            ("axis of the search", f"{comparison.axis}, on which known-cost decides"),
            ("full training of mean size", format_value("train_macs", comparison.unit)),
        ],
        "What was recorded": [
            ("run", table.name),
            ("architectures", f"{len(comparison.keys):,}"),
            ("trainings of each", " or ".join(map(str, seeds))),
            ("rungs", f"{epochs} epochs"),
            ("images", f"{table.images:,} of {'x'.join(map(str, table.shape))}"),
            ("time to record", duration(table.seconds)),
            ("simulated", simulated(comparison.machine)),
        ],
    }


def _percent(level: float) -> str:
    return f"{100 * level:.0f} %"
