"""``dnsearch run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dnsearch.cli import given, last_json_option, print_json, quiet_option
from dnsearch.cli.cluster import cluster_options
from dnsearch.cli.completion import complete_file
from dnsearch.cli.decoding import decoding_shown
from dnsearch.cli.ending import typed
from dnsearch.cli.pages import Refresher, write_page
from dnsearch.cli.progress import headline, make_display
from dnsearch.config import load_study, override
from dnsearch.errors import ConfigError
from dnsearch.rundir import RUNS, RunDir, name_like
from dnsearch.text import counted

BUNDLED = "quickstart"
SCALING_TRIALS = 72
"""Three rounds of ``search.design.scaling``: 24 networks, each trained twice on all images and once
on part of them."""

MANY = 500
"""Training runs of which the report takes so long that a line says what is being done."""


@click.command()
@click.argument("study", required=False, shell_complete=complete_file)
@click.option("--name", help="Name of the run; by default the study file's, in plain letters.")
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Trials in all, for search.trials; going on from a lower rung is a trial of its own.",
)
@click.option("--time", help="Time in all, such as 45m, for search.time.")
@click.option("--scaling", is_flag=True, help="Train what `dnsearch scale` needs instead.")
@click.option("--retry-failed", is_flag=True, help="Try candidates again whose training failed.")
@click.option("--restore", is_flag=True, help="Put its backup in place of a damaged study.db.")
@click.option("--workers", type=click.IntRange(min=1), help="For search.workers.")
@click.option("--device", help="For search.device: auto, cpu, cuda or cuda:N.")
@cluster_options
@click.option(
    "--storage", metavar="URL", help="For search.storage: a PostgreSQL server for the results."
)
@click.option(
    "--to", default=RUNS, type=click.Path(path_type=Path), help="Folder of runs [reports]."
)
@quiet_option
@last_json_option
def command(
    study: str | None,
    name: str | None,
    trials: int | None,
    time: str | None,
    workers: int | None,
    scaling: bool,
    retry_failed: bool,
    restore: bool,
    device: str | None,
    cluster: dict[str, Any],
    storage: str | None,
    to: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Search the DenseNets of STUDY, a study file, and write a report into reports/NAME, also every
    now and then while the search goes on.

    Without STUDY it takes the bundled one, quickstart, on the bundled images. Ctrl-C ends it at any
    time (exit code 130); the same command goes on, and --trials and --time are totals that include
    what was done before.

    --scaling trains networks of sizes from small to the largest allowed instead, of any shapes and
    then of those believed best, on all images and on parts of them, into reports/NAME-scaling.
    """
    file = bundled_study() if study is None else Path(study)
    asked = given(trials=trials, time=time, workers=workers, device=device, storage=storage)
    asked |= cluster
    if scaling:
        asked = {
            "sampler": "scaling",
            "replicates": 1,
            "trials": SCALING_TRIALS,
            "time": None,
            "until": None,
        } | asked
    config = override(load_study(file), **asked)
    run = RunDir.named(
        f"{name_like(file.stem)}{'-scaling' * scaling}" if name is None else name, to
    )

    from dnsearch.search.engine import INTERRUPTED, TIME_IS_UP, TRIALS_ARE_DONE, Progress
    from dnsearch.search.session import Opened, search

    silent = quiet or as_json
    with make_display(config.objectives.costs, quiet=silent) as display, decoding_shown(silent):
        refresh = Refresher(run, display.note)

        def opened(ready: Opened) -> None:
            display.opened(headline(run.name, ready.study, ready), ready.records)

        def show(progress: Progress) -> None:
            display.show(progress)
            refresh(progress)

        reason = search(
            config,
            run,
            opened,
            show,
            retry_failed=retry_failed,
            restored=restore,
            note=display.note,
        )

    from dnsearch.cli.summary import print_summary, require_found, search_record
    from dnsearch.report.answer import over_latency
    from dnsearch.search.answers import answers, change
    from dnsearch.search.results import read_results

    results = read_results(run)
    if len(results.measured) >= MANY and not (quiet or as_json):
        runs = counted(len(results.measured), "training run")
        click.echo(f"working out what {runs} say, for the report ...", err=True)
    changed = change(results, answers(run))
    write_page(results, run)
    if as_json:
        print_json(search_record(results, run, reason, changed))
    else:
        print_summary(results, run, reason, changed)
    if reason == INTERRUPTED:
        raise KeyboardInterrupt
    advises = not (as_json or over_latency(results))  # which says what to change instead
    if reason == TRIALS_ARE_DONE and advises:
        click.echo(f"go on:     {typed(trials=2 * config.search.trials)}  (trials in all)")
    elif reason == TIME_IS_UP and config.search.time is not None and advises:
        seconds = f"{2 * config.search.time:g}s"
        click.echo(f"go on:     {typed(time=seconds)}  (time in all)")
    require_found(results, reason == TIME_IS_UP)


def bundled_study() -> Path:
    """The study file that comes with dnsearch: inside the package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    for folder in (package / "studies", package.parent / "studies"):
        if (file := folder / f"{BUNDLED}.toml").is_file():
            return file
    raise ConfigError("study", "must be given: the bundled one is missing", BUNDLED)
