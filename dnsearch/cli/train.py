"""``dnsearch train``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from dnsearch.cli import last_json_option, print_json, quiet_option
from dnsearch.cli.completion import complete_file, complete_network
from dnsearch.cli.networks import Asked, find_network
from dnsearch.cli.run import BUNDLED, bundled_study
from dnsearch.config import LONGER, StudyConfig, load_study, override
from dnsearch.errors import NothingFound
from dnsearch.rundir import RUNS, RunDir


@click.command()
@click.argument("network", shell_complete=complete_network)
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    shell_complete=complete_file,
    help="Study file with the [data] and [training] to use.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help=f"Epochs; by default {LONGER} times the last of the study's training.rungs.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Seed of the first weights, the order of images, augmentation and dropout.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    shell_complete=complete_file,
    help="Weights to begin with: a file, an export, or the folder of another training.",
)
@click.option("--device", help="In place of search.device: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; by default one a core.")
@click.option("--name", help="Name of the folder; by default the network's.")
@click.option(
    "--to",
    default=RUNS,
    type=click.Path(path_type=Path),
    help="Where the folder is made [reports].",
)
@quiet_option
@last_json_option
def command(
    network: str,
    study: Path | None,
    epochs: int | None,
    seed: int,
    init: Path | None,
    device: str | None,
    threads: int | None,
    name: str | None,
    to: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train NETWORK in full, measure it on the test images, and write it into reports/NAME.

    NETWORK is a preset, a config.json, the folder of an export, RUN for the answer of a search, or
    RUN:PICK for another of its networks, such as example:knee or example:KEY. Images and recipe are
    those of --study, or of RUN, or else of the bundled study, quickstart; the learning rate falls
    at the end of these epochs. The network is shown the test images once, when the last epoch is
    done.

    With --init it begins with the weights of a file, such as torchvision's; a classifier for other
    classes begins anew, and so does a stem for other channels.

    Ctrl-C stops it at any time; the same command continues it, with the same result bit for bit.

    \b
    dnsearch train example --epochs 30
    dnsearch train densenet-bc-100-12 --study flowers.toml
    dnsearch train densenet121 --study flowers.toml --init densenet121.pth
    """
    asked = find_network(network)
    notes: list[str] = []
    config = _study(asked, study, notes)
    run = RunDir.named(asked.folder if name is None else name, to)
    config = override(config, workers=1, **({} if device is None else {"device": device}))

    from dnsearch.cli.decoding import decoding_shown
    from dnsearch.data import kept, prepare
    from dnsearch.search.devices import plan_workers

    plan = plan_workers(config.search)
    silent = quiet or as_json
    with decoding_shown(silent):
        images = prepare(config.data)
    if study is not None:
        config.training.require_images(len(images.train))
    if epochs is None:
        epochs = LONGER * config.sized(len(images.train)).training.rungs[-1]
        notes.append(f"{epochs} epochs, {LONGER} times the top rung; --epochs sets another number")

    from dnsearch.cli.watch import make_watch
    from dnsearch.export import train_network
    from dnsearch.training.full import FullTraining

    training = FullTraining.of(asked.name, asked.arch, config, images, epochs, seed, init)
    if training.init is not None:
        notes.append(training.init.note(training.arch))
    notes += [*images.notes, *plan.notes(), *plan.compile_kernels(config.training)]
    notes += kept(config.data.keep, images, plan.devices).notes()
    with make_watch(run.name, notes, silent) as watch, decoding_shown(silent):
        result = train_network(training, run, plan.devices[0], threads or plan.threads, watch)
    if result.failure is not None:
        raise NothingFound(f"{run.path}: {result.failure}")
    if as_json:
        print_json({"path": str(run.path), "again": result.again} | result.values)
        return
    _print(result.values, run, result.again)
    other = {"--name": f"{run.name.removesuffix(f'-seed{seed}')}-seed{seed + 1}"}
    other |= {"--study": study, "--epochs": epochs, "--seed": seed + 1}
    other |= {"--init": init, "--device": device, "--threads": threads}
    other |= {"--to": None if to == RUNS else to}
    options = [str(part) for pair in other.items() if pair[1] is not None for part in pair]
    click.echo(f"next:      {shlex.join(['dnsearch', 'train', network, *options])}")
    click.echo("           (with another seed: how far does the error vary?)")


def _study(asked: Asked, file: Path | None, notes: list[str]) -> StudyConfig:
    """The study with the images and the recipe; if none was named, a note says which it is."""
    if file is not None:
        return load_study(file)
    if asked.study is not None:
        return asked.study
    notes.append(f"images and recipe of the bundled study, {BUNDLED}; --study takes others")
    return load_study(bundled_study())


def _print(values: dict[str, Any], run: RunDir, again: bool) -> None:
    from dnsearch.analysis.baseline import baseline
    from dnsearch.analysis.metrics import duration, format_value
    from dnsearch.export.trained import error_labels, figures
    from dnsearch.rundir import NETWORK_FOLDER, RESULT_FILE

    done = f"{values['epochs']} epochs in {duration(values['seconds'])} of training"
    click.echo(f"\n{'finished before' if again else 'finished'}: {done}")
    shown = figures(values)
    if values["test"] is None:
        why = values.get("untested") or "the data set has no test images"
        click.echo(f"           no test error: {why}")
    for name in error_labels(values).values():
        if name in shown:
            click.echo(f"           {shown.pop(name)} {name}")
    click.echo(f"           {', '.join(shown.values())}")
    least = baseline(values["images"], values.get("objectives", {}).get("error", "top1"))
    click.echo(f"baseline:  {least.words}: {format_value('error', least.error)}")
    click.echo(f"result:    {run.path / RESULT_FILE}")
    click.echo(f"network:   {run.path / NETWORK_FOLDER}  (its README.md says how to load it)")
