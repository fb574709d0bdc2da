"""``dnsearch init``."""

from __future__ import annotations

import os
import shlex
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dnsearch.config import (
    AUTO_RUNGS,
    USUAL_SIDE,
    DataConfig,
    LimitsConfig,
    study_of,
    suited_space,
    to_toml,
)
from dnsearch.errors import DnsearchError, RunError
from dnsearch.files import write_text

EXAMPLES = {
    "max_params": ", such as 500k",
    "max_macs": ", such as 3M",
    "max_train_bytes": ", such as 2GB",
    "max_latency_ms": ", such as 5ms",
}

SIDES = (16, 32, 48, 64)
"""Of pictures that have to be resized: what a search can afford on any machine."""


def _limits(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each key of [limits]."""
    for name in reversed(LimitsConfig.model_fields):
        flag, about = f"--{name.replace('_', '-')}", f"For limits.{name}{EXAMPLES.get(name, '')}."
        command = click.option(flag, name, metavar="AMOUNT", help=about)(command)
    return command


def _images(file: Path, data: Path | None, form: str | None) -> dict[str, Any]:
    """[data]: where the images are, seen from the folder of the file."""
    if data is None:
        return {} if form is None else {"format": form}
    from dnsearch.data.formats import find_format

    found = form or find_format(data.expanduser())
    written = data if data.is_absolute() or data.parts[:1] == ("~",) else _seen_from(file, data)
    return {"format": found, "path": str(written)}


def _size(config: DataConfig, path: Path) -> tuple[int | None, int]:
    """What pictures have to be resized to, None where they are all alike, and the shorter side that
    they then have."""
    from dnsearch.data.formats import training_sizes

    try:
        sizes = training_sizes(config.model_copy(update={"path": path.expanduser()}))
    except DnsearchError:  # `dnsearch check` says what is wrong and which setting mends it
        return None, USUAL_SIDE
    if not sizes:
        return None, USUAL_SIDE
    if len(set(sizes)) == 1:
        return None, min(sizes[0])
    short = statistics.median(min(size) for size in sizes)
    side = max((each for each in SIDES if each <= short), default=SIDES[0])
    return side, side


def _seen_from(file: Path, data: Path) -> Path:
    return Path(os.path.relpath(data.resolve(), file.parent.resolve()))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="study.toml")
@click.option("--data", type=click.Path(path_type=Path), help="Your images, for data.path.")
@click.option(
    "--format",
    "form",
    metavar="NAME",
    help="For data.format; by default told by the files of --data.",
)
@_limits
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(
    file: Path, data: Path | None, form: str | None, force: bool, **limits: str | None
) -> None:
    """Write a commented study FILE (default study.toml) with every key at its default, but with
    rungs = "auto", which suits the length of trainings to your images, and with a wide [space],
    whose networks come close to any limit. With --data the format is found, and the space and the
    size of the images suit them.

    With a limit the search aims at the least error within it (objectives.aim = "least-error"),
    without one at the whole front of error against cost.
    """
    if file.is_dir():
        raise RunError(f"{file}: is a folder; name a file, such as {file / 'study.toml'}")
    if file.exists() and not force:
        raise RunError(f"{file}: is there already; choose another name or pass --force")
    images = _images(file, data, form)
    bounds = {name: text for name, text in limits.items() if text is not None}
    aim = {"aim": "least-error"} if bounds else {}
    training = {"rungs": AUTO_RUNGS}
    study = study_of({"data": images, "limits": bounds, "objectives": aim, "training": training})
    size, side = _size(study.data, data) if data else (None, USUAL_SIDE)
    of_size = study.data.model_copy(update={"image_size": size})
    study = study.model_copy(update={"data": of_size, "space": suited_space(side)})
    write_text(file, to_toml(study, comments=True))
    typed = shlex.quote(str(file))
    if images:
        click.echo(f"{file} written, for images of format {study.data.format}")
        if size:
            click.echo(
                f"note:   pictures differ in size, so data.image_size = {size}; more pixels may "
                "have less error and cost more"
            )
        click.echo(f"check:  dnsearch check {typed}")
        click.echo(f"run:    dnsearch run {typed}")
    else:
        click.echo(f"{file} written: set [data] to your images, then  dnsearch run {typed}")
