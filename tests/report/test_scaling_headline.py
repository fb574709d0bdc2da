"""The first screen of a scaling design's report."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from dnsearch.analysis.metrics import format_value
from dnsearch.cli import cli
from dnsearch.cli.run import command as run_command
from dnsearch.cli.scale import command as scale_command
from dnsearch.cli.train import command as train_command
from dnsearch.config import override
from dnsearch.report.digest import digest
from dnsearch.report.page import render
from dnsearch.report.scaling_headline import headline
from dnsearch.report.scaling_reasons import settling
from dnsearch.scaling.study import study_scaling
from dnsearch.scaling.verdict import LongerTraining, MoreNetworks, Reason, Refusal
from tests.scaling.planted import error_of, good, scaling_results

from .reader import Reader

VERBS = {"run": run_command, "scale": scale_command, "train": train_command}
FEWER = MoreNetworks(6, False, 4e5, 8e5, "macs")
LARGER = MoreNetworks(6, False, 6e6, 3e7, "macs")


def refused(advice, designed=True, names=("planted",)):
    """The good findings, but refused with this advice."""
    found = good()
    law = found.laws["macs"]
    refusal = Refusal(Reason.FLAT, advice, "macs")
    laws = {"macs": replace(law, verdict=replace(law.verdict, refusal=refusal))}
    following = tuple(replace(each, trusted=False) for each in found.next)
    return replace(found, laws=laws, next=following, names=names, designed=designed), refusal


def options_of(command: str) -> dict:
    """What the command line makes of a command as it is printed."""
    _, verb, *words = shlex.split(command)
    parent = cli.make_context("dnsearch", [], resilient_parsing=True)  # which has -h for all verbs
    with VERBS[verb].make_context(verb, words, parent=parent) as context:
        return context.params


def test_what_a_larger_budget_buys():
    """The planted law is known: the sentence's figures are near it, and the band holds it."""
    found = headline(good())
    trusted = [larger for larger in good().next if larger.trusted]
    largest = max(trusted, key=lambda larger: larger.times)
    match = re.fullmatch(
        r"(\S+) times the MACs bring the validation error from (\S+) % to (\S+) % "
        r"\((\S+) to (\S+), 90 % sure\): train (.*)\.",
        found.sentence,
    )
    assert match
    times, now, then, low, high = map(float, match.groups()[:5])
    assert times == largest.times
    assert match[6] == largest.arch.describe()
    assert now == pytest.approx(100 * error_of(good().largest), rel=0.06)
    assert then == pytest.approx(100 * error_of(largest.cost.macs), rel=0.06)
    assert low < then < high < now
    asked = options_of(found.command)
    assert asked["networks"] == (f"reports/planted/scaling/x{times:g}.json",)
    assert str(asked["study"]) == "reports/planted/study.toml"
    assert (asked["epochs"], asked["name"]) == (good().epochs, f"planted-x{times:g}")


def test_what_cannot_be_said_has_a_command_that_settles_it_with_its_price():
    found, refusal = refused(FEWER)
    told = headline(found)
    assert told.sentence == "What more MACs buy cannot be said yet: errors do not fall with MACs."
    bill = found.bill(refusal)
    assert (
        f": {bill.runs} training runs, {format_value('train_macs', bill.macs)}, about " in told.does
    )
    assert not any("not to be trusted" not in text for label, text in told.beside if "x" in label)
    assert options_of(told.then)["runs"] == tuple(found.names)


@pytest.mark.parametrize(
    ("advice", "designed", "name", "again"),
    [
        (FEWER, True, "planted", ["planted"]),
        (FEWER, False, "planted-scaling", ["planted", "planted-scaling"]),
        (LARGER, True, "planted-more", ["planted", "planted-more"]),
        (LongerTraining(1e6, "macs", 2), True, "planted-more", ["planted-more"]),
    ],
)
def test_what_settles_goes_into_a_run_that_takes_it(advice, designed, name, again):
    """A search is no scaling design, and a changed study is another run."""
    found, refusal = refused(advice, designed)
    told, bill = settling(found, refusal), found.bill(refusal)
    asked = options_of(told.command)
    assert (asked["name"], asked["scaling"]) == (name, True)
    new = name != "planted"
    assert asked["trials"] == bill.runs + (0 if new else len(found.trainings))
    assert asked["study"] == (f"{name}.toml" if told.changes else "reports/planted/study.toml")
    assert options_of(told.then)["runs"] == tuple(again)


def test_a_run_elsewhere_is_settled_there():
    found, refusal = refused(FEWER, names=("some where/planted",))
    told = settling(found, refusal)
    asked = options_of(told.command)
    assert (asked["study"], str(asked["to"])) == ("some where/planted/study.toml", "some where")
    assert options_of(told.then)["runs"] == ("some where/planted",)


def design(**options):
    results = scaling_results(**options)
    return replace(results, study=override(results.study, sampler="scaling"))


@pytest.mark.parametrize("count", [60, 12])
def test_a_designs_page_opens_with_it(count):
    results = design(architectures=count, noise=0.01)
    found = study_scaling([results])
    text = render(digest(results), scaling=found)
    page = Reader(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    first = text.partition("<header")[2].partition("</header>")[0]
    assert headline(found).sentence in Reader(first).text
    assert first.count("data-figure") == 1
    told = page.text
    assert told.index("Of the networks that were trained here") < told.index("All candidates")


def test_without_findings_the_page_says_why():
    results = design(architectures=4)
    why = "What a larger budget buys cannot be said now: too few."
    text = render(digest(results), scaling=why)
    assert f"<h1>{why}</h1>" in text
    assert Reader(text).open == []


def test_a_search_keeps_its_own_answer():
    results = scaling_results(60, noise=0.01)
    text = render(digest(results), scaling=study_scaling([results]))
    assert "times the MACs bring" not in text
    assert "What a larger budget buys" in text
