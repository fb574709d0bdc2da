"""Tables of measured latencies: where they are kept, and what a search makes of them."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from dnsearch.arch import ArchConfig, SearchSpace
from dnsearch.arch.config import ArchArrays
from dnsearch.config import LimitsConfig, parse_study
from dnsearch.cost.formula import cost_of
from dnsearch.cost.latency import GUESS, LatencyModel, Setting, work
from dnsearch.errors import RunError, SpaceError
from dnsearch.files import write_json
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.latency import (
    MOST_MACS,
    LatencyTable,
    Timed,
    UnderWay,
    general_networks,
    keep_table,
    kept_table,
    profile,
    require_same_latencies,
    table_of_run,
    table_to_begin_with,
)

SETTING = Setting("cpu", 1, 1, "fp32", "reference")
SPACE = SearchSpace(
    growth_rate=(4, 8, 16), block_config=((1, 2, 4),) * 2, bn_size=(0, 4), in_channels=1
)
PLAN = Plan(("cpu",), 1)
STUDY = parse_study('[objectives]\ncosts = ["latency_ms"]')
ARCH = ArchConfig((4, 8), (1, 2), 8, 2, stem="cifar", in_channels=1, num_classes=10)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path / "cache"))


def timed(count=10, factor=1.0):
    return tuple(
        Timed(arch, shape, factor * float(_ms(arch, shape)))
        for arch, shape in general_networks(SETTING, count)
    )


def _ms(arch, shape):
    return (work(ArchArrays.of([arch]), *shape[1:], 1) @ np.array(GUESS))[0]


def test_a_table_is_kept_and_read_again():
    table = replace(kept_table(SETTING, "cpu"), timed=timed())
    assert table.model.times == pytest.approx(GUESS, rel=1e-3)
    keep_table(table)
    assert kept_table(SETTING, "cpu") == table
    other = SETTING._replace(batch_size=2)
    assert kept_table(other, "cpu").timed == ()
    assert kept_table(other, "cpu").model == LatencyModel(other)


def test_another_machine_has_another_table(monkeypatch):
    keep_table(replace(kept_table(SETTING, "cpu"), timed=timed()))
    monkeypatch.setattr("dnsearch.rundir._processor", lambda: "another")
    assert kept_table(SETTING, "cpu").timed == ()


def test_a_damaged_table_counts_as_none():
    file = keep_table(replace(kept_table(SETTING, "cpu"), timed=timed()))
    file.write_text(file.read_text("utf-8").replace('"ms"', '"s"'), "utf-8")
    assert kept_table(SETTING, "cpu").timed == ()


def test_too_few_networks_are_a_guess():
    assert LatencyTable(SETTING, {}, timed(7)).model.is_guess
    assert not LatencyTable(SETTING, {}, timed(8)).model.is_guess


def test_the_least_of_all_rounds_counts_and_replaces_what_was_measured():
    networks = general_networks(SETTING, 5)
    slow = iter(np.random.default_rng(0).permutation([1.0, 3.0, 5.0, 7.0] * 5))
    calls, heard = {}, []

    def measure(arch, shape):
        calls.setdefault(arch.key, []).append(float(next(slow)))
        return calls[arch.key][-1] * _ms(arch, shape)

    before = LatencyTable(SETTING, {}, timed(6, factor=9.0))
    table = profile(
        before, networks, measure, UnderWay(before), lambda done, of: heard.append((done, of))
    )
    assert len(table.timed) == 6
    for each in table.timed[:5]:
        assert len(calls[each.arch.key]) == 4
        assert each.ms == pytest.approx(min(calls[each.arch.key]) * _ms(each.arch, each.shape))
    assert table.timed[5].ms == pytest.approx(9 * _ms(*table.timed[5][:2]))
    assert heard[-1] == (20, 20)


@pytest.mark.parametrize("breaks", [1, 7, 12, 20])
def test_an_interrupted_profile_goes_on_and_no_search_sees_half_of_it(breaks):
    networks, empty = general_networks(SETTING, 5), kept_table(SETTING, "cpu")
    calls = []

    def measure(arch, shape):
        if len(calls) == breaks:
            raise KeyboardInterrupt
        calls.append(arch.key)
        return float(len(calls))

    with contextlib.suppress(KeyboardInterrupt):
        profile(empty, networks, measure, UnderWay(empty))
    assert kept_table(SETTING, "cpu") == empty
    breaks = 99
    table = profile(empty, networks, measure, UnderWay(empty))
    assert len(calls) == 20
    assert {calls.count(arch.key) for arch, _ in networks} == {4}
    least = {arch.key: 1.0 + calls.index(arch.key) for arch, _ in networks}
    assert {each.arch.key: each.ms for each in table.timed} == least
    UnderWay(empty).end()
    assert UnderWay(empty).of(*networks[0]) == []


def test_damaged_rounds_of_a_profile_count_as_none():
    networks, empty = general_networks(SETTING, 1), kept_table(SETTING, "cpu")
    before = UnderWay(empty)
    before.of(*networks[0]).append(3.0)
    before.write()
    assert UnderWay(empty).of(*networks[0]) == [3.0]
    before.file.write_text(before.file.read_text("utf-8").replace("3.0", "2.0"), "utf-8")
    assert UnderWay(empty).of(*networks[0]) == []


def test_the_networks_of_a_table_are_small_enough_and_always_the_same():
    setting = SETTING._replace(batch_size=8)
    networks = general_networks(setting)
    assert networks == general_networks(setting)
    assert len({arch.key for arch, _ in networks}) == 48
    for arch, shape in networks:
        assert 8 * cost_of(arch, *shape[1:]).macs <= MOST_MACS["cpu"]
        assert arch.in_channels == shape[0]


def test_a_run_goes_on_with_the_table_it_began_with(tmp_path):
    run = RunDir(tmp_path / "run")
    kept = replace(kept_table(SETTING, "cpu"), timed=timed())
    keep_table(kept)
    assert table_to_begin_with(STUDY, PLAN, run) == kept
    assert table_to_begin_with(parse_study(""), PLAN, run) is None
    write_json(run.latency_file, kept.record())
    run.database.touch()
    keep_table(replace(kept, timed=timed(factor=2.0)))
    assert table_to_begin_with(STUDY, PLAN, run) == kept
    run.latency_file.unlink()  # begun before there were tables
    assert table_to_begin_with(STUDY, PLAN, run).model.is_guess


def test_of_a_gpu_its_model_counts_and_not_the_threads(tmp_path, monkeypatch):
    run, setting = RunDir(tmp_path), SETTING._replace(device="cuda", threads=16)
    monkeypatch.setattr("dnsearch.cost.device.device_name", lambda device: "H100")
    write_json(run.latency_file, kept_table(setting, "cuda:0").record())
    require_same_latencies(run, Plan(("cuda:0",), 4), {})
    monkeypatch.setattr("dnsearch.cost.device.device_name", lambda device: "L4")
    with pytest.raises(RunError, match="measured latencies on H100, and this would go on with L4"):
        require_same_latencies(run, Plan(("cuda:0",), 16), {})


def test_a_damaged_table_of_a_run_is_refused(tmp_path):
    run = RunDir(tmp_path)
    assert table_of_run(run) is None
    write_json(run.latency_file, {"setting": {"device": "cpu"}, "machine": {}, "networks": []})
    with pytest.raises(RunError, match=r"latency.json: is damaged"):
        table_of_run(run)


def limited(most, latency):
    return CostModel((1, 14, 14), limits=LimitsConfig(max_latency_ms=most), latency=latency)


def test_networks_that_are_surely_too_slow_are_left_out():
    known = LatencyModel(SETTING, GUESS, networks=50, error=0.1)
    points, _ = feasible_points(SPACE, limited(1e6, known), np.random.default_rng(0))
    ms = known.predicted_ms(known.work(points.arrays(), 14, 14))
    limit = float(np.median(ms))
    model = limited(limit, known)
    assert model.latency_bound_ms == pytest.approx(limit * np.exp(0.3))
    left, costs = feasible_points(SPACE, model, np.random.default_rng(0))
    slow = ms > limit * np.exp(0.3)
    assert 0 < slow.sum() < len(ms) / 2
    assert {arch.key for arch in left} == {points.config(i).key for i in np.flatnonzero(~slow)}
    assert len(costs.macs) == len(left)
    for i, is_slow in enumerate(slow):
        foreseen = model.foreseen_excess(points.config(i))["latency_ms"]
        assert (foreseen > 0) == is_slow
    assert model.excess(points.config(int(np.argmax(ms))))["latency_ms"] == 0  # not measured yet


def test_a_guess_leaves_nothing_out():
    model = limited(1e-6, LatencyModel(SETTING))
    assert model.latency_bound_ms is None
    points, _ = feasible_points(SPACE, model, np.random.default_rng(0))
    assert len(points) == SPACE.size


def test_a_limit_that_nothing_meets_is_told():
    known = LatencyModel(SETTING, GUESS, networks=50, error=0.1)
    with pytest.raises(SpaceError, match=r"predicted latency below 1.35e-06 ms"):
        feasible_points(SPACE, limited(1e-6, known), np.random.default_rng(0))
