"""The ``local`` evaluator: worker processes on this machine, one a GPU or sharing the CPU cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from pebble import ProcessExpired, ProcessPool

from dnsearch.errors import DnsearchError
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators import mps
from dnsearch.search.evaluators.base import Job, Running
from dnsearch.search.evaluators.worker import WorkerSettings, initialise, train, warm_up
from dnsearch.training.score import OUT_OF_MEMORY, Score

_WORKER_ENVIRONMENT = {
    # Two spinning OpenMP threads on two busy cores can be many times slower than one.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
}


@dataclass
class _Place:
    """One worker process: a pool of one, so that each keeps its own device."""

    slot: int
    device: str
    pool: ProcessPool | None = None
    job: Job | None = None
    future: Future[Score] | None = None
    submitted: float = 0.0


class LocalEvaluator:
    """Worker processes that stay alive; one that dies takes its candidate along, not the search.

    ``devices`` names the device of each worker, such as ``["cuda:0", "cuda:1"]`` or
    ``["cpu", "cpu"]``; ``timeout`` is the most seconds a job may take once its worker is ready.
    """

    def __init__(
        self, run: RunDir, settings: WorkerSettings, devices: list[str], timeout: float
    ) -> None:
        self.run, self.settings, self.timeout = run, settings, timeout
        self._before = dict(os.environ)
        for name, value in _WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)  # inherited by workers, replaced ones included
        self._service = mps.Service(devices)
        self._service.start()
        self._context = multiprocessing.get_context("spawn")  # fork and CUDA or threads do not mix
        self._progress = self._context.RawArray("d", len(devices))
        self._places = [_Place(slot, device) for slot, device in enumerate(devices)]

    @property
    def capacity(self) -> int:
        """See ``Evaluator``: one job a worker."""
        return len(self._places)

    def submit(self, job: Job) -> None:
        """See ``Evaluator``; starts the worker where there is none."""
        place = next(place for place in self._places if place.job is None)
        checkpoint = self.run.checkpoint(job.arch.key, job.seed)
        self._progress[place.slot] = 0
        pool = self._ready_pool(place)
        arguments = [job, checkpoint, place.slot]
        place.future = pool.schedule(train, args=arguments, timeout=self.timeout)
        place.job, place.submitted = job, time.monotonic()

    def _ready_pool(self, place: _Place) -> ProcessPool:
        """The place's worker, or a new one where there is none or it has died idle."""
        if place.pool is None or not place.pool.active:
            with _no_interrupts():
                place.pool = ProcessPool(
                    max_workers=1,
                    initializer=initialise,
                    initargs=(self.settings, place.device, self._progress),
                    context=self._context,
                )
                place.pool.schedule(warm_up)
        return place.pool

    def completed(self, timeout: float) -> list[tuple[Job, Score]]:
        """See ``Evaluator``. Raises a DnsearchError that is the machine's or the data's fault, such
        as a full disk: no further candidate could do better."""
        busy = [place for place in self._places if place.future is not None]
        wait([p.future for p in busy if p.future], timeout, return_when=FIRST_COMPLETED)
        return [self._collect(p) for p in busy if p.future is not None and p.future.done()]

    def _collect(self, place: _Place) -> tuple[Job, Score]:
        job, future = place.job, place.future
        assert job is not None
        assert future is not None
        place.job = place.future = None
        try:
            score = future.result()
            if score.failure and score.failure.startswith(OUT_OF_MEMORY):
                self._stop(place)  # on a GPU it may have broken off the recording of a graph
            return job, score
        except DnsearchError:
            raise
        except TimeoutError:
            reason = f"took longer than search.timeout ({self.timeout:g} s)"
        except ProcessExpired as died:
            reason = f"its worker process died (exit code {died.exitcode})"
        except BrokenProcessPool:
            reason = "its worker process died"
        except Exception as error:  # a defect must cost one candidate, not the search
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        self._stop(place)  # a worker that failed once, say by a CUDA error, may fail for ever
        return job, Score(rung=job.rung, seed=job.seed, failure=reason)

    def running(self) -> list[Running]:
        """See ``Evaluator``."""
        now = time.monotonic()
        return [
            Running(place.job, self._progress[place.slot], now - place.submitted)
            for place in self._places
            if place.job is not None
        ]

    def close(self) -> None:
        """See ``Evaluator``: ends all workers."""
        for place in self._places:
            self._stop(place)
        self._service.stop()
        for name in _WORKER_ENVIRONMENT.keys() - self._before.keys():
            os.environ.pop(name, None)

    @staticmethod
    def _stop(place: _Place) -> None:
        if place.pool is not None:
            place.pool.stop()
            place.pool.join()
            place.pool = None


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Threads and processes started in here never see Ctrl-C, which is for the coordinator."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
