"""``dnsearch status``."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsearch.cli.completion import complete_run
from dnsearch.cli.runs import Kind, Listed, ago, kind_of, listed
from dnsearch.errors import RunError
from dnsearch.rundir import RUNS, Holder, RunDir
from dnsearch.text import counted

if TYPE_CHECKING:
    from dnsearch.search.standing import Observer, Standing

WATCH_SECONDS = 5.0
MOST_RUNNING = 8
"""Training runs under way that are shown."""


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--watch", is_flag=True, help="Show it again every 5 s, until the run ends or Ctrl-C."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch a line each time.")
def command(run: str, watch: bool, as_json: bool) -> None:
    """Say how RUN, a search or a training, stands: what is done, under way and left, and the answer
    so far. It only reads, so it may be typed in another shell while RUN goes on.

    The best so far is by measured error, which is luckier than the error to expect. Predicted
    errors are in the report, which a search writes anew every now and then, and `dnsearch report
    RUN` at any time.
    """
    folder = _find(run)
    look = _looker(folder)
    if not watch:
        told, text, _ = look()
        click.echo(json.dumps(told, indent=2) if as_json else text)
        return
    _watch(look, as_json)


Look = Callable[[], tuple[dict[str, Any], str, bool]]
"""The figures for JSON, the same as text, and whether the run is at work."""


def _find(run: str) -> RunDir:
    """A search or a training by its name or path. Raises RunError where there is none."""
    for path in (RUNS / run, Path(run)):
        if kind_of(path) in (Kind.SEARCH, Kind.TRAINING):
            return RunDir(path)
    return RunDir.find(run)


def _looker(folder: RunDir) -> Look:
    if kind_of(folder.path) is Kind.TRAINING:
        return lambda: _training(folder)

    from dnsearch.search.standing import Observer

    observer = Observer(folder)
    return lambda: _search(folder, observer)


def _watch(look: Look, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    if as_json or not console.is_terminal:
        while True:
            told, text, goes_on = look()
            click.echo(json.dumps(told) if as_json else f"{text}\n")
            if not goes_on:
                return
            time.sleep(WATCH_SECONDS)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            _, text, goes_on = look()
            live.update(Text(text), refresh=True)
            if not goes_on:
                return
            time.sleep(WATCH_SECONDS)


def _training(folder: RunDir) -> tuple[dict[str, Any], str, bool]:
    row = listed(folder.path, Kind.TRAINING)
    if row.problem:
        raise RunError(f"{folder.path}: cannot be read: {row.problem}")
    holder = folder.holder()
    lines = [f"{folder.name}: training of one network, {row.state}{_by(holder)}"]
    assert row.of is not None  # as it could be read
    length = counted(row.of, "epoch")
    if row.answer is not None:
        lines.append(f"{'result:':<11}{100 * row.answer.error:.2f} % {row.answer.error_name}")
        length += ", all done"
    lines.append(f"{'length:':<11}{length}; last written {ago(time.time() - row.changed)} ago")
    return row.record(), "\n".join(lines), holder is not None


def _search(folder: RunDir, observer: Observer) -> tuple[dict[str, Any], str, bool]:
    found, row = observer.look(), listed(folder.path, Kind.SEARCH)
    text = "\n".join(
        f"{label + ':' if label else '':<11}{line}" for label, line in _lines(folder, found, row)
    )
    head = f"{folder.name}: {_state(found, row)}"
    return _record(folder, found, row), f"{head}\n{text}", found.holder is not None


def _state(found: Standing, row: Listed) -> str:
    if found.holder:
        return f"running{_by(found.holder)}"
    return f"{row.state or 'not running'}{f': {found.reason}' if found.reason else ''}"


def _by(holder: Holder | None) -> str:
    if holder is None:
        return ""
    since = datetime.fromisoformat(holder.since)
    length = ago((datetime.now(UTC) - since).total_seconds())
    return f", process {holder.process} on {holder.host}, for {length}"


def _lines(folder: RunDir, found: Standing, row: Listed) -> Iterator[tuple[str, str]]:
    from dnsearch.analysis.metrics import duration, error_label, format_value

    top = found.trained - found.lower - found.failed
    parts = [f"{top} to the top rung"]
    parts += [f"{found.lower} to a lower rung"] * bool(found.lower)
    parts += [f"{found.failed} failed"] * bool(found.failed)
    runs = f"{found.trained} of at most {counted(found.trials, 'trial')}"
    yield "trained", f"{runs}: {', '.join(parts)}"
    if found.confirmed:
        yield "confirmed", f"{counted(found.confirmed, 'training run')} by dnsearch confirm"
    most = "" if found.time is None else f" of at most {duration(found.time)}"
    yield "spent", f"{duration(found.seconds)} of search{most}"
    if found.holder and math.isfinite(found.left):
        until = ", or less: search.until may end it" if found.study.search.until else ""
        about = f"about {duration(found.left)} at the pace of the last training runs{until}"
        yield "left", about if found.trained > 1 else f"at most {duration(found.left)}"
    for number, each in enumerate(found.running[:MOST_RUNNING]):
        length = f"{counted(each.epochs, 'epoch')}, for {duration(each.seconds)}"
        yield "" if number else "under way", f"{each.arch.describe()}: {length}"
    if len(found.running) > MOST_RUNNING:
        yield "", f"{len(found.running) - MOST_RUNNING} more"
    if found.best is None:
        yield "best yet", "no network was trained to the top rung"
    else:
        kind = error_label(found.study.objectives.error)
        error = format_value("error", found.best.error)
        seeds = counted(found.best.seeds, "seed")
        yield (
            "best yet",
            f"{found.best.arch.describe()} ({found.best.arch.key}): {error} {kind}, as measured "
            f"with {seeds}",
        )
    if row.problem:
        yield "answer", f"the last report cannot be read: {row.problem}"
    if row.answer is not None:
        answer = row.answer
        when = ago(time.time() - (folder.path / "summary.json").stat().st_mtime)
        yield (
            "answer",
            f"{answer.name} ({answer.key}): {format_value('error', answer.error)} predicted "
            f"{answer.error_name}, by the report of {when} ago",
        )


def _record(folder: RunDir, found: Standing, row: Listed) -> dict[str, Any]:
    best, answer = found.best, row.answer
    return {
        "run": folder.name,
        "path": str(folder.path),
        "state": "running" if found.holder else row.state,
        "reason": found.reason,
        "holder": found.holder._asdict() if found.holder else None,
        "trained": found.trained,
        "lower_rung": found.lower,
        "failed": found.failed,
        "confirmed": found.confirmed,
        "trials": found.trials,
        "seconds": found.seconds,
        "time": found.time,
        "seconds_left": found.left if found.holder and math.isfinite(found.left) else None,
        "under_way": [
            {
                "key": each.arch.key,
                "name": each.arch.describe(),
                "epochs": each.epochs,
                "seconds": each.seconds if math.isfinite(each.seconds) else None,
            }
            for each in found.running
        ],
        "best": best
        and {
            "key": best.arch.key,
            "name": best.arch.describe(),
            "measured_error": best.error,
            "seeds": best.seeds,
        },
        "answer": answer and answer._asdict(),
    }
