"""`dnsearch compare --html`: networks and whole runs side by side, as a page that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dnsearch.files import write_text
from dnsearch.report.comparison import (
    LETTERS,
    Titled,
    front_lines,
    front_tables,
    network_tables,
    verdicts,
)
from dnsearch.report.comparison_figures import fronts_figure, stage_figure
from dnsearch.report.comparison_series import (
    fronts_series,
    part_title,
    stage_series,
)
from dnsearch.report.drawings import shapes
from dnsearch.report.html import render_template
from dnsearch.report.parts import Picture
from dnsearch.report.style import colour_of
from dnsearch.text import capitalised, counted, listed, sentence

if TYPE_CHECKING:
    from dnsearch.search.compared import Compared, Measured
    from dnsearch.search.fronts import Fronts


class Drawn(NamedTuple):
    """A network that the page draws: its letter, what was typed, its name, key and colour."""

    letter: str
    label: str
    name: str
    key: str
    colour: str


class FrontsSection(NamedTuple):
    """How the fronts of whole runs compare; with no pictures ``lines`` say why they do not."""

    pictures: list[Picture]
    tables: list[Titled]
    lines: list[str]


def write_comparison(
    path: Path, found: Compared, fronts: Fronts | str | None, measured: Measured | None = None
) -> None:
    """Writes the page. Raises RunError where the file cannot be written."""
    write_text(path, render(found, fronts, measured))


def render(found: Compared, fronts: Fronts | str | None, measured: Measured | None = None) -> str:
    """The whole page as HTML."""
    names = list(dict.fromkeys(row.subject.label for row in found.rows))
    lead, *others = verdicts(found, fronts)
    facts = [counted(len(found.rows), "network")]
    if fronts is not None and not isinstance(fronts, str):
        facts.append(counted(len(fronts.fronts), "run"))
    return render_template(
        "compare.html.j2",
        kind="compare",
        name=listed(names),
        lead=lead,
        others=others,
        facts=facts,
        drawn=_drawn(found),
        networks=_networks(found),
        tables=[_named(titled, found) for titled in network_tables(found, measured)],
        notes=[sentence(note) for note in found.notes],
        stages=_stage_pictures(found),
        fronts=_fronts(fronts),
    )


def _drawn(found: Compared) -> list[Drawn]:
    subjects = [row.subject for row in found.rows]
    labels = ["" if each.label == each.name else each.label for each in subjects]
    return [
        Drawn(LETTERS[place], label, each.name, each.arch.key, colour_of(place))
        for place, (each, label) in enumerate(zip(subjects, labels, strict=True))
    ]


def _named(titled: Titled, found: Compared) -> Titled:
    """The table with names beside the letters, each in its colour."""
    rows = [
        row._replace(name=f"{row.name}  {network.subject.name}", colour=colour_of(place))
        for place, (row, network) in enumerate(zip(titled.table.rows, found.rows, strict=True))
    ]
    return titled._replace(table=titled.table._replace(rows=rows))


def _networks(found: Compared) -> dict[str, dict[str, Any]]:
    """By letter what ``drawing.js`` draws a network from."""
    subjects = zip(LETTERS, (row.subject for row in found.rows), strict=False)
    return {
        letter: {"name": each.name, **next(shapes([each.arch], *each.shape[1:]))}
        for letter, each in subjects
    }


def _stage_pictures(found: Compared) -> list[Picture]:
    return [
        Picture(f"stages-{series.cost}", part_title(series.cost), "", stage_figure(series), "")
        for series in stage_series(found)
    ]


def _fronts(found: Fronts | str | None) -> FrontsSection | None:
    if found is None:
        return None
    if isinstance(found, str):
        return FrontsSection([], [], [sentence(f"the fronts are not compared: {found}")])
    lines = [*front_lines(found, pictured=True), *(f"note: {note}" for note in found.notes)]
    return FrontsSection(
        [_fronts_picture(found, cost) for cost in found.costs], front_tables(found), lines
    )


def _fronts_picture(found: Fronts, cost: str) -> Picture:
    series = fronts_series(found, cost)
    reading = (
        "Lower and further left is better. Points are the networks on each run's front with the "
        "90 % interval of their predicted error; lines join them. Both axes are logarithmic."
    )
    if series.attained:
        reading += (
            " Of several runs of one study the band lies between the error that one of them "
            "reaches within a cost and that which all reach (the empirical attainment surface); "
            "half of them reach the thick line."
        )
    return Picture(
        f"fronts-{cost}",
        capitalised(f"{series.error} of all fronts"),
        reading,
        fronts_figure(series),
        "",
    )
