"""Searches on real Ray clusters of several nodes on loopback, whose parts are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dnsearch import machine
from dnsearch.arch import ArchConfig
from dnsearch.config import ClusterConfig, DataConfig, TrainingConfig
from dnsearch.data import prepare
from dnsearch.errors import CheckpointError, ConfigError, MachineError
from dnsearch.rundir import RunDir
from dnsearch.search.cluster import RayWorkers, connect
from dnsearch.search.evaluators.base import Job, Lost
from dnsearch.search.evaluators.worker import WorkerSettings, images_of
from dnsearch.search.results import read_results
from tests.cluster.commands import Command, trained, write_study

MANY = "72"
"""Training runs that take long enough, however fast the machine: two of every network."""

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
ARCH = ArchConfig(4, (1, 1), 8, 2, stem="cifar", in_channels=1, num_classes=10)


@pytest.fixture
def cluster(require_package):
    """A head without CPUs, to which a test adds nodes; its processes are this one's children."""
    require_package("ray")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Writes one; the working folder is the test's."""
    monkeypatch.chdir(tmp_path)
    return write_study


def test_the_same_study_gives_the_same_on_ray_as_on_this_machine(cluster, study):
    cores = machine.cpu_cores()  # a single local worker takes all of them
    cluster.add_node(**NODE | {"num_cpus": cores})
    file = study(more=f"[cluster]\ncpus = {cores}\n")
    there = Command("run", file, "--name", "there", "--engine", "ray", "--address", cluster.address)
    assert there.ended() == 0, there.lines
    assert Command("run", file, "--name", "here", "--workers", "1").ended() == 0
    assert trained("there") == trained("here")
    assert len(trained("there")) == 8
    more = ["--top", "1", "--sample", "0", "--seeds", "2", "--epochs", "2"]
    on = ["--engine", "ray", "--address", cluster.address]
    assert Command("confirm", "there", *more, *on).ended() == 0
    assert Command("confirm", "here", *more, "--workers", "1").ended() == 0
    confirmed = [
        [(r.job.arch.key, r.job.seed, r.score.test_error) for r in read_results(run).confirmed]
        for run in (RunDir(Path("reports/there")), RunDir(Path("reports/here")))
    ]
    assert confirmed[0] == confirmed[1]
    assert len(confirmed[0]) == 2


@pytest.mark.parametrize("what", ["node", "worker"])
def test_what_is_lost_is_trained_again(cluster, study, what):
    """A node, or a worker alone, is killed while it trains, and a node is added."""
    first, _ = cluster.add_node(**NODE), cluster.add_node(**NODE)
    words = "run", study("60, 180"), "--engine", "ray", "--address", cluster.address
    run = Command(*words, "--trials", MANY)
    run.until(f" 2/{MANY} ")
    if what == "node":
        cluster.remove_node(first, allow_graceful=False)
        run.until("is gone")
        cluster.add_node(**NODE)
        run.until("joined, for 1 training run")
    else:
        kill_a_worker()
        run.until("was lost; its training run goes to another")
    run.until(f"/{MANY} ")
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 143
    assert run.told("joined, for 1 training run") == 2 + (what == "node")
    more = len(trained()) + 2
    assert Command(*words, "--trials", str(more)).ended() == 0
    found = trained()
    assert len(set(found)) == more  # none was stored twice
    assert all(failure is None for *_, failure in found)


def test_a_cluster_without_its_head_ends_the_search_in_one_line(cluster, study):
    cluster.add_node(**NODE)
    words = "run", study("200, 600"), "--engine", "ray", "--address", cluster.address
    run = Command(*words, "--trials", MANY)
    run.until("joined")
    (gcs,) = cluster.head_node.all_processes["gcs_server"]
    gcs.process.kill()
    assert run.ended() == 3
    (line,) = [line for line in run.lines if line.startswith("dnsearch: ")]
    assert f"the head of the Ray cluster, {cluster.address}, has not answered for 20 s" in line


# -------------------------------------------------------------------- the evaluator by itself


@pytest.fixture
def make(cluster, tmp_path):
    """An evaluator on a cluster of these nodes; to be closed by the test's end."""
    from dnsearch.search.evaluators.cluster import ClusterEvaluator

    made = []

    def start(nodes=1, rungs=(1, 4000), timeout=600.0, **config):
        for _ in range(nodes):
            cluster.add_node(**NODE)
        connect(cluster.address)
        data = DataConfig(image_size=8, train_images=400)
        recipe = TrainingConfig(rungs=rungs, batch_size=32)
        settings = WorkerSettings(data, prepare(data).fingerprint, recipe, 1, None)
        run, images = RunDir(tmp_path / "run"), images_of(settings)
        config = ClusterConfig(engine="ray", **config)
        made.append(ClusterEvaluator(run, settings, config, "cpu", images, None, timeout))
        return made[-1]

    yield start
    for evaluator in made:
        evaluator.close()
    RayWorkers().leave()


def wait_for(evaluator, condition):
    """What has ended by the time that the condition holds."""
    ended = list(evaluator.completed(0.1))
    while not condition():
        ended += evaluator.completed(0.1)
    return ended


def kill_a_worker():
    out = subprocess.run(["pgrep", "-f", "ray::Trainee"], capture_output=True, text=True).stdout
    os.kill(int(out.split()[0]), signal.SIGKILL)


def test_weights_come_back_with_the_score_and_are_gone_on_from(make):
    evaluator = make(rungs=(1, 2))
    wait_for(evaluator, lambda: evaluator.capacity == 1)
    confusion = "5.validation-confusion.npy"
    for rung, left in ((1, ["5.pt"]), (2, ["5.pt", confusion])):
        evaluator.submit(Job(rung, ARCH, rung, seed=5))
        ((job, score),) = wait_for(evaluator, lambda: not evaluator.running())
        assert job.rung == rung
        assert score.failure is None
        assert [point.epoch for point in score.curve] == list(range(1, rung + 1))
        files = evaluator.run.checkpoint(ARCH.key, 5).parent.iterdir()
        assert sorted(file.name for file in files) == left


def test_a_training_that_takes_too_long_fails_and_its_worker_is_replaced(make):
    evaluator = make()
    wait_for(evaluator, lambda: evaluator.capacity == 1)
    evaluator.timeout = 0.5
    evaluator.submit(Job(0, ARCH, 4000, seed=5))
    ((_, score),) = wait_for(evaluator, lambda: not evaluator.running())
    assert score.failure == "took longer than search.timeout (0.5 s)"
    evaluator.timeout = 600.0
    wait_for(evaluator, lambda: evaluator.capacity == 1)


def test_a_node_whose_workers_never_get_ready_is_left_out(make, monkeypatch):
    from dnsearch.search.evaluators import cluster as module

    class Hangs(module.Trainee):
        def warm_up(self, *wanted):
            time.sleep(3600)

    monkeypatch.setattr(module, "Trainee", Hangs)
    evaluator = make(timeout=0.5)
    with pytest.raises(MachineError, match=r"3 workers in a row, .* not ready after 0\.5 s"):
        wait_for(evaluator, lambda: False)


def test_of_a_lost_worker_the_shared_folder_keeps_what_was_saved(make, tmp_path):
    """The next one goes on from there, and not from the last rung: it finds what is damaged."""
    shared = tmp_path / "shared"
    evaluator = make(storage_path=shared)
    wait_for(evaluator, lambda: evaluator.capacity == 1)
    evaluator.submit(Job(0, ARCH, 1, seed=5))
    wait_for(evaluator, lambda: not evaluator.running())
    assert evaluator.run.checkpoint(ARCH.key, 5).is_file()
    assert not any(shared.glob("*/checkpoints/*/*"))
    job = Job(1, ARCH, 4000, seed=5)
    evaluator.submit(job)
    wait_for(evaluator, lambda: any(shared.glob("*/checkpoints/*/5.pt")))
    kill_a_worker()
    ((lost, outcome),) = wait_for(evaluator, lambda: not evaluator.running())
    assert lost == job
    assert isinstance(outcome, Lost)
    wait_for(evaluator, lambda: evaluator.capacity == 1)
    (saved,) = shared.glob("*/checkpoints/*/5.pt")
    saved.write_bytes(b"damaged")
    evaluator.submit(job)
    with pytest.raises(CheckpointError, match=r"5\.pt: cannot be read as a checkpoint"):
        wait_for(evaluator, lambda: not evaluator.running())


@pytest.mark.parametrize("wrong", ["versions", "storage"])
def test_nodes_that_cannot_take_part_are_left_out_by_name(make, tmp_path, monkeypatch, wrong):
    from dnsearch.search.evaluators import cluster as module

    if wrong == "versions":
        monkeypatch.setattr(module, "versions", lambda: {"torch": "1.0"})
        evaluator, reason = make(nodes=2), "has torch .* where the search has 1.0"
    else:
        evaluator = make(nodes=2, storage_path=tmp_path)
        evaluator._sign, reason = "another", "has another folder at cluster.storage_path"
    with pytest.raises(MachineError, match=f"no node of the cluster can be used.*{reason}"):
        wait_for(evaluator, lambda: False)
    told = evaluator.notes()
    assert sum("is left out: " in line for line in told) == 2
    assert evaluator.capacity == 0


def test_a_node_that_loses_one_worker_after_the_other_is_left_out(make):
    evaluator = make(nodes=1)

    def lose(number):
        wait_for(evaluator, lambda: evaluator.capacity == 1)
        evaluator.submit(Job(number, ARCH, 4000, seed=number))
        wait_for(evaluator, lambda: evaluator.running()[0].epochs > 0)
        kill_a_worker()
        wait_for(evaluator, lambda: not evaluator.running())

    lose(0)
    lose(1)
    with pytest.raises(MachineError, match="lost 3 workers in a row"):
        lose(2)


def test_an_address_where_no_cluster_is_is_refused_at_once(require_package):
    require_package("ray")
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=r"cluster.address must be that of a Ray cluster"):
        connect("127.0.0.1:1")
    with contextlib.suppress(ConfigError):
        connect("nonsense")
    assert time.monotonic() - begun < 60
