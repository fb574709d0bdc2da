"""Processes beside this one, and the pipes to them: a worker is given one task at a time, reports
on it, and is killed when it is not needed any more.

No thread and no file stands between the two, and nothing is told by the time of day. The process
never sees the signals that the coordinator is sent (``interrupts``), and ends when that is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dnsearch import interrupts
from dnsearch.errors import MachineError, one_line

START_SECONDS = 45.0
"""In which a new process must have said that it is there."""


ENVIRONMENT = {
    # Two spinning OpenMP threads on two busy cores can be many times slower than one.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
}
"""Of a process that trains, before it imports torch."""


def set_environment() -> None:
    """Gives this process ``ENVIRONMENT``, unless it has its own, and so those that it starts."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


class Said(NamedTuple):
    """What a worker has sent: that it is ``ready``, a ``note`` on its task, or how that ended, a
    ``result`` or the ``error`` that it raised."""

    kind: str
    value: Any = None


class Died(NamedTuple):
    """The process ended by itself, or was killed by somebody else; ``code`` as of
    ``multiprocessing``, negative for a signal. ``ready``: whether it was by then."""

    code: int | None
    ready: bool

    @property
    def reason(self) -> str:
        """In words."""
        return f"its worker process died (exit code {self.code})"


class Worker:
    """A process that calls ``prepare`` once, and ``work`` with what that returned and the arguments
    of each task.

    ``work`` may report on its way through ``note``, a keyword argument that it is given. Raises
    OSError where the system starts no process.
    """

    def __init__(
        self, prepare: Callable[..., Any], arguments: Sequence[Any], work: Callable[..., Any]
    ) -> None:
        context = multiprocessing.get_context("spawn")  # fork and CUDA or threads do not mix
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, arguments, work))
        self._said_hello, self._ready, self._gone = False, False, False
        self._started = time.monotonic()
        try:
            with interrupts.blocked():
                multiprocessing.resource_tracker.ensure_running()
                with interrupts.blocked():  # again: the tracker's start lets two of them through
                    self._process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()

    @property
    def is_late(self) -> bool:
        """Whether the process should have said by now that it is there."""
        return not self._said_hello and time.monotonic() - self._started > START_SECONDS

    def give(self, *task: Any) -> None:
        """Hands a task over; a process that is dead by then is found so by ``heard``. Raises
        OSError where the system refuses, say for too many open files."""
        with contextlib.suppress(ConnectionError):
            self.pipe.send(task)

    def heard(self) -> list[Said | Died]:
        """What the worker has said since the last call, without waiting."""
        found: list[Said | Died] = []
        try:
            while not self._gone and self.pipe.poll():
                said = self.pipe.recv()
                self._said_hello = True
                self._ready |= said.kind == "ready"
                if said.kind != "hello":
                    found.append(said)
        except (EOFError, OSError, pickle.UnpicklingError):
            self._gone = True
            self._process.join(5)
            found.append(Died(self._process.exitcode, self._ready))
        return found

    def kill(self) -> None:
        """Ends it at once; files are written whole or not at all, so that costs nothing."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def wait_for(workers: Sequence[Worker], seconds: float) -> None:
    """Returns when one of them has said something, at the latest after so many seconds."""
    if workers:
        multiprocessing.connection.wait([worker.pipe for worker in workers], seconds)
    else:
        time.sleep(seconds)


def result_of(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns in a process of its own, which nothing has shaped. Raises what it
    raises, and MachineError where the process dies."""
    worker = Worker(_nothing, (), _call)
    try:
        worker.give(function, arguments)
        while True:
            wait_for([worker], 1.0)
            for said in worker.heard():
                if isinstance(said, Died):
                    raise MachineError(said.reason)
                if said.kind == "error":
                    raise said.value
                if said.kind == "result":
                    return said.value
    finally:
        worker.kill()


def _nothing() -> None:
    pass


def _call(
    prepared: None, function: Callable[..., Any], arguments: Sequence[Any], note: object
) -> Any:
    return function(*arguments)


def _serve(
    pipe: Any, prepare: Callable[..., Any], arguments: Sequence[Any], work: Callable[..., Any]
) -> None:
    """The life of a worker process."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the coordinator is gone
        pipe.send(Said("hello"))
        try:
            prepared = prepare(*arguments)
        except Exception as error:
            pipe.send(Said("error", _portable(error)))
            return
        pipe.send(Said("ready"))
        while True:
            task = pipe.recv()
            try:
                found = work(prepared, *task, note=lambda value: pipe.send(Said("note", value)))
                said = Said("result", found)
            except Exception as error:
                said = Said("error", _portable(error))
            pipe.send(said)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, which --debug shows; in plain words where it cannot
    be pickled."""
    note = f"in a worker process:\n{''.join(traceback.format_exception(error))}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(one_line(error))
    error.add_note(note)
    return error


def _follow_parent() -> None:
    """Ends this process when the coordinator is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
