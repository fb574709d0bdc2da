"""How a comparison is printed, and its record for other programs."""

from __future__ import annotations

import math
import string
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dnsearch.analysis.comparison import SIGNIFICANT, Difference
from dnsearch.analysis.metrics import METRICS, MISSING, format_value, short_number
from dnsearch.cli.measured import Measured
from dnsearch.report.summary import plain
from dnsearch.search.compared import COST_NAMES, Compared, Expected, Tested
from dnsearch.search.fronts import Front, Fronts, Group
from dnsearch.text import counted, listed

MOST_LEADS = 6
"""Ranges of cost that are told; of more only how many there are."""

LETTERS = string.ascii_uppercase


def print_compared(found: Compared, measured: Measured | None) -> None:
    """Who is compared, a table of costs, one of errors, and what is assumed."""
    console = Console()
    for letter, row in zip(LETTERS, found.rows, strict=False):
        subject = row.subject
        told = "" if subject.label == subject.name else f"{subject.label}: "
        _line(f"{letter}  {told}{subject.name} ({subject.arch.key})")
    click.echo()
    console.print(_costs(found))
    if measured is not None:
        console.print(_measured(found, measured))
    if found.error_name or any(row.tested for row in found.rows):
        console.print(_errors(found))
    for note in found.notes:
        _line(f"note: {note}")


def _line(text: str) -> None:
    click.echo(text)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", show_edge=False, pad_edge=False
    )
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _costs(found: Compared) -> Table:
    shapes = {row.subject.shape for row in found.rows}
    inputs = "each network's own input"
    if len(shapes) == 1:
        inputs = f"input {'x'.join(map(str, shapes.pop()))}"
    table = _table(
        f"cost: {inputs}; training memory of {counted(found.batch_size, 'image')}",
        *(METRICS[name].short for name in COST_NAMES),
    )
    for place, row in enumerate(found.rows):
        cells = [
            f"{_amount(name, getattr(row.cost, name))}{_ratio(row.ratios[name], place)}"
            for name in COST_NAMES
        ]
        table.add_row(LETTERS[place], *cells)
    return table


def _amount(name: str, value: float) -> str:
    return format_value(name, value) if name == "train_bytes" else short_number(value)


def _ratio(ratio: float, place: int) -> str:
    """Behind a figure; short_number's prefixes would read as units."""
    return "" if place == 0 else f" x{ratio:.3g}" if ratio < 1000 else f" x{ratio:,.0f}"


def _measured(found: Compared, measured: Measured) -> Table:
    threads = f", {counted(measured.threads, 'thread')}" if measured.device == "cpu" else ""
    table = _table(
        f"measured here, {measured.device}{threads}, fp32: latency of 1 image by torch's modules; "
        f"peak memory of a training step of {counted(found.batch_size, 'image')}",
        "latency",
        "spread",
        "peak memory",
    )
    first, most = measured.latencies[0].ms, measured.peaks[0]
    for place, (latency, peak) in enumerate(zip(measured.latencies, measured.peaks, strict=True)):
        times = "" if not most or peak is None else _ratio(peak / most, place)
        table.add_row(
            LETTERS[place],
            f"{format_value('latency_ms', latency.ms)}{_ratio(latency.ms / first, place)}",
            f"± {latency.spread_ms / 2:.2g} ms{' noisy' if latency.unsteady else ''}",
            f"{format_value('train_bytes', peak)}{times}",
        )
    return table


def _errors(found: Compared) -> Table:
    lengths = {length for length in found.epochs if length is not None}
    after = f" after {counted(lengths.pop(), 'epoch')}" if len(lengths) == 1 else ""
    title = "test error"
    if found.error_name:
        title = f"expected {found.error_name}{after} (90 % on new images)"
    first = LETTERS[found.first or 0]
    tests = list(dict.fromkeys(_how(row.tested) for row in found.rows if row.tested))
    table = _table(
        title, "expected", f"points more than {first}", f"better than {first}", "test error"
    )
    for letter, row in zip(LETTERS, found.rows, strict=False):
        tested = MISSING if row.tested is None else format_value("error", row.tested.error)
        if row.tested and len(tests) > 1:
            tested += f" ({tests.index(_how(row.tested)) + 1})"
        table.add_row(letter, _expected(row.expected), *_differs(row.difference), tested)
    marks = [f"({place}) " if len(tests) > 1 else "" for place in range(1, len(tests) + 1)]
    told = [f"{mark}{how}" for mark, how in zip(marks, tests, strict=True)]
    table.caption = f"test error: {'; '.join(told)}" if told else None
    table.caption_justify = "left"
    return table


def _expected(expected: Expected | None) -> str:
    """With its interval on new images."""
    if expected is None:
        return MISSING
    ends = f"({100 * expected.new_low:.1f} to {100 * expected.new_high:.1f})"
    return f"{format_value('error', expected.error)} {ends}"


def _how(tested: Tested | None) -> str:
    if tested is None:
        return ""
    seeds, length = counted(tested.seeds, "seed"), counted(tested.epochs, "epoch")
    return f"{seeds} of {length}, by {tested.by}"


def _differs(found: Difference | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    text = f"{100 * found.median:+.2f}"
    if math.isnan(found.low):
        return text, "unknown"
    return f"{text} ({100 * found.low:+.2f} to {100 * found.high:+.2f})", _chance(found.smaller)


def _chance(chance: float) -> str:
    """Of so many draws no more is known than this."""
    if math.isnan(chance):
        return "unknown"
    if chance > 0.995:
        return "> 99 %"
    return "< 1 %" if chance < 0.005 else f"{100 * chance:.0f} %"


def print_fronts(found: Fronts | str) -> None:
    """The fronts of whole runs, or why they are not compared."""
    if isinstance(found, str):
        click.echo(f"\nfronts: {found}")
        return
    console = Console()
    console.print()
    console.print(_volumes(found))
    console.print(_levels(found))
    for line in _lead_lines(found):
        _line(line)
    for group in found.groups:
        for line in _group_lines(group, found):
            _line(line)
    if len(found.groups) == len(found.fronts):
        _line(
            "one run of each study: how much another seed of the search would change is not known "
            "(search.seed, with another --name, tells)"
        )
    for note in found.notes:
        _line(f"note: {note}")


def _volumes(found: Fronts) -> Table:
    costs = listed([METRICS[name].short for name in found.costs])
    point = ", ".join(format_value(name, value) for name, value in found.reference.items())
    table = _table(
        f"fronts: expected {found.error_name} and {costs} "
        f"({found.axis} axis), hypervolume up to {point}",
        "networks",
        "hypervolume",
        "90 % interval",
        f"more than {found.fronts[0].run}",
        "larger",
    )
    for front in found.fronts:
        table.add_row(Text(front.run), str(len(front.members)), *_volume(front))
    return table


def _volume(front: Front) -> tuple[str, str, str, str]:
    ends = MISSING if math.isnan(front.low) else f"{front.low:.4f} to {front.high:.4f}"
    found = front.difference
    if found is None:
        return f"{front.volume:.4f}", ends, "", ""
    text, larger = f"{found.median:+.4f}", "unknown"
    if not math.isnan(found.low):
        text += f" ({found.low:+.4f} to {found.high:+.4f})"
        larger = _chance(1 - found.smaller)
    return f"{front.volume:.4f}", ends, text, larger


def _levels(found: Fronts) -> Table:
    table = _table(
        "least expected error within a cost, and the probability that it is the least",
        *(front.run for front in found.fronts),
    )
    for level in found.levels:
        cells = [
            f"{format_value('error', error)} ({_chance(chance)})"
            for error, chance in zip(level.errors, level.probability, strict=True)
        ]
        table.add_row(format_value(found.costs[0], level.bound), *cells)
    return table


def _lead_lines(found: Fronts) -> list[str]:
    """In which range of cost which front has the least expected error."""
    cost, lines = found.costs[0], []
    for lead in found.leads:
        if lead.run is None:
            continue
        low = format_value(cost, lead.low)
        to = "on" if math.isinf(lead.high) else f"to {format_value(cost, lead.high)}"
        lines.append(f"{found.fronts[lead.run].run} has the least expected error from {low} {to}")
    if len(lines) > MOST_LEADS:
        lines = [
            f"the least expected error changes hands {len(lines) - 1} times; --json says where"
        ]
    return lines


def _group_lines(group: Group, found: Fronts) -> list[str]:
    lines = []
    if len(group.runs) > 1:
        lines.append(
            f"{listed(group.runs)} are one study with {len(group.runs)} seeds: hypervolume "
            f"{group.mean:.4f}, standard deviation {group.sd:.4f}"
        )
        lines.append("  error that one, half and all of them reach within")
        lines += [
            f"  {format_value(found.costs[0], level.bound):>12}: {_three(group, place)}"
            for place, level in enumerate(found.levels)
        ]
    if group.test is not None and len(group.runs) + len(found.groups[0].runs) > 2:
        lines.append(f"  {_verdict(group, found.groups[0])}")
    return lines


def _three(group: Group, place: int) -> str:
    errors = (line[place] for line in (group.best, group.median, group.worst))
    return ", ".join(format_value("error", error) for error in errors)


def _verdict(group: Group, first: Group) -> str:
    """Whether two studies' hypervolumes differ by more than their seeds do."""
    assert group.test
    ours, theirs = len(group.runs), len(first.runs)
    by = group.mean - first.mean
    told = f"hypervolume {by:+.4f} against {listed(first.runs)}, permutation test p = "
    told += f"{group.test.p:.3f}"
    if not group.test.can_tell:
        return (
            f"{told}: {theirs} and {counted(ours, 'run')} cannot tell a difference from noise (the "
            f"least p they can give is {group.test.least:.2f}; 4 and 4 can)"
        )
    more = "more" if group.test.p <= SIGNIFICANT else "no more"
    return f"{told}: {more} than the noise of the seeds"


def record(
    found: Compared, fronts: Fronts | str | None, measured: Measured | None
) -> dict[str, Any]:
    """JSON's types alone; a missing figure is None."""
    rows = [
        {
            "label": row.subject.label,
            "name": row.subject.name,
            "key": row.subject.arch.key,
            "config": row.subject.arch.to_dict(),
            "run": row.subject.results.name if row.subject.results else None,
            "input": row.subject.shape,
            "cost": vars(row.cost),
            "ratios": row.ratios,
            "epochs": found.epochs[place],
            "expected": row.expected and row.expected._asdict(),
            "difference": row.difference and row.difference._asdict(),
            "tested": row.tested and row.tested._asdict(),
            "measured": measured and measured.record(place),
        }
        for place, row in enumerate(found.rows)
    ]
    told = {
        "networks": rows,
        "batch_size": found.batch_size,
        "error": found.error_name or None,
        "differences_from": None if found.first is None else rows[found.first]["label"],
        "notes": found.notes,
        "fronts": _fronts_record(fronts),
    }
    return plain(told)


def _fronts_record(found: Fronts | str | None) -> dict[str, Any] | None:
    if found is None:
        return None
    if isinstance(found, str):
        return {"not_compared": found}
    names = [front.run for front in found.fronts]
    return {
        "costs": found.costs,
        "axis": found.axis,
        "reference": found.reference,
        "fronts": [
            {
                "run": front.run,
                "members": [
                    {"key": c.key, "name": c.name, "expected_error": c.predicted_error}
                    | {cost: c.figure(cost) for cost in found.costs}
                    for c in front.members
                ],
                "hypervolume": front.volume,
                "low": front.low,
                "high": front.high,
                "difference": front.difference and front.difference._asdict(),
            }
            for front in found.fronts
        ],
        "levels": [level._asdict() for level in found.levels],
        "leads": [
            {
                "low": lead.low,
                "high": lead.high,
                "run": None if lead.run is None else names[lead.run],
            }
            for lead in found.leads
        ],
        "groups": [
            group._asdict()
            | {"test": group.test and group.test._asdict() | {"can_tell": group.test.can_tell}}
            for group in found.groups
        ],
        "notes": found.notes,
    }
