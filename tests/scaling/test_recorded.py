"""What ``dnsearch scale`` was asked of a run is answered again, or a sentence says why not."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dnsearch.config import override
from dnsearch.errors import ConfigError
from dnsearch.rundir import RunDir
from dnsearch.scaling.recorded import asked_record, recorded_scaling
from dnsearch.scaling.study import Scaling

from .planted import scaling_results

NOT_NOW = "What a larger budget buys cannot be said now: "


def folder(path: Path) -> RunDir:
    path.mkdir(parents=True)
    (path / "study.db").touch()
    return RunDir(path)


def asked(run: RunDir, *others: RunDir, latencies=None, **changes) -> None:
    """Writes what ``dnsearch scale`` writes, as far as it is read again."""
    record = asked_record([run, *others], latencies or {})
    record |= {"cost": "macs", "next": [{"times": 4.0, "arch": {}}], "laws": {}}
    (run.path / "scaling.json").write_text(json.dumps(record | changes))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return folder(tmp_path / "reports" / "one")


def unread(run):
    raise AssertionError(f"{run} was read")


def test_a_run_that_was_not_asked_says_nothing(run):
    assert recorded_scaling(scaling_results(12), run, unread) is None


def test_a_run_made_for_scaling_is_asked_by_default(run):
    results = scaling_results(12, seeds=1)
    results = replace(results, study=override(results.study, sampler="scaling"))
    found = recorded_scaling(results, run, unread)
    assert isinstance(found, Scaling)
    assert (found.cost, [each.times for each in found.next]) == ("macs", [2, 4, 8])
    few = recorded_scaling(replace(results, measured=results.measured[:3]), run, unread)
    assert few == (
        f"{NOT_NOW}planted: 3 architectures trained in full are too few for a scaling law: it "
        "takes 8; train more with `dnsearch run STUDY --scaling`."
    )


def test_it_is_fitted_again_as_it_was_asked(run):
    results = scaling_results(12, seeds=1)
    latencies = {candidate.key: 2.0 for candidate in results.candidates}
    asked(run, cost="params", next=[{"times": 3.0}], latencies=latencies)
    found = recorded_scaling(results, run, unread)
    assert isinstance(found, Scaling)
    assert (found.cost, [each.times for each in found.next]) == ("params", [3])
    assert found.next[0].latency_ms.value == pytest.approx(2.0)


@pytest.mark.parametrize("place", ["reports/two", "elsewhere/deep/two"])
def test_another_run_is_found_by_its_path(run, place, tmp_path):
    other = folder(tmp_path / place)
    asked(run, other)
    paths = json.loads((run.path / "scaling.json").read_text())["runs"]
    assert paths == ["one", os.path.relpath(tmp_path / place, tmp_path / "reports")]
    seen = []

    def read(other):
        seen.append(other.path.resolve())
        return scaling_results(12, name="two", seed=1)

    found = recorded_scaling(scaling_results(12), run, read)
    assert isinstance(found, Scaling)
    assert seen == [other.path]
    alone = {candidate.key for candidate in scaling_results(12).candidates}
    assert alone < {candidate.key for candidate in found.trainings}


def test_another_run_is_found_when_both_have_moved(run, tmp_path):
    """Or when it is asked for from another folder."""
    asked(run, folder(tmp_path / "reports" / "two"))
    shutil.move(tmp_path / "reports", tmp_path / "archive")
    os.chdir(tmp_path / "archive" / "one")
    two = scaling_results(12, name="two", seed=1)
    found = recorded_scaling(scaling_results(12), RunDir(Path()), lambda other: two)
    assert isinstance(found, Scaling)


def test_another_run_that_is_gone_is_named(run, tmp_path):
    other = folder(tmp_path / "reports" / "two")
    asked(run, other)
    shutil.rmtree(other.path)
    assert recorded_scaling(scaling_results(12), run, unread) == (
        f"{NOT_NOW}the run two, which was fitted with it, is not at reports/two; put it back, or "
        "type dnsearch scale one to fit without it."
    )


def test_another_run_that_is_damaged_or_different_is_a_sentence(run, tmp_path):
    asked(run, folder(tmp_path / "reports" / "two"))

    def damaged(other):
        raise ConfigError("space.growth_rate", "must be a list", 4)

    found = recorded_scaling(scaling_results(12), run, damaged)
    assert found == f"{NOT_NOW}space.growth_rate must be a list, got 4."
    strange = scaling_results(12, name="two", environment={"device_kind": "cuda"})
    found = recorded_scaling(scaling_results(12), run, lambda other: strange)
    assert found.startswith(f"{NOT_NOW}planted and two cannot be fitted together: they differ in")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[1, 2]", "must be a JSON object"),
        ("{", "must be valid JSON"),
        ("{}", "runs: Field required"),
        ('{"runs": ["one"], "next": 3}', "next: Input should be a valid list"),
        ('{"runs": [], "next": [{"times": 2}]}', "runs: List should have at least 1 item"),
        ('{"runs": ["one"], "next": [{"times": "2"}]}', "next.0.times: Input should be a valid n"),
        ('{"runs": ["one"], "next": [{"times": -2}]}', "next.0.times: Input should be greater"),
        ('{"runs": ["one"], "next": [{"times": NaN}]}', "next.0.times: Input should be a finite"),
        ('{"runs": ["one", 5], "next": [{"times": 2}]}', "runs.1: Input should be a valid string"),
        ('{"runs": ["one"], "next": [{"times": 2}], "cost": "latency"}', "cost: Input should be"),
        ('{"runs": ["one"], "next": [{"times": 2}], "latencies_ms": {"a": 0}}', "latencies_ms.a"),
    ],
)
def test_json_of_another_shape_is_a_sentence_that_names_the_file(run, text, what):
    (run.path / "scaling.json").write_text(text)
    found = recorded_scaling(scaling_results(12), run, unread)
    assert found.startswith(NOT_NOW)
    assert str(run.path / "scaling.json") in found
    assert what in found
    assert found.endswith("; type dnsearch scale one to write it again.")
