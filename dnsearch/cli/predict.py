"""``dnsearch predict``."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.cli.completion import complete_network
from dnsearch.files import atomic, is_stream
from dnsearch.rundir import NETWORK_FOLDER, RUNS, RunDir
from dnsearch.text import as_cell, as_unicode, counted

if TYPE_CHECKING:
    from dnsearch.export.predictor import Prediction, Predictor

SHOWN = 3
"""Classes that a line shows of each picture."""


@click.command()
@click.argument("network", shell_complete=complete_network)
@click.argument("pictures", metavar="IMAGE...", nargs=-1, required=True, type=Path)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path),
    help="Write a CSV with the probability of every class, in place of the lines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line a picture.")
def command(network: str, pictures: tuple[Path, ...], table: Path | None, as_json: bool) -> int:
    """Say what NETWORK makes of pictures: classes and probabilities, the likeliest first.

    NETWORK is the folder of an export or of `dnsearch train`, RUN for the answer of a search, or
    RUN:PICK for another of its networks. An IMAGE may be a folder, for all pictures in it at any
    depth. Pictures are prepared as the training images were. Files that cannot be read are reported
    and left out, and the exit code is then 1.

    \b
    dnsearch predict best cat.jpg dog.jpg
    dnsearch predict example:knee photos --csv photos.csv
    """
    predictor = _predictor(network)

    from dnsearch.export.predictor import pictures_in

    files = [file for each in pictures for file in pictures_in(each)]
    failures: list[str] = []
    found = _readable(predictor.predict(files), failures)
    if table is None:
        for each in found:
            tell = _json if as_json else _line
            click.echo(tell(each, predictor.classes))
    else:
        _write(table, found, predictor.classes)
        told = f"{counted(len(files) - len(failures), 'picture')} in {table}"
        click.echo(told, err=as_json or is_stream(table))
    return 1 if failures else 0


def _predictor(network: str) -> Predictor:
    """Raises as ``find_network`` does, and RunError where the weights of a run's network were not
    kept."""
    from dnsearch.export.predictor import Predictor

    for folder in (Path(network), RUNS / network):
        if RunDir.known(network) is None and os.path.isdir(folder):  # Path's raises on a long name
            inner = folder / NETWORK_FOLDER
            return Predictor.of_folder(inner if inner.is_dir() else folder)
    from dnsearch.analysis.picks import LEAST_ERROR
    from dnsearch.search.results import read_results

    name, colon, query = network.rpartition(":")
    run = RunDir.find(name if colon else network)
    return Predictor.of_run(read_results(run), run, query if colon else LEAST_ERROR)


def _readable(found: Iterable[Prediction], failures: list[str]) -> Iterator[Prediction]:
    """Those that could be read; the others are told and added to ``failures``."""
    for each in found:
        if each.failure:
            failures.append(each.failure)
            click.echo(f"dnsearch: {each.failure}", err=True)
        else:
            yield each


def _line(found: Prediction, classes: Sequence[str]) -> str:
    likeliest = (-found.probabilities).argsort(kind="stable")[:SHOWN]
    shares = (f"{classes[i]} {100 * found.probabilities[i]:.1f} %" for i in likeliest)
    return f"{found.picture}: {', '.join(shares)}"


def _json(found: Prediction, classes: Sequence[str]) -> str:
    """The probabilities of all classes."""
    probabilities = dict(zip(classes, found.probabilities.tolist(), strict=True))
    likeliest = classes[int(found.probabilities.argmax())]
    told = {"image": str(found.picture), "class": likeliest, "probabilities": probabilities}
    return json.dumps(told, ensure_ascii=False)


def _write(table: Path, found: Iterable[Prediction], classes: Sequence[str]) -> None:
    """A row a picture: its likeliest class and that one's probability, then those of all classes.
    Raises RunError."""
    with atomic(table) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "class", "probability", *(f"p({name})" for name in classes)])
        for each in found:
            best = int(each.probabilities.argmax())
            shares = [f"{share:.6g}" for share in each.probabilities]
            names = as_cell(as_unicode(str(each.picture))), as_cell(classes[best])
            rows.writerow([*names, shares[best], *shares])
