"""The NETWORK of a command: a preset, a file, a folder, a run or RUN:PICK."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.config import StudyConfig
from dnsearch.errors import RunError, nearest
from dnsearch.files import read_json
from dnsearch.rundir import RUNS, TRAINING_FILE, RunDir, name_like

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

    Raises CheckpointError where a file cannot be read, and RunError where there is no such run or
    candidate, or nothing of this name.
    """
    run, colon, query = network.rpartition(":")
    if colon and not is_file_or_folder(network):
        return _of_run(RunDir.find(run), read, query)
    if (folder := whole_run(network)) is not None:
        return _of_run(folder, read)
    if network in PRESETS:
        return Asked(network, network, PRESETS[network])
    if not is_file_or_folder(network):
        _refuse(network)
    arch = _in_file(Path(network))
    path = Path(network).resolve()
    return Asked(arch.describe(), name_like(path.name if path.is_dir() else path.stem), arch)


def _refuse(network: str) -> NoReturn:
    """Raises RunError for a name that is none of a run, a preset and a file."""
    if os.path.isfile(RUNS / network / TRAINING_FILE):
        RunDir.find(network)  # which says where the network of a training is
    hint = nearest(network, [*PRESETS, *RunDir.names()])
    raise RunError(f"there is no run, preset or file {network!r}; {hint}")


def whole_run(network: str) -> RunDir | None:
    """The search that is meant by its name or path alone, None where it is none. A preset's name
    never is."""
    return None if network in PRESETS else RunDir.known(network)


def _of_run(run: RunDir, read: Callable[[RunDir], Results], query: str = "") -> Asked:
    from dnsearch.analysis.picks import LEAST_ERROR, RULES

    results = read(run)
    query = query or LEAST_ERROR
    found = results.pick(query)
    folder = name_like(f"{run.name}-{query if query in RULES else found.key}")
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


def _in_file(path: Path) -> ArchConfig:
    """The architecture in a config.json or in the folder of an export. Raises CheckpointError."""
    from dnsearch.arch.checkpoint import CONFIG_FILE, read_config

    return read_config(path / CONFIG_FILE if path.is_dir() else path)
