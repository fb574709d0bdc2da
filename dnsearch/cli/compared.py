"""How a comparison is printed, and its record for other programs."""

from __future__ import annotations

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dnsearch.report.comparison import Titled, front_lines, front_tables, names, network_tables
from dnsearch.report.parts import Cell
from dnsearch.report.summary import plain
from dnsearch.search.compared import Compared, Measured
from dnsearch.search.fronts import Fronts


def print_compared(found: Compared, measured: Measured | None) -> None:
    """Who is compared, a table of costs, one of errors, and what is assumed."""
    _lines(names(found))
    click.echo()
    console = Console()
    for titled in network_tables(found, measured):
        console.print(_shown(titled))
    _lines([f"note: {note}" for note in found.notes])


def print_fronts(found: Fronts | str) -> None:
    """The fronts of whole runs, or why they are not compared."""
    if isinstance(found, str):
        click.echo(f"\nfronts: {found}")
        return
    console = Console()
    console.print()
    for titled in front_tables(found):
        console.print(_shown(titled))
    _lines([*front_lines(found), *(f"note: {note}" for note in found.notes)])


def _lines(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


def _shown(titled: Titled) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=titled.title,
        title_justify="left",
        caption=titled.caption or None,
        caption_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    names_of_rows, *columns = titled.table.columns
    table.add_column(names_of_rows)
    for column in columns:
        table.add_column(Text(column), justify="right")
    for row in titled.table.rows:
        table.add_row(Text(row.name), *(Text(_cell(cell)) for cell in row.cells))
    return table


def _cell(cell: Cell) -> str:
    return " ".join([cell.text, *cell.notes])


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
            "predicted": row.predicted and row.predicted._asdict(),
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
                    {"key": c.key, "name": c.name, "predicted_error": c.predicted_error}
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
