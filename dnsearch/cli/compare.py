"""``dnsearch compare``."""

from __future__ import annotations

import contextlib
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsearch.cli import json_option
from dnsearch.cli.completion import complete_network
from dnsearch.cli.count import input_shape
from dnsearch.cli.networks import (
    Asked,
    exported_shape,
    find_network,
    is_file_or_folder,
    whole_run,
)
from dnsearch.errors import ConfigError
from dnsearch.files import read_json
from dnsearch.rundir import NETWORK_FOLDER, RESULT_FILE, RunDir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dnsearch.arch.config import ArchConfig
    from dnsearch.search.compared import Subject, Tested
    from dnsearch.search.results import Results

MOST = 26
"""Networks at a time: each has a letter."""

EXPORT_FILE = "export.json"
"""As ``export.bundle`` has it, which imports torch."""


@click.command()
@click.argument(
    "networks", nargs=-1, required=True, metavar="NETWORK...", shell_complete=complete_network
)
@click.option("--input", "shape", help="Image shape CxHxW that costs are of, for all networks.")
@click.option(
    "--measure", is_flag=True, help="Measure latency and peak training memory on this machine."
)
@click.option("--device", default="auto", help="For --measure: auto, cpu, cuda or cuda:N.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), help="Write a page with pictures, too."
)
@json_option
def command(
    networks: tuple[str, ...],
    shape: str | None,
    measure: bool,
    device: str,
    page: Path | None,
    as_json: bool,
) -> None:
    """Compare two or more NETWORKs with the first: cost, error to expect, test error.

    NETWORK is a preset, a config.json, the folder of an export, RUN for the answer of a search, or
    RUN:PICK for another of its networks. Errors are compared between networks of runs on the same
    images (of several such groups in the largest), each difference with its 90 % interval and the
    probability that the network is better; of other networks cost alone is. Presets and config
    files take the images of the first RUN.

    Of two or more whole RUNs the fronts are compared, too: hypervolume, which is better at which
    cost, and of several runs of one study whether a difference is more than noise.

    \b
    dnsearch compare example example:knee densenet-bc-100-12
    dnsearch compare densenet121 densenet169 --input 3x224x224 --measure
    dnsearch compare one another --html compared.html
    """
    if len(networks) < 2:
        raise ConfigError("networks", "must be two or more to be compared", list(networks))
    if len(networks) > MOST:
        raise ConfigError("networks", f"must be at most {MOST}", len(networks))

    from dnsearch.cli.compared import print_compared, print_fronts, record
    from dnsearch.search.compared import comparable, compare_networks
    from dnsearch.search.fronts import compare_fronts

    asked = subjects(networks, shape)
    compared = compare_networks(asked)
    measured = _measure(asked, compared.batch_size, device) if measure else None
    whole = [each for each in asked if each.whole]
    labels: dict[Results, str] = {}  # of a run that is named twice the first
    for each in whole:
        if each.results is not None:
            labels.setdefault(each.results, each.label)
    runs = comparable(whole, list(labels))
    fronts = compare_fronts({labels[run]: run for run in runs}) if len(runs) > 1 else None
    if page is not None:
        from dnsearch.report.comparison_page import write_comparison

        write_comparison(page, compared, fronts, measured)
    if as_json:
        click.echo(json.dumps(record(compared, fronts, measured), indent=2))
        return
    print_compared(compared, measured)
    if fronts is not None:
        print_fronts(fronts)
    if page is not None:
        click.echo(f"\nreport:    {page}")


def subjects(networks: Sequence[str], shape: str | None = None) -> list[Subject]:
    """The networks that are named. Raises as ``find_network`` does, and ConfigError for a
    ``shape`` that cannot be read."""
    from dnsearch.search.compared import Subject, adapted
    from dnsearch.search.results import read_results

    @functools.cache
    def read_path(path: Path) -> Results:
        return read_results(RunDir(path))

    def read(run: RunDir) -> Results:
        return read_path(run.path.resolve())

    asked = [_find(name, read) for name in networks]
    runs = [each.results for each in asked if each.results is not None]
    found = []
    for name, each in zip(networks, asked, strict=True):
        arch, own, results = each.arch, each.shape or _shape_beside(name, each.arch), each.results
        tested = None
        if results is None:
            tested, fingerprint = _measured_before(name)
            known = [r for r in runs if fingerprint in (None, r.data.get("fingerprint"))]
            if known and (own is None or fingerprint is not None):
                results = _knowing(arch, known) or known[0]
                arch = adapted(arch, results)
                channels, height, width = results.data["shape"]
                own = own or (channels, height, width)
        given = input_shape(shape, arch) if shape or own is None else own
        arch = arch.replace(in_channels=given[0])
        whole = whole_run(name) is not None and not is_network_folder(name)
        found.append(Subject(name, each.name, arch, given, results, tested, whole))
    return found


def is_network_folder(name: str) -> bool:
    """Whether this is the folder of `dnsearch train`, which holds a network/."""
    return is_file_or_folder(name) and (Path(name) / NETWORK_FOLDER / "config.json").is_file()


def _find(name: str, read: Callable[[RunDir], Results]) -> Asked:
    if not is_network_folder(name):
        return find_network(name, read)
    return find_network(str(Path(name) / NETWORK_FOLDER), read)._replace(folder=name)


def _knowing(arch: Any, runs: Sequence[Results]) -> Results | None:
    """The first of the runs that has trained this architecture."""
    from dnsearch.search.compared import adapted

    return next((r for r in runs if adapted(arch, r).key in r.archs), None)


def _shape_beside(name: str, arch: ArchConfig) -> tuple[int, int, int] | None:
    folder = _network_folder(name)
    told = exported_shape(folder) if folder else None
    return input_shape(told, arch) if told else None


def _network_folder(name: str) -> Path | None:
    if is_network_folder(name):
        return Path(name) / NETWORK_FOLDER
    return Path(name) if is_file_or_folder(name) and Path(name).is_dir() else None


def _measured_before(name: str) -> tuple[Tested | None, str | None]:
    """The test error that comes with a network's folder, and the fingerprint of its images; of an
    export that a search made only the first, as its folder does not say the second."""
    from dnsearch.search.compared import Tested

    folder = _network_folder(name)
    if folder is None:
        return None, None
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        if (file := folder.parent / RESULT_FILE).is_file() and folder.name == NETWORK_FOLDER:
            told = read_json(file)
            tested = told["test"] and Tested(
                float(told["test"]["error"]), 1, int(told["epochs"]), "dnsearch train"
            )
            return tested, str(told["images"]["fingerprint"])
        if not (folder / EXPORT_FILE).is_file():
            return None, None
        told = read_json(folder / EXPORT_FILE)["weights"]
        if told["test_error"] is not None:
            error, epochs = float(told["test_error"]), int(told["epochs"])
            return Tested(error, 1, epochs, "dnsearch confirm"), None
    return None, None


def _measure(asked: Sequence[Subject], batch_size: int, device: str) -> Any:
    from dnsearch.cli.measured import measure

    return measure(asked, batch_size, device)
