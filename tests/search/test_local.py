"""Real worker processes on real images, killed and timed out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dnsearch import interrupts, processes
from dnsearch.arch import ArchConfig
from dnsearch.config import DataConfig, StudyConfig, TrainingConfig
from dnsearch.cost.device import Latency
from dnsearch.cost.latency import Setting
from dnsearch.data import prepare
from dnsearch.errors import DataError, MachineError, RunError
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators import local, worker
from dnsearch.search.evaluators.base import Job, Unexplained
from dnsearch.search.evaluators.local import LocalEvaluator
from dnsearch.search.evaluators.worker import WorkerSettings
from dnsearch.search.workers import settings_of
from dnsearch.training.score import OUT_OF_MEMORY, Score
from dnsearch.training.zerocost import SCORES, SYNFLOW

ARCH = ArchConfig(4, (1, 1), 8, 2, stem="cifar", in_channels=1, num_classes=10)


DATA = DataConfig(image_size=8, train_images=400)


def make(
    tmp_path,
    workers=1,
    timeout=600.0,
    latency=None,
    fingerprint=None,
    data=DATA,
    **more,
):
    settings = WorkerSettings(
        data=data,
        fingerprint=fingerprint or prepare(DATA).fingerprint,
        recipe=TrainingConfig(rungs=(1, 4000), batch_size=32),
        threads=1,
        latency=latency,
        **more,
    )
    return LocalEvaluator(RunDir(tmp_path), settings, ["cpu"] * workers, timeout)


def kill_worker():
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGKILL)


def wait_until(condition):
    while not condition():
        time.sleep(0.01)


def collect(evaluator, count):
    ended = []
    wait_until(lambda: ended.extend(evaluator.completed(0.5)) or len(ended) >= count)
    return ended


@pytest.fixture
def closing():
    opened = []
    yield opened.append
    for evaluator in opened:
        evaluator.close()


def test_scores_latency_and_the_same_figures_again(tmp_path, closing):
    evaluator = make(tmp_path, workers=2, latency=Setting("cpu", 1, 2, "fp32", "reference"))
    closing(evaluator)
    assert evaluator.capacity == 2
    for trial in range(2):
        evaluator.submit(Job(trial, ARCH.replace(growth_rate=4 + trial), 1, seed=5))
    ended = {job.trial: score for job, score in collect(evaluator, 2)}
    assert evaluator.running() == []
    evaluator.submit(Job(2, ARCH, 1, seed=6))
    evaluator.submit(Job(3, ARCH.replace(bn_size=0), 1, seed=5))
    ended |= {job.trial: score for job, score in collect(evaluator, 2)}
    assert all(score.failure is None for score in ended.values())
    assert all(score.latency_ms > 0 for score in ended.values())
    assert ended[0].loss != ended[2].loss
    checkpoint = RunDir(tmp_path).checkpoint(ARCH.key, 5)
    checkpoint.unlink()
    evaluator.submit(Job(4, ARCH, 1, seed=5))
    (_, again), *_ = collect(evaluator, 1)
    assert again.error == ended[0].error
    assert again.loss == ended[0].loss


@pytest.mark.parametrize(
    ("failure", "stays"),
    [
        (None, True),
        ("diverged: mean", True),
        (f"{OUT_OF_MEMORY} at batch_size 32 on cuda:0", False),
    ],
)
def test_a_worker_that_ran_out_of_memory_is_replaced(
    tmp_path, closing, monkeypatch, failure, stays
):
    monkeypatch.setattr(local, "train", partial(score_of, failure))
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    (before,) = multiprocessing.active_children()
    collect(evaluator, 1)
    evaluator.submit(Job(1, ARCH, 1, seed=1))
    collect(evaluator, 1)
    assert (multiprocessing.active_children() == [before]) == stays


def score_of(failure, ready, job, checkpoint, note):
    """What stands for a training."""
    return Score(rung=job.rung, seed=job.seed, failure=failure if job.trial == 0 else None)


def test_a_worker_that_dies_takes_one_candidate_with_it(tmp_path, closing):
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 4000, seed=1))
    wait_until(lambda: evaluator.running()[0].epochs)  # it trains
    kill_worker()
    (job, score), *_ = collect(evaluator, 1)
    assert job.trial == 0
    assert score.failure == "its worker process died (exit code -9)"
    evaluator.submit(Job(1, ARCH, 1, seed=1))
    (_, score), *_ = collect(evaluator, 1)
    assert score.failure is None


def test_a_worker_that_dies_idle_is_replaced(tmp_path, closing):
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    collect(evaluator, 1)
    kill_worker()
    (dead,) = [place.worker for place in evaluator._places]
    wait_until(lambda: not dead._process.is_alive())
    evaluator.submit(Job(1, ARCH, 1, seed=2))
    (_, score), *_ = collect(evaluator, 1)
    assert score.failure is None


def test_a_worker_that_dies_while_starting_costs_no_candidate(tmp_path, closing):
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    wait_until(multiprocessing.active_children)
    kill_worker()
    (_, score), *_ = collect(evaluator, 1)
    assert score.failure is None
    evaluator.submit(Job(1, ARCH, 1, seed=2))
    (_, score), *_ = collect(evaluator, 1)
    assert score.failure is None


def warm_up_when_told(*arguments):
    """What stands for a new worker's start: as long as the test wants it to take."""
    wait_until(Path(os.environ["MAY_START"]).exists)
    return worker.warm_up(*arguments)


class Clock:
    """The clock by which time-outs are counted; it stands still unless the test moves it."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def time(self):
        raise AssertionError("the time of day may be changed while a training runs")


def test_a_training_that_takes_too_long_is_ended(tmp_path, closing, monkeypatch):
    """The time-out is the training's: a new worker's start does not count."""
    clock = Clock()
    monkeypatch.setattr(local, "time", clock)
    monkeypatch.setattr(local, "warm_up", warm_up_when_told)
    monkeypatch.setenv("MAY_START", str(tmp_path / "now"))
    evaluator = make(tmp_path, timeout=3.0)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 4000, seed=1))
    clock.now += 2.9
    assert evaluator.completed(0.5) == []
    (tmp_path / "now").touch()
    wait_until(lambda: evaluator.running()[0].epochs)  # it trains
    clock.now += 2.9
    assert evaluator.completed(0.5) == []
    clock.now += 0.2
    (_, score), *_ = collect(evaluator, 1)
    assert score.failure == "took longer than search.timeout (3 s)"
    evaluator.submit(Job(1, ARCH, 1, seed=1))
    (_, score), *_ = collect(evaluator, 1)
    assert score.failure is None


def test_a_worker_that_is_never_ready_ends_the_search(tmp_path, closing, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(local, "time", clock)
    monkeypatch.setattr(local, "warm_up", warm_up_when_told)
    monkeypatch.setenv("MAY_START", str(tmp_path / "never"))
    evaluator = make(tmp_path, timeout=3.0)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    clock.now += 3.1
    with pytest.raises(MachineError, match=r"was not ready after search.timeout \(3 s\)"):
        collect(evaluator, 1)


def test_a_worker_that_is_not_heard_of_ends_the_search_within_a_minute(
    tmp_path, closing, monkeypatch
):
    assert processes.START_SECONDS < 55
    clock = Clock()
    monkeypatch.setattr(processes, "time", clock)
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    (child,) = multiprocessing.active_children()
    os.kill(child.pid, signal.SIGSTOP)
    clock.now += processes.START_SECONDS + 1
    with pytest.raises(MachineError, match="cannot be started here: nothing was heard of one"):
        collect(evaluator, 1)


def broken(*arguments):
    """What stands for a torch that cannot be loaded."""
    with open(os.environ["STARTS"], "a") as file:
        file.write("x")
    raise ImportError("libcudart.so.12: cannot open shared object file")


def test_workers_that_cannot_start_are_the_machines_fault(tmp_path, closing, monkeypatch):
    monkeypatch.setattr(local, "warm_up", broken)
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    with pytest.raises(MachineError, match=r"cannot be started here: ImportError: libcudart") as e:
        collect(evaluator, 1)
    assert "in a worker process:\nTraceback" in e.value.__cause__.__notes__[0]  # for --debug
    assert (tmp_path / "starts").read_text() == "xxx"


def raises(ready, job, checkpoint, note):
    """What stands for a device-side assert."""
    raise RuntimeError("CUDA error: device-side assert triggered")


def test_what_a_training_did_not_run_into_itself_is_unexplained(tmp_path, closing, monkeypatch):
    """And the process, which such an error leaves unusable, is replaced."""
    monkeypatch.setattr(local, "train", raises)
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    ((_, outcome),) = collect(evaluator, 1)
    assert outcome == Unexplained("RuntimeError: CUDA error: device-side assert triggered")
    assert multiprocessing.active_children() == []


def test_workers_never_see_the_signals_of_their_coordinator(tmp_path, closing):
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 4000, seed=1))
    (child,) = multiprocessing.active_children()
    for number in interrupts.SIGNALS:
        os.kill(child.pid, number)  # while it starts
    wait_until(lambda: evaluator.running()[0].epochs)
    for number in interrupts.SIGNALS:
        os.kill(child.pid, number)
    epochs = evaluator.running()[0].epochs
    wait_until(lambda: evaluator.running()[0].epochs > epochs)
    started = time.monotonic()
    evaluator.close()
    assert time.monotonic() - started < 60  # it does not wait for them to end by themselves


def test_a_full_disk_ends_the_search_not_the_candidate(tmp_path, closing):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    evaluator = make(tmp_path)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    with pytest.raises(RunError, match=r"1\.pt: cannot be written"):
        collect(evaluator, 1)


def test_images_that_changed_meanwhile_end_the_search(tmp_path, closing):
    evaluator = make(tmp_path, fingerprint="of others")
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=1))
    with pytest.raises(DataError, match="fashion-mnist-16k: the images changed"):
        collect(evaluator, 1)


def test_a_defect_of_one_candidate_is_its_failure(tmp_path, closing):
    evaluator = make(tmp_path)
    closing(evaluator)
    deep = ARCH.replace(block_config=(1,) * 5)  # 8x8 images are too small for it
    evaluator.submit(Job(0, deep, 1, seed=1))
    (_, score), *_ = collect(evaluator, 1)
    assert "input size must be at least 16x16" in score.failure


def test_closing_leaves_no_process_and_the_environment_as_it_was(tmp_path):
    before = dict(os.environ)
    evaluator = make(tmp_path)
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    evaluator.submit(Job(0, ARCH, 4000, seed=1))
    evaluator.close()
    assert multiprocessing.active_children() == []
    assert dict(os.environ) == before


def test_parts_of_the_images_test_errors_and_zero_cost_scores(tmp_path, closing):
    """What a search does not ask for, a scaling design and a confirmation do."""
    evaluator = make(tmp_path, test=True, zero_cost=True)
    closing(evaluator)
    evaluator.submit(Job(0, ARCH, 1, seed=5))
    ((_, whole),) = collect(evaluator, 1)
    evaluator.submit(Job(1, ARCH, 1, seed=5, images=50))
    ((_, part),) = collect(evaluator, 1)
    assert whole.failure is part.failure is None
    assert whole.test_images == 4000
    assert 0 < whole.test_error < 1
    assert whole.test_error != whole.error
    assert part.test_error != whole.test_error
    assert set(whole.zero_cost) == set(SCORES)
    assert whole.zero_cost[SYNFLOW] == part.zero_cost[SYNFLOW]  # the same first weights


def test_a_job_with_a_learning_rate_is_trained_at_it(tmp_path):
    """As a recipe with that rate trains it."""
    settings = WorkerSettings(
        DATA, prepare(DATA).fingerprint, TrainingConfig(rungs=(1,)), threads=1, latency=None
    )
    ready = worker.warm_up(settings, "cpu")
    job = Job(0, ARCH, 1, 0, learning_rate=0.3)
    at_its_own = worker.train(ready, job, tmp_path / "own.pt", print)
    usual = worker.train(ready, replace(job, learning_rate=None), tmp_path / "usual.pt", print)
    recipe = settings.recipe.model_copy(update={"learning_rate": 0.3})
    ready = replace(ready, settings=replace(settings, recipe=recipe))
    expected = worker.train(
        ready, replace(job, learning_rate=None), tmp_path / "expected.pt", print
    )
    assert at_its_own.loss == expected.loss != usual.loss


@pytest.mark.parametrize("unsteady", [False, True])
def test_a_latency_is_measured_against_the_studys_limit(tmp_path, monkeypatch, unsteady):
    asked = []

    def measured(model, shape, setting, device, **how):
        asked.append(how)
        return Latency(0.3, unsteady)

    limited = StudyConfig.model_validate(
        {
            "data": DATA.model_dump(),
            "training": {"rungs": [1]},
            "limits": {"max_latency_ms": 0.4},
        }
    )
    settings = settings_of(limited, prepare(DATA), Plan(("cpu",), 1), test=False)
    ready = worker.warm_up(settings, "cpu")
    monkeypatch.setattr("dnsearch.cost.device.measure_latency", measured)
    score = worker.train(ready, Job(0, ARCH, 1, 0), tmp_path / "own.pt", print)
    assert asked == [{"most_ms": 0.4}]
    assert (score.latency_ms, score.latency_unsteady) == (0.3, unsteady)
    assert Score.from_dict(score.to_dict()) == score
