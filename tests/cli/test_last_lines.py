"""The last lines of verbs: why training runs failed, how to go on, and -q for these alone."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from dnsearch.cli.ending import typed
from dnsearch.cli.summary import print_failures, print_summary
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results
from tests.fakes import fake_score
from tests.invented_runs import STUDY, invent

from .conftest import SMALL


@pytest.fixture
def small(dnsearch, trained) -> RunDir:
    Path("small.toml").write_text(SMALL)
    shutil.copytree(trained.path, "reports/small")
    return RunDir(Path("reports/small"))


def test_failures_are_counted_by_reason(capsys):
    memory = [f"out of memory: {n} MB asked for, 1,640.5 MB free" for n in (812, 40, 9)]
    print_failures(["diverged", *memory, "diverged: mean loss 3"])
    assert capsys.readouterr().out.splitlines() == [
        "failed:    3 x out of memory: 812 MB asked for, 1,640.5 MB free",
        "           1 x diverged",
        "           1 x diverged: mean loss 3",
    ]
    print_failures([])
    assert capsys.readouterr().out == ""
    print_failures([f"{word} died" for word in "abcdefgh"])
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1].strip()) == (6, "3 x for other reasons; the report has them")


def test_a_search_repeats_why_candidates_failed(tmp_path, capsys):
    def score(job):
        found = fake_score(job)
        return found.failed("its worker process died") if job.arch.growth_rate == 2 else found

    run = invent("x", tmp_path, score, STUDY, trials=12, report=False)
    results = read_results(run)
    failed = sum(bool(each.failure) for each in results.measured)
    print_summary(results, run, "all trials finished")
    assert failed
    assert f"\nfailed:    {failed} x its worker process died\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("run x.toml", "run x.toml --trials 80"),
        ("run x.toml --trials 40 --name a", "run x.toml --name a --trials 80"),
        ("run x.toml --trials=40 --time 3m", "run x.toml --time 3m --trials 80"),
        ("run 'my x.toml' -q", "run 'my x.toml' -q --trials 80"),
    ],
)
def test_the_command_with_another_budget(monkeypatch, before, after):
    monkeypatch.setattr(sys, "argv", ["dnsearch", *shlex.split(before)])
    assert typed(trials=80) == f"dnsearch {after}"
    assert typed() == f"dnsearch {before}"


def test_a_run_that_ended_by_its_budget_says_how_it_goes_on(dnsearch, small, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dnsearch", "run", "small.toml"])
    last = dnsearch("run", "small.toml").out.splitlines()[-1]
    assert last == "go on:     dnsearch run small.toml --trials 2  (trials in all)"
    arguments = ["run", "small.toml", "--trials", "9", "--time", "0.001 s"]
    monkeypatch.setattr(sys, "argv", ["dnsearch", *arguments])
    last = dnsearch(*arguments).out.splitlines()[-1]
    assert last == "go on:     dnsearch run small.toml --trials 9 --time 0.002s  (time in all)"
    assert json.loads((small.path / "ended.json").read_text())["reason"] == "the time is up"


@pytest.mark.parametrize("verb", [["run", "small.toml"], ["replay", "small"]])
def test_quiet_verbs_print_the_last_lines_alone(dnsearch, small, verb):
    if verb[0] == "replay":
        verb += ["--samplers", "random", "--seeds", "1", "--free-proposals"]  # else they are timed
    loud, quiet = dnsearch(*verb).out, dnsearch(*verb, "-q").out
    assert quiet
    assert len(quiet) < len(loud)
    assert loud.endswith(re.sub(r"^\n", "", quiet).partition("\n")[2])
    assert "DenseNets within the limits" not in quiet
    assert "1 of 1 replays" not in quiet


def test_a_quiet_training(dnsearch):
    Path("small.toml").write_text(SMALL)
    asked = "train", "densenet-40-12", "--study", "small.toml", "--epochs", 1, "-q"
    network = {"growth_rate": 2, "block_config": [1], "num_init_features": 4, "stem": "cifar"}
    network |= {"in_channels": 1, "num_classes": 10, "bn_size": 0}
    Path("net.json").write_text(json.dumps(network))
    out = dnsearch(asked[0], "net.json", *asked[2:]).out
    assert out.startswith("\nfinished: 1 epoch ")
