"""What a page tells of one network, against the cost formula and the networks themselves."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest
from click.testing import CliRunner

from dnsearch.analysis.candidates import State
from dnsearch.analysis.metrics import DIMENSIONS, dimension_label
from dnsearch.arch.config import ArchConfig
from dnsearch.cli import cli
from dnsearch.cost.formula import cost_of
from dnsearch.report.details import details
from dnsearch.report.digest import digest
from dnsearch.report.drawings import PARTS
from dnsearch.report.html import packed
from dnsearch.report.page import render

from . import synthetic
from .conftest import STATES
from .reader import Reader


def told(results):
    return details(digest(results))


def test_every_row_of_the_table_can_be_opened(any_state):
    found = digest(any_state)
    page = Reader(render(found))
    shown = page.data["networks"]
    rows = {network.key for network in found.networks}
    assert set(shown) == rows | {network.key for network in found.results.presets}
    assert rows <= set(page.ids)
    assert shown == json.loads(json.dumps(details(found)))


def test_stages_add_up_to_the_costs_and_end_at_the_last_width():
    results = STATES["usual"]()
    _, height, width = results.data["shape"]
    archs = {each.key: each.arch for each in (*results.networks, *results.presets)}
    for key, network in told(results).items():
        cost = cost_of(archs[key], height, width)
        for place, part in enumerate(PARTS, start=4):
            assert sum(stage[place] for stage in network["stages"]) == getattr(cost, part)
        blocks = [stage for stage in network["stages"] if stage[0].startswith("denseblock")]
        assert len(blocks) == len(network["layers"]) == len(network["growth"])
        assert blocks[-1][1] == archs[key].widths[-1]


def test_latency_is_divided_among_the_stages_where_the_machine_is_known():
    results = STATES["some latencies"]()
    assert results.latencies.model is not None
    for network in told(results).values():
        assert sum(stage[7] for stage in network["stages"]) == pytest.approx(1, abs=1e-3)
    unknown = results.latencies._replace(model=None)
    for network in told(dataclasses.replace(results, latencies=unknown)).values():
        assert {len(stage) for stage in network["stages"]} == {7}


def test_each_field_of_an_architecture_is_a_dimension():
    """Else two networks could differ and be said to be the same."""
    of_images = {"in_channels", "num_classes"}
    assert set(DIMENSIONS) == set(ArchConfig().__dataclass_fields__) - of_images
    assert {name: dimension_label(name) for name in DIMENSIONS} == DIMENSIONS
    assert dimension_label("bn_size2") == "bottleneck in block 2"
    assert dimension_label("depth3") == "layers in block 3"


def test_what_failed_says_why_and_offers_no_command():
    """There is no network that it could name."""
    results = STATES["all failed"]()
    network = next(iter(told(results).values()))
    assert ("failed", "line one") in network["figures"]
    assert network["commands"] == []
    assert network["error"] is None


def test_commands_name_the_network():
    results = synthetic.results(8, name="a b")
    key, network = next(iter(told(results).items()))
    assert network["commands"] == [
        f"dnsearch train 'a b':{key}",
        f"dnsearch count 'a b':{key}",
        f"dnsearch export 'a b' --pick {key} --to {key}",
    ]


@pytest.mark.parametrize("count", [2000])
def test_the_networks_of_a_big_run_stay_small(count):
    networks = details(digest(synthetic.results(count)))
    assert len(packed(json.dumps(networks))) < 1e6


def test_of_an_untrained_published_network_only_its_cost_is_told():
    results = STATES["usual"]()
    (preset, *_) = [each for each in results.presets if each.name == "densenet-bc-100-12"]
    network = told(results)[preset.key]
    assert network["error"] is None
    assert network["costs"]["macs"] == preset.cost.macs


def test_the_command_of_a_published_network_counts_what_the_panel_says():
    usual = STATES["usual"]()
    classes = [f"class {number}" for number in range(7)]
    archs = [
        preset._replace(arch=preset.arch.replace(num_classes=len(classes)))
        for preset in usual.presets
    ]
    size = synthetic.SIZE
    presets = [each._replace(cost=cost_of(each.arch, size, size)) for each in archs]
    results = dataclasses.replace(
        usual, data=usual.data | {"classes": classes}, presets=presets, measured=[]
    )
    (network, *_) = [each for each in told(results).values() if each["name"] == "densenet-40-12"]
    (command,) = network["commands"]
    _, verb, *arguments = shlex.split(command)
    assert verb == "count"
    printed = CliRunner().invoke(cli, [verb, *arguments, "--json"], catch_exceptions=False)
    counted = json.loads(printed.stdout)["formula"]
    assert {part: counted[part] for part in PARTS} == {p: network["costs"][p] for p in PARTS}


def test_errors_by_class_are_shares_of_the_images_of_the_class():
    results = STATES["usual"]()
    counts = [400] * 9 + [0]
    data = {**results.data, "class_counts": {"train": counts, "validation": counts}}
    wrong = tuple(range(0, 100, 10))
    results = synthetic.changed(
        dataclasses.replace(results, data=data), slice(None), class_errors=wrong
    )
    network = told(results)[digest(results).finished[0].key]
    assert network["classes"] == [each / 400 for each in wrong[:-1]] + [None]


def test_every_command_names_a_network_that_the_run_can_pick():
    usual = STATES["usual"]()
    screened = synthetic.changed(usual, 5, state=State.SCREENED, rung=3)
    networks = told(screened)
    typed = [c for each in networks.values() for c in each["commands"] if "quickstart:" in c]
    keys = {shlex.split(command)[2].partition(":")[2] for command in typed}
    assert screened.measured[5].key in keys
    assert {screened.pick(key).key for key in keys} == keys
