"""The last lines of a search: which network to take, and what to type next."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import click

from dnsearch.analysis.candidates import Basis, Candidate, State
from dnsearch.analysis.metrics import duration, format_value
from dnsearch.confirm.run import default_request, expected_duration
from dnsearch.data import had_test
from dnsearch.report.answer import (
    change_of,
    confirm_change_of,
    error_of,
    export_command,
    going_on_of,
    latency_of,
    none_to_recommend,
    sure,
    sureness_of,
)
from dnsearch.report.digest import Digest, digest
from dnsearch.rundir import RUNS, RunDir
from dnsearch.search.answers import Change
from dnsearch.search.engine import INTERRUPTED
from dnsearch.search.results import Results
from dnsearch.text import counted

MOST_REASONS = 5
"""Kinds of failure that are told."""


def print_summary(
    results: Results, run: RunDir, reason: str, command: str, change: Change | None = None
) -> bool:
    """Prints why the search ended, the recommended network, the report and the next commands.

    ``command`` is what was typed; ``change``: how the answer differs from an earlier one. Returns
    whether any network finished.
    """
    found = digest(results, change)
    click.echo(f"\n{reason}: {_done(found)} in {duration(results.seconds)} of search")
    if reason == INTERRUPTED:
        click.echo(f"to go on:  {command}")
    print_failures([each.failure for each in found.candidates if each.state is State.FAILED])
    print_answer(found)
    click.echo(f"report:    {run.report}")
    if found.picks:
        named = run.path.parent == Path(RUNS)
        name = run.name if named else str(run.path)
        click.echo(f"export:    {export_command(name)}")
        _print_confirm(results, name)
        click.echo(f"train on:  dnsearch train {shlex.quote(name)}")
    return bool(found.front)


def print_failures(reasons: Sequence[str]) -> None:
    """Prints why training runs failed, the commonest reason first. Reasons that differ in their
    figures alone are one, told as it was the first time."""
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(re.sub(r"\d[\d.,]*", "#", reason), []).append(reason)
    most = sorted(kinds.values(), key=len, reverse=True)
    for number, own in enumerate(most[:MOST_REASONS]):
        _print("" if number else "failed:", f"{len(own)} x {shorten(own[0], 200)}")
    if len(most) > MOST_REASONS:
        left = sum(map(len, most[MOST_REASONS:]))
        _print("", f"{left} x for other reasons; the report has them")


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


def print_answer(found: Digest) -> None:
    """The network to take with its figures, what going on would be worth, what is as good and
    cheaper, and the baseline; or why there is none."""
    if found.answer is None:
        click.echo(none_to_recommend(found))
        return
    _print_network("take:", found.answer, found)
    _print("", _noise(found.answer, found))
    if how_sure := sureness_of(found):
        _print("", how_sure)
    if going_on := going_on_of(found):
        _print("going on:", going_on)
    if found.as_good:
        network, chance, tolerance = found.as_good
        _print_network("as good:", network, found)
        sure_of = "" if math.isnan(chance) else f" {sure(chance)}"
        _print("", f"within the noise (an error at most {100 * tolerance:.2g} % larger{sure_of})")
    if latency := latency_of(found):
        _print("latency:", latency)
    _print("baseline:", f"{found.baseline.words}: {format_value('error', found.baseline.error)}")
    if found.changed_from:
        _print("", confirm_change_of(found))
    if found.change:
        _print("", change_of(found))


def _print(label: str, text: str) -> None:
    click.echo(f"{label:<11}{text}")


def _noise(candidate: Candidate, found: Digest) -> str:
    """How much the error depends on chance."""
    joint = found.results.joint
    trained = f"{candidate.rung}-epoch training runs"
    if joint is None or not candidate.is_predicted:
        return f"from {trained} with one seed"
    points = 100 * joint.seed_noise * candidate.predicted_error
    if candidate.basis is Basis.CONFIRMED:
        trained = f"those of {joint.epochs} epochs that dnsearch confirm made, and {trained}"
    return f"from {trained}; seeds move errors by {points:.1f} points (sd)"


def _print_network(label: str, candidate: Candidate, found: Digest) -> None:
    shown = ["macs", "params", *(cost for cost in found.costs if cost == "latency_ms")]
    figures = ", ".join(format_value(name, candidate.figure(name)) for name in shown)
    _print(label, f"{candidate.name}  ({candidate.key})")
    _print("", error_of(candidate, found))
    _print("", figures)
