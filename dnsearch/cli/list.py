"""``dnsearch list``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.cli import json_option
from dnsearch.cli.runs import Kind, Listed, ago, runs_in
from dnsearch.rundir import RUNS

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.option(
    "--to", default=RUNS, type=click.Path(path_type=Path), help="Folder of runs [reports]."
)
@json_option
def command(to: Path, as_json: bool) -> None:
    """List the runs here: searches, scaling designs, trainings and replays, the latest first.

    A run is running, done, or interrupted: by Ctrl-C or by a kill, so that the same command goes
    on. The answer is the one of its last report, with the error that is expected on new images; of
    a training it is the measured error.
    """
    found = runs_in(to)
    if as_json:
        click.echo(json.dumps([run.record() for run in found], indent=2))
        return
    if not found:
        click.echo(f"there are no runs in {to}/ yet; dnsearch run makes one")
        return
    from rich.console import Console

    Console().print(_table([run for run in found if not run.problem], time.time()))
    for run in found:
        if run.problem:
            click.echo(f"{run.path.name}: cannot be read: {run.problem}")


def _table(runs: list[Listed], now: float) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("run", "kind", "state", "answer", "error"):
        table.add_column(name, overflow="fold")
    table.add_column("age", justify="right", no_wrap=True)
    for run in runs:
        cells = (run.path.name, run.kind, _state(run), *_answer(run), ago(now - run.changed))
        table.add_row(*map(Text, cells))
    return table


def _state(run: Listed) -> str:
    done = run.state or ""
    if run.kind is Kind.REPLAY or run.done is None or run.done == run.of:
        return done
    return f"{done} {run.done}/{run.of}"


def _answer(run: Listed) -> tuple[str, str]:
    """The network and its error; of a replay which strategy was first."""
    if run.kind is Kind.REPLAY:
        return run.reason, ""
    if run.answer is None:
        return "–", ""
    answer = run.answer
    text = f"{100 * answer.error:.2f} % {answer.error_name.removesuffix(' error')}"
    if answer.low is not None and answer.high is not None:
        text += f" ({100 * answer.low:.1f} to {100 * answer.high:.1f})"
    return answer.name, text
