"""The numbers behind the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis import pareto
from dnsearch.analysis.candidates import figures
from dnsearch.report.digest import digest
from dnsearch.report.series import (
    NEAR_DECADES,
    curve_series,
    front_series,
    hover_text,
    importance_series,
    volume_series,
)

from . import synthetic


@pytest.fixture(scope="module")
def usual():
    return digest(synthetic.results(40, failed=3, trained_preset="densenet-40-12"))


def test_front_series_holds_every_finished_candidate(usual):
    series = front_series(usual, "macs")
    assert len(series.costs) == len(series.hover) == 37
    assert series.on_front.sum() == len(usual.front)
    assert series.missing == 0
    values = np.stack([series.errors, series.costs], axis=1)
    assert (series.on_front == pareto.nondominated(values)).all()


def test_step_falls_from_cheapest_to_best(usual):
    step = front_series(usual, "macs").step
    assert (np.diff(step[:, 0]) > 0).all()
    assert (np.diff(step[:, 1]) < 0).all()


def test_picks_and_presets_are_marked_where_they_lie(usual):
    series = front_series(usual, "macs")
    marked = {name: position for position, names in series.picks.items() for name in names}
    assert series.costs[marked["least-cost"]] == series.costs.min()
    assert series.errors[marked["least-error"]] == series.errors.min()
    assert list(series.presets.values()) == ["densenet-40-12"]


def test_untrained_presets_are_near_or_far(usual):
    series = front_series(usual, "macs")
    names = [line.name for line in series.untrained]
    assert "densenet-40-12" not in names
    assert names == [line.name for line in sorted(series.untrained, key=lambda line: line.cost)]
    for line in series.untrained:
        assert line.near == (line.cost <= series.costs.max() * 10**NEAR_DECADES)


def test_candidates_without_the_cost_are_counted():
    found = synthetic.results(9, costs=("macs", "latency_ms"))
    found = synthetic.changed(found, slice(4), latency_ms=np.nan)
    series = front_series(digest(found), "latency_ms")
    assert (len(series.costs), series.missing) == (5, 4)


def test_volume_counts_the_compute_of_failures_too(usual):
    series = volume_series(usual)
    assert series.train_macs[0] == series.volumes[0] == series.volumes[3] == 0
    assert series.train_macs[-1] == pytest.approx(figures(usual.candidates, "train_macs").sum())
    assert (np.diff(series.volumes) >= 0).all()
    front = np.stack([figures(usual.front, name) for name in ("error", "macs")], axis=1)
    assert series.volumes[-1] == pytest.approx(
        pareto.hypervolume(front, list(usual.reference.values()))
    )


def test_curves_draw_the_picks_last(usual):
    roles = [curve.role for curve in curve_series(usual)]
    assert roles.count("other") + len(usual.front) == 37
    assert set(roles[-3:]) == {"least-cost", "knee", "least-error"}
    assert sorted(roles[:-3], reverse=True) == roles[:-3]


def test_importance_puts_what_matters_for_error_first(usual):
    series = importance_series(usual)
    assert series.dimensions[:2] == ["growth rate", "layers in block 3"]
    assert series.shares[:, 0].tolist() == sorted(series.shares[:, 0], reverse=True)
    assert series.shares.shape == (5, 2)


def test_importance_of_nothing_is_none():
    assert importance_series(digest(synthetic.results(1))) is None
    assert importance_series(digest(synthetic.results(5, importance={"error": {}}))) is None


def test_hover_tells_the_figures_and_escapes(usual):
    (candidate,) = synthetic.results(1).candidates
    cost = replace(candidate.cost, macs=3_200_000)
    text = hover_text(replace(candidate, preset="<b>x", error=0.1, error_se=0.005, cost=cost))
    assert "&lt;b&gt;x" in text
    assert "10.00 ± 0.50 %" in text
    assert "3.20 M MACs" in text
    assert "9 epochs in" in text


def test_an_error_of_zero_is_drawn_as_half_an_image():
    found = synthetic.results(4)
    found = synthetic.changed(found, 0, error=0.0)
    series = front_series(digest(found), "macs")
    assert series.errors.min() == 0.5 / synthetic.VALIDATION_IMAGES


def test_a_pick_without_the_cost_is_left_out_of_that_picture(usual):
    """As after `dnsearch scale --latency`, which measures some of the networks."""
    best = usual.answer
    told = synthetic.changed(usual.results, slice(None), latency_ms=0.5)
    place = [each.key for each in told.measured].index(best.key)
    series = front_series(digest(synthetic.changed(told, place, latency_ms=np.nan)), "latency_ms")
    assert series.missing == 1
    assert best.key not in series.keys
    marked = {name for names in series.picks.values() for name in names}
    own = {name for name, each in usual.picks.items() if each.key == best.key}
    assert marked == set(usual.picks) - own
    assert own
