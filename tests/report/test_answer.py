"""The answer in words: the baseline, none better, as good and cheaper, changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.candidates import Basis, State, by_network
from dnsearch.analysis.metrics import format_value
from dnsearch.analysis.predictions import Predictions
from dnsearch.analysis.regret import Regret
from dnsearch.cli.summary import print_answer, print_summary
from dnsearch.config import LimitsConfig, StudyConfig
from dnsearch.report.answer import answer, going_on_of, none_to_recommend, over_latency
from dnsearch.report.digest import digest
from dnsearch.report.front import front_figure
from dnsearch.report.page import render
from dnsearch.report.series import front_series
from dnsearch.report.summary import summary
from dnsearch.rundir import RunDir
from dnsearch.search.answers import Why, answers, change, note_answer

from . import synthetic
from .reader import Reader

CATS = {
    "classes": ["cat", "dog"],
    "class_counts": {"train": [608, 32], "validation": [152, 8]},
    "images": {"train": 640, "validation": 160},
}


def of(errors, data=CATS, **more):
    """Networks with these measured errors at rising costs."""
    found = synthetic.results(len(errors), seed=3, data=synthetic.DATA | data, **more)
    macs = sorted(candidate.cost.macs for candidate in found.measured)
    runs = [
        replace(run, error=error, cost=replace(run.cost, macs=cost), curve=())
        for run, error, cost in zip(found.measured, errors, macs, strict=True)
    ]
    return replace(found, measured=runs)


def predicting(results, draws, noise=0.03):
    keys = tuple(run.key for run in results.measured)
    predictions = Predictions(keys, np.asarray(draws, float), noise, 4000, 9)
    return replace(results, predict=lambda: predictions)


def test_760_cats_and_40_dogs_recommend_nobody():
    told = digest(of([0.05] * 6))
    assert told.answer is None
    assert told.picks == {}
    assert told.reference["error"] == pytest.approx(0.05)
    text = answer(told)
    assert text.startswith(
        "No network is shown to be better than always answering 'cat', which has an error of 5.00 %"
    )
    assert "(45 steps in the longest run)" in text  # 9 epochs of 640 images in batches of 128
    assert "160 validation images may be too few" in text
    page = render(told)
    assert text in Reader(page).text
    assert "Recommended networks" not in page


def test_the_baseline_stands_beside_every_answer():
    told = digest(of([0.04, 0.02, 0.001]))
    assert told.answer is told.finished[2]
    assert "Always answering 'cat' has an error of 5.00 %." in answer(told)
    assert "always answering &#39;cat&#39;" in render(told)
    series = front_series(told, "macs")
    assert series.baseline.error == pytest.approx(0.05)


@pytest.mark.parametrize(("worst", "drawn"), [(0.049, True), (0.03, False)])
def test_the_baseline_does_not_press_the_networks_together(worst, drawn):
    """Networks take the same part of the axis; the baseline is a line or a note at its edge."""
    series = front_series(digest(of([worst, 0.02, 0.015])), "macs")
    figure = front_figure(series)
    words = "always answering &#x27;cat&#x27;: 5.00 %"
    assert (words in [trace.name for trace in figure.data]) == drawn
    assert (f"{words} ↑" in [each.text for each in figure.layout.annotations]) != drawn
    (frame,) = (trace for trace in figure.data if trace.opacity == 0)
    share = np.ptp(np.log10(series.errors)) / np.ptp(np.log10(frame.y))
    assert share == pytest.approx(1 / 1.32)  # with room for labels below, and some above


def test_none_wrong_of_80_tells_what_80_images_allow():
    data = {"images": {"train": 320, "validation": 80}}
    told = digest(of([0.0, 0.0, 0.0], data=data, costs=("macs",)))
    assert [network.name for network in told.front] == [told.finished[0].name]  # the cheapest
    assert told.answer is told.finished[0]
    assert "0.00 % validation error (0.00 to 3.68 % on new images)" in answer(told)


@pytest.mark.parametrize(("share", "said"), [(0.2, True), (0.9, False)])
def test_page_terminal_and_summary_say_that_the_budget_was_hardly_searched(share, said, capsys):
    results = of([0.04, 0.02, 0.001])
    largest = max(each.cost.macs for each in results.measured)
    limits = LimitsConfig(max_macs=round(largest / share))
    study = results.study.model_copy(update={"limits": limits})
    told = digest(replace(results, study=study))
    print_answer(told)
    line = "no network above 20 % of your limit of "
    assert (f"\nbudget:    {line}" in capsys.readouterr().out) == said
    assert (f" {line.capitalize()}" in summary(told)["answer"]) == said
    assert (line in Reader(render(told)).text) == said


def test_as_good_and_cheaper_is_told_with_its_figures():
    results = of([0.0205, 0.02])
    luck = 0.004 * np.random.default_rng(0).standard_normal((4000, 2))
    told = digest(predicting(results, np.array([0.0205, 0.02]) * np.exp(luck)))
    cheap, best = told.finished
    assert told.answer is best
    assert told.as_good is not None
    assert told.as_good.network is cheap
    text = answer(told)
    assert f"and cheaper: {cheap.name}," in text
    saved = 100 * (1 - cheap.cost.macs / best.cost.macs)
    assert f"{saved:.0f} % fewer MACs" in text
    assert f"(an error at most 3 % larger with probability {told.as_good.probability:.2f})" in text
    assert digest(predicting(results, np.array([0.024, 0.02]) * np.exp(luck))).as_good is None


def ahead(results, draws, probability=0.9, **limits):
    """The same, with these draws of the regret of whatever network is asked about."""
    asked = []

    def look_ahead(key):
        asked.append(key)
        return Regret.of(np.asarray(draws), probability)

    study = results.study.model_copy(update={"limits": LimitsConfig(**limits)})
    return asked, replace(results, look_ahead=look_ahead, study=study)


def test_what_going_on_would_be_worth_is_told_with_the_answer():
    draws = np.linspace(0, 0.01, 1001)
    asked, results = ahead(of([0.04, 0.02, 0.001]), draws, max_macs=50_000_000)
    told = digest(results)
    text = (
        "no network of the space within 50 M MACs, trained or not, is better than this one by more "
        "than 0.9 points (90 % sure); the best is expected to be better by 0.5"
    )
    assert going_on_of(told) == text
    assert f"Going on: {text}." in answer(told)
    assert text in Reader(render(told)).text
    assert asked == [told.answer.key]  # once
    assert summary(told)["going_on"] == {
        "expected": pytest.approx(0.005), "most": pytest.approx(0.009), "probability": 0.9
    }  # fmt: skip


def test_an_answer_that_is_most_likely_the_best_has_nothing_to_gain():
    _, results = ahead(of([0.04, 0.02, 0.001]), [0.0] * 96 + [0.01] * 4, probability=0.95)
    assert going_on_of(digest(results)) == (
        "no network of the space, trained or not, is better than this one (95 % sure)"
    )


def test_nothing_is_said_of_going_on_where_nothing_is_known():
    told = digest(of([0.04, 0.02, 0.001]))
    assert (going_on_of(told), told.going_on, summary(told)["going_on"]) == ("", None, None)
    assert "Going on" not in answer(told)
    asked, results = ahead(of([0.05] * 6), [0.0])
    assert digest(results).going_on is None  # no answer, so nothing is asked
    asked, results = ahead(predicting(of([0.03, 0.02]), 0.02 * np.ones((40, 2))), [0.0])
    confirmed = digest(results)
    assert confirmed.going_on is not None
    networks = [replace(each, basis=Basis.CONFIRMED) for each in confirmed.finished]
    assert replace(confirmed, finished=networks).going_on is None
    assert len(asked) == 1


def test_a_later_different_answer_is_told_as_a_change(tmp_path):
    run = RunDir(tmp_path)
    early = of([0.03, 0.02])
    note_answer(early, run)
    note_answer(early, run)
    assert len(answers(run)) == 1
    assert change(early, answers(run)) is None
    later = replace(early, measured=[*early.measured, *of([0.4, 0.4, 0.01]).measured[2:]])
    found = change(later, answers(run))
    assert found is not None
    assert found.why is Why.TRAINED
    before, now = early.measured[1], later.measured[2]
    text = answer(digest(later, found))
    assert f"The answer was {before.name} when it was told on " in text
    assert (
        f"after 2 training runs; now it is {now.name}, because {now.name} was trained since" in text
    )
    assert "was 2.00 % then and is 2.00 % now" in text


def test_a_change_is_told_against_what_was_exported(tmp_path):
    run = RunDir(tmp_path)
    first = of([0.03, 0.02])
    note_answer(first, run, tmp_path / "net")
    better = synthetic.changed(first, 0, error=0.01)
    note_answer(better, run)
    assert [each.exported for each in answers(run)] == [str(tmp_path / "net"), ""]
    found = change(better, answers(run))
    assert found is not None
    assert (found.why, found.before.key) == (Why.PREDICTED, first.measured[1].key)
    assert f"was exported to {tmp_path / 'net'}" in answer(digest(better, found))
    assert change(first, answers(run)) is None


def test_joined_networks_keep_what_did_not_finish():
    runs = of([0.03, 0.02]).measured
    failed = synthetic.failed_as(runs[0], "diverged")
    found = by_network([*runs, replace(runs[0], seed=1), failed], 160)
    assert [each.state for each in found] == [State.FINISHED, State.FINISHED, State.FAILED]
    assert [each.seeds for each in found] == [2, 1, 1]


@pytest.mark.parametrize(
    ("unfit", "limit", "told"),
    [(6, 3.0, True), (5, 3.0, False), (6, None, False), (0, 3.0, False)],
)
def test_a_limit_that_every_network_exceeds_is_named(unfit, limit, told):
    study = StudyConfig.model_validate({"limits": {"max_latency_ms": limit}})
    found = synthetic.results(6, unfit=unfit, study=study)
    taken = [4.1, 7.0, 3.5, 8.0, 9.0, 9.5]
    slow = [replace(c, latency_ms=ms) for c, ms in zip(found.measured, taken, strict=True)]
    found = replace(found, measured=slow)
    why = (
        "the fastest network that was trained takes 3.5 ms, more than limits.max_latency_ms = 3; "
        "raise it, or offer smaller choices in [space]"
    )
    assert over_latency(found) == (why if told else "")
    if told:
        assert none_to_recommend(digest(found)).startswith(f"T{why[1:]}. ")


@pytest.mark.parametrize("costs", [("activations",), ("macs",), ("latency_ms", "activations")])
def test_the_terminal_tells_the_costs_that_are_traded(costs, capsys):
    told = digest(synthetic.results(8, costs=costs))
    print_answer(told)
    shown = " ".join(capsys.readouterr().out.split())
    for name in costs:
        assert format_value(name, told.answer.figure(name)) in shown
    assert ("MACs" in shown) == ("macs" in costs)


def test_the_steps_of_the_longest_run_are_those_that_were_trained():
    """A batch that the images do not fill is left out, but for the only one."""
    for train, steps in ((640 + 127, 45), (100, 9)):
        data = CATS | {"images": {"train": train, "validation": 160}}
        assert f"({steps} steps in the longest run)" in answer(digest(of([0.05] * 6, data=data)))


def test_what_more_searching_would_bring_is_not_announced_where_nothing_is_said_of_it():
    announced = "What more searching would bring is said with the answer."
    _, known = ahead(of([0.04, 0.02, 0.001]), [0.0, 0.01])
    assert announced in Reader(render(digest(known))).text
    assert announced not in Reader(render(digest(of([0.04, 0.02, 0.001])))).text
    assert announced not in Reader(render(digest(of([0.05] * 6)))).text


def test_page_and_terminal_count_a_network_of_two_seeds_once(capsys, tmp_path):
    results = of([0.04, 0.02, 0.001])
    first = results.measured[0]
    told = replace(results, measured=[*results.measured, replace(first, seed=1, number=3)])
    print_summary(told, RunDir(tmp_path), "all trials finished")
    assert ": 3 candidates trained in " in capsys.readouterr().out
    facts = "<li>3 candidates trained</li><li>4 training runs</li>"
    assert facts in render(digest(told))
