"""``dnsearch profile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from dnsearch.arch.kernels import Kernels
from dnsearch.cli import given
from dnsearch.cli.completion import complete_file
from dnsearch.config import StudyConfig, load_study, override

if TYPE_CHECKING:
    from dnsearch.cost.latency import Setting
    from dnsearch.search.latency import LatencyTable, Measure


BUSY = 0.25
"""Standard deviation of log latency beyond which a table is not worth much."""


@click.command()
@click.argument("study", required=False, shell_complete=complete_file)
@click.option("--device", help="For search.device: auto, cpu, cuda or cuda:N.")
@click.option("--batch", type=click.IntRange(1), help="For objectives.latency_batch.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    help="For objectives.latency_precision.",
)
@click.option(
    "--kernels",
    type=click.Choice(get_args(Kernels)),
    help="For objectives.latency_kernels.",
)
@click.option("--workers", type=click.IntRange(1), help="For search.workers; they share the cores.")
@click.option("-q", "--quiet", is_flag=True, help="Print the last lines alone.")
def command(
    study: str | None,
    device: str | None,
    batch: int | None,
    precision: str | None,
    kernels: str | None,
    workers: int | None,
    quiet: bool,
) -> None:
    """Measure the latency of some networks on this machine, by which searches predict the latency
    of all others.

    48 networks of any kind are measured, and with STUDY, a study file, 24 of its own space: a
    minute or two, best while the machine does nothing else. Searches that are begun later and ask
    for latency in the same way (batch size, precision, kernels, device, threads) use it, each with
    a copy of its own. What was measured before is kept in the user's cache folder; networks that
    are measured again replace it. Ctrl-C ends it at any time (exit code 130); the same command goes
    on.

    \b
    dnsearch profile flowers.toml
    dnsearch profile --batch 64 --kernels cpu
    """
    from dnsearch.search.devices import plan_workers
    from dnsearch.search.latency import (
        UnderWay,
        general_networks,
        keep_table,
        kept_table,
        latency_setting,
        own_networks,
        profile,
    )
    from dnsearch.search.outset import Outset

    config = load_study(Path(study)) if study else StudyConfig()
    config = override(config, **given(device=device, workers=workers))
    goals = given(latency_batch=batch, latency_precision=precision, latency_kernels=kernels)
    goals = config.objectives.model_copy(update=goals)
    config = config.model_copy(update={"objectives": goals})
    plan = plan_workers(config.search, alone=True)
    setting = latency_setting(config, plan)
    networks = general_networks(setting)
    if study:
        outset = Outset.of(config)
        networks += own_networks(outset.points, outset.costs, outset.data.shape)
    table = kept_table(setting, plan.devices[0])
    measure, under_way = _meter(setting, plan.devices[0]), UnderWay(table)
    if quiet:
        table = profile(table, networks, measure, under_way)
    else:
        length = 100
        with click.progressbar(length=length, label=f"latency of {setting}") as bar:

            def tell(done: int, of: int) -> None:
                bar.update(done * length // of - bar.pos)

            table = profile(table, networks, measure, under_way, tell)
    file = keep_table(table)
    under_way.end()
    _print(table, file)


def _meter(setting: Setting, device: str) -> Measure:
    """Measures on this device in this process."""
    import torch

    from dnsearch.arch.densenet import DenseNet
    from dnsearch.cost.device import measure_latency
    from dnsearch.search.latency import MOST_SECONDS
    from dnsearch.training.device import set_up

    set_up(device, setting.threads)  # as a search's workers are
    where = torch.device(device)
    return lambda arch, shape: (
        measure_latency(DenseNet(arch), shape, setting, where, MOST_SECONDS, rounds=1).least_ms
    )


def _print(table: LatencyTable, file: Path) -> None:
    model = table.model
    click.echo(f"latency of {table.setting}: {len(table.timed)} networks measured")
    click.echo(f"predicts networks that were held out within {100 * model.error:.0f} % (sd)")
    if model.error > BUSY:
        click.echo("that is much; measure again while the machine does nothing else")
    click.echo(f"kept in {file}")
