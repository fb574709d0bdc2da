"""What a page tells of one network, against the cost formula and the networks themselves."""

from __future__ import annotations

import json
import re

import pytest

from dnsearch.arch.config import ArchConfig
from dnsearch.cost.formula import cost_of
from dnsearch.report.details import DIMENSIONS, PARTS, details
from dnsearch.report.digest import digest
from dnsearch.report.page import render

from . import synthetic
from .conftest import STATES


def told(results):
    return details(digest(results))


def test_every_row_of_the_table_can_be_opened(any_state):
    found = digest(any_state)
    page = render(found)
    source = re.search(r'id="networks">(.*?)</script>', page, re.DOTALL)
    shown = json.loads(source[1]) if source else {}
    assert set(shown) == {network.key for network in found.networks}
    assert set(shown) <= set(re.findall(r'<tr id="([^"]+)"', page))
    assert shown == json.loads(json.dumps(details(found)))


def test_stages_add_up_to_the_costs_and_end_at_the_last_width():
    results = STATES["usual"]()
    _, height, width = results.data["shape"]
    archs = {network.key: network.arch for network in results.networks}
    for key, network in told(results).items():
        cost = cost_of(archs[key], height, width)
        for place, part in enumerate(PARTS, start=4):
            assert sum(stage[place] for stage in network["stages"]) == getattr(cost, part)
        blocks = [stage for stage in network["stages"] if stage[0].startswith("denseblock")]
        assert len(blocks) == len(network["layers"]) == len(network["growth"])
        assert blocks[-1][1] == archs[key].widths[-1]


def test_each_field_of_an_architecture_is_a_dimension():
    """Else two networks could differ and be said to be the same."""
    of_images = {"in_channels", "num_classes"}
    assert set(DIMENSIONS) == set(ArchConfig().__dataclass_fields__) - of_images


def test_what_failed_says_why_and_offers_no_export():
    network = next(iter(told(STATES["all failed"]()).values()))
    assert ("failed", "line one") in network["figures"]
    assert not any("export" in command for command in network["commands"])
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
    page = render(digest(synthetic.results(count)))
    source = re.search(r'id="networks">(.*?)</script>', page, re.DOTALL)
    assert len(source[1]) < 3.5e6
