"""The last lines of a search: which network to take, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.analysis.metrics import duration, format_value
from dnsearch.confirm.run import default_request, expected_duration
from dnsearch.data import had_test
from dnsearch.report.digest import Digest, digest, error_of, export_command, sureness_of
from dnsearch.rundir import RUNS, RunDir
from dnsearch.search.engine import INTERRUPTED, TIME_IS_UP
from dnsearch.search.results import Results
from dnsearch.text import counted

PICK = "knee"
"""What is recommended where the user has named no bound."""

LEAST_ERROR = "least-error"


def print_summary(results: Results, run: RunDir, reason: str, command: str) -> bool:
    """Prints why the search ended, the recommended network, the report and the next commands.

    ``command`` is what was typed. Returns whether there is a network to recommend.
    """
    found = digest(results)
    click.echo(f"\n{reason}: {_done(found)} in {duration(results.seconds)} of search")
    if reason == INTERRUPTED:
        click.echo(f"to go on:  {command}")
    if reason == TIME_IS_UP:
        click.echo("to go on:  the same command with a longer --time")
    if found.picks:
        _print_picks(found)
    else:
        click.echo("no network to recommend")
    click.echo(f"report:    {run.report}")
    if found.picks:
        named = run.path.parent == Path(RUNS)
        name = run.name if named else str(run.path)
        click.echo(f"export:    {export_command(name, PICK)}")
        _print_confirm(results, name)
        click.echo(f"train on:  dnsearch train {shlex.quote(f'{name}:{PICK}')}")
    return bool(found.picks)


def _done(found: Digest) -> str:
    """How many candidates ended in which way."""
    parts = [f"{counted(len(found.finished), 'candidate')} trained"]
    for state, what in (
        (State.SCREENED, "stopped at a lower rung"),
        (State.PARTIAL, "on part of the images"),
        (State.FAILED, "failed"),
        (State.UNFIT, "over a measured limit"),
    ):
        if found.counts[state]:
            parts.append(f"{found.counts[state]} {what}")
    return ", ".join(parts)


def _print_confirm(results: Results, name: str) -> None:
    """The command that says how far to trust the search, and how long it takes."""
    if results.study.search.sampler == "scaling":
        click.echo(f"scale:     dnsearch scale {shlex.quote(name)}  (what a larger budget buys)")
        return
    if not had_test(results.data, results.study.data):
        return
    seconds = expected_duration(results, default_request(results))
    length = "" if seconds is None else f"about {duration(seconds)}: "
    click.echo(
        f"confirm:   dnsearch confirm {shlex.quote(name)}  ({length}test errors with fresh seeds)"
    )


def _print_picks(found: Digest) -> None:
    knee, best = found.picks[PICK], found.picks[LEAST_ERROR]
    _print_pick("take:", knee, "the knee of the front", found)
    click.echo(f"           {_noise(knee, found)}")
    if best.key != knee.key:
        _print_pick("or:", best, "if only error counts", found)
    if sure := sureness_of(found):
        click.echo(f"           {sure}")


def _noise(candidate: Candidate, found: Digest) -> str:
    """How much a measured error depends on chance."""
    predictions, trainings = found.results.predictions, f"{candidate.rung}-epoch trainings"
    if predictions is not None:
        points = 100 * predictions.seed_noise * candidate.error
        return f"from {trainings}, whose errors differ by {points:.1f} points (sd) between seeds"
    points = 200 * candidate.error_se
    return f"from {trainings}; the choice of images alone moves errors by up to {points:.1f} points"


def _print_pick(verb: str, candidate: Candidate, why: str, found: Digest) -> None:
    shown = ["macs", "params", *(cost for cost in found.costs if cost == "latency_ms")]
    figures = ", ".join(format_value(name, candidate.figure(name)) for name in shown)
    click.echo(f"{verb:<11}{candidate.name}  ({candidate.key}, {why})")
    click.echo(f"           {error_of(candidate)}, {figures}")
