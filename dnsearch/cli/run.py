"""``dnsearch run``."""

from __future__ import annotations

from pathlib import Path

import click

from dnsearch.cli.progress import make_display
from dnsearch.config import Section, StudyConfig, load_study, parse_seconds
from dnsearch.errors import ConfigError
from dnsearch.rundir import RUNS, RunDir

BUNDLED = "quickstart"


@click.command()
@click.argument("study", required=False)
@click.option("--name", help="Name of the run; by default the study file's.")
@click.option("--trials", type=click.IntRange(min=1), help="Candidates in all, for search.trials.")
@click.option("--time", "seconds", help="Time in all, such as 45m, for search.time.")
@click.option("--workers", type=click.IntRange(min=1), help="For search.workers.")
@click.option("--device", help="For search.device: auto, cpu, cuda or cuda:N.")
@click.option(
    "--to", default=RUNS, type=click.Path(path_type=Path), help="Folder of runs [reports]."
)
def command(
    study: str | None,
    name: str | None,
    trials: int | None,
    seconds: str | None,
    workers: int | None,
    device: str | None,
    to: Path,
) -> None:
    """Search the DenseNets of STUDY, a study file, and write a report into reports/NAME.

    Without STUDY it takes the bundled one, quickstart, on the bundled images. Ctrl-C ends it at any
    time; the same command goes on, and --trials and --time are totals over all sittings.
    """
    file = Path(study) if study else bundled_study()
    config = load_study(file)
    given = {"trials": trials, "time": seconds, "workers": workers, "device": device}
    config = _override(config, {key: value for key, value in given.items() if value is not None})
    run = RunDir.named(name or file.stem, to)

    from dnsearch.search.session import search  # Optuna and pandas are needed from here on

    with make_display(run.name, config) as display:
        reason = search(config, run, display.opened, display.show)

    from dnsearch.cli.summary import print_summary
    from dnsearch.report.page import write_report
    from dnsearch.search.results import read_results

    results = read_results(run)
    write_report(results, run.path)
    again = f"dnsearch run{f' {study}' if study else ''}{f' --name {name}' if name else ''}"
    print_summary(results, run, reason, again)


def bundled_study(name: str = BUNDLED) -> Path:
    """A study file that comes with dnsearch: inside the package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    for folder in (package / "studies", package.parent / "studies"):
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise ConfigError("study", "must be given: the bundled one is missing", name)


def _override(config: StudyConfig, values: dict[str, object]) -> StudyConfig:
    """The study with these keys of [search] replaced, validated as if the file had said so."""
    try:
        if "time" in values:
            values["time"] = parse_seconds(values["time"])
    except ValueError as error:
        raise ConfigError("--time", str(error), values["time"]) from None
    search = type(config.search).model_validate({**dict(config.search), **values})
    return config.model_copy(update={"search": search})
