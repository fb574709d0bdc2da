"""``dnsearch export``."""

from __future__ import annotations

from pathlib import Path

import click

from dnsearch.cli.completion import complete_pick, complete_run
from dnsearch.rundir import RunDir


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option(
    "--pick",
    default="least-error",
    show_default=True,
    shell_complete=complete_pick,
    help="least-error, as-good, knee, least-cost, a key of the report, or bounds such as "
    '"macs<=50e6".',
)
@click.option(
    "--train", is_flag=True, help="Train it in full first, as `dnsearch train` does, where need be."
)
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.pass_context
def command(context: click.Context, run: str, pick: str, to: Path, train: bool) -> int:
    """Write one network of RUN into a folder: config.json, weights, a README that loads it.

    Without --pick it is the answer: the least predicted error within the limits.
    """
    folder = RunDir.find(run)

    from dnsearch.analysis.picks import is_better
    from dnsearch.export.bundle import export_network, weights_of
    from dnsearch.search.results import read_results

    results = read_results(folder)
    network = results.pick(pick)
    if train and weights_of(results, folder, network) is None:
        return _train(context, folder, f"{run}:{network.key}", network.key, to)
    written = export_network(results, folder, pick, to)
    length = f"{written.weights.epochs} epochs"
    click.echo(f"{network.name} ({network.key}, {length}) written to {to}")
    if network.counts and not is_better(network, results.baseline.error):
        click.echo(
            f"note: it is no better than {results.baseline.words}, which is wrong for "
            f"{100 * results.baseline.error:.2f} %"
        )
    click.echo(f"{to / 'README.md'} says how to load it")
    return 0


def _train(context: click.Context, folder: RunDir, network: str, key: str, to: Path) -> int:
    """Trains the network in full in a folder of its own, and copies what that exports."""
    from dnsearch.cli import train
    from dnsearch.export.bundle import copy_bundle, require_new
    from dnsearch.export.trained import NETWORK_FOLDER

    require_new(to)
    name = f"{folder.name}-{key}"
    code = context.invoke(train.command, network=network, name=name)
    if code == 0:
        copy_bundle(RunDir.named(name).path / NETWORK_FOLDER, to)
        click.echo(f"written to {to}")
    return code
