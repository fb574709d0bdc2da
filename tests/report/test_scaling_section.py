"""The section on larger budgets: what its pictures hold, and that it renders whatever is known."""

import json

import numpy as np
import pytest

from dnsearch.report import html
from dnsearch.report.scaling import section
from dnsearch.report.scaling_figures import growth_figure, images_figure, law_figure
from dnsearch.report.scaling_series import growth_series, images_series, law_series
from dnsearch.scaling.study import study_scaling
from tests.scaling import planted
from tests.scaling.planted import scaling_results


@pytest.fixture(scope="module")
def good():
    return planted.good()


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_a_laws_series_holds_runs_fit_and_what_was_held_out(good):
    series, study = law_series(good, "macs"), good.laws["macs"]
    assert len(series.runs.x) == 120
    np.testing.assert_allclose(np.sort(series.check.means.y), np.sort(study.held_out.found))
    np.testing.assert_allclose(np.sort(series.check.predicted), np.sort(study.held_out.law))
    assert len(series.fitted.x) + len(series.check.means.x) == len(study.law.sizes)
    assert series.fit.x[-1] >= good.next[-1].cost.macs
    np.testing.assert_allclose(
        series.fit.band.value, study.averaged.predict(series.fit.x).mean.value
    )
    np.testing.assert_allclose(series.next.marks.y, [n.training_error.value for n in good.next])
    np.testing.assert_allclose(series.next.high, [n.training_error.high for n in good.next])
    assert law_series(good, "params").next is None  # they are drawn at what budgets are of


def test_a_laws_figure_draws_its_series(good):
    series = law_series(good, "macs")
    shown = traces(law_figure(series))
    for name, marks in (
        ("one training run", series.runs),
        ("fitted", series.fitted),
        ("mean, held out", series.check.means),
        ("next, one training run", series.next.marks),
    ):
        np.testing.assert_array_equal(shown[name].x, marks.x)
        np.testing.assert_array_equal(shown[name].y, marks.y)
    np.testing.assert_array_equal(shown["predicted for these"].y, series.check.predicted)
    assert shown["mean, held out"].marker.symbol != shown["fitted"].marker.symbol
    bars = shown["next, one training run"].error_y
    np.testing.assert_allclose(series.next.marks.y + bars.array, series.next.high)
    np.testing.assert_allclose(series.next.marks.y - bars.arrayminus, series.next.low)


def test_what_is_not_trusted_is_not_drawn_beyond_its_points():
    found = study_scaling([scaling_results(12, span=(1e6, 3e6))])
    series = law_series(found, "macs")
    assert series.next is None
    assert series.fit.x[-1] == pytest.approx(found.laws["macs"].law.sizes.max())
    assert series.check is None


def test_images_series_and_figure(good):
    lines = images_series(good, good.data)
    assert sum(len(line.means.x) for line in lines) == len(good.data.law.sizes)
    assert lines[0].fit.x[-1] == 2 * planted.TRAIN
    figure = images_figure(lines, "balanced validation error")
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in points] == [len(line.means.x) for line in lines]


def test_growth_series_and_figure(good):
    series = growth_series(good)
    growth = good.growth["growth_rate"]
    place = series.names.index("growth rate")
    ends = (series.value[place], series.low[place], series.high[place])
    assert ends == growth.exponent
    assert series.used[place]
    rows = growth_figure(series, "macs").data[0]
    np.testing.assert_array_equal(rows.x, series.value)
    np.testing.assert_allclose(rows.x + rows.error_x.array, series.high)
    assert "number of layers" in series.names  # estimated, though it may be 0
    assert not series.used[series.names.index("number of layers")]
    assert "bottleneck" not in series.names  # the same in all


def page(shown, monkeypatch):
    """The template as it stands in a report."""
    source = html._source
    text = '{% extends "base.html.j2" %}{% block content %}{% include "scaling.html.j2" %}'
    monkeypatch.setattr(
        html, "_source", lambda name: text + "{% endblock %}" if name == "page" else source(name)
    )
    return html.render_template(
        "page", kind="report", name="n", answer="a", facts=[], scaling=shown
    )


@pytest.mark.parametrize("name", ["good", "few"])
def test_the_section_renders(name, good, monkeypatch):
    few = [scaling_results(8, seeds=1)]
    shown = section(good if name == "good" else study_scaling(few))
    text = page(shown, monkeypatch)
    assert "What a larger budget buys" in text
    for picture in shown.pictures:
        assert f'id="{picture.anchor}"' in text
        if picture.figure is not None:
            json.loads(picture.figure.to_json())
    assert "nan" not in " ".join([*shown.lead, *shown.more, *shown.notes])


def test_the_section_says_why_there_are_no_findings(monkeypatch):
    why = "What a larger budget buys cannot be said now: the run <two> is gone."
    text = page(section(why), monkeypatch)
    assert "What a larger budget buys cannot be said now: the run &lt;two&gt; is gone." in text
    assert "The laws and what they rest on" not in text
    assert "What a larger budget buys" not in page(None, monkeypatch)
