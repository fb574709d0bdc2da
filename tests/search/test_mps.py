"""The service that lets processes share a GPU, with a script in place of NVIDIA's."""

import os
import subprocess
import sys
import time

import pytest

from dnsearch.search.evaluators import mps

FAKE = """#!/bin/sh
if [ "$1" = -d ]; then [ -d "$CUDA_MPS_PIPE_DIRECTORY" ] || exit 1; word=started
else read word; fi
echo "$word" >> {log}
exit {code}
"""
SHARED = ["cuda:0", "cuda:0"]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts such a script on the path; its log says what it was asked for."""
    log = tmp_path / "log"
    monkeypatch.setattr(mps, "_DEFAULT", tmp_path / "none")
    for name in mps._FOLDERS:
        monkeypatch.delenv(name, raising=False)

    def put(code=0):
        script = tmp_path / mps.CONTROL
        script.write_text(FAKE.format(log=log, code=code))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return log

    return put


def folder():
    return os.environ.get("CUDA_MPS_PIPE_DIRECTORY")


def test_it_runs_while_workers_share_a_gpu(install):
    log = install()
    service = mps.Service(SHARED)
    service.start()
    there = folder()
    assert os.path.isdir(there)
    assert log.read_text().split() == ["started"]
    service.stop()
    assert log.read_text().split() == ["started", "quit"]
    assert folder() is None
    assert not os.path.exists(there)


@pytest.mark.parametrize("devices", [["cuda:0"], ["cuda:0", "cuda:1"], ["cpu", "cpu"]])
def test_not_where_nothing_is_shared(install, devices):
    log = install()
    service = mps.Service(devices)
    service.start()
    service.stop()
    assert not log.exists()


def test_not_where_it_is_not_installed(install, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not mps.available()
    assert not mps.Service(SHARED).wanted


@pytest.mark.parametrize("how", ["variable", "folder"])
def test_a_daemon_that_is_there_is_used(install, monkeypatch, tmp_path, how):
    install()
    if how == "variable":
        monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    else:
        (tmp_path / "none").mkdir()
    assert not mps.Service(SHARED).wanted


def test_where_it_does_not_start_workers_take_turns(install):
    install(code=1)
    service = mps.Service(SHARED)
    service.start()
    assert folder() is None
    service.stop()


def test_it_ends_with_a_coordinator_that_is_killed(install):
    log = install()
    code = f"""
import os, signal
from dnsearch.search.evaluators import mps
mps.Service({SHARED}).start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    while log.read_text().split() != ["started", "quit"]:  # else the time-out of the test
        time.sleep(0.02)
