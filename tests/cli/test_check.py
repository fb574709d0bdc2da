"""``dnsearch check``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from dnsearch.config import load_study, override
from dnsearch.rundir import RunDir
from dnsearch.search import check
from dnsearch.search.session import search
from tests.fakes import FakeEvaluator, FakeWorkers

STUDY = """
[data]
format = "npz"
path = "toy.npz"
[space]
growth_rate = [2, 4]
block_config = [[1], [1]]
[training]
shift = 1
batch_size = 16
[search]
device = "cpu"
"""


@pytest.fixture(autouse=True)
def _study(dnsearch, monkeypatch):
    invented = {"timer": 0.01, "memory": 10**12, "latency": 0.5}
    known = tuple(lambda *_, each=each: each for each in invented.values())
    monkeypatch.setattr(check.check, "__defaults__", known)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (100, 8, 8), dtype=np.uint8)
    np.savez("toy.npz", x=images, y=np.arange(100) % 5, names=np.array(["a"]))
    Path("flowers.toml").write_text(STUDY)


def test_fits_on_a_screen_and_says_what_to_change(dnsearch):
    code, out, err = dnsearch("check", "flowers.toml")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) <= 24
    assert out.startswith("flowers: ready to run, ")
    for text in (
        "toy.npz (npz): 80 training, 20 validation, 0 test images, 8x8 grey",
        "5 of 16 training images each: 0, 1, 2, 3, ...",
        "80.00 % error by always answering '0'",
        "1 epoch, 5 steps; 3 epochs, 15 steps; 9 epochs, 45 steps, of 16 images each",
        "6 networks within the limits, of 6",
        "note: not used: array in toy.npz names",
        "set training.rungs = [9, 27, 81]",
        "set data.test = 0.15",
    ):
        assert text in out
    assert not Path("reports").exists()


def test_what_keeps_a_search_from_starting_is_refused(refused):
    Path("flowers.toml").write_text(STUDY.replace("batch_size = 16", "batch_size = 81"))
    told = "training.batch_size must be at most 80, the training images there are, got 81"
    assert refused("check", "flowers.toml") == told
    assert refused("run", "flowers.toml") == told


def test_auto_rungs_are_sized_and_recorded(dnsearch):
    text = STUDY.replace("batch_size = 16", 'batch_size = 16\nrungs = "auto"')
    Path("flowers.toml").write_text(text)
    out = dnsearch("check", "flowers.toml").out
    assert "9 epochs, 45 steps; 27 epochs, 135 steps; 81 epochs, 405 steps" in out
    assert "steps of training" not in out

    def search_on(trials):
        """Without training: the run's folder is what counts."""
        workers = FakeWorkers(lambda *_: contextlib.nullcontext(FakeEvaluator()))
        study = override(load_study("flowers.toml"), trials=trials)
        run, opened = RunDir(Path("reports/flowers")), []
        search(study, run, opened.append, lambda _: None, workers)
        assert opened[0].study.training.rungs == (9, 27, 81)
        return opened[0].done, load_study(run.study_file).training.rungs

    assert search_on(2) == (0, (9, 27, 81))
    assert search_on(4) == (2, (9, 27, 81))  # goes on


def test_without_a_study_it_checks_the_bundled_one(dnsearch):
    code, out, _ = dnsearch("check")
    assert code == 0
    assert out.startswith("quickstart: ready to run, 0 warnings\n")
    assert "8,000 training, 4,000 validation, 4,000 test images, 14x14 grey" in out


def test_a_limit_on_latency_that_cannot_be_met_is_told(dnsearch):
    def warnings(limit):
        Path("fast.toml").write_text(f"{STUDY}[limits]\nmax_latency_ms = {limit}\n")
        found = json.loads(dnsearch("check", "fast.toml", "--json").out)
        assert found["cheapest_latency_ms"] == 0.5
        return [each for each in found["warnings"] if "takes 0.5 ms here" in each]

    assert len(warnings(0.4)) == 1
    assert warnings(0.6) == []
