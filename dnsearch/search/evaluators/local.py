"""The ``local`` evaluator: worker processes on this machine, one a GPU or sharing the CPU cores."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from dnsearch.errors import DnsearchError
from dnsearch.processes import (
    ENVIRONMENT,
    START_SECONDS,
    Died,
    Said,
    Worker,
    set_environment,
    wait_for,
)
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators import mps
from dnsearch.search.evaluators.base import Job, Running, Unexplained
from dnsearch.search.evaluators.worker import WorkerSettings, train, warm_up
from dnsearch.search.faults import MOST_STARTS, blame, cannot_start, too_late
from dnsearch.training.score import Score, lacked_memory


@dataclass
class _Place:
    """One worker with a device of its own, and what it is at. ``since``: when the job was
    submitted; ``began``: when the worker, ready by then, took it."""

    device: str
    worker: Worker | None = None
    job: Job | None = None
    since: float = 0.0
    began: float | None = None
    epochs: float = 0.0
    starts: int = 0
    ready: bool = False
    ending: Score | Unexplained | None = None


class LocalEvaluator:
    """Worker processes that stay alive; one that dies takes its candidate along, not the search.

    ``devices`` names the device of each worker, such as ``["cuda:0", "cuda:1"]`` or
    ``["cpu", "cpu"]``; ``timeout`` is the most seconds a job may take once its worker is ready, and
    that a worker may take to be ready.
    """

    def __init__(
        self, run: RunDir, settings: WorkerSettings, devices: list[str], timeout: float
    ) -> None:
        self.run, self.settings, self.timeout = run, settings, timeout
        self._before = dict(os.environ)
        set_environment()  # inherited by workers, replaced ones included
        self._service = mps.Service(devices)
        self._service.start()
        self._places = [_Place(device) for device in devices]

    @property
    def capacity(self) -> int:
        """See ``Evaluator``: one job a worker."""
        return len(self._places)

    def submit(self, job: Job) -> None:
        """See ``Evaluator``; starts the worker where there is none. Raises MachineError where none
        can be started."""
        place = next(place for place in self._places if place.job is None)
        self._listen(place)  # it may have died idle
        place.job, place.since, place.epochs, place.starts = job, time.monotonic(), 0.0, 0
        if place.worker is None:
            self._start(place)
        else:
            place.began = place.since
        self._give(place)

    def _start(self, place: _Place) -> None:
        place.began, place.ready, place.starts = None, False, place.starts + 1
        try:
            place.worker = Worker(warm_up, (self.settings, place.device), train)
        except OSError as error:
            raise cannot_start(error) from error

    def _give(self, place: _Place) -> None:
        assert place.job is not None
        assert place.worker is not None
        checkpoint = self.run.checkpoint(place.job.arch.key, place.job.seed)
        place.worker.give(place.job, checkpoint)

    def completed(self, timeout: float) -> list[tuple[Job, Score | Unexplained]]:
        """See ``Evaluator``. Raises a DnsearchError that is the machine's or the data's fault, such
        as a full disk: no further candidate could do better."""
        busy = [place for place in self._places if place.job is not None]
        if not any(place.ending for place in busy):
            wait_for([place.worker for place in busy if place.worker], timeout)
        ended: list[tuple[Job, Score | Unexplained]] = []
        for place in busy:
            self._listen(place)
            self._look_at_the_clock(place)
            if place.ending is not None and place.job is not None:
                ended.append((place.job, place.ending))
                place.job = place.ending = None
        return ended

    def _listen(self, place: _Place) -> None:
        for said in place.worker.heard() if place.worker else ():
            if isinstance(said, Died) or said.kind == "error":
                self._failed(place, said if isinstance(said, Died) else said.value)
                return
            self._take(place, said)

    def _take(self, place: _Place, said: Said) -> None:
        match said.kind:
            case "ready":
                place.began, place.ready = time.monotonic(), True
            case "note":
                place.epochs = said.value
            case "result":
                place.ending = said.value
                if lacked_memory(said.value.failure):
                    self._stop(place)  # on a GPU it may have broken off the recording of a graph

    def _failed(self, place: _Place, cause: Died | Exception) -> None:
        """The worker has died or raised; one that did so once, say by a CUDA error, which leaves
        the whole process unusable, may do so for ever, so another takes its place."""
        self._stop(place)
        if place.job is None:
            return  # it died idle
        if place.ready:
            place.ending = blame(place.job, cause, place.epochs)
        elif place.starts < MOST_STARTS and not isinstance(cause, DnsearchError):
            self._start(place)
            self._give(place)
        else:
            raise cannot_start(cause)

    def _look_at_the_clock(self, place: _Place) -> None:
        if place.job is None or place.ending is not None or place.worker is None:
            return
        since = place.since if place.began is None else place.began
        if place.worker.is_late:
            raise cannot_start(f"nothing was heard of one for {START_SECONDS:g} s")
        if time.monotonic() - since <= self.timeout:
            return
        if place.began is None:
            raise cannot_start(f"one was not ready after search.timeout ({self.timeout:g} s)")
        self._stop(place)
        place.ending = too_late(place.job, self.timeout)

    def running(self) -> list[Running]:
        """See ``Evaluator``."""
        for place in self._places:
            if place.job is not None:
                self._listen(place)
        now = time.monotonic()
        return [
            Running(place.job, place.epochs, now - place.since)
            for place in self._places
            if place.job is not None
        ]

    def notes(self) -> list[str]:
        """See ``Evaluator``: nothing, as all are on this machine."""
        return []

    def close(self) -> None:
        """See ``Evaluator``: ends all workers."""
        for place in self._places:
            place.job = None
            self._stop(place)
        self._service.stop()
        for name in ENVIRONMENT.keys() - self._before.keys():
            os.environ.pop(name, None)

    @staticmethod
    def _stop(place: _Place) -> None:
        if place.worker is not None:
            place.worker.kill()
            place.worker = None
