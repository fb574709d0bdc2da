"""The ``local`` evaluator: worker processes on this machine, one a GPU or sharing the CPU cores."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from pebble import ProcessExpired, ProcessPool

from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import Job, Running
from dnsearch.search.evaluators.worker import WorkerSettings, initialise, train
from dnsearch.training.score import Score

_WORKER_ENVIRONMENT = {
    # Two spinning OpenMP threads on two busy cores can be many times slower than one.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    # cuBLAS repeats its results only with this set.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


@dataclass
class _Place:
    """One worker process: a pool of one, so that each keeps its own device."""

    slot: int
    settings: WorkerSettings
    pool: ProcessPool | None = None
    job: Job | None = None
    future: Future[Score] | None = None
    submitted: float = 0.0


class LocalEvaluator:
    """Worker processes that stay alive; one that dies takes its candidate along, not the search.

    ``devices`` names the device of each worker, such as ``["cuda:0", "cuda:1"]`` or
    ``["cpu", "cpu"]``; ``timeout`` is the most seconds a job may take.
    """

    def __init__(
        self, run: RunDir, settings: WorkerSettings, devices: list[str], timeout: float
    ) -> None:
        self.run, self.timeout = run, timeout
        self._before = dict(os.environ)
        for name, value in _WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)  # inherited by workers, replaced ones included
        self._context = multiprocessing.get_context(
            "spawn"
        )  # fork does not go with CUDA or threads
        self._progress = self._context.RawArray("d", len(devices))
        self._places = [
            _Place(slot, replace(settings, device=device)) for slot, device in enumerate(devices)
        ]

    @property
    def capacity(self) -> int:
        return len(self._places)

    def submit(self, job: Job) -> None:
        place = next(place for place in self._places if place.job is None)
        checkpoint = self.run.checkpoint(job.arch.key, job.seed)
        self._progress[place.slot] = 0
        if place.pool is None or not place.pool.active:  # a pool that broke stays broken
            place.pool = self._new_pool(place.settings)
        place.future = place.pool.schedule(
            train, args=[job, checkpoint, place.slot], timeout=self.timeout
        )
        place.job, place.submitted = job, time.monotonic()

    def _new_pool(self, settings: WorkerSettings) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            initializer=initialise,
            initargs=(settings, self._progress),
            context=self._context,
        )

    def completed(self, timeout: float) -> list[tuple[Job, Score]]:
        busy = [place for place in self._places if place.future is not None]
        wait([p.future for p in busy if p.future], timeout, return_when=FIRST_COMPLETED)
        return [self._collect(p) for p in busy if p.future is not None and p.future.done()]

    def _collect(self, place: _Place) -> tuple[Job, Score]:
        job, future = place.job, place.future
        assert job is not None and future is not None  # noqa: PT018
        place.job = place.future = None
        return job, _result(job, future, self.timeout)

    def running(self) -> list[Running]:
        now = time.monotonic()
        return [
            Running(place.job, self._progress[place.slot], now - place.submitted)
            for place in self._places
            if place.job is not None
        ]

    def close(self) -> None:
        pools = [place.pool for place in self._places if place.pool is not None]
        for pool in pools:
            pool.stop()
        for pool in pools:
            pool.join()
        for name in _WORKER_ENVIRONMENT.keys() - self._before.keys():
            os.environ.pop(name, None)


def _result(job: Job, future: Future[Score], timeout: float) -> Score:
    """The score, or a failed one where the process itself came to an end."""
    lost = Score(rung=job.rung, seed=job.seed)
    try:
        return future.result()
    except TimeoutError:
        return lost.failed(f"took longer than search.timeout ({timeout:g} s)")
    except ProcessExpired as died:
        return lost.failed(f"its worker process died (exit code {died.exitcode})")
    except BrokenProcessPool as error:
        return lost.failed(f"its worker process could not be reached: {error}")
