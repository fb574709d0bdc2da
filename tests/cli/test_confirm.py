"""``dnsearch confirm`` as a person meets it."""

from __future__ import annotations

import json
from unittest import mock

import numpy as np
import pytest

from dnsearch.cli.confirm import findings, require_tested
from dnsearch.confirm.findings import certificate
from dnsearch.confirm.rates import at_rates
from dnsearch.errors import NothingFound
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from tests.confirm.invented import candidate, fresh, results

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
    """Bright rows (class 0), columns (1) or neither (2), which one epoch tells apart. The test
    images are labelled wrongly, and they are so many that whoever trained on them, too, would learn
    their labels."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 320), ("test", 640)):
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
    assert "640 test images" in page
    after = json.loads((tmp_path / "reports/small/summary.json").read_text())
    assert searched["errors"] == {"measured_on": "validation", "images": 64}
    assert after["errors"] == {"measured_on": "test", "images": 640}
    told = after["confirmed"]
    assert told["epochs"] == 2
    assert [len(one["test_errors"]) for one in told["candidates"]] == [2, 2]
    kept = list((tmp_path / "reports/small/confirm/checkpoints").glob("*/*.pt"))
    assert len(kept) == len({path.parent for path in kept}) == 2  # of each network one seed

    # Networks that have seen none of the test images get them wrong.
    assert max(one["error"] for one in searched["front"]) < 0.2
    assert min(error for one in told["candidates"] for error in one["test_errors"]) > 0.9
    assert "take:" in ended.out
    assert "take:" not in done.out
    assert "No network is shown to be better than always answering" in done.out
    assert after["picks"] == {}
    assert min(one["predicted_error"] for one in after["front"]) > 0.9

    key = kept[0].parent.name
    best = min(
        (r for r in read_results(RunDir(tmp_path / "reports/small")).confirmed
         if r.job.arch.key == key), key=lambda r: r.score.error,
    )  # fmt: skip
    assert kept[0].stem == str(best.job.seed)
    assert dnsearch("export", "small", "--pick", key, "--to", "net").code == 0
    weights = json.loads((tmp_path / "net/export.json").read_text())["weights"]
    assert (weights["from"], weights["epochs"]) == ("dnsearch confirm", 2)
    assert (weights["seed"], weights["test_error"]) == (best.job.seed, best.score.test_error)

    with mock.patch("dnsearch.confirm.findings.certificate", wraps=certificate) as certified:
        again = dnsearch("confirm", "small", *SHORT)
    assert again.code == 0
    assert certified.call_count == 1  # for page and terminal alike
    assert "4 of them done before" in again.out
    assert "1/4" not in again.out
    assert "learning rate" not in again.out

    # At other learning rates: the same candidates, and a published network of about the cost.
    before = read_results(RunDir(tmp_path / "reports/small"))
    compared = dnsearch("confirm", "small", *SHORT, "--rates")
    assert compared.code == 0
    asked = at_rates(before)
    count = 2 * (3 * len(asked.archs) - sum(asked.searched))
    assert f"and {count} to compare learning rates, 4 of them done before" in compared.out
    assert "learning rates 0.0333, 0.1 and 0.3 of k=" in compared.out
    assert "at learning rate 0.3" in compared.out
    assert "Is it the shape or the learning rate?" in compared.out
    told = json.loads((tmp_path / "reports/small/summary.json").read_text())["confirmed"]["rates"]
    assert told["learning_rates"] == [0.0333, 0.1, 0.3]
    assert [len(each["test_errors"]) for each in told["networks"]] == [3] * len(asked.archs)
    page = (tmp_path / "reports/small/report.html").read_text()
    assert "Is it the shape or the learning rate?" in page
    assert not list(
        (tmp_path / "reports/small/confirm/checkpoints").glob(f"{asked.archs[-1].key}/*.pt")
    )


def test_the_terminal_tells_of_the_length_asked_for_the_page_of_the_usual_one():
    runs = [candidate(i, 0.3 - 0.01 * i) for i in range(3)]
    longer = [fresh(i, i, 0.2) for i in range(3)]
    run = results(runs, [*longer, fresh(0, 9, 0.3, epochs=9)])
    shown, told = findings(run, 9)
    assert (shown.epochs, told.epochs) == (27, 9)
    shown, told = findings(run, 27)
    assert shown is told
    assert findings(run, 3)[1] is None
    assert findings(results(runs), 27) == (None, None)


def test_a_run_that_is_not_there_is_one_line(dnsearch):
    missing = dnsearch("confirm", "nothing")
    assert missing.code == 2
    assert "there is no run 'nothing'" in missing.err
    assert missing.err.count("\n") == 1


def test_without_a_test_error_the_last_line_says_why():
    runs = [candidate(i, 0.3 - 0.01 * i) for i in range(3)]
    tested = results(runs, [fresh(i, i, 0.2) for i in range(3)])
    require_tested(findings(tested, 27)[0], ["out of memory"])
    with pytest.raises(NothingFound, match="no network has a test error"):
        require_tested(None, [])
    told = "3 training runs failed and no network has a test error: out of memory: 8 MB"
    with pytest.raises(NothingFound, match=told):
        require_tested(None, ["diverged", "out of memory: 8 MB", "out of memory: 9 MB"])
