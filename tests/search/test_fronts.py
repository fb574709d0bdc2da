"""Networks and fronts of invented runs whose errors are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.candidates import Basis, figures
from dnsearch.analysis.predictions import Predictions
from dnsearch.arch.presets import PRESETS
from dnsearch.config import StudyConfig
from dnsearch.report.comparison import front_lines, verdicts
from dnsearch.report.comparison_series import fronts_series
from dnsearch.search.compared import Subject, adapted, compare_networks
from dnsearch.search.fronts import compare_fronts
from tests.report import synthetic

SD = 0.03
"""Of the log error that is not known."""


def run(name="a", better=0.0, seed=0, search_seed=0, drawn_with=7, **changes):
    """A run of 30 networks: what is predicted is what was measured, less a share ``better``, with
    an error in common and one of their own."""
    made = synthetic.results(30, name=name, seed=seed, **changes)
    search = made.study.search.model_copy(update={"seed": search_seed})
    study = made.study.model_copy(update={"search": search})
    keys = list(dict.fromkeys(each.key for each in made.measured))
    error = np.array([np.mean([c.error for c in made.measured if c.key == k]) for k in keys])
    rng = np.random.default_rng(drawn_with)
    common, own = rng.normal(0, SD, (4000, 1)), rng.normal(0, SD / 10, (4000, len(keys)))
    draws = (1 - better) * error * np.exp(common + own)
    known = Predictions(tuple(keys), draws, 0.03, synthetic.VALIDATION_IMAGES, synthetic.EPOCHS)
    return synthetic.results(
        30, name=name, seed=seed, predict=lambda: known, study=study, **changes
    )


def subject(results, place=0, label="x"):
    found = sorted(results.networks, key=lambda each: each.predicted_error)[place]
    shape = tuple(results.data["shape"])
    return Subject(label, found.name, found.arch, shape, results)


def test_networks_of_one_run_are_compared_by_their_joint_draws():
    """What they have in common cancels: the interval is that of the errors of their own alone."""
    own = run()
    found = compare_networks([subject(own, 0), subject(own, 5)])
    draws, place = own.joint.draws, own.joint.place
    a, b = (draws[:, place[row.subject.arch.key]] for row in found.rows)
    told = found.rows[1].difference
    assert told.median == pytest.approx(np.median(b - a))
    assert told.high - told.low < 0.5 * 2 * 1.645 * SD * math.hypot(a.mean(), b.mean())
    assert found.rows[0].difference is None
    assert found.rows[0].ratios == dict.fromkeys(found.rows[0].ratios, 1)
    costs = found.rows[1].cost, found.rows[0].cost
    assert found.rows[1].ratios["macs"] == costs[0].macs / costs[1].macs
    assert found.notes == ()


def test_networks_of_two_runs_are_independent_though_drawn_by_the_same_numbers():
    ours, theirs = run("a"), run("b", seed=1)
    found = compare_networks([subject(ours), subject(theirs)])
    told = found.rows[1].difference
    a, b = (row.predicted.error for row in found.rows)
    assert told.high - told.low == pytest.approx(2 * 1.645 * SD * math.hypot(a, b), rel=0.06)
    assert any("independent" in note for note in found.notes)


def test_predicted_errors_are_those_of_the_report():
    own = run()
    found = compare_networks([subject(own, 0), subject(own, 3)])
    for row in found.rows:
        network = next(n for n in own.networks if n.key == row.subject.arch.key)
        assert network.basis is Basis.SEARCH
        assert row.predicted.error == network.predicted_error
        assert row.predicted.new_high == network.new_high
        assert row.cost == network.cost
    assert found.error_name == "validation error"
    assert found.epochs == (synthetic.EPOCHS,) * 2


@pytest.mark.parametrize("prints", [("a", "b"), ("a", None), (None, None)])
def test_other_images_are_compared_by_cost_alone(prints):
    """Nor where it is not known that they are the same."""
    data = [{**synthetic.DATA, "fingerprint": each} for each in prints]
    ours, theirs = run("a", data=data[0]), run("b", data=data[1])
    found = compare_networks([subject(ours), subject(theirs)])
    assert [row.predicted for row in found.rows] == [None, None]
    assert "cost alone" in found.notes[0]
    assert compare_fronts({"a": ours, "b": theirs}).startswith("the images of a (")


def confirm(results, epochs, images=1000):
    """As if some of its networks were confirmed, and all errors 0.01 larger on the test images."""
    before = results.predictions
    joint = replace(
        before,
        draws=before.draws + 0.01,
        images=images,
        epochs=epochs,
        basis=Basis.CONFIRMED,
        confirmed=frozenset(before.keys[:3]),
    )
    results.__dict__["joint"] = joint
    return results


@pytest.mark.parametrize(
    ("lengths", "split", "epochs"),
    [((27, 27), "test", 27), ((27, 9), "validation", 9), ((27, None), "validation", 9)],
)
def test_errors_of_one_split_alone_are_compared(lengths, split, epochs):
    runs = [run("a"), run("b", seed=1)]
    for each, length in zip(runs, lengths, strict=True):
        if length:
            confirm(each, length)
    found = compare_networks([subject(each) for each in runs])
    assert found.error_name == f"{split} error"
    assert found.epochs == (epochs, epochs)
    assert any("not all runs were confirmed alike" in n for n in found.notes) == (split != "test")
    for row in found.rows:
        known = row.subject.results.joint if split == "test" else row.subject.results.predictions
        expected = known.error[known.place[row.subject.arch.key]]
        assert row.predicted.error == pytest.approx(expected, abs=1e-4)
    fronts = compare_fronts({"a": runs[0], "b": runs[1]})
    assert fronts.error_name == f"{split} error"


def test_other_kinds_of_error_are_not_compared():
    study = StudyConfig.model_validate({"objectives": {"error": "balanced"}})
    theirs = synthetic.results(30, name="b", study=study)
    found = compare_networks([subject(run("a")), subject(theirs)])
    assert found.rows[0].predicted is None
    assert "differ in kind" in found.notes[0]


def test_a_measured_error_has_a_difference_without_an_interval():
    plain = synthetic.results(30)
    found = compare_networks([subject(plain, 0), subject(plain, 4)])
    told = found.rows[1].difference
    a, b = (row.predicted.error for row in found.rows)
    assert told.median == b - a
    assert math.isnan(told.low)
    assert math.isnan(told.smaller)
    assert any("measured" in note for note in found.notes)


def test_a_preset_that_no_run_trained_has_a_cost_alone():
    own = run()
    arch = adapted(PRESETS["densenet-40-12"], own)
    asked = Subject("densenet-40-12", "densenet-40-12", arch, (1, 28, 28), own)
    found = compare_networks([subject(own), asked])
    assert found.rows[1].predicted is None
    assert found.rows[1].cost.params > 0
    assert any("no error is predicted of densenet-40-12: " in note for note in found.notes)


def test_other_recipes_are_told():
    study = StudyConfig.model_validate({"training": {"rungs": [9], "learning_rate": 0.3}})
    theirs = synthetic.results(30, name="b", study=study)
    found = compare_networks([subject(run("a"), label="a"), subject(theirs, label="b")])
    assert any("training" in n or "learning_rate: 0.1 -> 0.3" in n for n in found.notes)


def test_the_better_front_is_found():
    ours, theirs = run("a"), run("b", better=0.2, drawn_with=8)
    found = compare_fronts({"a": ours, "b": theirs})
    volumes = [front.volume for front in found.fronts]
    assert volumes[1] > volumes[0]
    assert found.fronts[1].difference.smaller < 0.01
    assert found.fronts[1].difference.low > 0
    for front in found.fronts:
        assert front.low < front.volume < front.high
    assert [lead.run for lead in found.leads] == [1]
    assert all(level.probability[1] > 0.99 for level in found.levels)
    cheapest, dearest = found.levels[0].bound, found.levels[-1].bound
    members = found.fronts[0].members
    assert (members[0].cost.macs, members[-1].cost.macs) == (cheapest, dearest)


def test_equal_fronts_differ_by_nothing_that_is_known():
    found = compare_fronts({"a": run("a"), "b": run("b")})
    told = found.fronts[1].difference
    assert told.low < 0 < told.high  # though both were drawn by the same numbers
    assert 0.4 < told.smaller < 0.6
    assert [lead.run for lead in found.leads] == [None]


def test_the_reference_point_is_one_for_all():
    """The farthest of the studies': a limit of one of them must not cut the other's front off."""
    small = StudyConfig.model_validate({"limits": {"max_macs": 200_000}})
    found = compare_fronts({"a": synthetic.results(30, name="a", study=small), "b": run("b")})
    alone = compare_fronts({"a": run("a"), "b": run("b")})
    assert found.reference == alone.reference


@pytest.mark.parametrize(("each", "can_tell"), [(2, False), (4, True)])
def test_runs_of_one_study_are_a_group(each, can_tell):
    ours = {f"a{i}": run(f"a{i}", seed=i, search_seed=i) for i in range(each)}
    longer = {"search": {"trials": 99}}
    theirs = {}
    for i in range(each):
        study = StudyConfig.model_validate({"search": longer["search"] | {"seed": i}})
        theirs[f"b{i}"] = synthetic.results(60, name=f"b{i}", seed=50 + i, study=study)
    found = compare_fronts(ours | theirs)
    assert [group.runs for group in found.groups] == [tuple(ours), tuple(theirs)]
    assert found.groups[0].test is None
    assert found.groups[1].test.can_tell == can_tell
    by_name = {front.run: front.volume for front in found.fronts}
    assert found.groups[0].sd == pytest.approx(np.std([by_name[n] for n in ours], ddof=1))
    best, worst = np.array(found.groups[0].best), np.array(found.groups[0].worst)
    errors = np.array([level.errors[:each] for level in found.levels])
    assert best == pytest.approx(errors.min(axis=1))
    assert worst == pytest.approx(errors.max(axis=1))


def test_a_seed_is_counted_once():
    """A copy of a run, or the same study run again with the same seed, is no other seed."""
    runs = {"a": run("a"), "copy": run("copy"), "b": run("b", seed=1, search_seed=1)}
    found = compare_fronts(runs)
    (group,) = found.groups
    assert (group.runs, group.repeated) == (("a", "b"), ("copy",))
    volumes = {front.run: front.volume for front in found.fronts}
    assert group.sd == pytest.approx(np.std([volumes["a"], volumes["b"]], ddof=1))
    assert any(note.startswith("copy has the search.seed of another run") for note in found.notes)
    lines = [*front_lines(found), *verdicts(compare_networks([subject(runs["a"])]), found)]
    assert any("a and b are one study with 2 seeds" in line for line in lines)
    assert fronts_series(found, "macs")
    alone = compare_fronts({name: runs[name] for name in ("a", "copy")})
    assert not any("2 seeds" in line for line in front_lines(alone))
    assert alone.groups[0].runs == ("a",)


def test_a_run_without_a_network_has_no_front():
    found = compare_fronts({"a": run("a"), "b": synthetic.results(0, name="b")})
    assert found == "b has no network on a front yet"


def test_front_members_are_the_reports():
    own = run("a")
    found = compare_fronts({"a": own, "b": run("b", seed=1)})
    costs = figures(found.fronts[0].members, "macs")
    assert list(costs) == sorted(costs)
