"""``dnsearch replay``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from dnsearch.cli import last_json_option, print_json, quiet_option
from dnsearch.cli.completion import complete_run
from dnsearch.config.study import Sampler
from dnsearch.errors import ConfigError, RunError, cannot_write, nearest
from dnsearch.files import make_folder
from dnsearch.machine import cpu_cores
from dnsearch.rundir import RUNS, RunDir

if TYPE_CHECKING:
    from rich.table import Table

    from dnsearch.analysis.pareto import Axis
    from dnsearch.replay.comparison import Comparison

SAMPLERS = tuple(name for name in get_args(Sampler) if name not in ("grid", "scaling"))
"""Strategies that may be replayed: a grid is random search, and what a scaling design trains on a
part of the images is not recorded."""

BUDGET = 50.0
"""Full trainings of mean size that a replay may spend; more takes gp, the slowest, hours."""


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--samplers",
    default=",".join(SAMPLERS),
    help=f"Strategies, joined by commas [{','.join(SAMPLERS)}]; module:Class, file.py:Class.",
)
@click.option(
    "--seeds", default=20, show_default=True, type=click.IntRange(min=1), help="Replays of each."
)
@click.option(
    "--compute",
    default=BUDGET,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Most that a replay spends, in full trainings of mean size.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Workers that are simulated, each training one network at a time.",
)
@click.option(
    "--free-proposals",
    is_flag=True,
    help="Simulate proposals that take no time; else they take what they really took.",
)
@click.option(
    "--processes", type=click.IntRange(min=1), help="Processes that replay; by default one a core."
)
@click.option("--name", help="Name of the report's folder; by default replay-RUN.")
@click.option(
    "--to", default=RUNS, type=click.Path(path_type=Path), help="Folder it goes into [reports]."
)
@quiet_option
@last_json_option
def command(
    run: str,
    samplers: str,
    seeds: int,
    compute: float,
    workers: int,
    free_proposals: bool,
    processes: int | None,
    name: str | None,
    to: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare search strategies on the recorded trainings of RUN; nothing is trained.

    RUN is a name below reports/, a path, or bench:NAME for trainings that come with dnsearch. The
    report says which strategy finds the front with how much compute, and how soon: --workers are
    simulated, with the recorded seconds of each training. Ctrl-C ends it.

    Any Optuna sampler can be compared by import path, module:Class or file.py:Class, such as those
    of OptunaHub. This runs its code, so only this command takes one; a study file, which may be
    somebody else's, names samplers of dnsearch's list alone.
    """
    chosen = _chosen(samplers)
    if not math.isfinite(compute):
        raise ConfigError("--compute", "must be a finite number", compute)

    from dnsearch.replay.evaluator import Machine
    from dnsearch.replay.files import read_table
    from dnsearch.replay.run import replays

    machine = Machine(workers, charged=not free_proposals)
    table = read_table(run)
    folder = _folder(f"replay-{table.name}" if name is None else name, to)
    with _progress(table.name, quiet or as_json) as show:
        found = replays(table, chosen, seeds, compute, processes or cpu_cores(), show, machine)

    from dnsearch.replay.comparison import compare
    from dnsearch.report.replay import summary, write_replay

    comparison = compare(table, found, chosen, range(seeds), compute, machine=machine)
    page = write_replay(comparison, folder.path)
    if as_json:
        rows = summary(comparison).to_dict("records")
        told = {"of": table.name, "seeds": seeds, "compute": compute, "workers": workers}
        told |= {"free_proposals": free_proposals, "strategies": rows}
        print_json(told | {"report": str(page)})
        return
    _print(comparison)
    click.echo(f"report:    {page}")


def _chosen(samplers: str) -> list[str]:
    """The strategies that were named, each once."""
    chosen = list(dict.fromkeys(name.strip() for name in samplers.split(",")))
    for name in chosen:
        if ":" in name:
            _try_import(name)
        elif name not in SAMPLERS:
            raise ConfigError("--samplers", "names no strategy", name, nearest(name, SAMPLERS))
    return chosen


def _try_import(path: str) -> None:
    """Raises ConfigError where no sampler can be made by this import path."""
    from dnsearch.search.samplers.imported import imported_sampler

    try:
        imported_sampler(path, seed=0)
    except ConfigError as error:
        raise ConfigError("--samplers", error.rule, error.got, error.hint) from None


def _folder(name: str, to: Path) -> RunDir:
    """Where the report goes. Raises RunError where a run lies already."""
    folder = RunDir.named(name, to)
    if folder.is_search:
        raise RunError(f"{folder.path}: is a run; choose another --name")
    try:
        make_folder(folder.path)
    except OSError as error:
        raise cannot_write(folder.path, error) from None
    return folder


@contextlib.contextmanager
def _progress(title: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Takes how many replays of how many are over: a bar on a terminal, ten lines elsewhere,
    nothing if ``quiet``."""
    if quiet:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console()
    if console.is_terminal:
        with Progress(console=console) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return

    def lines(done: int, total: int) -> None:
        if done and 10 * done // total > 10 * (done - 1) // total:
            click.echo(f"{title}: {done} of {total} replays")

    yield lines


def _print(comparison: Comparison) -> None:
    """Compute to each level by strategy, a table for each axis, and time, within 80 columns."""
    from rich.console import Console

    from dnsearch.replay.measures import AXES

    click.echo("\nmedian full trainings of mean size to reach a share of the best hypervolume:\n")
    console = Console()
    for axis in AXES:
        console.print(_needed(comparison, axis))
    console.print(_time(comparison))


def _needed(comparison: Comparison, axis: Axis) -> Table:
    from rich import box
    from rich.table import Table

    from dnsearch.replay.comparison import LEVEL
    from dnsearch.replay.measures import LEVELS
    from dnsearch.report.strategies import amount

    title = f"cost on a {axis} axis; wins at {100 * LEVEL:.0f} %"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    shown.add_column("strategy")
    for level in LEVELS:
        shown.add_column(f"{100 * level:.0f} %", justify="right")
        shown.add_column("reached")
    shown.add_column("wins", justify="right")
    for sampler in comparison.samplers:
        needed = [comparison.needed[sampler, axis, level] for level in LEVELS]
        cells = [text for n in needed for text in (amount(n, ">"), f"{n.reached}/{n.replays}")]
        shown.add_row(sampler, *cells, str(comparison.wins[axis, LEVEL][sampler]))
    return shown


def _time(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    from dnsearch.analysis.metrics import MISSING
    from dnsearch.replay.measures import LEVELS
    from dnsearch.report.strategies import amount, simulated

    title = f"simulated time, cost on a {comparison.axis} axis; {simulated(comparison.machine)}"
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    shown.add_column("strategy")
    for level in LEVELS:
        shown.add_column(f"{100 * level:.0f} %", justify="right")
    shown.add_column("workers busy", justify="right")
    for sampler in comparison.samplers:
        needed = [comparison.needed_seconds[sampler, comparison.axis, level] for level in LEVELS]
        busy = comparison.proposals[sampler].busy
        cells = [amount(each, ">", "replay_seconds") for each in needed]
        shown.add_row(sampler, *cells, f"{100 * busy:.0f} %" if math.isfinite(busy) else MISSING)
    return shown
