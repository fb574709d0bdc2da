"""``dnsearch init``."""

from __future__ import annotations

from pathlib import Path

import click

from dnsearch.config import AUTO_RUNGS, StudyConfig, TrainingConfig, to_toml
from dnsearch.errors import RunError
from dnsearch.files import write_text


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="study.toml")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(file: Path, force: bool) -> None:
    """Write a commented study FILE (default study.toml) with every key at its default, but with
    rungs = "auto", which suits the length of trainings to your images."""
    if file.is_dir():
        raise RunError(f"{file}: is a folder; name a file, such as {file / 'study.toml'}")
    if file.exists() and not force:
        raise RunError(f"{file}: is there already; choose another name or pass --force")
    study = StudyConfig(training=TrainingConfig(rungs=AUTO_RUNGS))
    write_text(file, to_toml(study, comments=True))
    click.echo(f"{file} written: set [data] to your images, then  dnsearch run {file}")
