"""How commands end: exit code and last line, whichever verb it is."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from dnsearch.cli import VERBS, main
from dnsearch.cli.ending import typed
from dnsearch.errors import MachineError, NothingFound, RunError, cannot_write
from dnsearch.search.database import guarded


def fail_with(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("dnsearch.cli.init.to_toml", fail)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (NothingFound("all failed"), 1, "all failed"),
        (RunError("x: is in use"), 2, "x: is in use"),
        (MachineError("no\nGPU"), 3, "no GPU"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 3, "x: No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "x"), 2, "x: Permission denied"),
        (
            ImportError("libtorch.so: no such file", name="torch"),
            3,
            "a package that dnsearch needs cannot be loaded: libtorch.so: no such file",
        ),
        (OSError("x.so: shared object file"), 3, "x.so: shared object file"),
        (KeyError("x"), 4, "KeyError: 'x' (a defect of dnsearch; --debug shows where)"),
        (
            RecursionError("too deep"),
            4,
            "RecursionError: too deep (a defect of dnsearch; --debug shows where)",
        ),
    ],
)
def test_exit_codes(refused, dnsearch, monkeypatch, error, code, line):
    fail_with(monkeypatch, error)
    assert refused("init", code=code) == line
    ended, _, err = dnsearch("init", "--debug")
    assert ended == code
    assert err.startswith("Traceback")
    assert err.endswith(f"dnsearch: {line}\n")


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
def test_signals(dnsearch, monkeypatch, number, name):
    """In any verb: at any depth, and whatever it comes out as."""

    def cut_off(*_, **__):
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        except KeyboardInterrupt:
            raise ImportError("half a module") from None

    before = [signal.getsignal(each) for each in signal.valid_signals()]
    monkeypatch.setattr("dnsearch.cli.init.to_toml", cut_off)
    code, out, err = dnsearch("init")
    assert (code, out) == (128 + number, "")
    assert err == f"dnsearch: stopped by {name}; to go on:  {typed()}\n"
    assert [signal.getsignal(each) for each in signal.valid_signals()] == before


def test_a_command_that_ends_in_spite_of_signals(dnsearch, monkeypatch):
    """Something swallowed what was raised; the exit code is the signal's."""

    def swallow(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except BaseException:
            return "all is well"

    monkeypatch.setattr("dnsearch.cli.init.to_toml", swallow)
    assert dnsearch("init").code == 143


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_tracebacks_on_demand(dnsearch, verb):
    assert "--debug" in dnsearch(verb, "--help").out


def test_full_disks_are_the_machines_fault():
    assert isinstance(cannot_write("x", OSError(errno.ENOSPC, "No space left")), MachineError)
    assert isinstance(cannot_write("x", OSError(errno.EROFS, "Read-only file system")), RunError)
    with pytest.raises(MachineError, match=r"x.db: cannot be written: database or disk is full"):
        through_guard(sqlite3.OperationalError("database or disk is full"))
    with pytest.raises(RunError, match="cannot be used as Optuna storage: file is not a database"):
        through_guard(sqlite3.DatabaseError("file is not a database"))


def through_guard(error):
    with guarded(Path("x.db")):
        raise error


def test_a_terminal_that_is_gone(monkeypatch):
    """Its lines cannot be shown; the exit code can."""

    class Gone:
        def write(self, _):
            raise OSError(errno.EIO, "Input/output error")

        flush = write

    def hang_up(*_, **__):
        os.kill(os.getpid(), signal.SIGHUP)
        signal.pause()

    monkeypatch.setattr("dnsearch.cli.init.to_toml", hang_up)
    monkeypatch.setattr("sys.stderr", Gone())
    with pytest.raises(SystemExit) as ended:
        main(["init"])
    assert ended.value.code == 129
