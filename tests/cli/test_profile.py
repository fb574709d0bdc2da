"""``dnsearch profile``, with a machine whose latencies are invented; nothing is timed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from dnsearch import cost, interrupts
from dnsearch.arch.config import ArchArrays
from dnsearch.cost.device import Latency
from dnsearch.cost.latency import GUESS, work
from tests.cli.conftest import SMALL


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Every measurement is 3 times the guess; gives the settings that were asked for."""
    asked = []

    def known(model, shape, setting, device, most_seconds, rounds):
        asked.append((setting, shape))
        done = work(ArchArrays.of([model.config]), *shape[1:], setting.batch_size)
        ms = 3 * float((done @ np.array(GUESS))[0])
        return Latency(1.1 * ms, False, 0.1 * ms, ms)

    monkeypatch.setattr("dnsearch.cost.device.measure_latency", known)
    monkeypatch.setattr("dnsearch.training.device.keep_pages", lambda: None)
    return asked


def kept(out):
    return json.loads(Path(out.split("kept in ")[1].strip()).read_text("utf-8"))


def test_a_machine_is_measured_once_for_a_study_and_in_general(dnsearch, settings):
    Path("small.toml").write_text(SMALL + "[objectives]\nlatency_batch = 2\n", "utf-8")
    done = dnsearch("profile", "small.toml", "-q")
    assert done.code == 0, done.err
    assert "52 networks measured" in done.out  # 48, and all 4 of its space
    table = kept(done.out)
    assert table["setting"] == {
        "device": "cpu", "threads": settings[0][0].threads, "batch_size": 2,
        "precision": "fp32", "kernels": "reference",
    }  # fmt: skip
    assert {tuple(each["shape"]) for each in table["networks"]} >= {(1, 8, 8)}
    again = dnsearch("profile", "small.toml", "-q")
    assert kept(again.out) == table


def test_options_stand_for_the_keys_of_a_study(dnsearch, settings):
    done = dnsearch(
        "profile", "--device", "cpu", "--batch", "4", "--kernels", "cpu", "--workers", 1
    )
    assert "latency of 4 images, fp32, cpu kernels, cpu" in done.out
    assert {setting.kernels for setting, _ in settings} == {"cpu"}
    assert len(kept(done.out)["networks"]) == 48


def test_what_cannot_be_is_refused(refused):
    assert "'turbo' is not one of" in refused("profile", "--kernels", "turbo")
    assert "--device must be" in refused("profile", "--device", "abacus")


def test_what_was_measured_before_a_signal_is_not_measured_again(dnsearch, settings, monkeypatch):
    whole = cost.device.measure_latency

    def stopped(*asked, **how):
        if len(settings) == 30:
            raise interrupts.Stopped(signal.SIGINT)
        return whole(*asked, **how)

    monkeypatch.setattr("dnsearch.cost.device.measure_latency", stopped)
    assert dnsearch("profile", "--batch", 3, "-q").code == 130
    monkeypatch.setattr("dnsearch.cost.device.measure_latency", whole)
    done = dnsearch("profile", "--batch", 3, "-q")
    assert done.code == 0, done.err
    assert len(settings) == 4 * 48
    file = Path(done.out.split("kept in ")[1].strip())
    assert [each.name for each in file.parent.glob(f"{file.stem}*")] == [file.name]
