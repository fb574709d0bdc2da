"""What a search's answer is compared with: published networks, and others made by their rules.

The paper's DenseNet-BC for small images (arXiv:1608.06993): three equal blocks, growth rate 12 or
more; for large ones densenet121's four blocks. Networks of other depths and growth rates by the
same rules, which nobody has published, go on where the published ones end, so that one costs about
what any answer does.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.config import CIFAR_SIDE
from dnsearch.search.feasible import CostModel

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

SMALL, LARGE = PRESETS["densenet-bc-100-12"], PRESETS["densenet121"]
"""The families' namesakes: for small images and for large ones."""

DEEPEST = 41
"""Layers of a block in densenet-bc-250-24, the deepest that was published."""

WIDEST = 48
"""densenet161's growth rate, the largest that was published."""

ALIKE = 0.1
"""Steps of log cost within which the growth rate decides, which should be the namesake's."""


class Reference(NamedTuple):
    """A network to compare with. published: whether a paper or torchvision has it; others are of
    this ``family``, scaled by its paper's rule. name: such as ``densenet-bc-100-12``, or
    ``DenseNet-BC (depth 28, k=3)`` of one that is not published."""

    name: str
    family: str
    published: bool


def cost_model(results: Results) -> CostModel:
    """The costs of any network on the images of a run."""
    shape, machine = tuple(results.data["shape"]), results.environment
    return CostModel.of(results.study, shape, machine["activation_bytes"])


@cache
def references(channels: int, classes: int) -> dict[ArchConfig, Reference]:
    """The presets and the members of both families for such images."""
    found = {arch: Reference(name, name, True) for name, arch in reversed(PRESETS.items())}
    for growth_rate in range(2, WIDEST + 1):
        stem = {"growth_rate": growth_rate, "num_init_features": 2 * growth_rate}
        for layers in range(1, DEEPEST + 1):
            arch = SMALL.replace(block_config=(layers,) * 3, **stem)
            found.setdefault(arch, _scaled("DenseNet-BC", arch))
        large = LARGE.replace(**stem)
        found.setdefault(large, _scaled("DenseNet-121", large))
    own = {"in_channels": channels, "num_classes": classes}
    return {arch.replace(**own): reference for arch, reference in found.items()}


def _scaled(family: str, arch: ArchConfig) -> Reference:
    return Reference(f"{family} (depth {arch.depth}, k={arch.growth_rate})", family, False)


def reference_of(arch: ArchConfig) -> Reference | None:
    """What this network is; None where it is neither published nor made by a published rule."""
    return references(arch.in_channels, arch.num_classes).get(arch)


def closest(results: Results, answer: ArchConfig, without: Collection[str]) -> ArchConfig | None:
    """The network of ``references`` that costs most nearly what ``answer`` does,
    within the limits; None where there is none. Its stem is the same, or where that is made of
    patches the one that is usual for images of this size.

    By the study's first cost that is known before training; of those that cost about the same the
    one whose growth rate is nearest its namesake's. Keys in ``without`` are left out.
    """
    model = cost_model(results)
    usual = "cifar" if min(model.shape[1:]) <= CIFAR_SIDE else "imagenet"
    stem = usual if answer.stem.startswith("patch") else answer.stem
    known = [arch for arch in references(answer.in_channels, answer.num_classes)
             if arch.key not in without and arch.stem == stem
             and arch.least_size <= min(model.shape[1:])]  # fmt: skip
    if not known:
        return None
    cost = results.study.objectives.first_known_cost
    columns = vars(model.of_archs(ArchArrays.of(known)))
    fits = np.ones(len(known), bool)
    for name, bound in model.bounds.items():
        fits &= columns[name] <= bound
    away = np.abs(np.log(columns[cost]) - math.log(getattr(model.cost(answer), cost)))
    own = [(LARGE if arch.stem == "imagenet" else SMALL).growth_rates[0] for arch in known]
    growth = np.abs(np.log([arch.growth_rates[0] for arch in known]) - np.log(own))
    order = np.lexsort([growth, np.round(away / ALIKE)])
    return next((known[i] for i in order if fits[i]), None)
