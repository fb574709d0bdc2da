"""Training on the nodes of a Ray cluster: the connection to it, and what there is room for."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dnsearch.config import StudyConfig, TrainingConfig
from dnsearch.data import PreparedData
from dnsearch.errors import ConfigError, MachineError, one_line
from dnsearch.interrupts import SIGNALS
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators.base import Evaluator
from dnsearch.search.evaluators.node import gpu_has_bf16
from dnsearch.search.evaluators.worker import images_of
from dnsearch.search.workers import settings_of

WAIT_SECONDS = 120.0
"""For which the first node of a cluster may be awaited, to learn what it has."""


@dataclass(frozen=True)
class ClusterPlan(Plan):
    """The trainings that a cluster had room for when it was joined. Where they run is found later:
    nodes come and go. ``bf16``: whether its GPUs have it."""

    bf16: bool = False

    def within_memory(self, train_bytes: int) -> Plan:
        """As it is: ``cluster.gpus`` says how many trainings share a GPU."""
        return self

    def activation_bytes(self, recipe: TrainingConfig) -> int:
        """See ``Plan``; the GPUs are asked, not this machine's."""
        auto = recipe.precision == "auto" and self.kind == "cuda" and self.bf16
        return 2 if auto or recipe.precision == "bf16" else 4

    def notes(self) -> list[str]:
        """Nothing: other machines have their own cores."""
        return []

    def compile_kernels(self, recipe: TrainingConfig) -> list[str]:
        """Nothing here: each node does, before its first training."""
        return []


class RayWorkers:
    """Those of the Ray cluster at ``cluster.address``."""

    def plan(self, study: StudyConfig, alone: bool = False) -> Plan:
        """See ``Workers``. Raises ConfigError where latency counts: it is that of one machine."""
        config = study.cluster
        if alone:
            rule = "must be local where latency counts, which is measured on one machine"
            raise ConfigError("cluster.engine", rule, config.engine)
        connect(config.address)
        return plan_of(study, resources())

    @contextlib.contextmanager
    def evaluator(
        self,
        study: StudyConfig,
        data: PreparedData,
        run: RunDir,
        plan: Plan,
        test: bool = False,
    ) -> Iterator[Evaluator]:
        """See ``Workers``."""
        from dnsearch.search.evaluators.cluster import ClusterEvaluator

        settings = settings_of(study, data, plan, test)
        images = images_of(settings) if study.cluster.images == "store" else None
        most, timeout = study.search.workers, study.search.timeout
        evaluator = ClusterEvaluator(run, settings, study.cluster, plan.kind, images, most, timeout)
        try:
            yield evaluator
        finally:
            evaluator.close()
            disconnect()


def plan_of(study: StudyConfig, there: dict[str, float]) -> ClusterPlan:
    """What a cluster with these resources is used for. Raises ConfigError where it lacks them."""
    config, device = study.cluster, study.search.device
    if ":" in device:
        raise ConfigError("search.device", "must be auto, cpu or cuda on a cluster", device)
    gpus = int(there.get("GPU", 0)) if device != "cpu" else 0
    if device == "cuda" and not gpus:
        raise ConfigError(
            "search.device", "must be a device of the cluster, which has no GPU", device
        )
    cpus = int(there.get("CPU", 0)) // config.cpus
    room = min(cpus, int(gpus / config.gpus)) if gpus else cpus
    count = max(1, min(room, study.search.workers or room))
    return ClusterPlan(
        ("cuda:0" if gpus else "cpu",) * count, config.cpus, bool(gpus) and has_bf16()
    )


def connect(address: str) -> None:
    """Joins the cluster, unless that is done already. Raises ConfigError where Ray is not installed
    or is not there, MachineError where it does not let us in."""
    ray = imported()
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
    except (ConnectionError, ValueError) as error:
        hint = "start one with `ray start --head`, or name its address"
        raise ConfigError(
            "cluster.address", f"must be a Ray cluster: {_first(error)}", address, hint
        ) from None
    except Exception as error:  # of Ray's many own ones
        raise MachineError(f"cannot join the Ray cluster at {address}: {_first(error)}") from error
    finally:
        for number, handler in handlers.items():  # Ray puts its own in place of some
            signal.signal(number, handler)
    _silence(ray)


def disconnect() -> None:
    """Leaves the cluster, which goes on."""
    imported().shutdown()


def imported() -> Any:
    """Ray, which takes seconds to import and need not be installed. Raises ConfigError."""
    try:
        import ray
    except ImportError:
        hint = "pip install 'densenet-search[ray]'"
        raise ConfigError("cluster.engine", "needs the package ray", "ray", hint) from None
    return ray


def resources() -> dict[str, float]:
    """CPUs and GPUs of all nodes that are there now."""
    return dict(imported().cluster_resources())


def has_bf16() -> bool:
    """Whether the GPUs of the cluster can compute in bf16, which one of its nodes is asked."""
    ray = imported()
    try:
        return bool(ray.get(ray.remote(num_gpus=0.01)(gpu_has_bf16).remote(), timeout=WAIT_SECONDS))
    except Exception as error:
        raise MachineError(
            f"the GPUs of the Ray cluster cannot be used: {_first(error)}"
        ) from error


def _silence(ray: Any) -> None:
    """Keeps Ray from printing what happens to nodes, which is told in our own words, among what
    this process prints (Ray 2.60 has no setting for it)."""
    inside: Any = getattr(ray._private, "worker", None)
    if hasattr(inside, "_worker_logs_enabled"):
        inside._worker_logs_enabled = False


def _first(error: Exception) -> str:
    return one_line(error).partition(". ")[0][:200]
