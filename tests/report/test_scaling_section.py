"""The section on larger budgets: what its pictures hold, and that it renders whatever is known."""

import json

import numpy as np
import pytest

from dnsearch.report import html
from dnsearch.report.scaling import data_figure, growth_figure, law_figure, section
from dnsearch.scaling.study import study_scaling
from tests.scaling.planted import scaling_results


@pytest.fixture(scope="module")
def good():
    return study_scaling([scaling_results(60, partial=True, noise=0.01)])


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_law_figure_shows_points_fit_band_and_held_out(good):
    shown, study = traces(law_figure(good, "macs")), good.laws["macs"]
    assert len(shown["one training"].x) == 120
    held_out, fitted = shown["mean, held out"], shown["fitted"]
    np.testing.assert_allclose(np.sort(held_out.y), np.sort(study.held_out.found))
    assert len(fitted.x) + len(held_out.x) == len(study.law.sizes)
    assert held_out.marker.symbol != fitted.marker.symbol
    np.testing.assert_allclose(np.sort(shown["predicted for these"].y), np.sort(study.held_out.law))
    np.testing.assert_allclose(
        shown["next, one training"].y, [larger.error.value for larger in good.next]
    )
    assert max(shown["fit and its 95 % band"].x) >= good.next[-1].cost.macs


def test_what_is_not_trusted_is_not_drawn_beyond_its_points():
    found = study_scaling([scaling_results(12, span=(1e6, 3e6))])
    shown = traces(law_figure(found, "macs"))
    assert "next, one training" not in shown
    law = found.laws["macs"].law
    if law is not None:
        assert max(shown["fit and its 95 % band"].x) == pytest.approx(law.sizes.max())


def test_data_and_growth_figures(good):
    figure = data_figure(good, good.data)
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in points) == len(good.data.law.sizes)
    rows = growth_figure(good).data[0]
    assert "growth rate" in rows.y
    assert rows.x[0] == good.growth["growth_rate"].exponent.value


@pytest.mark.parametrize(
    "options",
    [{"architectures": 60, "partial": True, "noise": 0.01}, {"architectures": 8, "seeds": 1}],
)
def test_the_section_renders(options, monkeypatch):
    """The template stands in a page as in the report."""
    shown = section(study_scaling([scaling_results(**options)]))
    source = html._source
    page = '{% extends "base.html.j2" %}{% block content %}{% include "scaling.html.j2" %}'
    monkeypatch.setattr(
        html, "_source", lambda name: page + "{% endblock %}" if name == "page" else source(name)
    )
    text = html.render_template(
        "page", kind="report", name="n", answer="a", facts=[], scaling=shown
    )
    assert "What a larger budget buys" in text
    for picture in shown.pictures:
        assert f'id="{picture.anchor}"' in text
        if picture.figure is not None:
            json.loads(picture.figure.to_json())
    assert "nan" not in " ".join([*shown.lead, *shown.more, *shown.notes])
    without = html.render_template(
        "page", kind="report", name="n", answer="a", facts=[], scaling=None
    )
    assert "What a larger budget buys" not in without
