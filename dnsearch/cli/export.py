"""``dnsearch export``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.cli.completion import complete_pick, complete_run
from dnsearch.rundir import NETWORK_FOLDER, RunDir, name_like
from dnsearch.text import counted

if TYPE_CHECKING:
    from dnsearch.export.formats import Format


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
@click.option(
    "--onnx", is_flag=True, help="Write network.onnx too; needs onnx, onnxscript and onnxruntime."
)
@click.option("--program", is_flag=True, help="Write network.pt2 too, a program of torch.export.")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.pass_context
def command(
    context: click.Context, run: str, pick: str, to: Path, train: bool, onnx: bool, program: bool
) -> None:
    """Write one network of RUN into a folder that needs no dnsearch.

    Without --pick it is the answer: the least predicted error within the limits. The folder has the
    weights, network.py (the network, the preparation of its images and a prediction in one file
    that needs torch alone), weights for torchvision's DenseNet where it can be this network, and a
    README with figures and the lines that load each file. Every file is read back and compared with
    the network before the folder is there.
    """
    folder = RunDir.find(run)

    from dnsearch.analysis.picks import is_better
    from dnsearch.export.formats import on_request
    from dnsearch.export.searched import export_network, weights_of
    from dnsearch.search.results import read_results

    more = on_request(onnx=onnx, program=program)
    results = read_results(folder)
    network = results.pick(pick)
    if train and weights_of(results, folder, network) is None:
        _train(context, folder, f"{run}:{network.key}", network.key, to, more)
        return
    written = export_network(results, folder, pick, to, more)
    length = counted(written.weights.epochs, "epoch")
    click.echo(f"{network.name} ({network.key}, {length}) written to {to}")
    least = results.baseline_of(network)
    if network.counts and not is_better(network, least.error):
        click.echo(
            f"note: it is no better than {least.words}, which is wrong for "
            f"{100 * least.error:.2f} %"
        )
    _say_use(to)


def _train(
    context: click.Context, folder: RunDir, network: str, key: str, to: Path, more: list[Format]
) -> None:
    """Trains the network in full in a folder of its own, and copies what that exports."""
    from dnsearch.cli import train
    from dnsearch.export.bundle import copy_bundle, require_new

    require_new(to)
    name = name_like(f"{folder.name}-{key}")
    context.invoke(train.command, networks=(network,), name=name)
    copy_bundle(RunDir.named(name).path / NETWORK_FOLDER, to, more)
    click.echo(f"written to {to}")
    _say_use(to)


def _say_use(to: Path) -> None:
    """Commands that work where this is printed."""
    for words in (["python", str(to / "network.py")], ["dnsearch", "predict", str(to)]):
        click.echo(f"use: {shlex.join(words)} IMAGE...")
    click.echo(f"{to / 'README.md'} says how good it is, and how to load it")
