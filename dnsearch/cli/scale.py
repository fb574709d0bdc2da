"""``dnsearch scale``."""

from __future__ import annotations

import math
import re
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.errors import ConfigError
from dnsearch.rundir import RunDir, write_json

if TYPE_CHECKING:
    from dnsearch.scaling.study import Scaling

SIZES = ("macs", "params", "activations")
TIMES = "2,4,8"
WIDTH = 98


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--times", default=TIMES, show_default=True, help="Larger budgets, joined by commas.")
@click.option(
    "--cost", default="macs", show_default=True, type=click.Choice(SIZES), help="What they are of."
)
@click.option("--latency", is_flag=True, help="Measure latencies here where RUN has none.")
def command(runs: tuple[str, ...], times: str, cost: str, latency: bool) -> None:
    """Say what a larger budget buys: error, shape and training time of networks beyond RUN.

    From one or more runs on the same images (best those of `dnsearch run STUDY --scaling`) it fits
    how error falls with MACs, parameters, activations and images, and how the best networks grow.
    It always predicts the largest networks from the others first, and refuses to say what it cannot
    know. The networks to train next are written to reports/RUN/scaling/, all figures to
    reports/RUN/scaling.json, of the first RUN.
    """
    budgets = _times(times)
    folders = list({folder.path.resolve(): folder for folder in map(RunDir.find, runs)}.values())

    from dnsearch.report.page import write_report
    from dnsearch.scaling.study import study_scaling
    from dnsearch.search.results import read_results

    results = [read_results(folder, predictions=True) for folder in folders]
    if latency:
        from dnsearch.scaling.latency import with_latencies

        results[0] = with_latencies(results[0])
    scaling = study_scaling(results, cost, budgets)
    written = _write(scaling, folders[0])
    report = write_report(results[0], folders[0].path, scaling)
    _print(scaling)
    click.echo(f"{'wrote:':<11}{folders[0].path / 'scaling.json'}")
    for path in written:
        click.echo(f"{'':<11}{path}")
    click.echo(f"{'report:':<11}{report}")
    file, study = written[min(1, len(written) - 1)], folders[0].study_file
    words = ["dnsearch", "train", file, "--study", study, "--epochs", scaling.epochs]
    words += ["--name", f"{folders[0].name}-{file.stem}"]
    click.echo(f"{'train it:':<11}{shlex.join(map(str, words))}")


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


def _write(scaling: Scaling, folder: RunDir) -> list[Path]:
    """The networks as config.json files, and all figures."""
    from dnsearch.report.forecast import record

    for stale in (folder.path / "scaling").glob("x*.json"):
        stale.unlink()
    written = []
    for larger in scaling.next:
        written.append(folder.path / "scaling" / f"x{larger.times:g}.json")
        write_json(written[-1], larger.arch.to_dict())
    write_json(folder.path / "scaling.json", record(scaling))
    return written


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
