"""What answers are compared with: what of it is published, and what costs most nearly the same."""

from __future__ import annotations

import math

import pytest

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.confirm.published import closest, reference_of, references
from dnsearch.cost.formula import cost_of

from .invented import arch, candidate, results

SIDE = 8


def test_every_preset_keeps_its_name_and_members_follow_the_papers():
    found = references(1, 10)
    assert len(found) == len({each.name for each in found.values()})
    for name, preset in PRESETS.items():
        own = reference_of(preset.replace(in_channels=1, num_classes=10))
        assert own is not None
        assert (own.name, own.published) == (name, True)
    assert {each.name for each in found.values() if each.published} == set(PRESETS)
    member = ArchConfig(8, (2, 2, 2), 16, 4, stem="cifar", in_channels=1, num_classes=10)
    assert member.depth == 16
    assert reference_of(member) == ("DenseNet-BC (depth 16, k=8)", "DenseNet-BC", False)
    assert reference_of(member.replace(compression=0.6)) is None
    large = reference_of(ArchConfig(growth_rate=8, num_init_features=16))
    assert large == ("DenseNet-121 (depth 121, k=8)", "DenseNet-121", False)


def test_the_closest_costs_about_the_same_with_a_growth_rate_near_the_papers():
    """Against all members one by one."""
    run = results([candidate(5, 0.2)])
    answer = arch(9)
    own = cost_of(answer, SIDE, SIDE).macs
    found = closest(run, answer, {answer.key})
    members = [a for a in references(1, 10) if a.stem == "cifar"]
    away = {a: abs(math.log(cost_of(a, SIDE, SIDE).macs / own)) for a in members}
    near = [a for a in members if round(away[a] / 0.1) == round(min(away.values()) / 0.1)]
    assert found in near
    assert away[found] <= 0.05
    log_growth = {a: abs(math.log(a.growth_rate / 12)) for a in near}
    assert log_growth[found] == min(log_growth.values())
    assert closest(run, answer, {found.key}) not in (None, found)


@pytest.mark.parametrize("share", [0.9, 0.3])
def test_the_limits_hold(share):
    answer = arch(9)
    most = int(share * cost_of(answer, SIDE, SIDE).params)
    run = results([candidate(9, 0.2)], study=f"[limits]\nmax_params = {most}\n")
    assert cost_of(closest(run, answer, ()), SIDE, SIDE).params <= most
    none = results([candidate(9, 0.2)], study="[limits]\nmax_params = 9\n")
    assert closest(none, answer, ()) is None


def test_behind_patches_the_stem_that_is_usual_for_the_images_is_compared():
    fields = {"images": {"train": 10, "validation": 10}, "classes": ["a"] * 10}
    answer = ArchConfig(16, (2, 4, 4), 32, stem="patch2", in_channels=1, num_classes=10)
    for side, stem in ((28, "cifar"), (96, "imagenet")):
        run = results(
            [], study='[space]\nstem = "patch2"', data={**fields, "shape": [1, side, side]}
        )
        assert closest(run, answer, ()).stem == stem


def test_large_images_are_compared_with_densenet121s_family():
    answer = ArchConfig(16, (2, 4, 4), 32, in_channels=1, num_classes=10)
    fields = {"images": {"train": 10, "validation": 10}, "classes": ["a"] * 10}
    large = {**fields, "shape": [1, 64, 64]}
    run = results([], study='[space]\nstem = "imagenet"', data=large)
    assert closest(run, answer, ()).block_config == (6, 12, 24, 16)
    small = {**fields, "shape": [1, 28, 28]}  # four blocks need 29 pixels behind this stem
    assert closest(results([], study='[space]\nstem = "imagenet"', data=small), answer, ()) is None
