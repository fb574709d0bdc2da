"""The sentences of a confirmation: its answer, its caveats, and what the certificate says."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.confirm.certificate import Kind, View, certify
from dnsearch.confirm.findings import Caveat, Note
from dnsearch.confirm.verdict import Beaten, Standing, judge
from dnsearch.report import verdict
from dnsearch.report.verdict import answer, method, note
from tests.confirm.invented import NAN, ODD, confirmation, odd, world


def sentences(*given, resamples=50):
    certificate = certify(*given, np.random.default_rng(0), resamples=resamples)
    return verdict.sentences(certificate, judge(certificate))


def percent(test: Interval) -> str:
    value, low, high = (100 * end for end in test)
    return f"{value:.2f} % ({low:.2f} to {high:.2f} %)"


def test_the_answer_leads_with_the_searchs_pick_and_says_that_the_least_is_biased():
    best, pick, *_ = confirmation().best_first
    biased = "so that figure is biased low (selection bias)."
    assert answer(confirmation(pick=pick.key)) == (
        f"{pick.name}, which the search recommends for the least error, has a test error of "
        f"{percent(pick.test)} after 90 epochs; it is the best of 16 networks with probability "
        f"{pick.best_probability:.2f}, and expected to miss the best of them by 0.30 points. "
        f"{best.name} has a lower one, {percent(best.test)}, but was chosen by it, {biased}"
    )
    agreed = answer(confirmation(pick=best.key))
    assert agreed.startswith(f"{best.name}, which the search recommends for the least error, has")
    assert "biased" not in agreed
    assert answer(confirmation()) == (
        f"{best.name} has the least test error after 90 epochs, {percent(best.test)}; it was "
        "chosen by this error, which is therefore biased low (selection bias)."
    )


def test_what_is_not_known_is_not_said():
    untested = confirmation(3)
    networks = tuple(
        dataclasses.replace(each, test=UNKNOWN, test_errors=(NAN,)) for each in untested.networks
    )
    nothing = dataclasses.replace(untested, networks=networks)
    assert answer(nothing) == "No test error has been measured yet."
    assert "other images" not in method(nothing)
    alone = confirmation(1, pick=confirmation(1).networks[0].key)
    assert "the best of" not in answer(alone)


def test_the_method_says_how_many_were_trained_for_how_long():
    assert method(confirmation()).startswith(
        "16 networks were trained again from the start for 90 epochs with 3 seeds that the search "
        "had not used, and measured on 4,000 test images that it had not seen."
    )
    one = method(confirmation(1, seeds=1, epochs=1))
    assert one.startswith("1 network was trained again from the start for 1 epoch with 1 seed that")
    last = confirmation().networks[-1]
    fewer = dataclasses.replace(last, test_errors=(0.1, NAN, NAN))
    networks = (*confirmation().networks[:-1], fewer)
    assert "with 1 to 3 seeds" in method(confirmation(networks=networks))


def test_each_caveat_is_a_sentence():
    said = [note(Note(caveat, 1)) for caveat in Caveat]
    assert said[0] == "1 training run failed and counts as missing."
    assert note(Note(Caveat.FAILED, 2)) == "2 training runs failed and count as missing."
    assert all(re.fullmatch(r"[1A-Z][^.]*\.", text) for text in said)


def test_a_usual_certificate():
    proxies = ((1, 0.5), (3, 0.1), (9, 0.001))
    given = world(40, np.random.default_rng(0), noise=0.02, proxies=proxies)
    said = sentences(*given, resamples=200)
    assert re.match(
        r"The 1-epoch rung ranks networks of the same cost correctly in \d+ % of pairs "
        r"\(\d+ to \d+ %\), of any cost in \d+ % \(\d+ to \d+ %\)",
        said[0],
    )
    assert re.search(
        r"not shown to rank better than (MACs|params) alone over all costs \(\d+ %\)", said[0]
    )
    assert said[1].startswith("The 3-epoch rung ranks")
    assert re.search(
        r"Training only its best 10 of the 40 in full would miss the best network by \d\.\d\d "
        r"points \(\d\.\d\d to \d\.\d\d\)\.$",
        said[2],
    )
    text = " ".join(said)
    assert "unproven" not in text
    assert "The 9-epoch rung ranks no fewer pairs correctly: it is not shown that" in text
    assert "The 1-epoch rung and the 3-epoch rung rank fewer pairs correctly than that." in text
    assert re.search(r"differ between seeds by 0\.\d\d points \(sd\); it takes", said[-1])
    assert "75 % of pairs" in said[-1]


def test_estimates_that_are_equal_show_nothing():
    """That a proxy's share of pairs is as large as another's is no proof that it is as good."""
    certificate = certify(*world(40, np.random.default_rng(0)), np.random.default_rng(0), 50)
    judged = judge(certificate)
    (proxy,) = judged.proxies
    beaten = tuple(Beaten(each, View.MATCHED) for each in certificate.of(Kind.BASELINE))
    equal = dataclasses.replace(proxy, standing=Standing.AS_GOOD, beaten_by=beaten)
    said = verdict.sentences(certificate, dataclasses.replace(judged, proxies=(equal,)))
    text = " ".join(said)
    assert "is not shown that longer training of one seed would do better" in text
    assert re.search(
        r"It is not shown to rank better than \w+ alone at the same cost \(.*?\) or than \w+ alone "
        r"at the same cost \(.*?\)\.",
        text,
    )
    assert "no better" not in text


@pytest.mark.parametrize(
    ("n", "seeds", "why"),
    [
        (2, 4, "2 networks .* make 1 pair,"),
        (9, 4, "36 pairs"),
        (16, 2, "with one seed"),
        (1, 4, "1 network .* makes 0 pairs"),
    ],
)
def test_too_little_is_said_to_be_unproven_first(n, seeds, why):
    first, *rest = sentences(*world(n, np.random.default_rng(0), seeds=seeds))
    assert re.match(f"What short trainings are worth is unproven here: .*{why}", first)
    assert "longer training of one seed" not in " ".join(rest)


JUDGED = "The 3-epoch rung ranks"
SAID = dict.fromkeys(ODD, "The 3-epoch rung cannot be judged")
SAID |= {"infinite": JUDGED, "negative": JUDGED, "ties": JUDGED}
SAID |= {"one cost": "All networks cost the same", "nothing": "0 networks"}
SAID |= {"no signals": "Full training itself"}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_gets_a_statement(name):
    text = " ".join(sentences(*odd(name, np.random.default_rng(0))))
    assert SAID[name] in text
    assert "nan" not in text
