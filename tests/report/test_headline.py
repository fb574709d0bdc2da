"""The first screen: the answer, what it stands beside, and how far to trust it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnsearch.analysis.metrics import error_ends
from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.arch.presets import PRESETS
from dnsearch.confirm import findings
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork
from dnsearch.confirm.published import closest, cost_model, reference_of
from dnsearch.export.searched import weights_of
from dnsearch.report.answer import export_command
from dnsearch.report.digest import digest
from dnsearch.report.headline import headline
from dnsearch.report.html import anchor
from dnsearch.report.page import render
from dnsearch.report.words import WORDS
from dnsearch.rundir import RunDir
from dnsearch.search.results import Results
from tests.confirm import invented

from . import synthetic
from .conftest import STATES

MACHINE = {"activation_bytes": 4}


def usual(**more) -> Results:
    return synthetic.results(30, environment=MACHINE, **more)


def beside(results: Results) -> dict[str, str]:
    return dict(headline(digest(results), None, can_test=True).beside)


def test_the_sentence_is_the_answer_with_its_interval_and_costs():
    found = digest(usual())
    best = found.answer
    told = headline(found, None, can_test=True)
    assert told.sentence.startswith(f"Train {best.name}: {100 * best.predicted_error:.2f} %")
    assert error_ends(best.new_low, best.new_high) in told.sentence
    assert told.command == export_command(found.results.name)


def test_the_nearest_network_by_a_published_rule_is_beside_it():
    results = usual()
    best = digest(results).answer
    arch = closest(results, best.arch, without={best.key})
    macs = cost_model(results).cost(arch).macs
    assert not reference_of(arch).published
    told = beside(results)["DenseNet-BC of similar cost"]
    assert "published, alike in cost" not in beside(results)
    assert told.startswith(f"depth {arch.depth}, k={arch.growth_rate}, at ")
    assert told.endswith(": not trained here")
    shown = float(re.search(r"at ([\d.]+) ([kMG]?) ?MACs", told)[1])
    assert shown == pytest.approx(macs / {"k": 1e3, "M": 1e6, "G": 1e9}[told.split()[5]], rel=0.01)


@pytest.mark.parametrize(("share", "told"), [(0.2, True), (0.9, False)])
def test_a_budget_that_was_hardly_searched_is_told(share, told):
    results = usual()
    largest = max(network.cost.macs for network in digest(results).finished)
    limits = results.study.limits.model_copy(update={"max_macs": largest / share})
    study = results.study.model_copy(update={"limits": limits})
    found = headline(digest(dataclasses.replace(results, study=study)), None, can_test=True)
    texts = [line.text for line in found.trust if "of your limit of" in line.text]
    assert bool(texts) == told
    if told:
        assert "no network above 20 % of your limit" in texts[0]


def test_without_an_answer_it_says_why_and_what_was_done():
    told = headline(digest(STATES["all failed"]()), None, can_test=True)
    assert told.sentence.startswith("All 4 candidates failed")
    assert [name for name, _ in told.beside] == ["searched"]
    assert told.trust == []
    assert told.command == ""


@pytest.mark.parametrize("can_test", [True, False])
def test_what_is_open_says_so_and_how_to_settle_it(can_test):
    last = headline(digest(usual(name="a b")), None, can_test).trust[-1]
    assert not last.holds
    assert last.command == ("dnsearch confirm 'a b'" if can_test else "")


def test_one_seed_is_no_reason_to_trust():
    lines = headline(digest(usual()), None, can_test=True).trust
    (seeds,) = (line for line in lines if line.text.startswith("trained with"))
    assert seeds.text.startswith("trained with 1 seed for ")
    assert not seeds.holds


def test_every_link_within_the_page_leads_somewhere(any_state):
    content = render(digest(any_state))
    targets = set(re.findall(r' href="#([^"]+)"', content))
    ids = set(re.findall(r' id="([^"]+)"', content))
    assert targets <= ids
    assert {anchor(term) for term in WORDS} <= ids


def test_terms_of_the_glossary_are_linked_once_and_text_is_escaped():
    from dnsearch.report.html import _linked

    told = str(_linked("<b> on new images and on new images, MACs"))
    assert told.count("<a ") == 2
    assert told.startswith("&lt;b&gt; <a")
    assert f'href="#{anchor("on new images")}"' in told


def confirmed(candidate, test_errors):
    network = ConfirmedNetwork(
        candidate, True, 0.1, test_errors, Interval(0.11, 0.10, 0.12), 0.9, 0.9
    )
    return Confirmed((network,), 9, 1000, "macs", certificate=None)


def test_fresh_seeds_count_where_the_answer_itself_was_confirmed():
    found = digest(usual())
    again = headline(found, confirmed(found.answer, (0.10, 0.11, 0.12)), can_test=True).trust
    assert [line.text for line in again if line.holds][-2:] == [
        "trained with 3 fresh seeds for 9 epochs",
        "confirmed with fresh seeds on the test images",
    ]
    other = next(each for each in found.finished if each is not found.answer)
    without = headline(found, confirmed(other, (0.10, 0.11)), can_test=True).trust
    assert not any("fresh" in line.text for line in without)
    assert without[-1].command.startswith("dnsearch confirm")


def test_what_is_published_is_called_so():
    results = usual()
    preset = PRESETS["densenet-bc-100-12"].replace(in_channels=1)
    least = dataclasses.replace(
        digest(results).answer, arch=preset.replace(block_config=(16, 16, 17))
    )
    alone = dataclasses.replace(results, measured=[least], predict=lambda: None)
    told = beside(alone)["published, alike in cost"]
    assert told.startswith("densenet-bc-100-12 at ")


def test_a_reference_network_that_was_confirmed_has_its_test_error_beside():
    results = usual()
    found = digest(results)
    arch = closest(results, found.answer.arch, without={found.answer.key})
    reference = dataclasses.replace(found.finished[0], arch=arch)
    told = headline(found, confirmed(reference, (0.11,)), can_test=True)
    shown = dict(told.beside)["DenseNet-BC of similar cost"]
    assert shown.endswith("11.00 % (10.00 to 12.00 %) test error")


@pytest.mark.parametrize(("kind", "name"), [("balanced", "balanced test"), ("top5", "top-5 test")])
def test_the_reference_networks_error_is_called_what_it_is(kind, name):
    results = usual()
    found = digest(results)
    arch = closest(results, found.answer.arch, without={found.answer.key})
    reference = dataclasses.replace(found.finished[0], arch=arch)
    tested = dataclasses.replace(confirmed(reference, (0.11,)), error=kind)
    shown = dict(headline(found, tested, can_test=True).beside)["DenseNet-BC of similar cost"]
    assert shown.endswith(f"%) {name} error")


def test_a_reference_network_that_was_trained_at_several_rates_has_its_test_error_beside():
    results = usual()
    found = digest(results)
    arch = closest(results, found.answer.arch, without={found.answer.key})
    tested = Interval(0.12, 0.11, 0.13)
    at_rates = SimpleNamespace(
        networks=(SimpleNamespace(key=arch.key, test=(UNKNOWN, tested, UNKNOWN)),), usual=1
    )
    again = dataclasses.replace(confirmed(found.answer, (0.1,)), rates=at_rates)
    shown = dict(headline(found, again, can_test=True).beside)["DenseNet-BC of similar cost"]
    assert shown.endswith("12.00 % (11.00 to 13.00 %) test error")


@pytest.mark.parametrize("errors", [(), (math.nan, math.nan)])
def test_training_runs_without_a_test_error_confirm_nothing(errors):
    found = digest(usual())
    again = headline(found, confirmed(found.answer, errors), can_test=True).trust
    assert not any("fresh" in line.text for line in again)
    assert again[-1].command.startswith("dnsearch confirm")
    one = headline(found, confirmed(found.answer, (*errors, 0.1)), can_test=True).trust
    assert "trained with 1 fresh seed for 9 epochs" in [line.text for line in one if not line.holds]


LENGTHS = {
    "none confirmed": ((), 9),
    "longer": ((27, 27), 27),
    "as long": ((9,), 9),
    "shorter": ((3, 3), 9),
    "one longer still": ((9, 9, 9, 27), 27),
}
"""Epochs of the fresh training runs of a network that the search trained for 9, and those of the
weights to export."""


@pytest.mark.parametrize(("lengths", "epochs"), LENGTHS.values(), ids=LENGTHS)
def test_the_weights_are_those_of_the_longest_training_and_export_takes_them(
    lengths, epochs, tmp_path
):
    run = RunDir(tmp_path)
    fresh = [
        invented.fresh(place, seed, 0.1, epochs=length)
        for place in range(3)
        for seed, length in enumerate(lengths, start=1)
    ]
    searched = [invented.candidate(place, 0.3 - place / 20) for place in range(3)]
    results = invented.results(searched, fresh)
    found = digest(results)
    key = found.answer.key
    touch(run.checkpoint(key, 0))
    for record in fresh:
        touch(RunDir(tmp_path / "confirm").checkpoint(record.job.arch.key, record.job.seed))
    taken = weights_of(results, run, found.answer)
    assert taken.epochs == epochs
    assert ("confirm" in taken.file.parts) == (max(lengths, default=0) >= 9)
    told = headline(found, findings.confirmed(results), can_test=True)
    assert told.length == f"{epochs} epochs"


def touch(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")


def test_a_training_run_that_failed_does_not_hide_the_best_weights(tmp_path):
    """Its error is no number, which an order of errors must not meet."""
    run = RunDir(tmp_path)
    first, second = (invented.candidate(1, error, seed=s) for s, error in ((1, 0.3), (2, 0.2)))
    failed = synthetic.failed_as(invented.candidate(2, 0.1), "diverged")
    for seed in (1, 2):
        touch(run.checkpoint(first.key, seed))
    for order in itertools.permutations((first, failed, second)):
        results = invented.results(order)
        assert weights_of(results, run, results.pick(first.key)).seed == 2
