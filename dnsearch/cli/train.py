"""``dnsearch train``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dnsearch.cli import last_json_option, print_json, quiet_option
from dnsearch.cli.cluster import cluster_options
from dnsearch.cli.completion import complete_file, complete_network
from dnsearch.cli.networks import Asked, find_network
from dnsearch.cli.run import BUNDLED, bundled_study
from dnsearch.config import FULL_LENGTH, StudyConfig, load_study, override
from dnsearch.errors import ConfigError, DnsearchError, NothingFound
from dnsearch.rundir import RUNS, RunDir
from dnsearch.text import counted

if TYPE_CHECKING:
    from dnsearch.data import PreparedData
    from dnsearch.export.elsewhere import Training
    from dnsearch.export.trained import Result
    from dnsearch.search.devices import Plan
    from dnsearch.training.full import FullTraining


@dataclass(frozen=True)
class _Options:
    """What was typed beside the networks."""

    study: Path | None
    epochs: int | None
    seed: int
    init: Path | None
    device: str | None
    threads: int | None
    gpus: int
    name: str | None
    to: Path
    cluster: dict[str, Any]
    quiet: bool
    as_json: bool

    @property
    def silent(self) -> bool:
        """Whether the last lines alone are shown, or nothing."""
        return self.quiet or self.as_json


class _Wanted(NamedTuple):
    """A network as it was typed, what it is, how it is trained and where."""

    typed: str
    asked: Asked
    config: StudyConfig
    run: RunDir
    notes: list[str]


@click.command()
@click.argument("networks", nargs=-1, required=True, shell_complete=complete_network)
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    shell_complete=complete_file,
    help="Study file with the [data] and [training] to use.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help=f"Epochs; by default {FULL_LENGTH} times the last of the study's training.rungs.",
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
@click.option(
    "--gpus",
    "--processes",
    "gpus",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="GPUs that train each network together; on a CPU, processes.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; by default one a core.")
@click.option("--name", help="Name of the folder, of one network; by default the network's.")
@cluster_options
@click.option(
    "--to",
    default=RUNS,
    type=click.Path(path_type=Path),
    help="Where the folders are made [reports].",
)
@quiet_option
@last_json_option
def command(networks: tuple[str, ...], **typed: Any) -> None:
    """Train each NETWORK in full, measure it on the test images, and write it into reports/NAME.

    NETWORK is a preset, a config.json, the folder of an export, RUN for the answer of a search, or
    RUN:PICK for another of its networks, such as example:knee or example:KEY. Images and recipe are
    those of --study, or of RUN, or else of the bundled study, quickstart; the learning rate falls
    at the end of these epochs. The network is shown the test images once, when the last epoch is
    done.

    With --init it begins with the weights of a file, such as torchvision's; a classifier for other
    classes begins anew, and so does a stem for other channels.

    Ctrl-C stops it at any time; the same command continues it, with the same result bit for bit.
    With --gpus several GPUs share each batch; the result is that of one but for rounding. Several
    networks are trained one after the other, or on a cluster (--engine) side by side.

    \b
    dnsearch train example --epochs 30
    dnsearch train densenet-bc-100-12 --study flowers.toml --gpus 4
    dnsearch train densenet121 --study flowers.toml --init densenet121.pth
    dnsearch train example:knee example:least-error --engine ray --to /shared/reports
    """
    options = _Options(**typed)
    wanted = _wanted(networks, options)
    if wanted[0].config.cluster.engine != "local":
        found = _train_on_cluster(wanted, options)
    else:
        found = _train_here(wanted, options)
    records = [_record(each.run, result) for each, result in zip(wanted, found, strict=True)]
    failed = [f"{record['path']}: {record['failure']}" for record in records if "failure" in record]
    if len(wanted) == 1 and failed:
        raise NothingFound(failed[0])
    if options.as_json:
        print_json(records if len(wanted) > 1 else records[0])
    elif failed:
        click.echo("\nnot trained:")
        for told in failed:
            click.echo(f"           {told}")
    if failed:
        raise NothingFound(f"{len(failed)} of {len(wanted)} networks could not be trained")


def _wanted(networks: Sequence[str], options: _Options) -> list[_Wanted]:
    """All that was typed, before anything begins. Raises a DnsearchError for the first that is
    wrong."""
    if options.name is not None and len(networks) > 1:
        rule = "must be left out where several networks are trained"
        raise ConfigError("--name", rule, options.name)
    wanted: list[_Wanted] = []
    for network in networks:
        notes: list[str] = []
        asked = find_network(network)
        config = _study(asked, options.study, notes)
        run = RunDir.named(asked.folder if options.name is None else options.name, options.to)
        given = {} if options.device is None else {"device": options.device}
        config = override(config, **given, **options.cluster)
        here = config.cluster.engine == "local"
        try:
            config = override(config, workers=options.gpus if here else None)
        except ConfigError as error:  # of search.workers
            raise ConfigError("--gpus", error.rule, error.got, error.hint) from None
        if any(each.run == run for each in wanted):
            rule = f"must each have a folder of their own, and two are {run.name}"
            raise ConfigError("networks", rule, hint="train them in two commands, with --name")
        wanted.append(_Wanted(network, asked, config, run, notes))
    return wanted


def _training(wanted: _Wanted, options: _Options, images: PreparedData) -> FullTraining:
    """The training, with a note where its length was not given."""
    from dnsearch.training.full import FullTraining

    config, epochs = wanted.config, options.epochs
    if options.study is not None:
        config.training.require_images(len(images.train))
    if epochs is None:
        epochs = FULL_LENGTH * config.sized(len(images.train)).training.rungs[-1]
        length = f"{counted(epochs, 'epoch')}, {FULL_LENGTH} times the top rung"
        wanted.notes.append(f"{length}; --epochs sets another number")
    name, arch = wanted.asked.name, wanted.asked.arch
    training = FullTraining.of(name, arch, config, images, epochs, options.seed, options.init)
    if training.init is not None:
        wanted.notes.append(training.init.note(training.arch))
    return training


def _train_here(wanted: Sequence[_Wanted], options: _Options) -> list[Result | str]:
    """What became of each network, one after the other on this machine. Raises the error of one
    that is alone; several end with their reasons."""
    found: list[Result | str] = []
    for each in wanted:
        try:
            result = _train_one(each, options)
        except DnsearchError as error:
            if len(wanted) == 1:
                raise
            result = str(error)
        found.append(result)
        _tell(each, result, options, alone=len(wanted) == 1)
    return found


def _train_one(wanted: _Wanted, options: _Options) -> Result:
    from dnsearch.cli.decoding import decoding_shown
    from dnsearch.data import prepare
    from dnsearch.search.devices import plan_workers

    config = wanted.config
    plan = plan_workers(config.search)
    with decoding_shown(options.silent):
        images = prepare(config.data)
    training = _training(wanted, options, images)

    from dnsearch.cli.watch import make_watch
    from dnsearch.export import train_network
    from dnsearch.training.distributed import require_shares

    require_shares(training, plan.devices)
    notes = [*wanted.notes, *images.notes, *plan.notes()]
    notes += plan.kept(config.data.keep, images).notes()
    if options.gpus == 1:
        notes += plan.compile_kernels(training.recipe)
    threads = options.threads or plan.threads
    make = make_watch(wanted.run.name, notes, options.silent)
    with make as watch, decoding_shown(options.silent):
        return train_network(training, wanted.run, plan.devices, threads, watch)


def _train_on_cluster(wanted: Sequence[_Wanted], options: _Options) -> list[Result | str]:
    """What became of each network, side by side on a cluster."""
    from dnsearch.cli.decoding import decoding_shown
    from dnsearch.data import prepare
    from dnsearch.export.elsewhere import require_alone, train_elsewhere

    study, alone = wanted[0].config, len(wanted) == 1
    require_alone(study, options.gpus)
    if any(each.config.cluster != study.cluster for each in wanted):
        rule = "must be the same for all networks of a command"
        raise ConfigError("cluster", rule, hint="set --engine, or train them one by one")
    found: dict[int, Result | str] = {}
    trainings: dict[int, Training] = {}

    def ended(place: int, result: Result | str) -> None:
        found[place] = result
        _tell(wanted[place], result, options, alone)

    for place, each in enumerate(wanted):
        try:
            with decoding_shown(options.silent):
                images = prepare(each.config.data)
            trainings[place] = _training(each, options, images), each.run
        except DnsearchError as error:
            if alone:
                raise
            ended(place, str(error))
            continue
        for note in () if options.silent else (*each.notes, *images.notes):
            click.echo(f"note: {each.run.name}: {note}")

    def begun(plan: Plan) -> None:
        if not options.silent:
            count, room = counted(len(trainings), "network"), len(plan.devices)
            click.echo(f"training {count} on a {study.cluster.engine} cluster, {room} at a time")

    if trainings:
        train_elsewhere(trainings, study, begun, ended, options.threads)
    return [found[place] for place in range(len(wanted))]


def _tell(wanted: _Wanted, result: Result | str, options: _Options, alone: bool) -> None:
    """The last lines of one training: all there is to say where it is ``alone``, else one."""
    if options.as_json:
        return
    failure = _record(wanted.run, result).get("failure")
    if not alone:
        click.echo(f"{wanted.run.path}: {failure or _in_short(result)}")
    elif failure is None and not isinstance(result, str):
        _print(result.values, wanted.run, result.again)
        _print_next(wanted, result, options)


def _in_short(result: Result | str) -> str:
    from dnsearch.export.trained import error_labels, figures

    assert not isinstance(result, str)
    shown = figures(result.values)
    errors = [f"{shown[n]} {n}" for n in error_labels(result.values).values() if n in shown]
    return f"finished{' before' * result.again}, {', '.join(errors)}"


def _print_next(wanted: _Wanted, result: Result, options: _Options) -> None:
    seed, epochs = options.seed + 1, result.values["epochs"]
    other: dict[str, object] = {
        "--name": f"{wanted.run.name.removesuffix(f'-seed{options.seed}')}-seed{seed}",
        "--study": options.study,
        "--epochs": epochs,
        "--seed": seed,
        "--init": options.init,
        "--device": options.device,
        "--gpus": options.gpus if options.gpus > 1 else None,
        "--threads": options.threads,
        **{f"--{name.replace('_', '-')}": value for name, value in options.cluster.items()},
        "--to": None if options.to == RUNS else options.to,
    }
    words = [str(part) for pair in other.items() if pair[1] is not None for part in pair]
    click.echo(f"next:      {shlex.join(['dnsearch', 'train', wanted.typed, *words])}")
    click.echo("           (with another seed: how far does the error vary?)")


def _record(run: RunDir, result: Result | str) -> dict[str, Any]:
    """What --json prints of one training; of one that failed, why."""
    failure = result if isinstance(result, str) else result.failure
    if failure is not None or isinstance(result, str):
        for path in (run.path, run.path.resolve()):  # nodes name it as a whole
            failure = (failure or "").removeprefix(f"{path}: ")
        return {"path": str(run.path), "failure": failure}
    return {"path": str(run.path), "again": result.again} | result.values


def _study(asked: Asked, file: Path | None, notes: list[str]) -> StudyConfig:
    """The study with the images and the recipe; if none was named, a note says which it is."""
    if file is not None:
        return load_study(file)
    if asked.study is not None:
        return asked.study
    notes.append(f"images and recipe of the bundled study, {BUNDLED}; --study takes others")
    return load_study(bundled_study())


def _print(values: dict[str, Any], run: RunDir, again: bool) -> None:
    from dnsearch.analysis.metrics import duration, format_value
    from dnsearch.export.trained import baseline_of, error_labels, figures
    from dnsearch.rundir import NETWORK_FOLDER, RESULT_FILE

    done = f"{counted(values['epochs'], 'epoch')} in {duration(values['seconds'])} of training"
    click.echo(f"\n{'finished before' if again else 'finished'}: {done}")
    shown = figures(values)
    if values["test"] is None:
        why = values.get("untested") or "the data set has no test images"
        click.echo(f"           no test error: {why}")
    for name in error_labels(values).values():
        if name in shown:
            click.echo(f"           {shown.pop(name)} {name}")
    click.echo(f"           {', '.join(shown.values())}")
    least = baseline_of(values)
    click.echo(f"baseline:  {least.words}: {format_value('error', least.error)}")
    click.echo(f"result:    {run.path / RESULT_FILE}")
    click.echo(f"network:   {run.path / NETWORK_FOLDER}  (its README.md says how to load it)")
