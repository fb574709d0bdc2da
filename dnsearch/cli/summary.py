"""The last lines of a search: which network to take, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from dnsearch.analysis.frames import Candidate, texts
from dnsearch.analysis.metrics import duration, format_value
from dnsearch.analysis.picks import finished
from dnsearch.analysis.trust import binomial_standard_error
from dnsearch.confirm.run import default_request, expected_duration
from dnsearch.data import had_test
from dnsearch.report.digest import Digest, digest, error_of, export_command, sureness_of
from dnsearch.rundir import RUNS, RunDir
from dnsearch.search.engine import INTERRUPTED, TIME_IS_UP
from dnsearch.search.results import Results

PICK = "knee"
"""What is recommended where the user has named no bound."""

LEAST_ERROR = "least-error"


def print_summary(results: Results, run: RunDir, reason: str, command: str) -> bool:
    """Prints why the search ended, the recommended network, the report and the next commands.

    ``command`` is what was typed. Returns whether there is a network to recommend.
    """
    candidates = results.candidates
    states = texts(candidates, "state")
    screened, partial, failed = (states.count(s) for s in ("screened", "partial", "failed"))
    count = len(finished(candidates))
    done = f"{count} candidate{'s' * (count != 1)} trained"
    done += f", {screened} stopped at a lower rung" if screened else ""
    done += f", {partial} on part of the images" if partial else ""
    done += f", {failed} failed" if failed else ""
    click.echo(f"\n{reason}: {done} in {duration(results.seconds)} of search")
    if reason == INTERRUPTED:
        click.echo(f"to go on:  {command}")
    if reason == TIME_IS_UP:
        click.echo("to go on:  the same command with a longer --time")
    found = digest(results)
    picks = found.picks
    if picks:
        _print_picks(found)
    else:
        click.echo("no network to recommend")
    click.echo(f"report:    {run.report}")
    if picks:
        named = run.path.parent == Path(RUNS)
        name = run.name if named else str(run.path)
        click.echo(f"export:    {export_command(name, PICK)}")
        _print_confirm(results, name)
        click.echo(f"train on:  dnsearch train {shlex.quote(f'{name}:{PICK}')}")
    return bool(picks)


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
    if best["key"] != knee["key"]:
        _print_pick("or:", best, "if only error counts", found)
    if sure := sureness_of(found):
        click.echo(f"           {sure}")


def _noise(row: Candidate, found: Digest) -> str:
    """How little a measured error means."""
    beliefs, trainings = found.results.beliefs, f"{row['rung']}-epoch trainings"
    if beliefs is not None:
        points = 100 * beliefs.noise * row["error"]
        return f"from {trainings}, whose errors differ by {points:.1f} points (sd) between seeds"
    points = 200 * float(binomial_standard_error(row["error"], found.validation_images))
    return f"from {trainings}; the choice of images alone moves errors by up to {points:.1f} points"


def _print_pick(verb: str, row: Candidate, why: str, found: Digest) -> None:
    shown = ["macs", "params", *(cost for cost in found.costs if cost == "latency_ms")]
    figures = ", ".join(format_value(name, row[name]) for name in shown)
    click.echo(f"{verb:<11}{row['name']}  ({row['key']}, {why})")
    click.echo(f"           {error_of(row)}, {figures}")
