"""The NETWORK of a command: a preset, a file, a folder, a run or RUN:PICK."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS, preset
from dnsearch.config import StudyConfig
from dnsearch.errors import RunError
from dnsearch.files import read_json
from dnsearch.rundir import RunDir, name_like

if TYPE_CHECKING:
    from dnsearch.search.results import Results


class Asked(NamedTuple):
    """A network, its name and a name for its folder; of a search also its study, the shape of its
    images, (channels, height, width), and its results."""

    name: str
    folder: str
    arch: ArchConfig
    study: StudyConfig | None = None
    shape: tuple[int, int, int] | None = None
    results: Results | None = None


def _read(run: RunDir) -> Results:
    from dnsearch.search.results import read_results

    return read_results(run)


def find_network(network: str, read: Callable[[RunDir], Results] = _read) -> Asked:
    """The network of a preset's name, a config.json, the folder of an export, RUN:PICK, or RUN
    alone, whose answer it is. ``read``: how a run is read, for whoever asks for several networks.

    Raises as ``read_network`` does, and RunError where there is no such run or candidate.
    """
    run, colon, query = network.rpartition(":")
    if colon and not is_file_or_folder(network):
        return _of_run(RunDir.find(run), read, query)
    if (folder := whole_run(network)) is not None:
        return _of_run(folder, read)
    arch = read_network(network)
    if network in PRESETS:
        return Asked(network, network, arch)
    path = Path(network).resolve()
    return Asked(arch.describe(), name_like(path.name if path.is_dir() else path.stem), arch)


def whole_run(network: str) -> RunDir | None:
    """The search that is meant by its name or path alone, None where it is none. A preset's name
    never is."""
    return None if network in PRESETS else RunDir.known(network)


def _of_run(run: RunDir, read: Callable[[RunDir], Results], query: str = "") -> Asked:
    from dnsearch.analysis.picks import LEAST_ERROR, RULES

    results = read(run)
    query = query or LEAST_ERROR
    found = results.pick(query)
    folder = f"{run.name}-{query if query in RULES else found.key}"
    channels, height, width = results.data["shape"]
    shape = channels, height, width
    return Asked(found.name, folder, found.arch, results.study, shape, results)


def exported_shape(folder: Path) -> str | None:
    """The shape CxHxW of the images of the export in a folder, None where it is no export."""
    with contextlib.suppress(RunError, ValueError, KeyError, TypeError):
        return "x".join(map(str, read_json(folder / "preprocessing.json")["shape"]))
    return None


def is_file_or_folder(network: str) -> bool:
    """Whether NETWORK is a path. A preset's name never is; ./NAME means a folder of that name."""
    # os.path: Path.exists raises on a name that is too long
    return network not in PRESETS and (network.endswith(".json") or os.path.exists(network))


def read_network(network: str) -> ArchConfig:
    """The architecture in a config.json or in the folder of an export, or the preset of this name.

    Raises CheckpointError where the file cannot be read, ConfigError where there is no such preset.
    """
    if not is_file_or_folder(network):
        return preset(network)
    from dnsearch.arch.checkpoint import CONFIG_FILE, read_config

    path = Path(network)
    return read_config(path / CONFIG_FILE if path.is_dir() else path)
