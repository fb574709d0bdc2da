"""The report of replayed strategies: the words, the figures, the files, in every state."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest

from dnsearch.config import StudyConfig
from dnsearch.errors import RunError
from dnsearch.replay.comparison import compare
from dnsearch.replay.measures import COLUMNS, Replay
from dnsearch.report.replay import per_replay, render, summary, write_replay
from dnsearch.report.shares import share_figure
from dnsearch.report.strategies import rounded_down, verdict

from . import replayed
from .reader import Reader

ALL = list(replayed.SKILL)
TABLE = replayed.table()


def invented(samplers=("known-cost", "tpe", "random"), seeds=5, budget=40.0, table=TABLE):
    found = replayed.trajectories(table, list(samplers), seeds, budget)
    return compare(table, found, list(samplers), range(seeds), budget)


STATES = {
    "usual": {"samplers": ALL},
    "one seed": {"seeds": 1},
    "one strategy": {"samplers": ["tpe"]},
    "no known-cost": {"samplers": ["random", "gp"]},
    "unreached": {"budget": 0.05},
    "nothing": {"budget": 0.0},
    "one architecture": {
        "table": dataclasses.replace(
            TABLE, trainings=TABLE.trainings[TABLE.trainings["key"] == TABLE.truth.index[0]]
        )
    },
    "one rung": {"table": replayed.table(rungs=(9,))},
}


@functools.cache
def state(name):
    return invented(**STATES[name])


@pytest.fixture(params=list(STATES))
def any_state(request):
    return state(request.param)


def test_every_state_renders_and_is_well_formed(any_state):
    page = Reader(render(any_state))
    assert not page.open
    assert page.references == page.handlers == []
    assert len(page.ids) == len(set(page.ids))
    assert len(page.figures) == (3 if len(any_state.trajectories) else 0)
    for axis in ("log", "linear"):
        assert verdict(any_state, axis) in page.text
    for sampler in any_state.samplers:
        assert page.text.count(sampler) >= 3


def test_every_state_writes_its_files(any_state, tmp_path):
    path = write_replay(any_state, tmp_path / "new")
    assert path == tmp_path / "new" / "report.html"
    files = ["replays.csv", "report.html", "summary.csv", "trajectories.parquet"]
    assert sorted(p.name for p in path.parent.iterdir()) == files
    told = pd.read_csv(path.parent / "summary.csv")
    pd.testing.assert_frame_equal(told, summary(any_state), check_dtype=False)
    assert len(told) == 6 * len(any_state.samplers)
    replays = pd.read_csv(path.parent / "replays.csv")
    assert len(replays) == len(told) * len(any_state.seeds)
    kept = pd.read_parquet(path.parent / "trajectories.parquet")
    assert list(kept.columns) == list(COLUMNS)
    assert kept["train_macs"].tolist() == any_state.trajectories["train_macs"].tolist()


def told(axis="log", **computes) -> str:
    """The verdict where strategies found all at this compute; nothing where it is negative."""
    replays = {
        name.replace("_", "-"): [
            Replay(np.array([abs(c)]), dict.fromkeys(("log", "linear"), np.array([float(c > 0)])))
            for c in own
        ]
        for name, own in computes.items()
    }
    seeds = range(len(next(iter(replays.values()))))
    given = dataclasses.replace(state("one seed"), replays=replays, seeds=seeds)
    return verdict(given, axis)


@pytest.mark.parametrize(
    ("computes", "words"),
    [
        (
            {"tpe": [40, 41, 50], "known_cost": [3.14, 2, 4], "nsga2": [100.6, -100.6, -100.6]},
            "known-cost reaches 95 % of the best hypervolume with 3.1 full trainings of mean size; "
            "tpe needs 41 (13 times as many), "
            "nsga2 needs more than 100 (more than 32 times as many, reached in 1 of 3).",
        ),
        (
            {"known_cost": [2, 3, -9], "random": [1, 2, 3]},
            "known-cost reaches 95 % of the best hypervolume with 3.0 full trainings of mean size "
            "(reached in 2 of 3); random needs 2.0 (0.67 times as many).",
        ),
        (
            {"known_cost": [2, -9, -9.99], "random": [30, 20, 10], "gp": [-1, -2, -3]},
            "known-cost needs more than 9.0 full trainings of mean size for 95 % of the best "
            "hypervolume (reached in 1 of 3); random needs 20, "
            "gp needs more than 2.0 (reached in 0 of 3).",
        ),
        (
            {"known_cost": [10], "gp": [-5]},
            "known-cost reaches 95 % of the best hypervolume with 10 full trainings of mean size; "
            "gp needs more than 5.0 (reached in 0 of 1).",
        ),
        (
            {"random": [30], "gp": [5]},
            "gp reaches 95 % of the best hypervolume with 5.0 full trainings of mean size; random "
            "needs 30 (6.0 times as many).",
        ),
        (
            {"gp": [0.123]},
            "gp reaches 95 % of the best hypervolume with 0.12 full trainings of mean size.",
        ),
    ],
)
def test_verdict(computes, words):
    assert told(**computes) == f"With cost on a log axis, {words}"
    assert told(axis="linear", **computes) == f"With cost on a linear axis, {words}"


def test_verdict_where_nothing_was_trained():
    assert verdict(state("nothing"), "log") == "No replay trained anything."


@pytest.mark.parametrize(
    ("value", "down"), [(0, 0), (0.0999, 0.099), (2.39, 2.3), (39.9, 39), (1234.5, 1234), (3, 3)]
)
def test_bounds_are_never_rounded_up(value, down):
    assert rounded_down(value) == pytest.approx(down)


def test_the_summary_is_that_of_the_replays():
    found = invented(samplers=ALL, seeds=7)
    rows, each = summary(found), per_replay(found)
    for row in rows.to_dict("records"):
        own = each.query("sampler == @row['sampler'] and axis == @row['axis']")
        own = own[own["level"] == row["level"]]["compute"]
        assert (row["replays"], row["reached"]) == (7, np.isfinite(own).sum())
        assert row["median"] == own.median()  # of seven: one of them
    best = each.groupby(["axis", "level", "seed"])["compute"].transform("min")
    assert rows["wins"].sum() == (np.isfinite(best) & (each["compute"] == best)).sum()


def test_the_page_tells_axis_reference_unit_and_table():
    page = Reader(render(invented()))
    for words in (
        "90.00 %, that of always giving the same answer",
        "1.1 times the largest in the search space",
        "that of all 162 architectures together",
        "an architecture trained to 9 epochs",
        "1, 3, 9 epochs",
        "8,000 of 1x14x14",
        "at most 40 full trainings each",
        "medians of 5 replays each",
    ):
        assert words in page.text


def test_the_axis_of_the_study_comes_first():
    study = StudyConfig.model_validate(
        TABLE.study.model_dump() | {"objectives": {"axis": "linear"}}
    )
    page = Reader(render(invented(table=dataclasses.replace(TABLE, study=study))))
    assert page.text.index("cost on a linear axis") < page.text.index("cost on a log axis")


def test_within_some_architectures():
    keys = list(TABLE.truth.index[::5])
    found = replayed.trajectories(TABLE, ["random"], 3, 1e6)
    held_out = compare(TABLE, found, ["random"], range(3), keys=keys)
    assert len(held_out.keys) == len(keys)
    needed = held_out.needed["random", "log", 0.99]
    assert needed.reached == 3
    assert f"that of all {len(keys)} architectures together" in Reader(render(held_out)).text


def test_lines_end_with_their_replays_and_rise():
    series = state("usual").shares("log")
    assert [own.sampler for own in series] == ALL
    for own in series:
        assert own.shares.shape == (5, len(own.spent))
        assert (np.diff(own.shares, axis=0) >= 0).all()
        assert (np.diff(own.shares, axis=1) >= 0).all()
    colours = [t.line.color for t in share_figure(series).data if t.showlegend]
    assert len(set(colours)) == len(ALL)


def test_costs_that_must_be_measured_are_refused():
    study = TABLE.study.model_dump() | {"objectives": {"costs": ["macs", "latency_ms"]}}
    table = dataclasses.replace(TABLE, study=StudyConfig.model_validate(study))
    with pytest.raises(RunError, match="a replay needs costs that are exact, got latency_ms"):
        invented(table=table)


def test_all_text_is_escaped():
    page = Reader(render(invented(table=replayed.table(name="<img src=x onerror=alert(1)>"))))
    assert "img" not in page.tags
    assert page.references == page.handlers == []
