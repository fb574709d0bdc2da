"""How a NETWORK is named on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS, preset


def is_file_or_folder(network: str) -> bool:
    """A preset stays a preset beside a folder of its name; ./NAME means the folder."""
    # os.path: Path.exists raises on a name that is too long
    return network not in PRESETS and (network.endswith(".json") or os.path.exists(network))


def read_network(network: str) -> ArchConfig:
    """The architecture of a config.json, of the folder of an export, or of a preset's name.

    Raises CheckpointError on a file and ConfigError on a name.
    """
    if not is_file_or_folder(network):
        return preset(network)
    from dnsearch.arch.checkpoint import CONFIG_FILE, read_config

    path = Path(network)
    return read_config(path / CONFIG_FILE if path.is_dir() else path)
