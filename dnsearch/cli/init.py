"""``dnsearch init``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from dnsearch.cli import given
from dnsearch.config import LimitsConfig, study_of, to_toml, toml_value
from dnsearch.errors import RunError
from dnsearch.files import write_text

EXAMPLES = {
    "max_params": ", such as 500k",
    "max_macs": ", such as 3M",
    "max_train_bytes": ", such as 2GB",
    "max_latency_ms": ", such as 5ms",
}


def _limits(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each key of [limits]."""
    for name in reversed(LimitsConfig.model_fields):
        flag, about = f"--{name.replace('_', '-')}", f"For limits.{name}{EXAMPLES.get(name, '')}."
        command = click.option(flag, name, metavar="AMOUNT", help=about)(command)
    return command


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each key of [data] without which some images cannot be read."""
    command = click.option("--skip-bad", is_flag=True, help="For data.skip_bad.")(command)
    for name, metavar in (("image", "COLUMN"), ("label", "COLUMN"), ("image_size", "PIXELS")):
        flag, kind = f"--{name.replace('_', '-')}", int if metavar == "PIXELS" else str
        option = click.option(flag, name, type=kind, metavar=metavar, help=f"For data.{name}.")
        command = option(command)
    return command


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
@_settings
@_limits
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(
    file: Path,
    data: Path | None,
    form: str | None,
    image_size: int | None,
    label: str | None,
    image: str | None,
    skip_bad: bool,
    force: bool,
    **limits: str | None,
) -> None:
    """Write a commented study FILE (default study.toml) with every key at its default, but with
    rungs = "auto", which suits the length of trainings to your images, and with a wide [space],
    whose networks come close to any limit.

    With --data the format is found; the space, the size of the images and of a batch suit them; and
    data.test is set where there is no test split. All images are read for that, which the first
    search would do, so that what is written can be run; what is wrong with them is an error.

    With limits the search aims at the least error within them (objectives.aim = "least-error") and
    its costs are what they limit, but for memory, which is no cost: where that alone is limited,
    MACs are. Without limits it is after the whole front of error against MACs.
    """
    if file.is_dir():
        raise RunError(f"{file}: is a folder; name a file, such as {file / 'study.toml'}")
    if file.exists() and not force:
        raise RunError(f"{file}: is there already; choose another name or pass --force")
    bounds = given(**limits)
    images = given(format=form, image_size=image_size, label=label, image=image)
    if skip_bad:
        images["skip_bad"] = True
    if data is not None:
        from dnsearch.data.formats import find_format

        images["path"] = str(data.expanduser().resolve())
        images["format"] = form or find_format(data.expanduser())
    study = study_of(
        {
            "data": images,
            "limits": bounds,
            "objectives": {"aim": "least-error"} if bounds else {},
            "training": {"rungs": "auto"},
        }
    )

    from dnsearch.cli.decoding import decoding_shown
    from dnsearch.search.suited import suited

    with decoding_shown():
        study, reasons = suited(study)
    if data is not None:
        is_fixed = data.is_absolute() or data.parts[:1] == ("~",)
        path = data if is_fixed else _seen_from(file, data)
        study = study.model_copy(update={"data": study.data.model_copy(update={"path": path})})
    write_text(file, to_toml(study, comments=True, reasons=reasons))
    typed = shlex.quote(str(file))
    if data is None:
        click.echo(f"{file} written: set [data] to your images, then  dnsearch run {typed}")
    else:
        click.echo(f"{file} written, for images of format {study.data.format}")
    for key, why in reasons.items():
        section, name = key.split(".")
        value = toml_value(getattr(getattr(study, section), name))
        click.echo(f"note:   {key} = {value}, as {why}")
    if data is not None:
        click.echo(f"check:  dnsearch check {typed}")
        click.echo(f"run:    dnsearch run {typed}")
