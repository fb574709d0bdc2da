"""The NETWORK of a command: a preset, a file, or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS, preset


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
