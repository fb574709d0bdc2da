"""studies/arena without a rival's library: how one is asked and told, what is kept and printed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnsearch.replay.measures import AXES
from dnsearch.replay.run import Recorder, engine_of, problem_of, replay
from tests.replay.test_run import RUNGS, recorded

SCRIPTS = Path(__file__).parents[1] / "studies" / "arena"
TIMED = ["ask_seconds"]


@pytest.fixture
def arena(monkeypatch, tmp_path):
    """The script as a module, with an empty folder of replays."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("arena")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    yield module
    for name in ("arena", "task", "rivals"):
        sys.modules.pop(name)


class Scripted:
    """Asks for what it was given, and notes what it is told."""

    def __init__(self, asks):
        self.asks, self.told = iter(asks), []

    def ask(self):
        self.asked = next(self.asks)
        return self.asked

    def tell(self, trained, values):
        self.told.append((self.asked, trained, tuple(values)))


def run(arena, table, rival, log=False, seed=0):
    """The replay of a rival, whatever it finds, as rows."""
    problem = problem_of(table)
    task = arena.Task(problem, seed, log)
    engine = arena.engine_for(table, task, rival, 10**9)
    recorder = Recorder(table, problem, None, engine)
    recorder._found_all = lambda: False  # not over until the rival has nothing more to ask
    engine.run(recorder.show)
    return task, recorder.trajectory("scripted", seed)


def shown(table, key, rung):
    """The recorded errors of a network at a rung, one a seed."""
    rows = table.trainings
    return set(rows[(rows["key"] == key) & (rows["rung"] == rung)]["error"])


def test_rungs_go_on_with_one_training_and_each_epoch_is_paid_once(arena):
    table, digits = recorded(), (1, 0, 1, 1)
    rival = Scripted([(digits, 1), (digits, 3), ((0, 0, 0, 0), 9), (digits, 9)])
    task, rows = run(arena, table, rival)
    point = task.digits.tolist().index(list(digits))
    arch = task.problem.points.config(point)
    assert list(rows["rung"]) == [1, 3, 9, 9]
    own = rows[rows["key"] == arch.key]
    assert list(own["train_macs"]) == [3 * task.macs[point] * 100 * n for n in (1, 2, 6)]
    told = [values for asked, _, values in rival.told if asked[0] == digits]
    assert [cost for _, cost in told] == [task.macs[point]] * 3
    for rung, (error, _) in zip(RUNGS, told, strict=False):
        assert error in shown(table, arch.key, rung)
    luck = [error * rung**0.1 for rung, (error, _) in zip(RUNGS, told, strict=False)]
    assert np.ptp(luck) < 1e-12  # all of the same seed


def test_a_known_answer_is_given_again_and_costs_nothing(arena):
    digits = (0, 0, 0, 0)
    rival = Scripted([(digits, 9), (digits, 3), (digits, 9), ((1, 1, 1, 1), 9)])
    _, rows = run(arena, recorded(), rival)
    assert len(rows) == 2
    assert len(rival.told) == 4
    assert rival.told[0][2] == rival.told[2][2]
    assert rival.told[1][2][0] == pytest.approx(rival.told[0][2][0] * 3**0.1)


def test_who_repeats_itself_gets_the_nearest_untrained_network_instead(arena):
    digits = (3, 2, 1, 1)
    rival = Scripted([(digits, 9)] * 400)
    task, rows = run(arena, recorded(), rival)
    assert sorted(rows["key"]) == sorted(arch.key for arch in task.problem.points)
    trained = [trained for _, trained, _ in rival.told]
    new = list(dict.fromkeys(trained))
    steps = np.array([_distance(task, digits, each) for each in new])
    assert (np.diff(steps) >= 0).all()
    assert steps[0] == 0
    repeats = "".join("r" if each == digits else "n" for each in trained[1:])
    assert set(repeats.split("n")[:-1]) == {"rrrr"}


def _distance(task, one, other):
    return sum(abs(a - b) / (n - 1) for a, b, n in zip(one, other, task.radices, strict=True))


def test_what_was_never_recorded_stands_for_the_nearest_from_then_on(arena):
    table = recorded(take=10)  # of 48
    everything = arena.Task(problem_of(recorded()), 0, False).digits
    known = {tuple(row) for row in arena.Task(problem_of(table), 0, False).digits.tolist()}
    missing = [tuple(row) for row in everything.tolist() if tuple(row) not in known][::7]
    rival = Scripted([ask for digits in missing for ask in ((digits, 1), (digits, 9))])
    task, rows = run(arena, table, rival)
    free = set(known)
    for asked, after in zip(rival.told[::2], rival.told[1::2], strict=True):
        assert asked[1] == after[1]
        least = min(_distance(task, asked[0][0], each) for each in free)
        assert _distance(task, asked[0][0], asked[1]) == pytest.approx(least)
        free.remove(asked[1])
    assert len(rows) == 2 * len(missing)


def test_logarithms_are_told_where_they_are_asked_for(arena):
    asks = [((0, 0, 0, 0), 9), ((2, 1, 0, 1), 9)]
    plain, logs = Scripted(asks), Scripted(asks)
    task, _ = run(arena, recorded(), plain)
    told, _ = run(arena, recorded(), logs, log=True)
    for (*_, (error, cost)), (*_, (same, log)) in zip(plain.told, logs.told, strict=True):
        assert error == same
        assert log == pytest.approx(np.log10(cost))
    assert told.reference[0] == task.reference[0]
    assert 10 ** told.reference[1] == pytest.approx(task.reference[1])


def test_a_failed_training_is_told_as_always_wrong(arena):
    def failures(rows):
        rows.loc[rows["rung"] == 9, ["error", "failure"]] = [np.nan, "diverged"]
        rows.loc[rows["key"] < "8", ["error", "failure"]] = [0.3, ""]
        return rows

    table = recorded(spoil=failures)
    task = arena.Task(problem_of(table), 0, False)
    worst = next(i for i, arch in enumerate(task.problem.points) if arch.key >= "8")
    rival = Scripted([(tuple(task.digits[worst].tolist()), 9)])
    run(arena, table, rival)
    assert rival.told[0][2][0] == 1.0


def test_optunas_samplers_are_told_logarithms(arena):
    table = recorded(take=20)
    problem = problem_of(table)
    for kind, expected in ((arena.Engine, lambda v: v), (arena.LogCosts, np.log10)):
        engine = engine_of(table, problem, "random", 0, 5, kind)
        engine.run(lambda progress: None)
        for record in engine.store.records():
            cost = problem.model.cost(record.job.arch).macs
            assert record.values[1] == pytest.approx(expected(cost))


def test_one_replay_serves_all_reference_points_of_who_does_not_see_them(arena):
    table = recorded()
    tables = [table, arena.measured_against(table, 0.25)]
    both = arena.replayed(tables, arena.Contender("random", False), 1, 60.0, 10**9)
    alone = [replay(each, "random", 1, 60.0) for each in tables]
    assert len({len(rows) for rows in alone}) == 2
    longest = max(alone, key=len)
    assert both.drop(columns=TIMED).equals(longest.drop(columns=TIMED))


def test_what_was_replayed_is_kept_and_printed(arena, monkeypatch, capsys):
    table = recorded()
    monkeypatch.setattr(arena, "read_table", lambda name: table)
    typed = ["arena.py", "--rivals", "random,known-cost", "--replay", "--trials", "5", "--seeds"]
    monkeypatch.setattr(sys, "argv", [*typed, "1"])
    arena.main()
    assert "random, seed 0:" in capsys.readouterr().out
    kept = sorted(path.name for path in arena.FOLDER.glob("*/*"))
    assert kept == ["known-cost-default.parquet", "known-cost-tight.parquet", "random.parquet"]
    monkeypatch.setattr(sys, "argv", [*typed, "2"])
    arena.main()
    printed = capsys.readouterr().out
    assert "seed 0:" not in printed
    assert "random, seed 1:" in printed
    rows = pd.read_parquet(arena.FOLDER / "invented" / "known-cost-tight.parquet")
    found = arena.compare(arena.measured_against(table, 0.25), rows, ["known-cost"], range(2), 60)
    needed = [found.needed["known-cost", axis, level] for axis in AXES for level in arena.LEVELS]
    line = [row for row in printed.splitlines() if row.strip().startswith("known-cost")][-1]
    told = line.split()
    assert told[:4] == ["known-cost", "as", "is", "2"]
    assert [word for word in told[4:] if "/" not in word] == [arena.amount(n, ">") for n in needed]
    parts = [f"({n.reached}/{n.replays})" for n in needed if n.reached < n.replays]
    assert [word for word in told[4:] if "/" in word] == parts


def test_an_unknown_contender_is_refused(arena, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["arena.py", "--rivals", "smack"])
    with pytest.raises(SystemExit):
        arena.main()
    assert "--rivals names no contender, got 'smack'; known are" in capsys.readouterr().err


LIBRARIES = {
    "qlognehvi": "botorch",
    "qlognehvi-per-mac": "botorch",
    "smac": "smac",
    "syne-tune": "syne_tune",
    "primo": "neps",
    "hebo": "hebo",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_rival_whose_library_is_there_searches(arena, name):
    assert {name: entry.module for name, entry in arena.RIVALS.items()} == LIBRARIES
    pytest.importorskip(LIBRARIES[name])
    table = recorded()
    rows = arena.replayed([table], arena.Contender(name, True), 0, 60.0, 16)
    assert 0 < len(rows) <= 16
    assert set(rows["key"]) <= set(table.archs)
