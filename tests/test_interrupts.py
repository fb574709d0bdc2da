"""Signals to a process of its own: when they are raised, and when they end it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from dnsearch import interrupts
from dnsearch.interrupts import Stopped, held, listening, released, safe_point

SAY = "stopped by {}".format


def send_and_wait(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def drop(kind):
    kind()
    time.sleep(60)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_the_first_is_raised_and_handlers_are_put_back(number):
    before = [signal.getsignal(each) for each in interrupts.SIGNALS]
    with listening(SAY):
        with pytest.raises(Stopped):
            send_and_wait(number)
        assert interrupts.received() == number
    assert interrupts.received() is None
    assert [signal.getsignal(each) for each in interrupts.SIGNALS] == before


def test_within_held_it_waits_for_a_safe_point():
    reached = []
    with listening(SAY), held():
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("the end of the transaction")
        with pytest.raises(Stopped):
            safe_point()
        safe_point()  # once is enough
    assert reached


def test_what_was_held_is_raised_where_it_is_released():
    with listening(SAY), held():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped), released():
            pytest.fail("it was not raised")
        interrupts._listener.number = None
        with released(), pytest.raises(Stopped):
            send_and_wait(signal.SIGTERM)


def test_what_python_drops_is_raised_again():
    """In a destructor, as in the callbacks of every import."""

    class Dropped:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                pass  # where the handler runs

    with listening(SAY), pytest.raises(Stopped):
        drop(Dropped)


def test_ignored_signals_stay_ignored(monkeypatch):
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening(SAY):
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.received() is None
    finally:
        signal.signal(signal.SIGHUP, before)


BUSY = """
import multiprocessing, os, sys, time
from dnsearch import interrupts

def sleep():
    time.sleep(600)

if __name__ == "__main__":
    interrupts.PATIENCE = float(sys.argv[1])
    with interrupts.listening("stopped by {}".format), interrupts.held():
        with interrupts.blocked():
            child = multiprocessing.get_context("spawn").Process(target=sleep)
            child.start()
        print(child.pid, flush=True)
        while True:
            time.sleep(0.1)  # it never comes to a safe point
"""


@pytest.fixture
def busy(tmp_path):
    """A process with a child that neither a signal ends in good order; how patient it is."""
    (tmp_path / "busy.py").write_text(BUSY)
    started = []

    def start(patience):
        command = [sys.executable, str(tmp_path / "busy.py"), str(patience)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def ended(process, child):
    _, err = process.communicate(timeout=60)
    while not gone(child):
        time.sleep(0.01)
    return process.returncode, err


def test_a_second_one_ends_it_at_once_with_its_children(busy):
    process, child = busy(patience=600)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # as timeout and closing terminals do: one
    time.sleep(2 * interrupts.ONE)
    assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    assert ended(process, child) == (143, "stopped by 15\n")


def test_it_ends_by_itself_where_an_orderly_end_takes_too_long(busy):
    process, child = busy(patience=0.1)
    process.send_signal(signal.SIGHUP)
    assert ended(process, child) == (129, "stopped by 1\n")
    assert interrupts.PATIENCE < 20
