"""Processes beside this one: no task is lost without a word."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from dnsearch.processes import Died, Worker, wait_for


class Unsendable:
    """Such as tensors, which travel as open files."""

    def __reduce__(self):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_task_that_cannot_be_sent_is_told():
    worker = Worker(dict, (), print)
    try:
        with pytest.raises(OSError, match="Too many open files"):
            worker.give(Unsendable())
    finally:
        worker.kill()


def test_a_task_for_a_process_that_has_died_is_not_what_tells_of_it():
    worker = Worker(dict, (), print)
    try:
        worker._process.kill()
        worker._process.join()
        worker.give("anything")
        wait_for([worker], 5.0)
        assert worker.heard()[-1:] == [Died(-signal.SIGKILL, False)]
    finally:
        worker.kill()
