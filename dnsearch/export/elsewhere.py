"""Full trainings on the nodes of a Ray or Slurm cluster, each a task of Ray's.

Folders and images lie where all nodes see them, so a training whose node is lost goes on, on
another one, from its last checkpoint. This process holds the folders' locks: a node that is lost
could not give them back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dnsearch.config import ClusterConfig, StudyConfig
from dnsearch.errors import ConfigError, DnsearchError, MachineError, RunError, one_line
from dnsearch.export.trained import Result, train_locked
from dnsearch.files import make_folder, write_text
from dnsearch.processes import set_environment
from dnsearch.rundir import RunDir
from dnsearch.search.cluster import Head, RayWorkers, imported, nodes
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators.node import differing, is_same_folder, versions
from dnsearch.search.workers import workers_of
from dnsearch.training.full import FullTraining, Packed, Silence

MOST_LOST = 5
"""Times that a training goes on elsewhere after its node or its process was lost."""

CHECK_SECONDS = 120.0
"""In which every node must have said whether it sees the folders."""

PROBE = ".dnsearch-shared"
"""How the name of the file begins by which nodes tell that they see the same folder."""

Training = tuple[FullTraining, RunDir]


def train_elsewhere(
    trainings: Mapping[int, Training],
    study: StudyConfig,
    begun: Callable[[Plan], None],
    ended: Callable[[int, Result | str], None],
    threads: int | None = None,
) -> None:
    """Trains networks on the cluster of a study.

    The folders lie in one, which all nodes share, as they do the images. ``begun`` is told what
    there is room for; ``ended`` the result of each as it ends, or why it has none. threads: CPU
    threads of each, instead of ``cluster.cpus``. Raises a DnsearchError before anything begins
    where the cluster cannot be used or a node does not see the folders, and MachineError where the
    cluster's head is gone.
    """
    config, left, workers = study.cluster, dict(trainings), workers_of(study)
    assert isinstance(workers, RayWorkers)
    plan = workers.plan(study)
    with contextlib.ExitStack() as locks:
        locks.callback(workers.leave)
        _require_shared([*trainings.values()])
        begun(plan)
        for place, (_, run) in trainings.items():
            try:
                locks.enter_context(run.lock())
            except DnsearchError as error:
                del left[place]
                ended(place, str(error))
        own = threads or config.cpus
        pending = {_submitted(each, plan, config, own): place for place, each in left.items()}
        head = Head()
        while pending:
            head.require()
            workers.look()
            done, _ = imported().wait([*pending], num_returns=1, timeout=1.0)
            for task in done:
                ended(pending.pop(task), _result(task))


def _require_shared(trainings: Sequence[Training]) -> None:
    """Raises a DnsearchError where a node does not see the folder of the results, or the images, or
    has other versions."""
    folder = trainings[0][1].path.parent.resolve()
    make_folder(folder)
    probe = folder / f"{PROBE}-{secrets.token_hex(8)}"
    images = {str(t.data.path.resolve()) for t, _ in trainings if t.data.path is not None}
    write_text(probe, probe.name)
    try:
        ray = imported()
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        check = ray.remote(num_cpus=0, max_retries=1)(_seen)
        asked = {
            check.options(scheduling_strategy=strategy(node["NodeID"], soft=False)).remote(
                str(probe), sorted(images), versions()
            ): node["NodeManagerHostname"]
            for node in nodes()
            if node["Alive"] and node.get("Resources", {}).get("CPU")
        }
        late = time.monotonic() + CHECK_SECONDS
        for task, node in asked.items():
            try:
                wrong = ray.get(task, timeout=max(1.0, late - time.monotonic()))
            except Exception as error:  # of Ray's many own ones
                raise MachineError(f"node {node} does not answer: {one_line(error)}") from error
            if wrong:
                raise RunError(f"node {node} {wrong}")
    finally:
        probe.unlink(missing_ok=True)


def _seen(probe: str, images: Sequence[str], needed: Mapping[str, str]) -> str:
    """On a node: what keeps it from training; empty if nothing does."""
    path = Path(probe)
    if other := differing(needed, "this machine"):
        return other
    shared = "name one with --to that all nodes share"
    try:
        if not is_same_folder(path, path.name):
            return f"has another folder at {path.parent}; {shared}"
    except OSError as error:
        return f"cannot use {path.parent} ({error.strerror or error}); {shared}"
    for place in images:
        if not os.path.exists(place):
            return f"does not see data.path, {place}; move the images to a folder all nodes share"
    return ""


def _submitted(training: Training, plan: Plan, config: ClusterConfig, threads: int) -> Any:
    """The task, in a process of its own, so that none finds memory that another has left."""
    (what, run), gpus = training, config.gpus if plan.kind == "cuda" else 0
    task = imported().remote(
        num_cpus=config.cpus, num_gpus=gpus, max_retries=MOST_LOST, max_calls=1
    )(_train)
    return task.remote(what.packed(), RunDir(run.path.resolve()), plan.devices[0], threads)


def _result(task: Any) -> Result | str:
    """Of a task that has ended."""
    from ray.exceptions import RayError, RayTaskError

    try:
        return imported().get(task)
    except RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        return str(cause) if isinstance(cause, DnsearchError) else one_line(cause)
    except RayError as error:
        return f"lost {MOST_LOST + 1} times, the last with: {one_line(error)}"


def _train(packed: Packed, run: RunDir, device: str, threads: int) -> Result:
    """On a node: trains a network, from its last checkpoint if there is one."""
    set_environment()
    training = packed.training("this node has other images than the command")
    Plan((device,), threads).compile_kernels(training.recipe)
    return train_locked(training, run, (device,), threads, Silence())


def require_alone(study: StudyConfig, gpus: int) -> None:
    """Raises ConfigError where several GPUs are to train a network on a cluster."""
    if gpus > 1:
        rule = f"must be 1 with cluster.engine {study.cluster.engine!r}: one trains each network"
        raise ConfigError("--gpus", rule, gpus, "leave it out, or set --engine local")
