"""Options that say where training runs take place, for all verbs that train many networks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from dnsearch.cli import given

_OPTIONS: dict[str, Any] = {
    "engine": {
        "type": click.Choice(["local", "ray", "slurm"]),
        "help": "For cluster.engine: this machine, or a Ray or Slurm cluster.",
    },
    "address": {"help": "For cluster.address: that of the Ray cluster."},
    "storage_path": {"help": "For cluster.storage_path: a folder that all nodes share."},
    "nodes": {"type": click.IntRange(min=1), "help": "For cluster.nodes: Slurm jobs."},
    "partition": {"help": "For cluster.partition, of Slurm."},
    "gres": {"help": "For cluster.gres, of Slurm, such as gpu:4."},
}


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command gets those that were typed as one dictionary, ``cluster``."""

    @functools.wraps(command)
    def with_cluster(**values: Any) -> Any:
        cluster = given(**{name: values.pop(name) for name in _OPTIONS})
        return command(cluster=cluster, **values)

    for name, settings in reversed(_OPTIONS.items()):
        flag = f"--{name.replace('_', '-')}"
        with_cluster = click.option(flag, name, **settings)(with_cluster)
    return with_cluster
