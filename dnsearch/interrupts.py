"""Signals that ask a command to end: SIGINT (Ctrl-C), SIGTERM (schedulers), SIGHUP (a terminal that
closes).

The first raises ``Stopped`` in the main thread: at once, or within ``held()`` at the next
``safe_point()``, so that no transaction is cut in two. A second one ends the process at once, and
so does the first after ``PATIENCE`` seconds; that is safe too, as a kill is. A thread of its own
sees to that, since a handler of Python's waits for the call that is under way.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

PATIENCE = 12.0
"""Seconds that an orderly end may take."""

ONE = 0.2
"""Signals so many seconds apart are one: ``timeout`` and closing terminals send theirs twice, to
the process and to its group."""

CLOSE, AGAIN = 0, 255  # no signals have these numbers


class Stopped(KeyboardInterrupt):
    """A signal asked this command to end."""


class _Listener:
    """What has been received, and the thread that ends the process where it has to."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.pending = False
        self.last_words: Callable[[int], str] = lambda number: ""
        self._before = {
            number: signal.getsignal(number)
            for number in SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN  # by nohup, or a shell's &
        }
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        with blocked():
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._not_raised
        for number in self._before:
            signal.signal(number, self._receive)

    def close(self) -> None:
        """Puts the handlers back that were there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        sys.unraisablehook = self._hook
        self._write.send(bytes([CLOSE]))
        self._thread.join()
        self._read.close()
        self._write.close()

    def _receive(self, number: int, _: object) -> None:
        if self.number is not None:
            return  # the thread's
        self.number = number
        if _held:
            self.pending = True
        else:
            raise Stopped(number)

    def _not_raised(self, lost: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised in a destructor or a weak reference's callback, of which
        every import has some: it is raised again a little later."""
        if isinstance(lost.exc_value, Stopped):
            self._write.send(bytes([AGAIN]))
        else:
            self._hook(lost)

    def _watch(self) -> None:
        first, since, own = 0, 0.0, 0
        while True:
            left = since + PATIENCE - time.monotonic() if first else None
            if not select.select([self._read], [], [], left and max(left, 0.0))[0]:
                self._end_now(first)
            for number in self._read.recv(64):
                if number == CLOSE:
                    return
                if number == AGAIN:
                    time.sleep(0.02)
                    self.number, own = None, own + 1
                    signal.pthread_kill(threading.main_thread().ident or 0, first)
                elif number not in self._before:
                    pass
                elif own:
                    own -= 1  # the one above
                elif not first:
                    first, since = number, time.monotonic()
                elif time.monotonic() - since > ONE:
                    self._end_now(first)

    def _end_now(self, number: int) -> None:
        """Ends the process with its workers, whatever the main thread is at."""
        with contextlib.suppress(Exception):
            if processes := sys.modules.get("multiprocessing"):
                for child in processes.active_children():
                    child.kill()
            if sys.stdout is not None and sys.stdout.isatty():
                os.write(sys.stdout.fileno(), b"\x1b[?25h")  # the cursor, which live displays hide
        with contextlib.suppress(Exception):
            os.write(2, f"{self.last_words(number)}\n".encode("utf-8", "replace"))
        os._exit(128 + number)


_listener: _Listener | None = None
_held = False


def listen() -> None:
    """Listens to the signals for the rest of the process's life."""
    global _listener
    _listener = _listener or _Listener()


@contextlib.contextmanager
def listening(last_words: Callable[[int], str]) -> Iterator[None]:
    """Listens until its end, unless that is done already; not outside the main thread.
    ``last_words``: what is told on stderr where the process is ended at once."""
    global _listener
    mine = _listener is None and threading.current_thread() is threading.main_thread()
    if mine:
        listen()
    if _listener is not None:
        _listener.last_words = last_words
    try:
        yield
    finally:
        if mine and _listener is not None:
            _listener.close()
            _listener = None


def received() -> int | None:
    """The signal that asked this command to end, None where none did."""
    return None if _listener is None else _listener.number


@contextlib.contextmanager
def held(hold: bool = True) -> Iterator[None]:
    """Within it a signal waits for the next ``safe_point()``."""
    global _held
    before, _held = _held, hold
    try:
        yield
    finally:
        _held = before


@contextlib.contextmanager
def released() -> Iterator[None]:
    """Within it, even inside of ``held()``, a signal does not wait."""
    with held(False):
        safe_point()
        yield


def safe_point() -> None:
    """Raises Stopped where a signal has been waiting."""
    if _listener is not None and _listener.pending:
        _listener.pending = False
        raise Stopped(_listener.number)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Threads and processes that are started within it never see these signals: sent to the group,
    they are for the coordinator."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
