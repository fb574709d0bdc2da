"""``dnsearch confirm`` as a person meets it."""

from __future__ import annotations

import json

import numpy as np

STUDY = """
[data]
format = "npz"
path = "toy.npz"
[space]
growth_rate = [4, 6]
block_config = [[1], [1, 2]]
bn_size = [0]
[training]
rungs = [1]
batch_size = 16
kernels = "reference"
[search]
trials = 3
workers = 1
device = "cpu"
"""
SHORT = ("--top", 1, "--sample", 1, "--seeds", 2, "--epochs", 2)
CLASSES = 3


def write_images() -> None:
    """Bright rows (class 0), columns (1) or neither (2), which one epoch tells apart; but what the
    test images are called is always wrong."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 400), ("test", 90)):
        labels = np.arange(count) % CLASSES
        pixels = rng.integers(0, 100, (count, 8, 8))
        pixels[labels == 0, ::2] += 150
        pixels[labels == 1, :, ::2] += 150
        arrays[f"x_{split}"] = pixels.astype(np.uint8)
        arrays[f"y_{split}"] = (labels + (split == "test")) % CLASSES
    np.savez("toy.npz", **arrays)


def test_from_a_search_to_test_errors_and_a_certificate(dnsearch, tmp_path):
    (tmp_path / "small.toml").write_text(STUDY)
    write_images()
    ended = dnsearch("run", "small.toml")
    assert "confirm:   dnsearch confirm small  (about " in ended.out
    searched = json.loads((tmp_path / "reports/small/summary.json").read_text())

    done = dnsearch("confirm", "small", *SHORT)
    assert done.code == 0
    assert "2 candidates x 2 seeds = 4 trainings of 2 epochs" in done.out
    assert "4/4" in done.out
    assert "has a test error of" in done.out
    assert "unproven" in done.out  # one pair of candidates proves nothing
    page = (tmp_path / "reports/small/report.html").read_text()
    assert "Confirmed on the test images" in page
    assert "90 test images" in page
    after = json.loads((tmp_path / "reports/small/summary.json").read_text())
    assert after["front"] == searched["front"]
    told = after["confirmed"]
    assert told["epochs"] == 2
    assert [len(one["test_errors"]) for one in told["candidates"]] == [2, 2]
    assert not (tmp_path / "reports/small/confirm").exists()  # its weights have served

    # Whoever has seen nothing of the test images gets all of them wrong.
    assert max(one["error"] for one in searched["front"]) < 0.2
    assert min(error for one in told["candidates"] for error in one["test_errors"]) > 0.9

    again = dnsearch("confirm", "small", *SHORT)
    assert again.code == 0
    assert "4 of them done before" in again.out
    assert "1/4" not in again.out


def test_a_run_that_is_not_there_is_one_line(dnsearch):
    missing = dnsearch("confirm", "nothing")
    assert missing.code == 2
    assert "there is no run 'nothing'" in missing.err
    assert missing.err.count("\n") == 1
