"""``dnsearch train`` of several networks on a Ray cluster that lives as long as the command."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dnsearch.arch import ArchConfig

STUDY = """
[data]
format = "npz"
path = "toy.npz"
[training]
rungs = [1]
batch_size = 32
[search]
device = "cpu"
"""
SMALL = ArchConfig(4, (1, 2), 8, 2, drop_rate=0.1, stem="cifar")
NAMES = "net", "other"


@pytest.fixture
def train(require_package, tmp_path, monkeypatch):
    """Types the command for two networks in an empty folder."""
    require_package("ray")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (160, 8, 8), np.uint8), np.arange(160) % 2
    images[labels == 0, ::2] //= 2
    splits = {"x_train": images, "y_train": labels, "x_test": images[:50], "y_test": labels[:50]}
    np.savez("toy.npz", **splits)
    Path("toy.toml").write_text(STUDY)
    for name, growth_rate in zip(NAMES, (4, 6), strict=True):
        network = SMALL.replace(growth_rate=growth_rate)
        Path(f"{name}.json").write_text(json.dumps(network.to_dict()))

    def start(*options: object, engine: str = "ray") -> subprocess.Popen[str]:
        networks = [f"{name}.json" for name in NAMES]
        on = ["--engine", "ray", "--address", "local"] if engine == "ray" else ["--threads", 1]
        words = ["train", *networks, "--study", "toy.toml", *on, *options]
        return subprocess.Popen(
            [sys.executable, "-m", "dnsearch", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def ended(command: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = command.communicate()
    return command.returncode, out


def found(folder: str, name: str) -> tuple:
    result = json.loads(Path(folder, name, "result.json").read_text())
    return result["curve"], result["test"], result["network"], result["processes"]


def test_networks_on_a_cluster_are_those_of_this_machine(train):
    code, out = ended(train("--epochs", 3, "--to", "there"))
    assert code == 0, out
    assert re.match(r"training 2 networks on a ray cluster, \d+ at a time\n", out)
    assert [line.partition(": finished, ")[0] for line in out.splitlines() if ": fin" in line] == [
        f"there/{name}" for name in sorted(NAMES)
    ]
    assert ended(train("--epochs", 3, "--to", "here", engine="local"))[0] == 0
    for name in NAMES:
        assert found("there", name) == found("here", name)
        assert Path("there", name, "network", "README.md").is_file()
        assert not Path("there", name, "holder.json").exists()
    assert not [*Path("there").glob(".dnsearch*")]


def trainings() -> list[int]:
    """Processes that train a network of this command's."""
    ids = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes().startswith(b"ray::_train"):
                ids.append(int(file.parent.name))
    return ids


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_training_that_is_lost_goes_on_elsewhere(train):
    before = set(trainings())  # of somebody else's
    command = train("--epochs", 200, "--to", "there")
    while not (lost := set(trainings()) - before):
        assert command.poll() is None, ended(command)
        time.sleep(0.02)
    os.kill(lost.pop(), signal.SIGKILL)
    code, out = ended(command)
    assert code == 0, out
    assert ended(train("--epochs", 200, "--to", "here", engine="local"))[0] == 0
    for name in NAMES:
        assert found("there", name) == found("here", name)


def test_one_that_fails_keeps_no_other_from_being_trained(train):
    assert ended(train("--epochs", 1, "--to", "there", "--seed", 1, engine="local"))[0] == 0
    Path("there/net/result.json").unlink()
    Path("there/other").rename("there/unused")
    code, out = ended(train("--epochs", 2, "--to", "there"))
    assert code == 1
    assert "there/net: holds another training (epochs: 1 -> 2; seed: 1 -> 0)" in out
    assert out.splitlines()[-1] == "dnsearch: 1 of 2 networks could not be trained"
    assert len(found("there", "other")[0]) == 2
