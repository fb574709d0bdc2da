"""Makes what the README shows from the run it shows, and docs/commands.md from the commands' help.

    dnsearch run --name example --to reports     # the run, kept in reports/example
    python studies/make_docs.py                  # the picture, the commands, the figures

Prints every figure of that run that the README quotes.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from dnsearch.analysis.candidates import figures, finished
from dnsearch.analysis.metrics import duration
from dnsearch.cli import VERBS, cli
from dnsearch.files import write_text
from dnsearch.report.answer import answer
from dnsearch.report.digest import digest
from dnsearch.report.figure_files import framed
from dnsearch.report.front import front_figure
from dnsearch.report.series import front_series
from dnsearch.rundir import RunDir
from dnsearch.search.results import Results, read_results

ROOT = Path(__file__).parents[1]
EXAMPLE = RunDir(ROOT / "reports" / "example")


def main() -> None:
    """Writes the picture and the commands, and prints the figures."""
    results = read_results(EXAMPLE)
    draw_front(results, ROOT / "docs" / "pareto.png")
    write_text(ROOT / "docs" / "commands.md", commands())
    print_figures(results)


def draw_front(results: Results, path: Path) -> None:
    """The report's Pareto front as a picture; needs kaleido and a chromium."""
    figure = front_figure(front_series(digest(results), results.study.objectives.costs[0]))
    framed(figure).write_image(path, width=900, height=460, scale=2)


def commands() -> str:
    """The help of every verb, as Markdown."""
    parts = ["# Commands", "Written by `make docs` from the commands' own help."]
    parent = cli.make_context("dnsearch", [], resilient_parsing=True)
    for name in VERBS:
        verb = cli.get_command(parent, name)
        assert verb is not None
        text = verb.get_help(click.Context(verb, info_name=name, parent=parent))
        parts += [f"## dnsearch {name}", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def print_figures(results: Results) -> None:
    """Every figure of the run that the README quotes."""
    done = finished(results.candidates)
    seconds, ends = (figures(results.candidates, name) for name in ("seconds", "finished_after"))
    machine = results.environment
    print(f"environment    {machine['cpu_cores']} cores, {machine['processor']}")
    print(f"candidates     {len(done)} in {duration(results.seconds)} of search")
    print(f"first          after {duration(float(np.nanmin(ends)))}")
    print(f"a candidate    {duration(float(np.nanmedian(seconds)))} (median)")
    print(f"answer         {answer(digest(results))}")


if __name__ == "__main__":
    main()
