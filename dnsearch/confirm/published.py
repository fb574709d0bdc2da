"""What a search's answer is compared with: published networks, and others made like them.

DenseNet-BC has three equal blocks, densenet121 four of 6, 12, 24 and 16 layers (both
arXiv:1608.06993, the paper's tables 2 and 1). Of both there are networks of other depths and growth
rates, which nobody has published, so that one costs about what any answer does. The published
networks grow in depth and width together; so of those that cost the same the one is taken whose
ratio of depth to growth rate is most like its namesake's.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnsearch.arch.config import ArchArrays, ArchConfig, Stem
from dnsearch.arch.presets import PRESETS
from dnsearch.config import CIFAR_SIDE
from dnsearch.search.feasible import CostModel

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results


class Family(NamedTuple):
    """Networks made like a published one: its ``name``, the ``namesake`` and block configs."""

    name: str
    namesake: ArchConfig
    depths: tuple[tuple[int, ...], ...]

    def slenderness(self, arch: ArchConfig) -> float:
        """Log of layers per growth rate, relative to the namesake's."""
        return math.log(_layers_per_growth(arch) / _layers_per_growth(self.namesake))


def _layers_per_growth(arch: ArchConfig) -> float:
    return sum(arch.block_config) / arch.growth_rates[0]


DEEPEST = 41
"""Layers of a block in densenet-bc-250-24, the deepest that was published."""

LARGEST_GROWTH_RATE = 48
"""densenet161's growth rate, the largest that was published."""

THREE_BLOCKS = Family(
    "DenseNet-BC",
    PRESETS["densenet-bc-100-12"],
    tuple((layers,) * 3 for layers in range(1, DEEPEST + 1)),
)
FOUR_BLOCKS = Family(
    "scaled DenseNet-121",
    PRESETS["densenet121"],
    tuple(
        tuple(round(sixths * layers / 6) for layers in PRESETS["densenet121"].block_config)
        for sixths in range(1, 7)
    ),
)
LEAST_MAP = 4
"""Pixels a side that the last of four blocks sees at least; on smaller maps three do better."""

COST_STEP = 0.1
"""Steps of log cost within which the ratio of depth to growth rate decides."""


class Reference(NamedTuple):
    """A network to compare with. published: whether a paper or torchvision has it; others are of
    this ``family``. name: such as ``densenet-bc-100-12``, or ``DenseNet-BC (depth 28, k=3)`` of one
    that is not published."""

    name: str
    family: str
    published: bool


def cost_model(results: Results) -> CostModel:
    """The costs of any network on the images of a run."""
    shape, machine = tuple(results.data["shape"]), results.environment
    return CostModel.of(results.study, shape, machine["activation_bytes"])


@cache
def references(channels: int, classes: int) -> dict[ArchConfig, Reference]:
    """The presets and the members of both families for such images; of four blocks behind both of
    the paper's stems."""
    found = {arch: Reference(name, name, True) for name, arch in reversed(PRESETS.items())}
    for family, stem in (
        (THREE_BLOCKS, "cifar"), (FOUR_BLOCKS, "cifar"), (FOUR_BLOCKS, "imagenet"),
    ):  # fmt: skip
        for growth_rate in range(2, LARGEST_GROWTH_RATE + 1):
            width = {"growth_rate": growth_rate, "num_init_features": 2 * growth_rate}
            for blocks in family.depths:
                arch = family.namesake.replace(block_config=blocks, stem=stem, **width)
                name = f"{family.name} (depth {arch.depth}, k={growth_rate})"
                found.setdefault(arch, Reference(name, family.name, False))
    own = {"in_channels": channels, "num_classes": classes}
    return {arch.replace(**own): reference for arch, reference in found.items()}


def reference_of(arch: ArchConfig) -> Reference | None:
    """What this network is; None where it is neither published nor made like one that is."""
    return references(arch.in_channels, arch.num_classes).get(arch)


def closest(results: Results, answer: ArchConfig, without: Collection[str]) -> ArchConfig | None:
    """The network of ``references`` that costs most nearly what ``answer`` does, within the limits;
    None where there is none. Its stem is the same, or where that is made of patches the one that is
    usual for images of this size. It is published, or has as many blocks as suit such images.

    By the study's first cost that is known before training; of those that cost about the same a
    published one, else the one most like its namesake in its ratio of depth to growth rate. Keys in
    ``without`` are left out.
    """
    model = cost_model(results)
    side = min(model.shape[1:])
    usual = "cifar" if side <= CIFAR_SIDE else "imagenet"
    stem = usual if answer.stem.startswith("patch") else answer.stem
    family = _suited(side, stem)
    every = references(answer.in_channels, answer.num_classes)
    known = [arch for arch, reference in every.items()
             if arch.key not in without and arch.stem == stem and arch.least_size <= side
             and (reference.published or reference.family == family.name)]  # fmt: skip
    if not known:
        return None
    cost = results.study.objectives.first_known_cost
    columns = vars(model.of_archs(ArchArrays.of(known)))
    fits = np.ones(len(known), bool)
    for name, bound in model.bounds.items():
        fits &= columns[name] <= bound
    away = np.abs(np.log(columns[cost]) - math.log(getattr(model.cost(answer), cost)))
    scaled = [not every[arch].published for arch in known]
    unlike = [abs(family.slenderness(arch)) for arch in known]
    order = np.lexsort([unlike, scaled, np.round(away / COST_STEP)])
    return next((known[i] for i in order if fits[i]), None)


def _suited(side: int, stem: Stem) -> Family:
    """Of networks for images of this side."""
    four = FOUR_BLOCKS.namesake.replace(stem=stem)
    small = stem == "cifar" and side < LEAST_MAP * four.least_size
    return THREE_BLOCKS if small else FOUR_BLOCKS
