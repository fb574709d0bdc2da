"""Writes a run's report with all that is known of it: what every verb that ends in one calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.rundir import RUNS, RunDir

if TYPE_CHECKING:
    from dnsearch.confirm.findings import Confirmed
    from dnsearch.scaling.study import Scaling
    from dnsearch.search.results import Results


def write_page(
    results: Results,
    run: RunDir,
    scaling: Scaling | None = None,
    confirmed: Confirmed | None = None,
) -> Path:
    """Writes ``report.html`` and the files beside it into the run's folder, and notes its answer;
    the page's path. The page of a run that may only be read goes into ``folder_for`` it.

    scaling, confirmed: what `dnsearch scale` and `dnsearch confirm` have just found; by default
    what they find of the run as it stands. Raises RunError where a file cannot be written.
    """
    from dnsearch.confirm.findings import confirmed as findings
    from dnsearch.report.page import write_report
    from dnsearch.scaling.recorded import recorded_scaling
    from dnsearch.search.answers import answers, change, note_answer
    from dnsearch.search.results import read_results

    folder = folder_for(run)
    if folder != run.path:
        click.echo(f"note: {run.path} may only be read: what is written goes to {folder}", err=True)
    page = write_report(
        results,
        folder,
        confirmed or findings(results),
        scaling or recorded_scaling(results, run, read_results),
        change(results, answers(run)),
    )
    note_answer(results, run)
    return page


def folder_for(run: RunDir) -> Path:
    """Where to write what is found of a run: its folder, or for somebody else's, which may only be
    read, one below ours."""
    return run.path if run.is_writable else RUNS / f"{run.name}-report"
