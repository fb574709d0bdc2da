"""`dnsearch compare --html`: its sentences, its pictures, and what a browser makes of it."""

from __future__ import annotations

import math
import re

import moocore
import numpy as np
import pytest

from dnsearch.analysis.comparison import Difference
from dnsearch.arch.presets import PRESETS
from dnsearch.cost.formula import cost_of
from dnsearch.report.comparison import front_lines, verdicts
from dnsearch.report.comparison_figures import fronts_figure
from dnsearch.report.comparison_page import render
from dnsearch.report.comparison_series import fronts_series, stage_series
from dnsearch.report.drawings import PARTS
from dnsearch.search.compared import Subject, compare_networks
from dnsearch.search.fronts import Fronts, compare_fronts
from dnsearch.search.results import read_results
from tests.invented_runs import STUDY, invent

from .reader import Reader


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of one study, one of another."""
    parent = tmp_path_factory.mktemp("runs")
    made = {name: invent(name, parent, seed=seed) for seed, name in enumerate("abc")}
    study = STUDY.replace("[2, 4, 6, 8]", "[3, 5, 7]")
    made["d"] = invent("d", parent, study=study)
    return {name: read_results(run) for name, run in made.items()}


@pytest.fixture(scope="module")
def networks(runs):
    """The answers of two runs and a preset that is deeper than either."""
    found = [
        Subject(name, runs[name].pick("least-error").name, runs[name].pick("least-error").arch,
                (1, 8, 8), runs[name], whole=True)
        for name in "ad"
    ]  # fmt: skip
    deep = PRESETS["densenet-40-12"].replace(in_channels=1)
    return compare_networks([*found, Subject("densenet-40-12", "densenet-40-12", deep, (1, 8, 8))])


@pytest.fixture(scope="module")
def fronts(runs) -> Fronts:
    found = compare_fronts(runs)
    assert isinstance(found, Fronts)
    return found


def test_what_runs_attain_is_the_empirical_attainment_function(fronts):
    """As moocore has it, an independent implementation."""
    (attained,) = fronts_series(fronts, "macs").attained
    assert attained.runs == "a, b and c"
    members = [front.members for front in fronts.fronts[:3]]
    points = np.array([[c.figure("macs"), c.predicted_error] for own in members for c in own])
    sets = np.repeat(np.arange(3), [len(own) for own in members])
    for share, line in ((1, attained.best), (2, attained.median), (3, attained.worst)):
        surface = moocore.eaf(points, sets, percentiles=[100 * share / 3])[:, :2]
        for cost, error in zip(attained.costs, line, strict=True):
            within = surface[surface[:, 0] <= cost, 1]
            assert error == (within.min() if len(within) else math.inf)


def test_the_band_lies_between_the_best_and_the_worst_of_the_runs(fronts):
    series = fronts_series(fronts, "macs")
    figure = fronts_figure(series)
    band = next(trace for trace in figure.data if trace.fill == "toself")
    attained = series.attained[0]
    known = np.isfinite(attained.worst)
    assert set(band.y) == {*attained.best[known], *attained.worst[known]}
    half = len(band.x) // 2
    assert list(band.x[:half]) == list(band.x[half:][::-1])
    assert (np.array(band.y[:half]) <= np.array(band.y[half:][::-1])).all()
    names = [trace.name for trace in figure.data if trace.mode == "markers"]
    assert names == ["a", "b", "c", "d"]
    colours = [trace.marker.color for trace in figure.data if trace.mode == "markers"]
    assert len(set(colours[:3])) == 1
    assert colours[3] not in colours[:3]


def test_stages_add_up_to_the_costs(networks):
    for series in stage_series(networks):
        for row, amounts in zip(networks.rows, series.amounts, strict=True):
            whole = getattr(cost_of(row.subject.arch, *row.subject.shape[1:]), series.cost)
            assert np.nansum(amounts) == whole
    assert [series.cost for series in stage_series(networks)] == list(PARTS)
    assert np.isnan(stage_series(networks)[0].amounts[0]).any()  # as it has fewer stages


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        (Difference(0.02, 0.01, 0.03, 0.01), r"2.00 points more .*: A is better .* of 99 %"),
        (Difference(-0.02, -0.03, -0.01, 0.97), r"2.00 points less .*: B is better .* of 97 %"),
        (Difference(0.002, -0.01, 0.01, 0.4), r"0.20 points more .* is not known \(B .* of 40 %"),
        (Difference(0.02), r"2.00 points more error than A; how sure that is is not known"),
        (None, r"costs \S+ times the MACs and \S+ times the params of A\."),
    ],
)
def test_a_verdict_names_the_better_network(networks, differs, told):
    rows = networks.rows
    found = networks.__class__(
        **vars(networks) | {"rows": (rows[0], rows[1]._replace(difference=differs))}
    )
    (verdict,) = verdicts(found, None)
    assert verdict.startswith("B, ")
    assert re.search(told, verdict)


@pytest.mark.parametrize(
    ("smaller", "told"),
    [
        (0.01, r"^d has the better front than a: d against a, .*d's is larger .* of 99 %"),
        (0.98, r"^a has the better front than d: d against a, .*d's is larger .* of 2 %"),
        (0.3, r"^Whether d or a has the better front is not known: .*d's is larger .* of 70 %"),
    ],
)
def test_a_verdict_names_the_better_front(runs, networks, smaller, told):
    found = compare_fronts({name: runs[name] for name in "ad"})
    assert isinstance(found, Fronts)
    sign = 1 if smaller < 0.5 else -1
    differs = Difference(sign * 0.01, sign * 0.01 - 0.01, sign * 0.01 + 0.01, smaller)
    changed = (found.fronts[0], found.fronts[1]._replace(difference=differs))
    verdict, *_ = verdicts(networks, found.__class__(**vars(found) | {"fronts": changed}))
    assert re.search(told, verdict)


def test_seeds_of_studies_are_judged_together(networks, fronts):
    lead, *_ = verdicts(networks, fronts)
    assert re.match(r"d: hypervolume \S+ against a, b and c, permutation test", lead)
    assert any("3 seeds" in line for line in front_lines(fronts, pictured=True))


def test_the_page_opens_offline_and_holds_the_figures(networks, fronts):
    page = Reader(render(networks, fronts))
    assert page.open == []
    assert page.references == []
    assert page.handlers == []
    assert len(page.ids) == len(set(page.ids))
    assert len(page.figures) == 4
    for row in networks.rows[:2]:
        assert f"{100 * row.predicted.error:.2f} %" in page.text
    assert "empirical attainment" in page.text
    alone = Reader(render(networks, "the images of a and d differ: compared by cost alone"))
    assert len(alone.figures) == 3
    assert "The fronts are not compared: the images of a and d differ" in alone.text


def test_names_are_text_alone(networks):
    rows = tuple(
        row._replace(subject=row.subject.__class__(**vars(row.subject) | {"label": "<b>x</b>"}))
        for row in networks.rows
    )
    page = render(networks.__class__(**vars(networks) | {"rows": rows}), None)
    assert "<b>x</b>" not in page.partition("<script>")[0]


def test_a_browser_draws_all_networks_to_one_scale(networks, fronts, opened):
    page = opened(render(networks, fronts))
    assert page.locator(".plot .main-svg .cartesianlayer").count() == 4
    drawn = page.locator("[data-draws] svg").all()
    added = [svg.locator(".added").count() for svg in drawn]
    heights = [svg.locator("rect.added").first.bounding_box()["height"] for svg in drawn]
    archs = [row.subject.arch for row in networks.rows]
    assert added == [sum(arch.block_config) for arch in archs]
    a_channel = [h / arch.growth_rates[0] for h, arch in zip(heights, archs, strict=True)]
    assert a_channel == pytest.approx([a_channel[0]] * 3, rel=0.01)
