"""Searches by jobs of a real Slurm, of which some are taken away."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from dnsearch.config import override, parse_study
from dnsearch.errors import ConfigError
from dnsearch.search.slurm import SlurmWorkers
from tests.cluster.commands import Command, trained, write_study
from tests.cluster.slurm_server import jobs, running_slurm

WORDS = "run", "study.toml", "--engine", "slurm", "--nodes", "2"


@pytest.fixture(scope="module")
def slurm(require_program, require_package, tmp_path_factory):
    for program in ("munged", "slurmctld", "slurmd", "sbatch"):
        require_program(program)
    require_package("ray")
    with running_slurm(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(autouse=True)
def folder(slurm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path / "cache"))
    yield
    wait_until(lambda: not jobs())  # none is left by any end of a command


def wait_until(holds, seconds=150.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.5)


def test_a_job_that_slurm_takes_away_costs_no_trial():
    """It is queued again, or submitted again where it was cancelled for good."""
    write_study("60, 180")
    run = Command(*WORDS, "--trials", "72")
    run.until("joined, for 1 training run")
    run.until("joined, for 1 training run")
    run.until(" 2/72 ")
    requeued, cancelled = jobs()
    subprocess.run(["scancel", cancelled], check=True)
    run.until("1 Slurm job had ended; as many are submitted again")
    run.until("joined, for 1 training run")
    subprocess.run(["scontrol", "requeue", requeued], check=True)
    run.until("was lost")
    run.until("/72 ")
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 143
    found = trained()
    assert len(found) == len(set(found)) >= 2
    assert all(failure is None for *_, failure in found)


def test_jobs_end_with_the_command_however_that_ends():
    write_study("60, 180")
    run = Command(*WORDS, "--trials", "72")
    run.until(" 1/72 ")
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 143
    wait_until(lambda: not jobs(), 30)
    run = Command(*WORDS, "--trials", "72")
    run.until("joined")
    assert len(jobs()) == 2
    run.process.kill()
    run.ended()
    wait_until(lambda: not jobs())


def test_what_slurm_refuses_is_said_in_its_words():
    study = override(parse_study(""), engine="slurm", partition="nowhere")
    with pytest.raises(ConfigError, match=r"must be what Slurm accepts: .*invalid partition"):
        SlurmWorkers().plan(study)
