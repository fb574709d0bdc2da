"""``dnsearch confirm`` as a person meets it."""

from __future__ import annotations

import json

from tests.cli.conftest import SMALL

STUDY = SMALL.replace("trials = 1", "trials = 3")
SHORT = ("--top", 1, "--sample", 1, "--seeds", 2, "--epochs", 2)


def test_from_a_search_to_test_errors_and_a_certificate(dnsearch, tmp_path):
    (tmp_path / "small.toml").write_text(STUDY)
    ended = dnsearch("run", "small.toml")
    assert "confirm:   dnsearch confirm small  (about " in ended.out
    searched = json.loads((tmp_path / "reports/small/summary.json").read_text())

    done = dnsearch("confirm", "small", *SHORT)
    assert done.code == 0
    assert "2 candidates x 2 seeds = 4 trainings of 2 epochs" in done.out
    assert "4/4" in done.out
    assert " has a test error of " in done.out
    assert "unproven" in done.out  # one pair of candidates proves nothing
    page = (tmp_path / "reports/small/report.html").read_text()
    assert "Confirmed on the test images" in page
    assert "4,000 test images" in page
    after = json.loads((tmp_path / "reports/small/summary.json").read_text())
    assert after["front"] == searched["front"]
    assert after["confirmed"]["epochs"] == 2
    assert [len(one["test_errors"]) for one in after["confirmed"]["candidates"]] == [2, 2]
    assert not (tmp_path / "reports/small/confirm").exists()  # its weights have served

    again = dnsearch("confirm", "small", *SHORT)
    assert again.code == 0
    assert "4 of them done before" in again.out
    assert "1/4" not in again.out


def test_a_run_that_is_not_there_is_one_line(dnsearch):
    missing = dnsearch("confirm", "nothing")
    assert missing.code == 2
    assert "there is no run 'nothing'" in missing.err
    assert missing.err.count("\n") == 1
