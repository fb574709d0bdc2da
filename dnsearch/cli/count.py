"""``dnsearch count``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from dnsearch.analysis.metrics import MISSING
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.cli import given, json_option
from dnsearch.cli.completion import complete_network
from dnsearch.cli.networks import Asked, exported_shape, find_network, is_file_or_folder
from dnsearch.cost.formula import Cost, StageCost, cost_of, stage_costs
from dnsearch.errors import ConfigError

MOST_PIXELS = 4096
"""The largest side of an input."""
MOST_ELEMENTS = 2 * 10**9
"""The most parameters, and activations: the network is built and run, and must fit in memory."""


@click.command()
@click.argument("network", default="", shell_complete=complete_network)
@click.option(
    "--input",
    "shape",
    help="Image shape CxHxW, such as 3x224x224; by default that of RUN's images.",
)
@click.option("--growth-rate", help="Feature maps each layer adds; 6-11-23 is a number a block.")
@click.option("--block-config", help="Layers of each block, such as 6-12-24-16.")
@click.option("--num-init-features", type=int, help="Channels after the stem.")
@click.option("--bn-size", help="Bottleneck width in growth rates, 0 for none; 0-4-4 likewise.")
@click.option("--compression", type=float, help="Share of channels a transition keeps.")
@click.option("--drop-rate", type=float, help="Share of maps that a layer drops; for memory.")
@click.option("--norm", help="batch or group.")
@click.option("--stem", help="imagenet, cifar, patch2 or patch4.")
@click.option(
    "--transition",
    help="pool halves the resolution, narrow keeps it; pool-narrow sets each transition.",
)
@click.option("--num-classes", type=int, help="Classes.")
@click.option("--batch-size", default=1, type=click.IntRange(min=1), help="For training memory.")
@json_option
def command(network: str, shape: str | None, batch_size: int, as_json: bool, **flags: Any) -> None:
    """Count the parameters and multiply-adds of NETWORK: a preset, a config.json, the folder of an
    export, RUN or RUN:PICK as of `dnsearch train`, or options alone (those left out are
    densenet121's).

    Every total is given twice: by the formula that searches use, and as fvcore counts the
    convolutions and the linear layer of the network (its own total has norms and pooling too, which
    are no multiply-adds). Presets are densenet121, 161, 169, 201, 264, and the paper's networks for
    CIFAR: densenet-40-12, densenet-100-12, densenet-100-24, densenet-bc-100-12, densenet-bc-250-24,
    densenet-bc-190-40.

    \b
    dnsearch count densenet121 --input 3x224x224
    dnsearch count example
    dnsearch count --growth-rate 12 --block-config 4-4-4 --stem cifar --input 1x28x28
    """
    changes = given(**flags)
    asked = find_network(network) if network else None
    if shape is None and asked is not None and asked.shape is not None:
        shape = "x".join(map(str, asked.shape))
    if shape is None and network and is_file_or_folder(network):  # perhaps of dnsearch export
        shape = exported_shape(Path(network))
    arch = _architecture(asked, changes)
    channels, height, width = input_shape(shape, arch)
    name = arch.describe() if changes or not network else network
    arch = arch.replace(in_channels=channels)
    cost = cost_of(arch, height, width, batch_size)
    for kind in ("params", "activations"):
        if getattr(cost, kind) > MOST_ELEMENTS:
            rule = f"must have at most {MOST_ELEMENTS:,} {kind} to be built and counted"
            raise ConfigError("network", rule, getattr(cost, kind))
    stages = list(stage_costs(ArchArrays.of([arch]), height, width))

    from dnsearch.cost.trace import cost_by_fvcore  # torch and fvcore are needed from here on

    traced = cost_by_fvcore(arch, height, width)
    if as_json:
        report = {
            "network": name,
            "key": arch.key,
            "config": arch.to_dict(),
            "input": [channels, height, width],
            "formula": vars(cost),
            "fvcore": vars(traced),
            "stages": [_stage_row(stage) for stage in stages],
        }
        click.echo(json.dumps(report, indent=2))
        return
    console = Console()
    stem = "" if arch.stem in name.split() else f"{arch.stem} stem, "  # a name may say it
    title = f"{name}: input {channels}x{height}x{width}, {stem}{arch.num_classes} classes"
    console.print(_stages(title, stages, traced.stage_macs))
    console.print(_totals(cost, vars(traced), batch_size))


def _architecture(asked: Asked | None, flags: dict[str, Any]) -> ArchConfig:
    if asked is not None:
        base = asked.arch
    elif flags:
        base = ArchConfig()
    else:
        rule = (
            f"must be a preset ({', '.join(PRESETS)}), a config.json, the folder of an export, RUN "
            "or RUN:PICK, or given by options"
        )
        raise ConfigError("network", rule)
    if "block_config" in flags:
        flags["block_config"] = _blocks(flags["block_config"])
    for name in flags.keys() & {"growth_rate", "bn_size"}:
        flags[name] = _one_or_each(name, flags[name])
    if "-" in flags.get("transition", ""):
        flags["transition"] = tuple(flags["transition"].split("-"))
    return base.replace(**flags)


def _blocks(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+([-,]\d+)*", text):
        raise ConfigError("--block-config", "must be depths joined by '-', such as 6-12-24", text)
    return tuple(map(int, re.split("[-,]", text)))


def _one_or_each(name: str, text: str) -> int | tuple[int, ...]:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if not re.fullmatch(r"\d+([-,]\d+)+", text):
        rule = "must be a number, or one for each block joined by '-', such as 6-12-24"
        raise ConfigError(f"--{name.replace('_', '-')}", rule, text)
    return tuple(map(int, re.split("[-,]", text)))


def input_shape(text: str | None, arch: ArchConfig) -> tuple[int, int, int]:
    """The shape CxHxW of a text, by default one that suits the stem. Raises ConfigError."""
    if text is None:
        side = 224 if arch.stem == "imagenet" else 32
        return arch.in_channels, side, side
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise ConfigError("--input", "must be CHANNELSxHEIGHTxWIDTH, such as 3x224x224", text)
    channels, height, width = map(int, match.groups())
    if max(channels, height, width) > MOST_PIXELS:
        raise ConfigError("--input", f"must have sides of at most {MOST_PIXELS}", text)
    return channels, height, width


def _stage_row(stage: StageCost) -> dict[str, Any]:
    counts = {name: int(value[0]) for name, value in vars(stage).items() if name != "name"}
    return {"name": stage.name, **counts}


def _stages(title: str, stages: list[StageCost], traced: Any) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )
    table.add_column("stage")
    for column in ("output", "params", "MACs", "by fvcore", "activations"):
        table.add_column(column, justify="right")
    for stage in stages:
        row = _stage_row(stage)
        table.add_row(
            stage.name,
            f"{row['channels']}x{row['height']}x{row['width']}",
            f"{row['params']:,}",
            f"{row['macs']:,}",
            f"{traced[stage.name]:,}",
            f"{row['activations']:,}",
        )
    return table


def _totals(cost: Cost, traced: Any, batch_size: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("total", "formula", "by fvcore"):
        table.add_column(column, justify="left" if column == "total" else "right")
    labels = {"params": "parameters", "macs": "MACs (multiply-adds)", "activations": "activations"}
    for name, label in labels.items():
        table.add_row(label, f"{getattr(cost, name):,}", f"{traced[name]:,}")
    table.add_row(f"training bytes, batch {batch_size}", f"{cost.train_bytes:,}", MISSING)
    table.caption = "by fvcore: its convolutions and linear layer; norms and pooling are no MACs"
    table.caption_justify = "left"
    return table
