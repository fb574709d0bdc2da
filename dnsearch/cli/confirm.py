"""``dnsearch confirm``."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dnsearch.analysis.metrics import duration
from dnsearch.cli import given, last_json_option, print_json, quiet_option
from dnsearch.cli.cluster import cluster_options
from dnsearch.cli.completion import complete_run
from dnsearch.cli.decoding import decoding_shown
from dnsearch.cli.progress import make_display
from dnsearch.config import override
from dnsearch.errors import NothingFound
from dnsearch.rundir import RunDir
from dnsearch.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dnsearch.confirm.findings import Confirmed
    from dnsearch.confirm.run import Opened
    from dnsearch.search.results import Results


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--top", default=8, show_default=True, type=click.IntRange(1), help="Candidates of the front."
)
@click.option(
    "--sample",
    default=8,
    show_default=True,
    type=click.IntRange(0),
    help="Other candidates, spread over cost.",
)
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(1), help="Trainings of each."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Epochs of each training; by default 3 times the last of training.rungs.",
)
@click.option(
    "--rates",
    is_flag=True,
    help="Also at a third and three times the learning rate: what it recommends, and published "
    "networks or one made like them.",
)
@click.option("--workers", type=click.IntRange(1), help="For the study's search.workers.")
@click.option("--device", help="For the study's search.device: auto, cpu, cuda or cuda:N.")
@cluster_options
@quiet_option
@last_json_option
def command(
    run: str,
    top: int,
    sample: int,
    seeds: int,
    epochs: int | None,
    rates: bool,
    workers: int | None,
    device: str | None,
    cluster: dict[str, Any],
    quiet: bool,
    as_json: bool,
) -> None:
    """Train candidates of RUN again, with fresh seeds, and measure them on the test images.

    Members of the front and a sample of the others are trained in full. The report then says how
    large their errors really are, which is likely the best, and how well the search's short
    trainings ranked them: how far to trust it. With --rates it also says whether what it recommends
    is still better than published networks, or one made like them, when each has its own best
    learning rate.

    Ctrl-C ends it at any time; the same command goes on.
    """
    folder = RunDir.find(run)

    from dnsearch.confirm.run import Request, confirm, default_request, known_costs
    from dnsearch.search.engine import INTERRUPTED
    from dnsearch.search.results import read_results

    results = read_results(folder)  # they decide whom it recommends
    study = override(results.study, **given(workers=workers, device=device), **cluster)
    request = Request(top, sample, seeds, epochs or default_request(results).epochs, rates)

    silent = quiet or as_json
    costs = known_costs(study)
    with make_display(costs, with_front=False, quiet=silent) as display, decoding_shown(silent):

        def opened(ready: Opened) -> None:
            display.opened(headline(folder.name, ready))

        asked = replace(results, study=study)
        reason = confirm(folder, asked, request, opened, display.show, note=display.note)

    from dnsearch.cli.pages import write_page
    from dnsearch.cli.summary import failures_record, print_answer, print_failures
    from dnsearch.confirm.record import confirmed_record
    from dnsearch.report.answer import export_command
    from dnsearch.report.digest import digest
    from dnsearch.report.summary import summary

    after = read_results(folder)
    results = replace(results, confirmed=after.confirmed, at_rates=after.at_rates)
    shown, found = findings(results, request.epochs)
    write_page(results, folder, confirmed=shown)
    failed = failures(results, request.epochs)
    if as_json:
        record = None if found is None else confirmed_record(found)
        told = {"reason": reason, "report": str(folder.report), "failures": failures_record(failed)}
        print_json(told | summary(digest(results)) | {"confirmed": record})
    else:
        click.echo(f"\n{reason}")
        print_failures(failed)
        print_answer(digest(results))
        if found is not None:
            _print(found)
        click.echo(f"report:    {folder.report}")
        if results.picks:
            click.echo(f"export:    {export_command(folder.typed)}")
            click.echo(f"train on:  dnsearch train {shlex.quote(folder.typed)}")
    if reason == INTERRUPTED:
        raise KeyboardInterrupt
    require_tested(found, failed)


def require_tested(found: Confirmed | None, failed: Sequence[str]) -> None:
    """Raises NothingFound where no network has a test error; ``failed``: why training runs did."""
    from dnsearch.report.answer import kinds_of_failure

    if found is not None and found.best_first:
        return
    if not failed:
        raise NothingFound("no network has a test error")
    runs, (_, first) = counted(len(failed), "training run"), kinds_of_failure(failed)[0]
    raise NothingFound(f"{runs} failed and no network has a test error: {first}")


def failures(results: Results, epochs: int) -> list[str]:
    """Why fresh training runs of this length failed that were not repeated since."""
    from dnsearch.search.confirmed import fresh_runs

    scores = [run.score for own in fresh_runs(results.confirmed, epochs).values() for run in own]
    return [score.failure for score in scores if score.failure is not None]


def findings(results: Results, epochs: int) -> tuple[Confirmed | None, Confirmed | None]:
    """What the page shows, of the length that most training runs have, and what the terminal tells,
    of the length asked for: nearly always the same, which is computed once."""
    from dnsearch.confirm.findings import confirmed

    shown = confirmed(results)
    if shown is None or shown.epochs == epochs:
        return shown, shown
    return shown, confirmed(results, epochs)


def _print(found: Confirmed) -> None:
    """The findings in the sentences of the page."""
    from dnsearch.report.rates import sentences as rate_sentences
    from dnsearch.report.verdict import answer, sentences

    click.echo(answer(found))
    for sentence in sentences(found.certificate, found.verdict):
        click.echo(f"- {sentence}")
    if found.rates is not None:
        click.echo("Is it the shape or the learning rate?")
        for sentence in rate_sentences(found.rates):
            click.echo(f"- {sentence}")


def headline(name: str, opened: Opened) -> str:
    """What is about to happen, and what is worth knowing of it."""
    request, plan = opened.request, opened.plan
    kind = {"cpu": "CPU", "cuda": "GPU"}[plan.kind]
    workers = f"{counted(len(plan.devices), 'worker')} on {kind}"
    done = opened.jobs - opened.todo
    again = f", {done} of them done before" if done else ""
    length = "" if opened.seconds is None else f", about {duration(opened.seconds)}"
    confirmations, more, compared = opened.jobs, "", []
    if opened.rates:
        confirmations -= opened.rates.jobs
        more = f", and {opened.rates.jobs} to compare learning rates"
        rates = listed([f"{rate:g}" for rate in opened.rates.learning_rates])
        compared = [f"learning rates {rates} of {listed(opened.rates.networks)}"]
    lines = [
        f"{name}: {counted(opened.archs, 'candidate')} x {counted(request.seeds, 'seed')} = "
        f"{counted(confirmations, 'training')} of {counted(request.epochs, 'epoch')}{more}{again}; "
        f"{workers}{length}",
        f"{opened.data.name}: {opened.data.counts['train']:,} training images; errors below are of "
        "the test images",
        *compared,
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in opened.notes)])
