"""``--json``: standard output holds JSON and nothing else, with the figures that a person is
shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnsearch.report.answer import kinds_of_failure
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import Job
from dnsearch.training.score import Score
from tests.fakes import fake_score
from tests.invented_runs import invent

from .conftest import SMALL


@pytest.fixture
def small(dnsearch, trained) -> RunDir:
    """The trained run in the present folder, with its study."""
    shutil.copytree(trained.path, "reports/small")
    Path("small.toml").write_text(SMALL)
    return RunDir(Path("reports/small"))


@pytest.fixture
def told(dnsearch):
    """What a command prints, as JSON."""

    def typed(*arguments):
        code, out, err = dnsearch(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return typed


def test_run(told, small):
    found = told("run", "small.toml")
    assert (found["reason"], found["report"]) == ("all trials finished", str(small.report))
    written = json.loads((small.path / "summary.json").read_text())
    assert found["picks"] == written["picks"]
    assert found["failures"] == []


def test_run_repeats_why_training_runs_failed(told, small, monkeypatch):
    def score(job: Job) -> Score:
        found = fake_score(job)
        return found.failed("out of memory") if job.arch.growth_rate == 2 else found

    invent("failing", Path("reports"), score=score)
    shown = Path("reports/failing/study.toml")
    found = told("run", shown, "--name", "failing")
    (failure,) = found["failures"]
    assert failure == {"count": found["counts"]["failed"], "reason": "out of memory"}
    assert failure["count"] > 0


def test_kinds_of_failure_join_what_differs_in_figures():
    reasons = ["loss 3.5 at step 7", "no memory", "loss 2 at step 19", "loss 1e9 at step 2"]
    assert kinds_of_failure(reasons)[0] == (2, "loss 3.5 at step 7")
    assert sum(count for count, _ in kinds_of_failure(reasons)) == 4


def test_confirm(told, small):
    asked = "--top", 1, "--sample", 0, "--seeds", 1, "--epochs", 1
    found = told("confirm", "small", *asked)
    assert found["reason"] == "all trials finished"
    written = json.loads((small.path / "summary.json").read_text())
    assert found["confirmed"] == written["confirmed"]
    assert found["confirmed"]["test_images"] > 0


def test_replay(told, small):
    asked = "--samplers", "random", "--seeds", 1, "--workers", 1
    found = told("replay", "small", *asked)
    assert {row["sampler"] for row in found["strategies"]} == {"random"}
    assert {row["axis"] for row in found["strategies"]} == {"log", "linear"}
    assert found["report"] == "reports/replay-small/report.html"


def test_check(told, small):
    found = told("check", "small.toml")
    assert found["data"]["images"]["train"] == 2000
    assert found["networks"] == found["space"] == 4
    assert found["cheapest"]["macs"] <= found["dearest"]["macs"]
    assert found["baseline"]["error"] == pytest.approx(0.9, abs=0.02)


def test_train_and_predict(told, small, dnsearch):
    network = {"growth_rate": 2, "block_config": [1], "num_init_features": 4, "stem": "cifar"}
    network |= {"in_channels": 1, "num_classes": 10, "bn_size": 0}
    Path("net.json").write_text(json.dumps(network))
    found = told("train", "net.json", "--study", "small.toml", "--epochs", 1, "--name", "net")
    result = json.loads(Path("reports/net/result.json").read_text())
    assert found["test"] == result["test"]
    assert (found["path"], found["again"]) == ("reports/net", False)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(name)
    Path("no.png").write_text("no picture")
    code, out, err = dnsearch("predict", "reports/net", "a.png", "no.png", "b.png", "--json")
    assert code == 1
    assert "no.png" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == ["a.png", "b.png"]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert line["class"] == max(line["probabilities"], key=line["probabilities"].get)
