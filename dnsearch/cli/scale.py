"""``dnsearch scale``."""

from __future__ import annotations

import math
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.cli import json_option, print_json
from dnsearch.cli.completion import complete_run
from dnsearch.cli.pages import place_for, write_networks, write_page
from dnsearch.errors import ConfigError
from dnsearch.files import write_json
from dnsearch.rundir import RunDir
from dnsearch.scaling import SIZES, TIMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dnsearch.scaling.study import Scaling

BUDGETS = ",".join(f"{times:g}" for times in TIMES)
WIDTH = 98


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option(
    "--times", default=BUDGETS, show_default=True, help="Larger budgets, joined by commas."
)
@click.option(
    "--cost",
    default="macs",
    show_default=True,
    type=click.Choice(SIZES),
    help="Cost that --times multiplies.",
)
@click.option("--latency", is_flag=True, help="Measure latencies here where RUN has none.")
@json_option
def command(runs: tuple[str, ...], times: str, cost: str, latency: bool, as_json: bool) -> None:
    """Say what a larger budget buys: error, shape and training time of networks beyond RUN.

    From one or more runs on the same images (best those of `dnsearch run STUDY --scaling`) it fits
    how error falls with MACs, parameters, activations and images, and how the best networks grow.
    It always predicts the largest networks from the others first, and refuses to say what it cannot
    know. The networks to train next are written to reports/RUN/scaling/, all figures to
    reports/RUN/scaling.json, of the first RUN.
    """
    budgets = _times(times)
    folders = list({folder.path.resolve(): folder for folder in map(RunDir.find, runs)}.values())

    from dnsearch.report.scaling_record import scaling_record
    from dnsearch.scaling.latency import measure_latencies, with_latencies
    from dnsearch.scaling.recorded import FILE, asked_record
    from dnsearch.scaling.study import study_scaling
    from dnsearch.search.results import read_results

    results = [read_results(folder) for folder in folders]
    latencies = measure_latencies(results[0]) if latency else {}
    results[0] = with_latencies(results[0], latencies)
    scaling = study_scaling(results, cost, budgets)
    place = place_for(folders[0])
    networks = write_networks(scaling, place)
    record = asked_record(folders, latencies) | scaling_record(scaling)
    write_json(place.path / FILE, record)
    report = write_page(results[0], folders[0], scaling)
    if as_json:
        print_json(record | {"report": str(report), "networks": [*map(str, networks)]})
        return
    written = [place.path / FILE, *networks]
    _print(scaling)
    _print_files(scaling, place, written, report)


def _times(text: str) -> list[float]:
    """Raises ConfigError for anything but numbers above 0, up to 1000."""
    found = []
    for part in text.split(","):
        try:
            number = float(part.strip().removesuffix("x"))
        except ValueError:
            number = math.nan
        if not 0 < number <= 1000:
            rule = "must be numbers above 0, up to 1000, joined by commas"
            raise ConfigError("--times", rule, part.strip(), "write 2,4")
        found.append(number)
    return list(dict.fromkeys(found))


def _print(scaling: Scaling) -> None:
    from dnsearch.report.forecast import told

    before = ""
    for label, text in told(scaling):
        shown = "" if label == before else f"{label}:"
        # what textwrap takes for one word: a figure and its unit
        whole = re.sub(r"(?<=\d) (?=\S)", "\N{NO-BREAK SPACE}", text)
        lines = textwrap.fill(
            f"{shown:<11}{whole}", WIDTH, subsequent_indent=" " * 11, break_on_hyphens=False
        )
        click.echo(lines.replace("\N{NO-BREAK SPACE}", " "))
        before = label


def _print_files(scaling: Scaling, place: RunDir, written: Sequence[Path], report: Path) -> None:
    """Where all is, and as the last line what to type next: as the page has it, how to train the
    network of the largest trusted budget, or what would settle why none is trusted."""
    from dnsearch.report.scaling_headline import headline

    for number, path in enumerate(written):
        click.echo(f"{'' if number else 'wrote:':<11}{path}")
    click.echo(f"{'report:':<11}{report}")
    next_step = headline(scaling, place)
    if next_step.first:
        click.echo(f"{'first:':<11}make {next_step.first}")
    click.echo(f"{next_step.label + ':':<11}{next_step.command}")
