"""The last lines of a search: which network to take, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

import click

from dnsearch.analysis.candidates import Basis, Candidate, State
from dnsearch.analysis.metrics import duration, format_value
from dnsearch.confirm.run import default_request, expected_duration
from dnsearch.data import had_test
from dnsearch.errors import NothingFound
from dnsearch.report.answer import (
    change_of,
    confirm_change_of,
    costs_of,
    error_of,
    export_command,
    going_on_of,
    kinds_of_failure,
    latency_of,
    margin_of,
    none_to_recommend,
    not_counted,
    split_batches,
    sureness_of,
    unsearched_of,
)
from dnsearch.report.digest import Digest, digest
from dnsearch.report.summary import summary
from dnsearch.rundir import RunDir
from dnsearch.search.answers import Change
from dnsearch.search.results import Results
from dnsearch.text import counted

MOST_REASONS = 5
"""Kinds of failure that are told."""


def print_summary(results: Results, run: RunDir, reason: str, change: Change | None = None) -> None:
    """Prints why the search ended, the recommended network, the report and the next commands.

    ``change``: how the answer differs from an earlier one.
    """
    found = digest(results, change)
    click.echo(f"\n{reason}: {_done(found)} in {duration(results.seconds)} of search")
    print_failures(_failures(results))
    for told in split_batches(found):
        _print("note:", told)
    print_answer(found)
    click.echo(f"report:    {run.report}")
    if found.picks:
        name = run.typed
        click.echo(f"export:    {export_command(name)}")
        _print_confirm(results, name)
        click.echo(f"train on:  dnsearch train {shlex.quote(name)}")


def require_found(results: Results, time_is_up: bool) -> None:
    """Raises NothingFound where no network finished within the limits; not where there was no time
    for one, and none failed."""
    found, failures = digest(results), _failures(results)
    if found.front or (time_is_up and not failures):
        return
    if not failures:
        raise NothingFound(none_to_recommend(found))
    _, first = kinds_of_failure(failures)[0]
    raise NothingFound(f"{counted(len(failures), 'candidate')} failed and none finished: {first}")


def _failures(results: Results) -> list[str]:
    return [each.failure for each in results.candidates if each.state is State.FAILED]


def print_failures(reasons: Sequence[str]) -> None:
    """Prints why training runs failed, the commonest kind first."""
    most = kinds_of_failure(reasons)
    for number, (count, reason) in enumerate(most[:MOST_REASONS]):
        _print("" if number else "failed:", f"{count} x {shorten(reason, 200)}")
    if len(most) > MOST_REASONS:
        left = sum(count for count, _ in most[MOST_REASONS:])
        _print("", f"{left} x for other reasons; the report has them")


def failures_record(reasons: Sequence[str]) -> list[dict[str, Any]]:
    """``kinds_of_failure`` for other programs."""
    return [{"count": count, "reason": reason} for count, reason in kinds_of_failure(reasons)]


def search_record(
    results: Results, run: RunDir, reason: str, change: Change | None = None
) -> dict[str, Any]:
    """What ``print_summary`` prints, for other programs: ``summary.json``, why the search ended,
    why training runs failed, and where the report is."""
    found = digest(results, change)
    told: dict[str, Any] = {"reason": reason, "report": str(run.report)}
    told["failures"] = failures_record(_failures(results))
    return told | summary(found)


def _done(found: Digest) -> str:
    """How many candidates ended in which way."""
    trained = f"{counted(len(found.finished), 'candidate')} trained"
    return ", ".join([trained, *not_counted(found)])


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
    """The network to take with its figures, how much of the budget was searched, what going on
    would be worth, what is as good and cheaper, and the baseline; or why there is none."""
    if found.answer is None:
        click.echo(none_to_recommend(found))
        return
    _print_network("take:", found.answer, found)
    _print("", _noise(found.answer, found))
    if how_sure := sureness_of(found):
        _print("", how_sure)
    if unsearched := unsearched_of(found):
        _print("budget:", unsearched)
    if going_on := going_on_of(found):
        _print("going on:", going_on)
    if found.as_good:
        _print_network("as good:", found.as_good.network, found)
        _print("", f"within the noise ({margin_of(found.as_good)})")
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
        trained = (
            f"those of {counted(joint.epochs, 'epoch')} that dnsearch confirm made, and {trained}"
        )
    return f"from {trained}; seeds move errors by {points:.1f} points (sd)"


def _print_network(label: str, candidate: Candidate, found: Digest) -> None:
    _print(label, f"{candidate.name}  ({candidate.key})")
    _print("", error_of(candidate, found))
    _print("", costs_of(candidate, found.costs))
