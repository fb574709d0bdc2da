"""The first screen: the answer, what it stands beside, and how far to trust it."""

from __future__ import annotations

import re

import pytest

from dnsearch.confirm.published import closest, cost_model, published_name
from dnsearch.report.answer import ends, export_command
from dnsearch.report.digest import digest
from dnsearch.report.headline import headline
from dnsearch.report.html import anchor
from dnsearch.report.page import render
from dnsearch.report.words import WORDS
from dnsearch.search.results import Results

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
    assert ends(best.new_low, best.new_high) in told.sentence
    assert told.command == export_command(found.results.name)


def test_the_nearest_published_network_is_beside_it():
    results = usual()
    best = digest(results).answer
    arch = closest(results, best.arch, without={best.key})
    macs = cost_model(results).cost(arch).macs
    told = beside(results)["published, alike in cost"]
    assert told.startswith(f"{published_name(arch)} at ")
    assert told.endswith(": not trained here")
    shown = float(re.search(r"at ([\d.]+) ([kMG]?) ?MACs", told)[1])
    assert shown == pytest.approx(macs / {"k": 1e3, "M": 1e6, "G": 1e9}[told.split()[3]], rel=0.01)


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
