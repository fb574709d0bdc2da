"""``dnsearch replay``: what is asked of the replays, what is printed, what is refused."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from dnsearch.cli.ending import typed
from dnsearch.cli.replay import SAMPLERS
from dnsearch.rundir import RunDir

from ..report import replayed

TABLE = replayed.table("small")


@pytest.fixture
def asked(monkeypatch) -> list[SimpleNamespace]:
    """Replays of invented strategies in place of real ones; gathers what was asked for."""
    calls = []

    def replays(table, samplers, seeds, compute, processes, show, machine):
        told = {"samplers": samplers, "seeds": seeds, "compute": compute, "processes": processes}
        told |= {"workers": machine.workers, "charged": machine.charged}
        calls.append(SimpleNamespace(**told))
        for done in range(len(samplers) * seeds):
            show(done + 1, len(samplers) * seeds)
        return replayed.trajectories(table, samplers, seeds, compute)

    monkeypatch.setitem(sys.modules, "dnsearch.replay.run", SimpleNamespace(replays=replays))
    monkeypatch.setattr("dnsearch.replay.files.read_table", lambda _: TABLE)
    return calls


def test_every_strategy_by_default(dnsearch, asked):
    code, out, err = dnsearch("replay", "small", "--seeds", 2)
    assert (code, err) == (0, "")
    assert asked[0].samplers == list(SAMPLERS)
    assert set(SAMPLERS) == set(replayed.SKILL)
    assert asked[0].processes >= 1
    assert (asked[0].workers, asked[0].charged) == (1, True)
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[-1] == "report:    reports/replay-small/report.html"
    assert Path("reports/replay-small/report.html").is_file()


def test_what_was_asked_for(dnsearch, asked):
    typed = ["--samplers", "tpe, random,tpe", "--seeds", 3, "--compute", 2.5, "--processes", 4]
    typed += ["--workers", 16, "--free-proposals"]
    code, out, _ = dnsearch("replay", "small", *typed, "--name", "mine", "--to", "there")
    assert code == 0
    assert vars(asked[0]) == {
        "samplers": ["tpe", "random"],
        "seeds": 3,
        "compute": 2.5,
        "processes": 4,
        "workers": 16,
        "charged": False,
    }
    assert "report:    there/mine/report.html" in out
    assert set(pd.read_csv("there/mine/summary.csv")["sampler"]) == {"tpe", "random"}


def test_the_same_command_writes_the_report_again(dnsearch, asked):
    first = dnsearch("replay", "small", "--samplers", "gp", "--seeds", 2)
    assert dnsearch("replay", "small", "--samplers", "gp", "--seeds", 2) == first


def test_the_tables_tell_the_summary(dnsearch, asked):
    out = dnsearch("replay", "small", "--samplers", "known-cost,random", "--compute", 3).out
    rows = pd.read_csv("reports/replay-small/summary.csv")
    told = [line.split() for line in out.splitlines() if re.match(r" *(known-cost|random) ", line)]
    assert [line[0] for line in told] == ["known-cost", "random"] * 3
    for axis, lines in (("log", told[:2]), ("linear", told[2:4])):
        for line in lines:
            own = rows[(rows["axis"] == axis) & (rows["sampler"] == line[0])]
            assert line[2:7:2] == [f"{reached}/20" for reached in own["reached"]]
            for text, median, least in zip(
                line[1:7:2], own["median"], own["at_least"], strict=True
            ):
                assert text.startswith(">") == (median == float("inf"))
                exact = least if text.startswith(">") else median
                assert float(text.lstrip(">")) == pytest.approx(exact, rel=0.1)
            assert int(line[7]) == own["wins"].iloc[1]


def test_ten_lines_of_progress_where_there_is_no_terminal(dnsearch, asked):
    out = dnsearch("replay", "small", "--samplers", "gp,tpe", "--seeds", 17).out
    lines = [line for line in out.splitlines() if line.startswith("small: ")]
    assert len(lines) == 10
    assert lines[-1] == "small: 34 of 34 replays"


def test_a_bar_on_a_terminal(dnsearch, asked, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, _ = dnsearch("replay", "small", "--samplers", "gp", "--seeds", 2)
    assert code == 0
    assert "100%" in out


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--samplers", "tep"], r"--samplers names no strategy, got 'tep'; did you mean 'tpe'\?"),
        (
            ["--samplers", "tpe,xyz"],
            r"--samplers names no strategy, got 'xyz'; known are frontier, gp, .*",
        ),
        (
            ["--samplers", "grid"],
            r"--samplers names no strategy, got 'grid'; known are frontier, gp, .*",
        ),
        (["--samplers", ""], r"--samplers names no strategy, got ''; known are frontier, gp, .*"),
        (
            ["--samplers", "tpe,optuna.samplers:TPESample"],
            r"--samplers names nothing in optuna.samplers, got 'optuna.s.*'; did you mean .*",
        ),
        (["--seeds", "0"], r"invalid value for '--seeds': 0 is not in the range x>=1.*"),
        (["--compute", "0"], r"invalid value for '--compute': 0.0 is not in the range x>0.*"),
        (["--compute", "nan"], r"--compute must be a finite number, got nan"),
        (["--compute", "inf"], r"--compute must be a finite number, got inf"),
        (["--workers", "0"], r"invalid value for '--workers': 0 is not in the range x>=1.*"),
        (["--name", "a/b"], r"a run's name must be .* got 'a/b'; choose another with --name"),
        (["--name", "taken"], r"reports/taken: is a run; choose another --name"),
        (["--to", "file"], r"file/replay-small: cannot be written: Not a directory"),
    ],
)
def test_refused(refused, asked, typed, told):
    taken = RunDir(Path("reports/taken"))
    taken.path.mkdir(parents=True)
    taken.database.touch()
    Path("file").write_text("mine")
    assert re.fullmatch(told, refused("replay", "small", *typed))
    assert not asked


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("nope", r"there is no run 'nope'; there are no runs in reports/ yet"),
        ("bench:nope", r"there is no benchmark 'nope'; .*"),
    ],
)
def test_no_such_recording(refused, run, told):
    assert re.fullmatch(told, refused("replay", run))


def test_interrupted(dnsearch, asked, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["dnsearch.replay.run"], "replays", interrupt)
    code, out, err = dnsearch("replay", "small")
    assert (code, out, err.strip()) == (
        130,
        "",
        f"dnsearch: stopped by Ctrl-C; to go on:  {typed()}",
    )
    assert not Path("reports/replay-small/report.html").exists()


def test_a_run_of_one_network(dnsearch, trained):
    shutil.copytree(trained.path, "reports/small")
    typed = ["--samplers", "random,known-cost", "--seeds", 2, "--processes", 1]
    code, _, err = dnsearch("replay", "small", *typed)
    assert (code, err) == (0, "")
    found = pd.read_parquet("reports/replay-small/trajectories.parquet")
    assert set(found["sampler"]) == {"random", "known-cost"}
    rows = pd.read_csv("reports/replay-small/summary.csv")
    assert (rows["reached"] == 2).all()
    assert rows["median"].tolist() == pytest.approx([1.0] * len(rows))  # one full training
