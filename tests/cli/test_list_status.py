"""``dnsearch list`` and ``dnsearch status``: what they say of runs in every state."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dnsearch.analysis import metrics, picks
from dnsearch.arch import ArchConfig
from dnsearch.cli import compare, runs
from dnsearch.config import load_study, parse_study, to_toml
from dnsearch.export import bundle
from dnsearch.files import write_json
from dnsearch.rundir import RunDir
from dnsearch.search.engine import INTERRUPTED
from dnsearch.search.evaluators.base import CONFIRM, SEARCH, Job
from dnsearch.search.results import read_results
from dnsearch.search.standing import Observer, seconds_left
from dnsearch.search.store import StudyStore
from tests.fakes import fake_score
from tests.invented_runs import STUDY, invent

from .conftest import snapshot


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """reports/ with a finished search and an unfinished one without a report."""
    reports = tmp_path_factory.mktemp("made") / "reports"
    invent("done", reports)
    killed = invent("killed", reports, trials=4, report=False)
    killed.ended_file.unlink()
    study = to_toml(load_study(killed.study_file)).replace("trials = 4", "trials = 10")
    killed.study_file.write_text(study)
    return reports


@pytest.fixture
def reports(dnsearch, made) -> Path:
    shutil.copytree(made, "reports")
    return Path("reports")


def rows(dnsearch, *arguments):
    code, out, err = dnsearch("list", "--json", *arguments)
    assert (code, err) == (0, "")
    return {row["name"]: row for row in json.loads(out)}


def test_states_and_answers(dnsearch, reports):
    found = rows(dnsearch)
    assert found.keys() == {"done", "killed"}
    done, killed = found["done"], found["killed"]
    assert (done["kind"], done["state"], done["done"], done["of"]) == ("search", "done", 10, 10)
    assert (killed["state"], killed["done"], killed["of"]) == ("interrupted", 4, 10)
    assert killed["answer"] is None
    best = read_results(RunDir(reports / "done")).pick("least-error")
    assert done["answer"]["key"] == best.key
    assert done["answer"]["error"] == pytest.approx(best.predicted_error)
    assert done["answer"]["high"] == pytest.approx(best.new_high)
    out = dnsearch("list").out
    assert re.search(r"done +search +done +k=8", out)
    assert re.search(r"killed +search +interrupted 4/10 +–", out)


def test_a_run_at_work_is_running(dnsearch, reports):
    with RunDir(reports / "done").lock():
        assert rows(dnsearch)["done"]["state"] == "running"
    assert rows(dnsearch)["done"]["state"] == "done"


def test_the_lock_of_a_killed_process_is_none(dnsearch, reports):
    """Its holder.json stays; its number may be another's by now, here our own."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        holder = {"process": process, "host": platform.node(), "since": "2026-01-01T00:00:00+00:00"}
        write_json(reports / "killed" / "holder.json", holder)
        assert rows(dnsearch)["killed"]["state"] == "interrupted"


def test_an_interruption_is_told(dnsearch, reports):
    RunDir(reports / "done").note_end(INTERRUPTED)
    assert rows(dnsearch)["done"]["state"] == "interrupted"


def test_a_run_of_an_earlier_version_is_judged_by_its_budget(dnsearch, reports):
    (reports / "done" / "ended.json").unlink()
    assert rows(dnsearch)["done"]["state"] == "done"
    study = reports / "done" / "study.toml"
    study.write_text(study.read_text().replace("trials = 10", "trials = 11"))
    assert rows(dnsearch)["done"]["state"] == "interrupted"


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("study.toml", None, "No such file"),
        ("study.toml", "x", "TOMLDecodeError"),
        ("study.toml", "[search]\n", "KeyError"),
        ("study.db", "no data base", "DatabaseError: file is not a database"),
        ("study.db", "", "OperationalError: no such table"),
        ("summary.json", "{", "must be valid JSON"),
        ("summary.json", '{"picks": 3, "errors": 4}', "AttributeError|TypeError"),
        ("ended.json", "[]", "must be a JSON object"),
    ],
)
def test_a_damaged_run_is_told_beside_the_others(dnsearch, reports, file, content, told):
    path = reports / "done" / file
    path.unlink() if content is None else path.write_text(content)
    found = rows(dnsearch)
    assert re.search(told, found["done"]["problem"])
    assert found["killed"]["problem"] == ""
    out = dnsearch("list").out
    assert re.search(rf"^done: cannot be read: .*(?:{told})", out, re.MULTILINE)
    assert "killed" in out


def test_trainings_replays_and_scaling_designs(dnsearch, reports):
    training = {"name": "net", "epochs": 20}
    write_json(reports / "net" / "training.json", training)
    assert rows(dnsearch)["net"]["state"] == "interrupted"
    result = {"name": "net", "key": "1", "test": {"error": 0.125}, "validation": None}
    write_json(reports / "net" / "result.json", result)
    replay = reports / "replay-x"
    replay.mkdir()
    (replay / "trajectories.parquet").write_text("")
    (replay / "summary.csv").write_text(
        "sampler,axis,level,median\ntpe,log,0.95,9.5\nknown-cost,log,0.95,1.5\ngp,linear,0.95,1\n"
    )
    study = reports / "killed" / "study.toml"
    study.write_text(study.read_text().replace('"random"', '"scaling"'))
    (reports / "notes").mkdir()
    found = rows(dnsearch)
    assert "notes" not in found
    assert (found["net"]["kind"], found["net"]["state"]) == ("training", "done")
    assert found["net"]["answer"]["error"] == 0.125
    assert found["replay-x"]["reason"] == "known-cost is first at 95 %"
    assert found["killed"]["kind"] == "scaling"
    assert "12.50 % test" in dnsearch("list").out


def test_no_runs(dnsearch):
    told = "there are no runs in reports/ yet; dnsearch run makes one\n"
    assert dnsearch("list") == (0, told, "")
    assert dnsearch("list", "--to", "none", "--json") == (0, "[]\n", "")


def test_listing_imports_nothing_heavy(reports):
    script = (
        "import sys, dnsearch.cli\n"
        "try: dnsearch.cli.main(['list'])\n"
        "except SystemExit: sys.exit(str([m for m in "
        "('torch', 'optuna', 'numpy', 'pandas', 'pydantic') if m in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "[]\n"


def test_status_only_reads(dnsearch, reports):
    before = snapshot()
    code, out, err = dnsearch("status", "killed")
    assert (code, err) == (0, "")
    assert snapshot() == before
    assert out.startswith("killed: interrupted\ntrained:   4 of at most 10 trials: 4 to the")
    best = min(read_results(RunDir(reports / "killed")).networks, key=lambda each: each.error)
    assert f"({best.key}): {100 * best.error:.2f} % validation error, as measured" in out


def opened(run: RunDir, study: str = SEARCH) -> ArchConfig:
    """A trial under way in this study of the run, of this network."""
    arch = StudyStore(run, read_only=True).records()[0].job.arch
    with contextlib.closing(StudyStore(run, names=[study])) as store:
        trial = store.logs[study].study.ask()
        store.accept(trial, Job(trial.number, arch, 2, 5, study))
    return arch


def test_status_of_a_run_at_work(dnsearch, reports):
    """A trial that is open is under way while somebody works on the run, and not afterwards."""
    run = RunDir(reports / "killed")
    with run.lock():
        arch = opened(run)
        told = json.loads(dnsearch("status", "killed", "--json").out)
        assert (told["state"], told["holder"]["process"]) == ("running", os.getpid())
        assert [each["key"] for each in told["under_way"]] == [arch.key]
        out = dnsearch("status", "killed").out
        assert f"killed: running, process {os.getpid()}" in out
        assert re.search(rf"under way: {re.escape(arch.describe())}: 2 epochs, for ", out)
    assert json.loads(dnsearch("status", "killed", "--json").out)["under_way"] == []


@pytest.fixture(params=["UTC", "EAST-9", "WEST8"])
def zone(request):
    """Local time is another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_what_a_search_left_open_is_not_under_way_while_others_work(dnsearch, reports):
    """A search ends with open trials, which only the next one closes, not ``dnsearch confirm``."""
    run = RunDir(reports / "killed")

    def told():
        found = json.loads(dnsearch("status", "killed", "--json").out)
        assert ("left:" in dnsearch("status", "killed").out) == (found["seconds_left"] is not None)
        return [each["epochs"] for each in found["under_way"]], found["seconds_left"] is not None

    opened(run)
    time.sleep(1 - time.time() % 1)  # holders are told apart by the second
    with run.lock():
        assert told() == ([], False)
        opened(run, CONFIRM)
        assert told() == ([2], False)
        opened(run)
        assert told() == ([2, 2], True)


def test_time_left_is_by_the_pace_and_the_budget(made):
    """Trainings of 3 s each with 30 to go, or 5 s of a budget of time."""
    records = StudyStore(RunDir(made / "done"), read_only=True).records()
    spaced = [replace(record, finished_after=3.0 * i) for i, record in enumerate(records)]

    def left(trials, time=None, records=spaced):
        study = parse_study(STUDY)
        budget = study.search.model_copy(update={"trials": trials, "time": time})
        return seconds_left(study.model_copy(update={"search": budget}), records, 27.0)

    assert left(40) == pytest.approx(90)
    assert left(40, time=32.0) == 5
    assert left(5) == 0
    assert math.isnan(left(40, records=[]))
    assert left(40, time=32.0, records=[]) == 5


def test_failures_and_lower_rungs_are_counted(tmp_path):
    def score(job):
        found = fake_score(job)
        return found.failed("diverged") if job.arch.growth_rates[0] == 2 else found

    study = STUDY.replace("rungs = [2]", "rungs = [1, 3]").replace('"random"', '"mo-asha"')
    found = Observer(invent("x", tmp_path, score, study, trials=20, report=False)).look()
    records = StudyStore(RunDir(tmp_path / "x"), read_only=True).records()
    assert found.trained == len(records)
    assert found.failed == sum(r.score.failure is not None for r in records) > 0
    assert found.lower == sum(r.score.failure is None and r.job.rung == 1 for r in records) > 0
    assert found.reason == "all trials finished"


def test_watching_ends_with_the_run(dnsearch, reports):
    code, out, _ = dnsearch("status", "done", "--watch", "--json")
    assert code == 0
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["done"]


def test_status_of_a_training(dnsearch, reports):
    write_json(reports / "net" / "training.json", {"name": "net", "epochs": 20})
    out = dnsearch("status", "net").out
    assert out.startswith("net: training of one network, interrupted\nlength:    20 epochs; last")
    write_json(reports / "net" / "training.json", {"name": "net", "epochs": 1})
    assert "length:    1 epoch; last" in dnsearch("status", "net").out


FIRST = {
    "one": ("tpe,9.5 known-cost,1.5", "known-cost is first at 95 %"),
    "ties": ("tpe,2.0 random,7.0 known-cost,2.0", "tpe and known-cost are first at 95 %"),
    "none": ("tpe,inf random,inf", "no strategy reached 95 % in most replays"),
    "some": ("tpe,inf random,7.0", "random is first at 95 %"),
    "alone": ("random,7.0", "random reached 95 %"),
    "alone and short": ("random,inf", "random did not reach 95 % in most replays"),
}
"""Strategies with the median of the compute to 95 %, infinite where half of the replays never got
there, and what is said of them."""


@pytest.mark.parametrize(("medians", "told"), FIRST.values(), ids=FIRST)
def test_which_strategy_of_a_replay_was_first(dnsearch, medians, told):
    folder = Path("reports/replay")
    folder.mkdir(parents=True)
    (folder / "trajectories.parquet").write_text("")
    lines = [f"{each.replace(',', ',log,0.95,')}\n" for each in medians.split()]
    lines += [f"{each.partition(',')[0]},log,0.9,1.0\n" for each in medians.split()]
    (folder / "summary.csv").write_text("sampler,axis,level,median\n" + "".join(lines))
    assert rows(dnsearch)["replay"]["reason"] == told


def test_status_of_nothing(refused, reports):
    assert refused("status", "dnoe") == "there is no run 'dnoe'; did you mean 'done'?"


def test_status_of_a_damaged_run(refused, reports):
    (reports / "done" / "study.db").write_text("x")
    assert refused("status", "done").startswith(
        "reports/done/study.db: cannot be used as Optuna storage"
    )


def test_names_that_are_copied_to_save_an_import_are_the_originals():
    assert runs.LEAST_ERROR == picks.LEAST_ERROR
    assert runs.INTERRUPTED == INTERRUPTED
    assert runs._KINDS == metrics._KINDS
    assert compare.EXPORT_FILE == bundle.EXPORT_FILE
