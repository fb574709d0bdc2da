"""Whole sessions: the command itself, killed at any moment, typed again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.candidates import State
from dnsearch.cli import main
from dnsearch.config import parse_study
from dnsearch.confirm.run import Request, confirm
from dnsearch.errors import RunError
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import CONFIRM
from dnsearch.search.results import read_results
from dnsearch.search.session import search
from dnsearch.search.store import StudyStore
from tests.cache import make_cache
from tests.fakes import fake_score
from tests.invented_runs import invent

STUDY = """
[data]
image_size = 8
train_images = 600
[space]
growth_rate = [2, 4, 6]
block_config = [[1, 2], [1, 2]]
bn_size = [0, 2]
[training]
rungs = [1, 2]
batch_size = 32
[search]
sampler = "tpe"
trials = 6
workers = 1
"""


def wait_until(condition):
    while not condition():
        time.sleep(0.005)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(STUDY)
    return tmp_path


def outcome(name):
    """What was trained and what came out, times aside."""
    found = read_results(RunDir.find(name)).measured
    return [(each.key, each.seed, each.state, repr(each.error), repr(each.loss)) for each in found]


def run(*arguments):
    """The command in a process group of its own, so that a kill reaches only the coordinator."""
    return subprocess.Popen(
        [sys.executable, "-m", "dnsearch", "run", "s.toml", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def commits(name):
    """What the run's storage has taken in so far, as its header counts it: transactions."""
    database = RunDir.named(name).database
    return int.from_bytes(database.read_bytes()[24:28], "big") if database.exists() else 0


def test_killed_at_any_moment_and_typed_again(study):
    whole = run("--name", "whole")
    text, _ = whole.communicate()
    assert whole.returncode == 0, text
    assert len(outcome("whole")) == 6
    chance = random.Random(3)  # as the storage is made, in the first training and in the third
    for signal_sent in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        moment = commits("cut") + chance.randrange(commits("whole") // 4)
        process = run("--name", "cut")
        while commits("cut") < moment and process.poll() is None:
            time.sleep(0.001)
        assert process.poll() is None, process.communicate()
        os.kill(process.pid, signal_sent)
        process.communicate()
    process = run("--name", "cut")
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert outcome("cut") == outcome("whole")
    assert "take: " in text
    assert "report:    reports/cut/report.html" in text
    assert (study / "reports/cut/report.html").stat().st_size > 1e6


def test_workers_follow_a_killed_coordinator(study):
    process = run("--name", "orphan", "--trials", "1000")
    wait_until(lambda: list(study.glob("reports/orphan/checkpoints/*/*.pt")))
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert children
    process.kill()
    process.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children))


@pytest.fixture
def mislabelled(tmp_path, monkeypatch):
    """Dark images and bright ones, which any network learns to tell; all test labels are wrong."""
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path / "cache"))
    labels = np.arange(400) % 2
    noise = np.random.default_rng(0).integers(0, 40, (400, 8, 8))
    images = (noise + 160 * labels[:, None, None]).astype(np.uint8)
    file = tmp_path / "images.npz"
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=1 - labels)
    text = STUDY.replace("[data]", f'[data]\nformat = "npz"\npath = "{file}"')
    text = text.replace("train_images = 600\n", "").replace("trials = 6", "trials = 2")
    return parse_study(text.replace("[1, 2]\nbatch", "[4]\nbatch"))


def test_a_search_sees_no_test_image_and_a_confirmation_minimises_on_them(mislabelled, tmp_path):
    folder = RunDir(tmp_path / "run")
    search(mislabelled, folder, lambda _: None, lambda _: None)
    results = read_results(folder)
    assert [each.state for each in results.candidates] == [State.FINISHED] * 2
    assert max(each.error for each in results.candidates) < 0.1
    for record in StudyStore(folder, read_only=True).records():
        assert record.score.test_error is record.score.test_loss is record.score.test_images is None
        assert record.values[0] == record.score.error
    request = Request(top=1, sample=0, seeds=1, epochs=4)
    confirm(folder, results, request, lambda _: None, lambda _: None)
    (record,) = read_results(folder).confirmed
    assert record.score.error < 0.1 < 0.9 < record.score.test_error
    assert record.values[0] == record.score.test_error
    assert record.job.study == CONFIRM


def test_two_coordinators_do_not_share_a_run(study, capsys):
    with RunDir(study / "reports" / "s").lock():
        with pytest.raises(SystemExit) as ended:
            main(["run", "s.toml"])
        assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"in use by process {os.getpid()}" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image_size = 8", "image_size = 9", "data.image_size: 8 -> 9"),
        (
            "growth_rate = [2, 4, 6]",
            "growth_rate = [2, 4]",
            "space.growth_rate: [2, 4, 6] -> [2, 4]",
        ),
        ('sampler = "tpe"', 'sampler = "random"', 'search.sampler: "tpe" -> "random"'),
    ],
)
def test_a_changed_study_is_refused_with_the_difference(study, capsys, old, new, message):
    with pytest.raises(SystemExit):
        main(["run", "s.toml", "--trials", "1"])
    before = contents(study / "reports")
    (study / "s.toml").write_text(STUDY.replace(old, new))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["run", "s.toml", "--trials", "2"])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert contents(study / "reports") == before


TIMED = STUDY.replace("[search]", "[limits]\nmax_latency_ms = 5\n[search]").replace(
    "workers = 1\n", ""
)


class Machine:
    """One with so many cores of this kind, on which an invented search goes on for one trial more
    than before."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch, self.trials = folder, monkeypatch, 0

    def go_on(self, cores, processor="EPYC", study=TIMED, **search_keys):
        for module in ("devices", "latency"):
            self.monkeypatch.setattr(f"dnsearch.search.{module}.cpu_cores", lambda: cores)
        self.monkeypatch.setattr("dnsearch.rundir._processor", lambda: processor)
        keys = {"trials": self.trials + 1, **search_keys}
        run = invent("run", self.folder, _timed, study, report=False, **keys)
        self.trials += 1
        assert len(StudyStore(run, read_only=True).records()) == self.trials
        return run

    def refuses(self, *where, **search_keys):
        """In these words, and leaves the run as it is."""
        before = contents(self.folder)
        with pytest.raises(RunError) as refused:
            self.go_on(*where, **search_keys)
        assert contents(self.folder) == before
        return str(refused.value).removeprefix(f"{self.folder / 'run'}: measured latencies ")


def _timed(job):
    return replace(fake_score(job), latency_ms=1.0)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("DNSEARCH_CACHE", make_cache(tmp_path / "cache"))
    return Machine(tmp_path / "reports", monkeypatch)


@pytest.mark.parametrize(
    ("cores", "workers", "told"),
    [
        (4, 2, "and this would go on with 2, whose latencies differ; --workers 1 gives as many on"),
        (8, None, "with 8, whose latencies differ; --workers 2 gives as many on 8 cores; or give"),
        (6, None, "with 6, whose latencies differ; no --workers gives as many on 6 cores, so give"),
        (1, 1, "with 1, whose latencies differ; no --workers gives as many on 1 core, so give"),
    ],
)
def test_latencies_of_other_threads_are_refused(machine, cores, workers, told):
    run = machine.go_on(4)
    message = machine.refuses(cores, workers=workers)
    assert message.startswith("with 4 threads a worker, and this would go on ")
    assert told in message
    assert message.endswith("give this study another --name")
    machine.go_on(8, workers=2)
    assert read_results(run).latencies.setting.endswith("cpu, 4 threads")


def test_latencies_of_another_processor_are_refused(machine):
    run = machine.go_on(4)
    message = "on EPYC, and this would go on with Xeon, whose latencies differ; go on there, or "
    assert machine.refuses(4, "Xeon") == f"{message}give this study another --name"
    run.latency_file.unlink()  # of a version without tables
    assert "with Xeon" in machine.refuses(4, "Xeon")
    assert "with 2" in machine.refuses(2, "EPYC")
    (run.path / "environment.json").unlink()
    machine.go_on(2, "Xeon")


def test_a_search_without_latencies_goes_on_anywhere(machine):
    study = TIMED.replace("max_latency_ms = 5", "")
    machine.go_on(4, study=study)
    machine.go_on(2, "Xeon", study=study, workers=2)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


@pytest.mark.parametrize(
    "step",
    ["session.write_text", "session.write_json", "session.StudyStore", "session.Proposer"],
)
def test_killed_while_a_run_is_set_up(study, monkeypatch, step):
    """Whatever part of the folder exists by then, the same command goes on."""

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"dnsearch.search.{step}", kill)
        with pytest.raises(Killed):
            main(["run", "s.toml", "--trials", "1"])
    with pytest.raises(SystemExit) as ended:
        main(["run", "s.toml", "--trials", "1"])
    assert ended.value.code == 0
    assert len(outcome("s")) == 1


def test_a_study_at_fault_ends_early_and_says_so(study, capsys):
    (study / "s.toml").write_text(STUDY.replace("[training]", "[training]\nlearning_rate = 1e30"))
    with pytest.raises(SystemExit) as ended:
        main(["run", "s.toml", "--trials", "100"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "the first 5 candidates all failed" in said
    assert "no network to recommend" in said


def test_sigterm_ends_as_ctrl_c_does(study):
    process = run("--name", "term", "--trials", "1000")
    wait_until(lambda: list(study.glob("reports/term/checkpoints/*/*.pt")))
    process.terminate()
    text, _ = process.communicate()
    assert "interrupted: " in text
    assert "to go on:  dnsearch run s.toml --name term --trials 1000" in text
    assert (study / "reports/term/report.html").is_file()
    assert not (study / "reports/term/holder.json").exists()
