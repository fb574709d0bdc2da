"""Training on the nodes of a Ray cluster: the connection to it, and what there is room for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dnsearch.config import ClusterConfig, Keep, StudyConfig, TrainingConfig
from dnsearch.data import Kept, PreparedData, prepare_test
from dnsearch.errors import ConfigError, MachineError, one_line
from dnsearch.interrupts import SIGNALS
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators.base import Evaluator
from dnsearch.search.evaluators.node import gpu_has_bf16
from dnsearch.search.evaluators.worker import Images
from dnsearch.search.workers import settings_of

HEAD_SECONDS = 20.0
"""For which the cluster's head may not answer. Ray itself would end the process after 60 s."""

WAIT_SECONDS = 120.0
"""For which the first node of a cluster may be awaited, to learn what it has."""

ANSWER_SECONDS = 5.0
"""In which a cluster's head must answer at all."""


@dataclass(frozen=True)
class ClusterPlan(Plan):
    """The trainings that a cluster had room for when it was joined. Where they run is found later:
    nodes come and go. ``bf16``: whether its GPUs have it."""

    bf16: bool = False

    def within_memory(self, train_bytes: int) -> Plan:
        """As it is: ``cluster.gpus`` says how many trainings share a GPU."""
        return self

    def kept(self, keep: Keep, data: PreparedData) -> Kept:
        """As it is asked: where that is ``auto``, each node goes by its own memory."""
        return Kept(keep, keep, data.nbytes, None)

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
        """See ``Workers``: joins the cluster. Raises ConfigError where latency counts: it is that
        of one machine."""
        if alone:
            rule = "must be local where latency counts, which is measured on one machine"
            raise ConfigError("cluster.engine", rule, study.cluster.engine)
        try:
            return plan_of(study, self.join(study.cluster))
        except BaseException:
            self.leave()
            raise

    def join(self, config: ClusterConfig) -> dict[str, float]:
        """Makes this process part of the cluster; returns what that has."""
        connect(config.address)
        return dict(imported().cluster_resources())

    def look(self) -> list[str]:
        """Called now and then; what there is to tell of the nodes."""
        return []

    def leave(self) -> None:
        """Leaves the cluster, which goes on; nothing where it was not joined."""
        if (ray := sys.modules.get("ray")) is not None:
            ray.shutdown()

    @contextlib.contextmanager
    def evaluator(
        self,
        study: StudyConfig,
        data: PreparedData,
        run: RunDir,
        plan: Plan,
        test: bool = False,
    ) -> Iterator[Evaluator]:
        """See ``Workers``; leaves the cluster, which ``plan`` has joined, at its end."""
        from dnsearch.search.evaluators.cluster import ClusterEvaluator

        settings, config = settings_of(study, data, plan, test), study.cluster
        most, timeout = study.search.workers, study.search.timeout
        with contextlib.ExitStack() as stack:
            stack.callback(self.leave)
            images = None
            if config.images == "store":
                images = Images(data, prepare_test(study.data) if test else None)
            own = run, settings, config, plan.kind, images, most, timeout, self.look
            evaluator = ClusterEvaluator(*own)
            stack.callback(evaluator.close)
            yield evaluator


def plan_of(study: StudyConfig, there: dict[str, float]) -> ClusterPlan:
    """What a cluster with these resources is used for. Raises ConfigError where it lacks them."""
    config, device = study.cluster, study.search.device
    if config.images == "store" and study.data.keep == "disk":
        rule = 'must be "path" with data.keep = "disk": the store is memory'
        raise ConfigError("cluster.images", rule, config.images)
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
    if address != "local" and not _is_there(address):
        hint = "start one with `ray start --head`, or name the address of one that runs"
        raise ConfigError("cluster.address", "must be that of a Ray cluster", address, hint)
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


def answers(address: str, seconds: float) -> bool:
    """Whether anything does at an address, ``HOST:PORT``. Ray itself would try for minutes, and
    where a cluster's head is gone end this process. Raises ValueError where it is none."""
    host, _, port = address.rpartition(":")
    place = host, int(port)
    with contextlib.suppress(OSError), socket.create_connection(place, seconds):
        return True
    return False


def _is_there(address: str) -> bool:
    """Whether there is a cluster at what ``cluster.address`` may be."""
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return answers(canonicalize_bootstrap_address(address) or "", ANSWER_SECONDS)
    except ValueError:
        return False


class Head:
    """The head of the cluster, which Ray's own calls would wait for and then end this process."""

    def __init__(self) -> None:
        self.address = str(imported().get_runtime_context().gcs_address)
        self.answered = time.monotonic()

    def require(self) -> None:
        """Raises MachineError where it has not answered for some time."""
        while not answers(self.address, 2.0):
            if time.monotonic() - self.answered > HEAD_SECONDS:
                raise MachineError(
                    f"the head of the Ray cluster, {self.address}, has not answered for "
                    f"{HEAD_SECONDS:g} s; once there is one, the same command goes on"
                )
            time.sleep(0.5)
        self.answered = time.monotonic()


def imported() -> Any:
    """Ray, which takes seconds to import and need not be installed. Raises ConfigError."""
    try:
        import ray
    except ImportError:
        hint = "in a clone of dnsearch: pip install '.[ray]'"
        raise ConfigError("cluster.engine", "needs the package ray", "ray", hint) from None
    return ray


def nodes() -> list[dict[str, Any]]:
    """What Ray tells of each node that has ever joined the cluster."""
    return imported().nodes()


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
