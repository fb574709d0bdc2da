"""The last lines of a search: which network to take, and what to type next."""

from __future__ import annotations

import click
import pandas as pd

from dnsearch.analysis.metrics import duration, format_error, format_value
from dnsearch.analysis.picks import finished, recommend
from dnsearch.analysis.trust import binomial_standard_error
from dnsearch.rundir import RunDir
from dnsearch.search.results import Results

PICK = "knee"
"""What is recommended where the user has named no bound."""


def print_summary(results: Results, run: RunDir, reason: str, again: str) -> None:
    """Prints why the search ended, the recommended network, the report and the next commands."""
    candidates, costs = results.candidates, results.study.objectives.costs
    failed = int((candidates["state"] == "failed").sum())
    done = f"{len(finished(candidates))} candidates trained" + (
        f", {failed} failed" if failed else ""
    )
    click.echo(f"\n{reason}: {done} in {duration(results.seconds)} of search")
    if reason in ("interrupted", "the time is up"):
        click.echo(f"to go on:  {again}")
    picks = recommend(candidates, costs)
    if not picks:
        click.echo("no network to recommend yet")
    else:
        _print_pick(picks[PICK], results)
    click.echo(f"report:    {run.report}")
    if picks:
        click.echo(f"export:    dnsearch export {run.path} --pick {PICK} --to {run.name}-{PICK}")


def _print_pick(row: pd.Series, results: Results) -> None:
    images = results.data["images"]["validation"]
    error = format_error(row["error"], float(binomial_standard_error(row["error"], images)))
    shown = ["macs", "params", *(c for c in results.study.objectives.costs if c == "latency_ms")]
    figures = ", ".join(format_value(name, row[name]) for name in shown)
    click.echo(f"take:      {row['name']}  ({row['key']}, the knee of the front)")
    click.echo(f"           {error} validation error, {figures}")
    click.echo(
        f"           from one {row['rung']}-epoch training on {images:,} validation images: "
        "differences under 2 standard errors are not real"
    )
