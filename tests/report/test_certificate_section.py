"""The section of a confirmed search: what it draws and tabulates of what was found."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache
from unittest import mock

import pytest

from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.confirm.findings import Confirmed
from dnsearch.cost.formula import Cost
from dnsearch.report import html
from dnsearch.report.certificate import section
from dnsearch.report.certificate_figures import (
    error_series,
    errors_figure,
    signal_series,
    signals_figure,
)
from dnsearch.report.verdict import sentences
from tests.confirm.invented import NAN
from tests.confirm.invented import confirmation as invented

from .test_page import Reader

confirmation = cache(invented)

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


def altered(*which: int, run=None, **changes) -> Confirmed:
    """The usual findings, the networks at these places (by default all) changed; ``run`` changes
    what the search knows of them."""
    given = confirmation()
    networks = list(given.networks)
    for i in which or range(len(networks)):
        candidate = dataclasses.replace(networks[i].candidate, **run or {})
        networks[i] = dataclasses.replace(networks[i], candidate=candidate, **changes)
    return dataclasses.replace(given, networks=tuple(networks))


UNTESTED = {"test": UNKNOWN, "test_errors": (), "best_probability": NAN, "front_probability": NAN}


def _no_errors() -> Confirmed:
    return altered(**UNTESTED, error=NAN, run={"predicted_error": NAN})


def _some_errors() -> Confirmed:
    """Of one the search knows no error, two have no test error or cost, two lack an interval or a
    seed."""
    given = confirmation()
    networks = list(given.networks)
    for i, changes, run in (
        (2, {"error": NAN}, {"predicted_error": NAN}),
        (3, UNTESTED, {}),
        (4, {"test": Interval(networks[4].test.value, NAN, NAN)}, {}),
        (5, {"test_errors": (0.1, NAN, 0.12)}, {}),
        (6, {}, {"latency_ms": NAN}),
    ):
        candidate = dataclasses.replace(networks[i].candidate, **run)
        networks[i] = dataclasses.replace(networks[i], candidate=candidate, **changes)
    return dataclasses.replace(given, networks=tuple(networks), cost="latency_ms")


STATES = {
    "usual": confirmation,
    "one seed": lambda: confirmation(seeds=1),
    "two candidates": lambda: confirmation(2),
    "one candidate": lambda: confirmation(1),
    "forty": lambda: confirmation(40),
    "no errors": _no_errors,
    "some errors": _some_errors,
    "all on the front": lambda: altered(front=True),
    "no error at all": lambda: altered(test=Interval(0.0, 0.0, 0.001)),
    "no opportunity loss": lambda: confirmation(opportunity_loss=NAN),
    "another cost": lambda: confirmation(cost="latency_ms"),
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
    told = reader.text.replace("\xa0", " ")
    assert all(said in told for said in sentences(given.certificate, given.verdict))


def test_names_are_escaped():
    name = "<b>k</b> & <script>alert(1)</script> " + "long " * 30
    given = altered(run={"preset": name})
    odd = dataclasses.replace(given.certificate.rows[0], name="<i>score</i> " + "x" * 80, rung=None)
    rows = (odd, *given.certificate.rows[1:])
    certificate = dataclasses.replace(given.certificate, rows=rows)
    text = page(dataclasses.replace(given, certificate=certificate))
    assert "<script>alert" not in text
    assert "<b>k</b>" not in text
    assert "<i>score" not in text
    series = error_series(given)
    for marks in (series.on_front.means, series.on_front.runs, series.off_front.searched):
        assert "&lt;script&gt;" in marks.hover[0]
    ticks = signals_figure(signal_series(certificate)).layout.yaxis.ticktext
    assert ticks[0].startswith("&lt;i&gt;score&lt;/i&gt; xx")
    assert max(map(len, ticks)) < 40


def test_the_picture_shows_means_training_runs_and_what_the_search_had_measured():
    given = _some_errors()
    series = error_series(given)
    drawn = [network for i, network in enumerate(given.networks) if i not in (3, 6)]
    assert (series.drawn, series.missing) == (14, 2)
    for group, front in ((series.on_front, True), (series.off_front, False)):
        own = [network for network in drawn if network.front is front]
        assert group.means.costs.tolist() == [n.candidate.latency_ms for n in own]
        assert group.means.errors.tolist() == [n.test.value for n in own]
        assert group.low == pytest.approx([n.test.low for n in own], nan_ok=True)
        assert group.high == pytest.approx([n.test.high for n in own], nan_ok=True)
    runs = [*series.on_front.runs.errors, *series.off_front.runs.errors]
    known = [error for n in drawn for error in n.test_errors if math.isfinite(error)]
    assert sorted(runs) == sorted(known)
    assert len(runs) == 14 * 3 - 1
    searched = [*series.on_front.searched.errors, *series.off_front.searched.errors]
    assert len(searched) == 13
    assert "2 networks without a test error or this cost" in section(given).errors.note


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_the_picture_is_drawn_from_its_series():
    series = error_series(_some_errors())
    figure = errors_figure(series)
    means, off = (traces(figure)[name] for name in ("on the search's front", "off the front"))
    assert list(means.x) == series.on_front.means.costs.tolist()
    upper = series.on_front.high - series.on_front.means.errors
    drawn = [0 if math.isnan(reach) else reach for reach in upper]
    assert list(means.error_y.array) == pytest.approx(drawn)
    assert off.marker.symbol != means.marker.symbol
    assert sum(len(t.x) for t in figure.data if t.marker.size == 4 and t.hovertext) == 14 * 3 - 1


def test_errors_of_zero_are_drawn_as_half_an_image():
    given = STATES["no error at all"]()
    series = error_series(given)
    assert set(series.off_front.means.errors) == {0.5 / 4000}
    assert set(series.off_front.low) == {0.5 / 4000}


def test_the_certificate_is_drawn_as_it_is_tabulated():
    given = confirmation()
    rows = given.certificate.rows
    series = signal_series(given.certificate)
    known = [(i, r.pairs_right.matched) for i, r in enumerate(rows) if r.tau.matched.is_known]
    assert len(known) == len(rows) - 1  # MACs at matched MACs say nothing
    assert series.matched.places.tolist() == [place for place, _ in known]
    assert series.matched.percent.ravel() == pytest.approx([100 * v for _, s in known for v in s])
    matched = traces(signals_figure(series))["at the same cost"]
    assert list(matched.x) == pytest.approx([100 * share.value for _, share in known])
    reach = [100 * (share.high - share.value) for _, share in known]
    assert list(matched.error_x.array) == pytest.approx(reach)
    found = section(given).figures
    first = rows[0]
    assert [row.name for row in found.rows][:3] == ["1-epoch rung", "3-epoch rung", "9-epoch rung"]
    assert [row.badge for row in found.rows][-2:] == ["baseline", "ceiling"]
    cells = found.rows[0].cells
    assert len(cells) == len(found.columns) - 1
    assert cells[0].text == f"{100 * first.pairs_right.matched.value:.0f} %"
    assert cells[2].text == f"{first.tau.matched.value:.2f}".replace("-", "−")
    assert cells[6].text == f"{100 * first.regret.value:.2f}"
    assert cells[7].text == f"{100 * first.precision.value:.0f} %"


def test_the_networks_are_told_best_first():
    found = section(_some_errors()).networks
    errors = [row.cells[1].text for row in found.rows]
    assert errors[-1] == "–"
    shares = [float(text.split()[0]) for text in errors[:-1]]
    assert shares == sorted(shares)
    assert sum(row.badge == "front" for row in found.rows) == 8
    assert {row.cells[2].text for row in found.rows} == {"0", "2", "3"}


def test_a_network_is_told_with_its_figures():
    cost = Cost(1, 2_340_000, 1, 1)
    given = altered(
        0,
        run={"cost": cost, "predicted_error": 0.111},
        error=0.123,
        test=Interval(0.01, 0.009, 0.0123),
        front_probability=0.5,
        best_probability=NAN,
    )
    first = section(given).networks.rows[0]
    assert [cell.text for cell in first.cells] == [
        "2.34 M",
        "1.00 %",
        "3",
        "12.30 %",
        "11.10 %",
        "0.50",
        "–",
    ]
    assert first.cells[1].notes == ["0.90 to 1.23 %"]


def test_of_few_networks_no_share_of_pairs_is_told():
    """Four make six pairs, of which five may be right by luck."""
    few = confirmation(4)
    said = sentences(few.certificate, few.verdict)
    told = "Too few networks were confirmed to tell how well the 9-epoch rung ranks them."
    assert told in said
    assert not any(" of pairs" in each or "Full training itself" in each for each in said)
    found = section(few)
    assert found.signals.figure is None
    assert found.signals.note == "Too few networks were confirmed to tell."
    assert not any(cell.text.endswith(" %") for row in found.figures.rows for cell in row.cells[:2])


@pytest.mark.parametrize(("width", "told"), [(0.49, True), (0.51, False)])
def test_an_interval_from_chance_to_all_pairs_tells_nothing(width, told):
    (signal, *_) = confirmation().certificate.rows
    tau = Interval(0.5, 0.2, 0.2 + 2 * width)  # a share is half of it
    given = dataclasses.replace(signal, tau=signal.tau._replace(overall=tau))
    assert given.pairs_right.overall.is_known == told


def test_the_chart_explains_only_what_it_draws():
    given = confirmation().certificate
    rows = [dataclasses.replace(r, tau=r.tau._replace(matched=UNKNOWN)) for r in given.rows]
    without = dataclasses.replace(given, rows=tuple(rows))
    both = section(confirmation()).signals.note
    overall = section(altered_certificate(without)).signals.note
    assert ("At the same cost" in both, "At the same cost" in overall) == (True, False)
    assert "95 %" in overall


def altered_certificate(certificate) -> Confirmed:
    return dataclasses.replace(confirmation(), certificate=certificate)


def test_it_says_how_long_each_was_trained():
    found = section(confirmation(epochs=9))  # as long as the search's top rung
    assert "after 9 epochs, the dots" in found.errors.reading
    assert "the search had measured, after 9 epochs." in found.errors.reading
    assert "measured by the search, after 9 epochs." in found.networks.note
    longer = section(confirmation())
    assert "after 90 epochs, the dots" in longer.errors.reading
    assert "the search had measured, after 9 epochs." in longer.errors.reading
    unknown = section(altered(error=NAN))
    assert "the search had measured. " in unknown.errors.reading
