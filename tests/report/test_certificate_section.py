"""The section of a confirmed search: what it says, draws and tabulates of what was found."""

from __future__ import annotations

import dataclasses
import json
import math
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from dnsearch.confirm.certificate import certify, sentences
from dnsearch.confirm.findings import Confirmed
from dnsearch.report import html
from dnsearch.report.certificate import section
from dnsearch.report.certificate_figures import errors_figure, signals_figure

from .test_page import Reader

NAN = math.nan


def confirmed(n=16, seeds=3, seed=0, **changes) -> Confirmed:
    """An invented confirmation: errors fall with MACs, half of the networks were on the front."""
    rng = np.random.default_rng(seed)
    macs = np.exp(np.sort(rng.uniform(13, 18, n)))
    true = np.exp(-1.5 - 0.25 * (np.log(macs) - 13) + rng.normal(0, 0.06, n))
    tests = true[:, None] * rng.lognormal(0, 0.04, (n, seeds))
    known = np.concatenate([np.full((n, 1), NAN), tests], axis=1)
    short = {
        name: 1.3 * true[:, None] * rng.lognormal(0, sd, (n, seeds + 1))
        for name, sd in (("1 epoch", 0.15), ("3 epochs", 0.07), ("9 epochs", 0.05))
    }
    params = macs**0.9 * rng.lognormal(0, 0.1, n)
    means, reach = tests.mean(axis=1), 0.08 * true / math.sqrt(seeds)
    best = np.exp(-(means - means.min()) / 0.004)
    rows = pd.DataFrame(
        {
            "key": [f"{i:012x}" for i in range(n)],
            "name": [f"k={4 + i} blocks {1 + i}-4-{2 + i} bn 2" for i in range(n)],
            "macs": macs,
            "params": params,
            "latency_ms": macs / 1e6,
            "front": np.arange(n) % 2 == 0,
            "error": short["3 epochs"][:, 0],
            "predicted_error": 1.3 * true,
            "test_errors": tests.tolist(),
            "test_mean": means,
            "test_low": means - reach,
            "test_high": means + reach,
            "front_probability": rng.uniform(0, 1, n),
            "best_probability": best / best.sum(),
        }
    )
    certificate = certify(
        short, known, macs, {"params alone": params, "MACs alone": macs}, rng, resamples=200
    )
    fields = {
        "candidates": rows,
        "epochs": 90,
        "test_images": 4000,
        "cost": "macs",
        "certificate": certificate,
        "notes": ["Weights were not kept."],
        "pick": "",
        "regret": 0.003,
    }
    return Confirmed(**fields | changes)


WHOLE = (
    '{% extends "base.html.j2" %}{% block content %}{% include "certificate.html.j2" %}'
    "{% endblock %}"
)


def page(given: Confirmed) -> str:
    """The section in an otherwise empty page."""
    source = html._source
    with mock.patch.object(
        html, "_source", lambda name: WHOLE if name == "whole" else source(name)
    ):
        return html.render_template(
            "whole", kind="report", name="run", answer="", facts=[], confirmed=section(given)
        )


def altered(**columns) -> Confirmed:
    given = confirmed()
    return dataclasses.replace(given, candidates=given.candidates.assign(**columns))


def _no_errors() -> Confirmed:
    missing = dict.fromkeys(("test_mean", "test_low", "test_high", "error", "predicted_error"), NAN)
    return altered(
        **missing, test_errors=[[NAN] * 3] * 16, front_probability=NAN, best_probability=NAN
    )


def _some_errors() -> Confirmed:
    given = confirmed()
    rows = given.candidates.copy()
    rows.loc[2, ["error", "predicted_error"]] = NAN
    rows.loc[3, ["test_mean", "test_low", "test_high", "best_probability"]] = NAN
    rows.loc[4, ["test_low", "test_high"]] = NAN
    rows.at[3, "test_errors"], rows.at[5, "test_errors"] = [], [0.1, NAN, 0.12]
    rows.loc[6, "macs"] = NAN
    return dataclasses.replace(given, candidates=rows)


STATES = {
    "usual": confirmed,
    "no certificate": lambda: confirmed(certificate=None),
    "one seed": lambda: confirmed(seeds=1),
    "two candidates": lambda: confirmed(2),
    "one candidate": lambda: confirmed(1),
    "none": lambda: dataclasses.replace(confirmed(1), candidates=confirmed(1).candidates[:0]),
    "forty": lambda: confirmed(40),
    "no errors": _no_errors,
    "some errors": _some_errors,
    "all on the front": lambda: altered(front=True),
    "no error at all": lambda: altered(test_mean=0.0, test_low=0.0, test_high=0.001),
    "no regret": lambda: confirmed(regret=NAN, notes=[]),
    "another cost": lambda: confirmed(cost="latency_ms"),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_well_formed(state):
    given = STATES[state]()
    reader = Reader(page(given))
    assert not reader.open
    assert reader.references == []
    assert len(reader.ids) == len(set(reader.ids))
    assert "nan" not in reader.text.replace("finance", "").lower()
    assert "Confirmed on the test images" in reader.text
    for figure in reader.figures:
        assert "NaN" not in json.dumps(figure["data"])
    if given.certificate:
        told = reader.text.replace("\xa0", " ")
        assert all(said in told for said in sentences(given.certificate))
    else:
        assert "certificate" not in reader.ids


def told(row):
    mean, low, high = (100 * row[name] for name in ("test_mean", "test_low", "test_high"))
    return f"{mean:.2f} % ({low:.2f} to {high:.2f} %)"


def test_the_answer_leads_with_the_searchs_pick_and_calls_the_test_winner_flattered():
    rows = confirmed().candidates
    best, pick = (rows.loc[i] for i in rows["test_mean"].sort_values().index[:2])
    flattered = f"{best['name']}, {told(best)}; chosen by this, a little flattered."
    given = dataclasses.replace(confirmed(), pick=pick["key"])
    assert section(given).answer == (
        f"{pick['name']}, the search's least error, has a test error of {told(pick)} after 90 "
        f"epochs; it is the best of {len(rows)} networks with probability "
        f"{pick['best_probability']:.2f}, expected regret 0.30 points. Less has {flattered}"
    )
    agreed = section(dataclasses.replace(confirmed(), pick=best["key"])).answer
    assert agreed.startswith(f"{best['name']}, the search's least error, has a test error of ")
    assert "flattered" not in agreed
    unknown = section(dataclasses.replace(confirmed(), pick="")).answer
    assert unknown == f"The least test error after 90 epochs has {flattered}"
    assert section(_no_errors()).answer == "No test error has been measured yet."


def test_names_are_escaped():
    name = "<b>k</b> & <script>alert(1)</script> " + "long " * 30
    given = altered(name=name)
    odd = dataclasses.replace(given.certificate.rows[0], name="<i>score</i> " + "x" * 80)
    rows = (odd, *given.certificate.rows[1:])
    certificate = dataclasses.replace(given.certificate, rows=rows)
    text = page(dataclasses.replace(given, certificate=certificate))
    assert "<script>alert" not in text
    assert "<b>k</b>" not in text
    assert "<i>score" not in text
    hover = errors_figure(given.candidates, "macs", 4000).data[-3].hovertext[0]
    assert "&lt;script&gt;" in hover
    ticks = signals_figure(certificate).layout.yaxis.ticktext
    assert ticks[0].startswith("&lt;i&gt;score&lt;/i&gt; xx")
    assert max(map(len, ticks)) < 40


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_the_picture_shows_means_trainings_and_what_the_search_had_measured():
    given = _some_errors()
    figure = errors_figure(given.candidates, "macs", 4000)
    drawn = given.candidates.drop(index=[3, 6])
    front = drawn[drawn["front"]]
    means = traces(figure)["on the search's front"]
    assert list(means.x) == front["macs"].tolist()
    assert list(means.y) == front["test_mean"].tolist()
    upper = (front["test_high"] - front["test_mean"]).fillna(0)
    assert list(means.error_y.array) == pytest.approx(upper.tolist())
    off = traces(figure)["off the front"]
    assert off.marker.symbol != means.marker.symbol
    assert len(means.x) + len(off.x) == 14
    dots = [t for t in figure.data if t.marker.size == 4 and t.hovertext]
    assert sum(len(t.x) for t in dots) == 14 * 3 - 1
    hollow = [t for t in figure.data if "-open" in str(t.marker.symbol) and t.hovertext]
    assert sum(len(t.x) for t in hollow) == 13
    assert "2 without a test error or this cost" in section(given).errors.note


def test_errors_of_zero_are_drawn_as_half_an_image():
    figure = errors_figure(STATES["no error at all"]().candidates, "macs", 4000)
    assert set(traces(figure)["off the front"].y) == {0.5 / 4000}


def test_the_certificate_is_drawn_as_it_is_tabulated():
    given = confirmed()
    figure = signals_figure(given.certificate)
    matched = traces(figure)["at the same cost"]
    rows = given.certificate.rows
    known = [row.pairs_right.matched for row in rows if math.isfinite(row.tau.matched.value)]
    assert len(known) == len(rows) - 1  # MACs at matched MACs say nothing
    assert list(matched.x) == pytest.approx([100 * share.value for share in known])
    assert list(matched.error_x.array) == pytest.approx([100 * (s.high - s.value) for s in known])
    found = section(given).figures
    first = rows[0]
    assert [row.name for row in found.rows][:3] == ["1-epoch rung", "3-epoch rung", "9-epoch rung"]
    cells = found.rows[0].cells
    assert len(cells) == len(found.columns) - 1
    assert cells[0].text == f"{100 * first.pairs_right.matched.value:.0f} %"
    assert cells[2].text == f"{first.tau.matched.value:.2f}".replace("-", "−")
    assert cells[6].text == f"{first.regret.value:.2f}"
    assert cells[7].text == f"{100 * first.precision.value:.0f} %"


def test_the_networks_are_told_best_first():
    given = _some_errors()
    found = section(given).networks
    errors = [row.cells[1].text for row in found.rows]
    assert errors[-1] == "–"
    shares = [float(text.split()[0]) for text in errors[:-1]]
    assert shares == sorted(shares)
    assert sum(row.badge == "front" for row in found.rows) == 8
    assert {row.cells[2].text for row in found.rows} == {"0", "2", "3"}
