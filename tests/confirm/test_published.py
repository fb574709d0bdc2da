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


def run_on(side, stem):
    """A run on grey images of this side with nothing trained, whose space has this stem."""
    fields = {"images": {"train": 10, "validation": 10}, "classes": ["a"] * 10}
    data = {**fields, "shape": [1, side, side]}
    return results([], study=f'[space]\nstem = "{stem}"', data=data)


def test_every_preset_keeps_its_name_and_members_follow_the_papers():
    found = references(1, 10)
    assert len(found) == len({(arch.stem, each.name) for arch, each in found.items()})
    for name, preset in PRESETS.items():
        own = reference_of(preset.replace(in_channels=1, num_classes=10))
        assert own is not None
        assert (own.name, own.published) == (name, True)
    assert {each.name for each in found.values() if each.published} == set(PRESETS)
    member = ArchConfig(8, (2, 2, 2), 16, 4, stem="cifar", in_channels=1, num_classes=10)
    assert member.depth == 16
    assert reference_of(member) == ("DenseNet-BC (depth 16, k=8)", "DenseNet-BC", False)
    assert reference_of(member.replace(compression=0.6)) is None
    large = reference_of(ArchConfig(8, (2, 4, 8, 5), num_init_features=16))
    assert large == ("scaled DenseNet-121 (depth 43, k=8)", "scaled DenseNet-121", False)


def test_the_closest_costs_about_the_same_and_is_as_deep_for_its_growth_rate_as_the_papers():
    """Against all members one by one."""
    run = results([candidate(5, 0.2)])
    answer = arch(9)
    own = cost_of(answer, SIDE, SIDE).macs
    found = closest(run, answer, {answer.key})
    members = [a for a, r in references(1, 10).items() if a.stem == "cifar" and
               (r.published or r.family == "DenseNet-BC")]  # fmt: skip
    away = {a: abs(math.log(cost_of(a, SIDE, SIDE).macs / own)) for a in members}
    near = [a for a in members if round(away[a] / 0.1) == round(min(away.values()) / 0.1)]
    assert found in near
    assert away[found] <= 0.05
    paper = 3 * 16 / 12  # layers for each unit of growth rate of densenet-bc-100-12
    unlike = {a: abs(math.log(sum(a.block_config) / a.growth_rate / paper)) for a in near}
    assert unlike[found] == min(unlike.values())
    assert len(near) > 2
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
    answer = ArchConfig(16, (2, 4, 4), 32, stem="patch2", in_channels=1, num_classes=10)
    for side, stem in ((28, "cifar"), (96, "imagenet")):
        assert closest(run_on(side, "patch2"), answer, ()).stem == stem


@pytest.mark.parametrize(
    ("stem", "side", "blocks"),
    [("cifar", 14, 3), ("cifar", 31, 3), ("cifar", 32, 4), ("cifar", 64, 4), ("imagenet", 96, 4)],
)
def test_as_many_blocks_as_suit_the_images(stem, side, blocks):
    """densenet121's four where the last of them sees maps of at least 4x4 behind a stem that keeps
    the resolution, or where the paper has no others."""
    answer = ArchConfig(16, (2, 4, 4), 32, stem=stem, in_channels=1, num_classes=10)
    assert len(closest(run_on(side, stem), answer, ()).block_config) == blocks


def test_a_published_network_comes_before_one_made_like_it():
    preset = PRESETS["densenet-40-12"].replace(in_channels=1, num_classes=10)  # not of three BC's
    answer = preset.replace(num_init_features=17)
    for side in (28, 32):
        run = run_on(side, "cifar")
        assert closest(run, answer, ()) == preset
        assert closest(run, answer, {preset.key}) not in (None, preset)


def test_images_too_small_for_four_blocks_have_none_behind_the_papers_other_stem():
    answer = ArchConfig(16, (2, 4, 4), 32, in_channels=1, num_classes=10)
    small = run_on(28, "imagenet")  # four blocks need 29 pixels behind this stem
    assert closest(small, answer, ()) is None
