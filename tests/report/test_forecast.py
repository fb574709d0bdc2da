"""What is said of scaling laws: every reason and every advice has its words, and the figures in
them are those of the findings."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.metrics import format_value
from dnsearch.report.forecast import sentences, told
from dnsearch.report.scaling_reasons import what_settles, why_refused, why_unknown
from dnsearch.report.scaling_record import scaling_record
from dnsearch.scaling.costlaw import TooFewMeasured
from dnsearch.scaling.growth import Cause, Growth, Obstacle
from dnsearch.scaling.study import study_scaling
from dnsearch.scaling.verdict import LongerTraining, MoreNetworks, Reason, Refusal
from tests.scaling import planted
from tests.scaling.planted import scaling_results

MORE = MoreNetworks(6, False, 1e6, 4e6, "params")

REASONS = {
    Reason.SAME_SIZE: "all 12 networks have the same params (2 M)",
    Reason.TOO_FEW: "12 networks are too few for a scaling law (it takes 8)",
    Reason.NARROW: "params span a factor of 2000000.0 (a scaling law takes 8)",
    Reason.FLAT: "errors do not fall with params",
    Reason.RISING: "errors rise from 2 M params on",
    Reason.FEW_LARGE: "12 networks in the largest 2e+06x of params are too few to check the law on "
    "(it takes 8)",
    Reason.FEW_KEPT: "without the largest, 12 networks are left to fit (it takes 8)",
    Reason.NARROW_KEPT: "without the largest, params span a factor of 2000000.0 (a scaling law "
    "takes 8)",
    Reason.WORSE_THAN_CONSTANT: "on the sizes left out the law was off by 200000000.0 %, a "
    "constant by 800.0 %",
    Reason.WORSE_THAN_LINE: "on the sizes left out the law was off by 200000000.0 %, a plain "
    "log-log line by 800.0 %",
    Reason.MISSED: "the law missed the sizes left out by 200000000.0 %, more than its interval "
    "allows",
    Reason.FLOOR_UNKNOWN: "E is not identified: a plain power law that never levels off fits as "
    "well",
    Reason.FEW_CHECKS: "the sizes trained allow 2000000.0 independent checks of a prediction at "
    "twice the params (it takes 8)",
    Reason.WIDE: "at twice the params the error may lie 200000000.0 % above what is predicted "
    "(at most 800 % is trusted)",
}

CAUSES = {
    Cause.TOO_FEW: "11 networks are too few (it takes 12)",
    Cause.NARROW: "budgets span a factor of 11.0 (an exponent takes 12)",
    Cause.CONSTANT: "it is 11 in all of them",
    Cause.NO_BEST: "no best value shows among what was tried",
    Cause.FAR: "the best for the largest networks, 11, lies far from the 3 to 5 that were tried",
    Cause.MAYBE_ZERO: "its exponent (-0.10 to 0.50) may be 0",
}


@pytest.fixture(scope="module")
def good():
    return planted.good()


def said(scaling, label):
    return [text for name, text in told(scaling) if name == label]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_words(reason):
    assert why_refused(Refusal(reason, MORE, "params", 12, 2e6, 8)) == REASONS[reason]


@pytest.mark.parametrize("reason", [Reason.TOO_FEW, Reason.FEW_LARGE, Reason.FEW_KEPT])
def test_one_network_is_told_as_one(reason):
    assert "1 network " in why_refused(Refusal(reason, MORE, "params", 1, 4, 8))
    assert " is " in why_refused(Refusal(reason, MORE, "params", 1, 4, 8))


@pytest.mark.parametrize(
    ("advice", "words"),
    [
        (MORE, "train 6 more networks between 1 M and 4 M params"),
        (replace(MORE, count=1), "train 1 more network between 1 M and 4 M params"),
        (
            replace(MORE, count=24, at_least=True),
            "train at least 24 more networks between 1 M and 4 M params",
        ),
        (
            MoreNetworks(8, False, 3000, 48000, "images"),
            "train 8 more networks on 3 k to 48 k images",
        ),
        (
            LongerTraining(859e3, "macs", 2),
            "train those above 859 k MACs longer, with 2 more seeds each",
        ),
    ],
)
def test_advice_in_words(advice, words):
    assert what_settles(advice) == words


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_words(cause, good):
    growth = good.growth["growth_rate"]
    ends = type(growth.exponent)(0.2, -0.1, 0.5)
    found = replace(growth, exponent=ends, obstacle=Obstacle(cause, 11, 12, (3.0, 5.0)))
    assert why_unknown(found) == CAUSES[cause]
    assert why_unknown(growth) == ""


def test_the_answer_in_words(good):
    text = "\n".join(sentences(good))
    larger, (value, low, high) = good.next[1], np.multiply(100, good.next[1].error)
    _, least, most = np.multiply(100, larger.training_error)
    assert (
        f"At 4x the MACs the predicted error is {value:.1f} % ({low:.1f} to {high:.1f}), that of "
        f"one training run {least:.1f} to {most:.1f} %"
        f"{'' if larger.trusted else ', not to be trusted'}: {larger.arch.describe()}; "
    ) in text
    basis = good.basis
    assert said(good, "from")[0].startswith(
        "120 training runs of 60 networks, and 60 more on part of the images, span a factor of "
        f"{basis.largest / basis.smallest:.3g} in MACs ("
    )
    assert f"the laws are fitted to the {basis.fitted} near the front" in text
    own, constant, line = (
        100 * good.laws["macs"].held_out.error_of(getattr(good.laws["macs"].held_out, name))
        for name in ("law", "constant", "line")
    )
    assert (
        f"off by {own:.1f} %, a constant by {constant:.1f} %, a log-log line by {line:.1f} %; "
    ) in said(good, "laws")[0]
    exponent = good.growth["growth_rate"].exponent
    assert f"The best growth rate grows as MACs^{exponent.value:.2f} (" in said(good, "grow")[0]


@pytest.mark.parametrize(
    ("better", "words"),
    [
        ("images", "images are worth more"),
        ("macs", "a larger network is worth more"),
        ("", "which is worth more is not known"),
    ],
)
def test_what_is_worth_more(better, words, good):
    (text,) = said(replace(good, worth=replace(good.worth, better=better)), "worth")
    data, network = good.worth.data.value, good.worth.network.value
    assert text.startswith(f"Twice the images are worth {data:.2g} points (")
    assert f", twice the MACs {network:.2g} points (" in text
    assert text.endswith(f": {words}.")


def test_what_is_refused_says_what_settles_it(good):
    refusal = Refusal(Reason.FLAT, MORE, "params")
    law = good.laws["macs"]
    verdict = replace(law.verdict, refusal=refusal)
    refused = replace(good, laws={"macs": replace(law, verdict=verdict)}, next=())
    (text,) = said(refused, "refused")
    assert ": errors do not fall with params. To settle it, train 6 more networks between" in text
    assert "M params, with a copy of reports/planted/study.toml as planted-more.toml with " in text
    assert ", `dnsearch run planted-more.toml --scaling --name planted-more --trials " in text
    bill = refused.bill(refusal)
    compute = format_value("train_macs", bill.macs)
    assert f": {bill.runs} training runs, {compute}, about " in text
    assert said(refused, "laws")[0].endswith("; not trusted, errors do not fall with params.")
    data = replace(good.data, verdict=replace(good.data.verdict, refusal=refusal))
    (text,) = said(replace(good, data=data, worth=None), "worth")
    assert text.startswith("What more images are worth is not known: errors do not fall with")
    assert said(replace(good, data=None, worth=None), "worth") == [
        "What more images are worth is not known: no network was trained on part of them."
    ]


def test_exponents_that_are_not_known_are_told_together(good):
    few = Obstacle(Cause.TOO_FEW, 8, 12)
    growth: dict[str, Growth] = {n: replace(g, obstacle=few) for n, g in good.growth.items()}
    assert said(replace(good, growth=growth), "grow") == [
        "How the growth rate, number of layers and bottleneck should grow is not known: 8 "
        "networks are too few (it takes 12). The networks named are the largest good ones, "
        "enlarged: search at their size before you train one in full."
    ]
    layers = replace(good.growth["growth_rate"], name="layers")
    known = {**good.growth, "layers": layers, "bn_size": growth["bn_size"]}
    assert "enlarged" not in said(replace(good, growth=known), "grow")[0]


def test_costs_that_were_measured_of_too_few(good):
    found = said(replace(good, seconds=TooFewMeasured(1), latency=TooFewMeasured(3)), "cost")
    assert found[:2] == [
        "The time of training was measured of 1 network, which is too few for a law (it takes 6).",
        "Latency was measured of 3 networks, which are too few for a law (it takes 6).",
    ]
    assert said(good, "cost")[1].startswith("Latency was not measured: --latency does")


def test_intervals_that_say_nothing_are_left_out(good):
    larger = good.next[0]
    wide = larger.seconds._replace(low=larger.seconds.high / 6)
    assert "3 epochs in" in said(good, "next")[0]
    text = said(replace(good, next=(replace(larger, seconds=wide),)), "next")[0]
    assert "3 epochs in" not in text


def test_notes_say_which_networks_are_fitted(good):
    assert said(good, "note")[0].startswith("The predicted error is that of networks in the better")
    one = study_scaling([scaling_results(12, seeds=1)], times=[2])
    notes = said(one, "note")
    assert notes[0] == "One seed each: the seed noise is unknown."
    assert "too few have a second seed" in notes[1]


def test_json_holds_all_that_is_told(good):
    values = json.loads(json.dumps(scaling_record(good), allow_nan=False))
    law = good.laws["macs"]
    assert values["laws"]["macs"]["trusted"] is law.verdict.trusted
    assert values["laws"]["macs"]["reach"] == law.reach
    assert [each["trusted"] for each in values["next"]] == [each.trusted for each in good.next]
    assert values["laws"]["macs"]["floor"]["high"] == law.law.floor.high
    assert values["laws"]["macs"]["held_out"]["found"] == law.held_out.found.tolist()
    assert values["next"][1]["arch"] == good.next[1].arch.to_dict()
    assert values["growth"]["layers"]["cause"] == "maybe-zero"
    assert values["answer"] == sentences(good)


def test_json_holds_codes_and_figures_of_a_refusal(good):
    law = good.laws["params"]
    refusal = Refusal(Reason.TOO_FEW, MORE, networks=5, limit=8)
    refused = replace(law, verdict=replace(law.verdict, refusal=refusal))
    record = scaling_record(replace(good, laws=dict(good.laws) | {"params": refused}))
    values = json.loads(json.dumps(record, allow_nan=False))["laws"]["params"]
    assert not values["trusted"]
    assert values["reason"] == "5 networks are too few for a scaling law (it takes 8)"
    assert values["settle"] == "train 6 more networks between 1 M and 4 M params"
    assert values["refusal"] == {
        "reason": "too-few-networks",
        "advice": {"count": 6, "at_least": False, "low": 1e6, "high": 4e6, "size": "params"},
        "size": "",
        "networks": 5,
        "value": None,
        "limit": 8,
    }
