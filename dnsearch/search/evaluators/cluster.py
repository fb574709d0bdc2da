"""The ``cluster`` evaluator: a Ray actor for each training that a node has room for.

Actors are placed on the nodes by name, so that none waits for a machine while it holds a job, and
they get jobs once they are ready: a node that is slow to begin holds up nobody. Weights travel with
a job and come back with its score. What is lost with its node, or with its actor, goes to another.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dnsearch.config import ClusterConfig
from dnsearch.data import LabelledImages
from dnsearch.errors import DnsearchError, MachineError, one_line
from dnsearch.files import atomic, checksum, make_folder, write_text
from dnsearch.rundir import RunDir
from dnsearch.search.cluster import Head
from dnsearch.search.evaluators.base import Ending, Job, Lost, Running, Unexplained
from dnsearch.search.evaluators.node import PROBE, Trainee, read_files, versions
from dnsearch.search.evaluators.worker import Images, WorkerSettings
from dnsearch.search.faults import blame, too_late
from dnsearch.text import counted
from dnsearch.training.score import OUT_OF_MEMORY, lacked_memory

LOOK_SECONDS = 2.0
"""From one look at the cluster's nodes, and at how far trainings are, to the next."""

IN_A_ROW = 3
"""A node that loses so many different trainings, or actors that are not ready yet, with no score
between them, is left out."""

_GROUPS = {"train": 1, "tell": 1}
"""Threads of an actor: one that trains, and one that says how far it is."""


@dataclass
class _Node:
    """A machine of the cluster. ``lost``: trainings since its last score; ``unready``: actors lost
    before they were ready."""

    id: str
    name: str
    room: int = 0
    alive: bool = True
    left_out: bool = False
    lost: set[Job] = field(default_factory=set)
    unready: int = 0


@dataclass(eq=False)
class _Place:
    """An actor and what it is at. ``pending``: what it has been asked to do; ``asked``: how far it
    is; ``since``: when it began with that, infinite where it has not, as while it waits for room on
    a shared node."""

    node: _Node
    actor: Any
    pending: Any
    ready: bool = False
    job: Job | None = None
    asked: Any = None
    epochs: float = 0.0
    since: float = math.inf


class ClusterEvaluator:
    """Trains on the nodes of the Ray cluster that this process is connected to.

    ``kind``: ``cuda`` to use nodes with GPUs alone, else ``cpu``. ``most``: trainings at a time;
    None is as many as there is room for. ``timeout``: the most seconds of a training, and of
    getting ready for the first. Images are put into Ray's object store unless the nodes read them
    by themselves (``images`` is None). ``look``: called now and then, returns what is to be told of
    the nodes.
    """

    def __init__(
        self,
        run: RunDir,
        settings: WorkerSettings,
        config: ClusterConfig,
        kind: str,
        images: Images | None,
        most: int | None,
        timeout: float,
        look: Callable[[], list[str]] = list,
    ) -> None:
        self.run, self.settings, self.config, self.kind = run, settings, config, kind
        self.most, self.timeout, self._look = most or math.inf, timeout, look
        self._images = None if images is None else ray.put(_in_memory(images))
        self._sign = secrets.token_hex(16)
        self._storage = self._shared_folder()
        needs = {"num_cpus": config.cpus, "num_gpus": config.gpus if kind == "cuda" else 0}
        remote: Any = ray.remote  # its types know no concurrency groups
        self._new = remote(concurrency_groups=_GROUPS, max_restarts=0, **needs)(Trainee)
        self._nodes: dict[str, _Node] = {}
        self._places: list[_Place] = []
        self._notes: list[str] = []
        self._looked, self._last, self._waits = -math.inf, "", False
        self._head = Head()

    def _shared_folder(self) -> Path | None:
        """Where the weights of trainings under way lie: a folder of this run's own within
        ``storage_path``, signed, so that nodes can tell that it is the same."""
        if self.config.storage_path is None:
            return None
        name = checksum([str(self.run.path.resolve()), self.settings.fingerprint])[:16]
        folder = self.config.storage_path / f"dnsearch-{name}"
        make_folder(folder)
        write_text(folder / PROBE, self._sign)
        return folder

    @property
    def capacity(self) -> int:
        """See ``Evaluator``: the actors that are ready."""
        return sum(place.ready for place in self._places)

    def submit(self, job: Job) -> None:
        """See ``Evaluator``."""
        place = next(place for place in self._places if place.ready and place.job is None)
        train = place.actor.train.options(concurrency_group="train")
        files = read_files(self.run.checkpoint(job.arch.key, job.seed))
        place.pending, place.asked = train.remote(job, files), None
        place.job, place.epochs, place.since = job, 0.0, time.monotonic()

    def completed(self, timeout: float) -> list[tuple[Job, Ending]]:
        """See ``Evaluator``. Raises MachineError where the head of the cluster is gone, or where no
        node is left."""
        self._head.require()
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            self._look_around()
        busy = {place.pending: place for place in self._places if place.pending is not None}
        if not busy:
            time.sleep(timeout)
            return []
        # The second one is for those that are ready at the same time.
        ray.wait([*busy], num_returns=1, timeout=timeout)
        done, _ = ray.wait([*busy], num_returns=len(busy), timeout=0)
        ended = [each for result in done for each in self._ended(busy[result])]
        ended += [each for place in [*self._places] for each in self._late(place)]
        self._require_any()
        return ended

    # ------------------------------------------------------------------------ the cluster

    def _look_around(self) -> None:
        """Takes note of nodes that came and went, starts actors where there is room, and asks the
        others how far they are."""
        self._notes += self._look()
        for told in ray.nodes():
            self._note_node(told)
        for node in self._nodes.values():
            if node.alive and not node.left_out:
                for _ in range(node.room - sum(place.node is node for place in self._places)):
                    if len(self._places) < self.most:
                        self._places.append(self._start(node))
        for place in self._places:
            self._ask(place)
        if not (self._places or self._waits):
            self._notes.append("no node has room for a training run; waiting for one")
        self._waits = not self._places

    def _note_node(self, told: dict[str, Any]) -> None:
        id, alive = told["NodeID"], told["Alive"]
        node = self._nodes.get(id)
        if node is None:
            if alive and (room := self._room(told.get("Resources", {}))):
                name = f"{told['NodeManagerHostname']} ({told['NodeManagerAddress']})"
                self._nodes[id] = _Node(id, name, room)
                self._notes.append(f"node {name} joined, for {counted(room, 'training run')}")
        elif node.alive and not alive:
            node.alive = False
            self._notes.append(f"node {node.name} is gone")

    def _room(self, resources: dict[str, float]) -> int:
        """Trainings that a node has room for."""
        room = int(resources.get("CPU", 0)) // self.config.cpus
        if self.kind == "cuda":
            each = int(1 / self.config.gpus)  # no training spans two GPUs
            room = min(room, int(resources.get("GPU", 0)) * each)
        return room

    def _start(self, node: _Node) -> _Place:
        where = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = self._new.options(scheduling_strategy=where).remote()
        device = "cuda:0" if self.kind == "cuda" else "cpu"  # Ray shows an actor its own GPU alone
        wanted = self.settings, device, self._images, versions(), self._storage, self._sign
        warm_up = actor.warm_up.options(concurrency_group="train")
        return _Place(node, actor, warm_up.remote(*wanted))

    def _ask(self, place: _Place) -> None:
        if place.pending is None:
            return
        if place.asked is not None and ray.wait([place.asked], timeout=0)[0]:
            with contextlib.suppress(RayError):
                place.epochs = ray.get(place.asked)
                place.since = min(place.since, time.monotonic())  # one that answers has begun
            place.asked = None
        if place.asked is None:
            place.asked = place.actor.epochs.options(concurrency_group="tell").remote()

    # ------------------------------------------------------------------------ what has ended

    def _ended(self, place: _Place) -> Iterator[tuple[Job, Ending]]:
        """What the actor has answered, or what became of it."""
        job, result = place.job, place.pending
        place.pending, place.since = None, math.inf
        try:
            found = ray.get(result)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            yield from self._raised(place, cause)
            return
        except RayError as error:
            yield from self._died(place, error)
            return
        place.node.unready = 0
        if job is None:
            place.ready = True
            return
        score, files = found
        checkpoint = self.run.checkpoint(job.arch.key, job.seed)
        for name, content in files.items():
            with atomic(checkpoint.parent / name) as aside:
                aside.write_bytes(content)
        self._forget(job)
        place.job = None
        place.node.lost.clear()
        if lacked_memory(score.failure):
            self._drop(place)  # on a GPU it may have broken off the recording of a graph
        yield job, score

    def _raised(self, place: _Place, cause: Exception) -> Iterator[tuple[Job, Ending]]:
        """An error in the actor: of this node, of the search as a whole, or nobody knows."""
        job = place.job
        self._drop(place)
        if isinstance(cause, MachineError):
            self._leave_out(place.node, one_line(cause))
            if job is not None:
                yield job, Lost(f"{place.node.name}: {one_line(cause)}")
        elif isinstance(cause, DnsearchError):
            raise cause
        elif job is None:
            self._count(place, one_line(cause))
        else:
            yield job, blame(job, cause, place.epochs)

    def _died(self, place: _Place, error: RayError) -> Iterator[tuple[Job, Ending]]:
        """The actor is gone, with its node or by itself."""
        job, reason = place.job, _reason(error)
        self._drop(place)
        again = "" if job is None else "; its training run goes to another"
        self._notes.append(f"a worker on node {place.node.name} was lost{again}: {reason}")
        self._count(place, reason)
        if job is not None and isinstance(error, OutOfMemoryError):
            yield job, Unexplained(f"{OUT_OF_MEMORY} on node {place.node.name}")
        elif job is not None:
            yield job, Lost(f"lost with its worker on node {place.node.name}: {reason}")

    def _late(self, place: _Place) -> Iterator[tuple[Job, Ending]]:
        if time.monotonic() - place.since <= self.timeout:
            return
        job = place.job
        self._drop(place)
        if job is None:
            reason = f"not ready after {self.timeout:g} s"
            self._notes.append(f"a worker on node {place.node.name} was given up: {reason}")
            self._count(place, reason)
        else:
            self._forget(job)
            yield job, too_late(job, self.timeout)

    def _count(self, place: _Place, reason: str) -> None:
        """Takes note that a node has lost an actor, and leaves it out where it does so again and
        again."""
        node = place.node
        if place.job is None:
            node.unready += 1
        else:
            node.lost.add(place.job)
        if node.alive and max(node.unready, len(node.lost)) >= IN_A_ROW:
            times = counted(IN_A_ROW, "worker")
            self._leave_out(node, f"it lost {times} in a row, the last with: {reason}")

    def _leave_out(self, node: _Node, reason: str) -> None:
        """Trainings under way there go on; no other is started."""
        if not node.left_out:
            node.left_out = True
            self._last = f"{node.name}: {reason}"
            self._notes.append(f"node {node.name} is left out: {reason}")
        for place in [each for each in self._places if each.node is node and each.job is None]:
            self._drop(place)

    def _require_any(self) -> None:
        """Raises MachineError where all nodes are left out, and what ran there has ended."""
        alive = [node for node in self._nodes.values() if node.alive]
        if alive and not self._places and all(node.left_out for node in alive):
            raise MachineError(
                f"no node of the cluster can be used, the last left out {self._last}"
            )

    def _drop(self, place: _Place) -> None:
        if place in self._places:
            self._places.remove(place)
        with contextlib.suppress(RayError):
            ray.kill(place.actor)

    def _forget(self, job: Job) -> None:
        """Removes what a training has left in the shared folder."""
        if self._storage is not None:
            folder = RunDir(self._storage).checkpoint(job.arch.key, job.seed)
            for file in folder.parent.glob(f"{folder.stem}.*"):
                file.unlink(missing_ok=True)

    def running(self) -> list[Running]:
        """See ``Evaluator``."""
        now = time.monotonic()
        return [
            Running(place.job, place.epochs, now - place.since)
            for place in self._places
            if place.job is not None
        ]

    def notes(self) -> list[str]:
        """See ``Evaluator``."""
        told, self._notes = self._notes, []
        return told

    def close(self) -> None:
        """See ``Evaluator``: ends all actors; the shared folder keeps what is under way there, for
        the next session."""
        for place in [*self._places]:
            self._drop(place)
        if self._storage is not None and not any(self._storage.glob("checkpoints/*/*")):
            shutil.rmtree(self._storage, ignore_errors=True)


def _in_memory(images: Images) -> Images:
    """Without memory maps, which Ray would copy for each actor; plain arrays it maps."""

    def plain(part: LabelledImages) -> LabelledImages:
        return LabelledImages(np.array(part.images), part.labels)

    data = images.prepared
    data = replace(data, train=plain(data.train), validation=plain(data.validation))
    return Images(data, None if images.test is None else plain(images.test))


def _reason(error: RayError) -> str:
    """Ray's many lines in one."""
    told = str(error)
    for sign in ("Worker exit detail: ", "The actor is dead because ", "unavailable: "):
        if sign in told:
            told = told.partition(sign)[2]
    return told.strip().partition("\n")[0].partition(". ")[0][:200]
