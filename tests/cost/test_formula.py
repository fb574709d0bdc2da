from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from dnsearch.arch import ArchArrays, ArchConfig, DenseNet, SearchSpace, preset
from dnsearch.arch.config import STEMS
from dnsearch.cost.device import saved_bytes
from dnsearch.cost.formula import cost_of, costs, stage_costs
from dnsearch.cost.trace import cost_by_fvcore
from dnsearch.errors import ConfigError

GOLDEN = [  # torchvision at 224x224; the paper's CIFAR networks, GMACs rounded as published here
    ("densenet121", 224, 7_978_856, 2_834_161_664),
    ("densenet161", 224, 28_681_000, 7_727_907_072),
    ("densenet169", 224, 14_149_480, 3_359_843_328),
    ("densenet201", 224, 20_013_928, 4_291_365_888),
    ("densenet-40-12", 32, 1_019_722, 0.265e9),
    ("densenet-100-12", 32, 6_979_642, 1.770e9),
    ("densenet-100-24", 32, 27_249_082, 6.889e9),
    ("densenet-bc-100-12", 32, 769_162, 0.288e9),
    ("densenet-bc-250-24", 32, 15_324_406, 5.419e9),
    ("densenet-bc-190-40", 32, 25_624_430, 9.302e9),
]


@pytest.mark.parametrize(("name", "size", "params", "macs"), GOLDEN)
def test_golden_numbers(name, size, params, macs):
    cost = cost_of(preset(name), size, size)
    assert cost.params == params
    assert cost.macs == macs if isinstance(macs, int) else abs(cost.macs - macs) < 0.0006e9


KINDS = list(product(STEMS, ("batch", "group"), range(1, 6), range(4)))
"""Stem, norm, number of blocks, and how these are: 0 alike without bottlenecks, 1 alike with them,
2 different from each other, 3 that too and behind transitions that need not pool."""


def draw(rng: np.random.Generator, kind=None) -> tuple[ArchConfig, int, int]:
    """A random architecture, of a kind where one is given, and an input it can take."""
    stem, norm, blocks, unlike = kind or KINDS[rng.integers(len(KINDS))]
    while True:
        growth_rates, bn_sizes = rng.integers(1, 13, blocks), rng.integers(0, 9, blocks)
        kinds = rng.choice(["pool", "narrow"], blocks - 1)
        try:
            config = ArchConfig(
                growth_rate=tuple(growth_rates.tolist()) if unlike > 1 else int(growth_rates[0]),
                block_config=tuple(rng.integers(1, 4, blocks).tolist()),
                num_init_features=int(rng.integers(1, 30)),
                bn_size=tuple(bn_sizes.tolist())
                if unlike > 1
                else unlike * (int(bn_sizes[0]) or 1),
                transition=tuple(kinds.tolist()) if unlike > 2 else "pool",
                compression=float(rng.choice([0.29, 0.5, 0.75, 1.0])),
                drop_rate=float(rng.choice([0.0, 0.3])),
                norm=norm,
                stem=stem,
                in_channels=int(rng.integers(1, 5)),
                num_classes=int(rng.integers(1, 50)),
            )
        except ConfigError:  # so few channels that a transition keeps none
            continue
        height, width = (config.least_size + rng.integers(0, 12, 2)).tolist()
        return config, height, width


def test_equals_fvcore_to_the_unit():
    """A network of each kind, as a whole and stage by stage."""
    rng = np.random.default_rng(1)
    for kind in KINDS:
        config, height, width = draw(rng, kind)
        cost, traced = cost_of(config, height, width), cost_by_fvcore(config, height, width)
        found = (traced.params, traced.macs, traced.activations)
        assert (cost.params, cost.macs, cost.activations) == found, (config, height, width)
        stages = stage_costs(ArchArrays.of([config]), height, width)
        assert {s.name: int(s.macs[0]) for s in stages} == traced.stage_macs, config


@pytest.mark.parametrize("stem", STEMS)
def test_stages_have_the_parameters_and_give_out_the_maps_of_the_built_network(stem):
    """As its modules hold them and hooks on them see them."""
    config, height, width = draw(np.random.default_rng(4), (stem, "batch", 3, 3))
    model, params, maps = DenseNet(config).eval(), Counter(), {}

    def watch(module: nn.Module, stage: str) -> None:
        params[stage] += sum(weights.numel() for weights in module.parameters())
        module.register_forward_hook(lambda _, inputs, output: maps.update({stage: output[0]}))

    beside = dict.fromkeys(("conv0", "norm0", "relu0", "pool0"), "stem") | {"norm5": "classifier"}
    for name, module in (*model.features.named_children(), ("classifier", model.classifier)):
        watch(module, beside.get(name, name))
    model(torch.zeros(1, config.in_channels, height, width))
    for stage in stage_costs(ArchArrays.of([config]), height, width):
        size = [int(each[0]) for each in (stage.channels, stage.height, stage.width)]
        assert int(stage.params[0]) == params.pop(stage.name), stage.name
        assert size[: maps[stage.name].ndim] == list(maps[stage.name].shape), stage.name
    assert not params


def test_arrays_give_what_single_configs_give():
    """Networks of different depth, stem and norm in one table."""
    rng = np.random.default_rng(2)
    configs = [draw(rng)[0] for _ in range(60)]
    size = max(config.least_size for config in configs)
    together = costs(ArchArrays.of(configs), size, size, batch_size=3)
    for i, config in enumerate(configs):
        assert together[i] == cost_of(config, size, size, batch_size=3)


@pytest.mark.parametrize("kernels", ["reference", "portable", "cpu"])
@pytest.mark.parametrize(
    "config",
    [
        ArchConfig(12, (4, 4, 4), 24, 4, stem="cifar", num_classes=10),
        ArchConfig(12, (4, 4, 4), 24, 0, stem="cifar", num_classes=10),
        ArchConfig(8, (2, 3, 4, 2), 16, 2, drop_rate=0.2),
        ArchConfig(24, (6,), 48, 4, stem="cifar", compression=1.0),
        ArchConfig(16, (1, 1), 64, 1, norm="group"),
        ArchConfig((6, 11, 23), (1, 2, 3), 16, 0, stem="cifar", num_classes=10),
        ArchConfig((8, 12, 18), (2, 3, 4), 16, (0, 2, 4), num_classes=10),
        ArchConfig(12, (3, 3, 3, 3), 24, (4, 0, 4, 4), drop_rate=0.2, transition="narrow"),
        ArchConfig((4, 8), (3, 3), 64, (4, 0), norm="group", transition="narrow"),
        preset("densenet121"),
    ],
)
def test_training_memory_is_what_autograd_keeps(config, kernels):
    """Within 5 %: odds and ends such as norm statistics are not modelled."""
    batch = 4
    images = torch.randn(batch, 3, 48, 48, requires_grad=False)
    model = DenseNet(config).train()
    model.kernels = kernels
    found = saved_bytes(model, images)
    none, all_of_them = (
        cost_of(config, 48, 48, batch_size=b, kernels=kernels).train_bytes for b in (0, batch)
    )
    assert all_of_them - none == pytest.approx(found, rel=0.05)
    assert none == 16 * cost_of(config, 48, 48).params


@pytest.mark.parametrize("kernels", ["reference", "portable"])
@pytest.mark.parametrize("fields", [{}, {"drop_rate": 0.2}, {"bn_size": 0, "stem": "cifar"}])
def test_training_memory_under_bf16(fields, kernels):
    """Masks and pooling indices keep their size."""
    config = ArchConfig(12, (4, 4, 4), 24, num_classes=10, **fields)
    model = DenseNet(config).train()
    model.kernels = kernels
    with torch.autocast("cpu", torch.bfloat16):
        found = saved_bytes(model, torch.randn(8, 3, 48, 48))
    cost = (cost_of(config, 48, 48, b, 2, kernels).train_bytes for b in (8, 0))
    assert next(cost) - next(cost) == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("fields", [{}, {"bn_size": 0}, {"stem": "imagenet"}, {"stem": "patch2"}])
def test_dropout_keeps_a_byte_for_each_new_map(fields, bf16):
    """Exactly: beside all else that is kept it would be lost in the tolerances above."""
    config = ArchConfig(8, (2, 3), 16, **{"bn_size": 2, "stem": "cifar"} | fields)
    kept, told = [], []
    for drop_rate in (0.0, 0.3):
        config = config.replace(drop_rate=drop_rate)
        model = DenseNet(config).train()
        model.kernels = "portable"
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            kept.append(saved_bytes(model, torch.randn(4, 3, 32, 32)))
        told.append(cost_of(config, 32, 32, 4, 2 if bf16 else 4, "portable").train_bytes)
    assert told[1] - told[0] == kept[1] - kept[0] > 0


def test_too_small_an_input_names_the_least_size():
    with pytest.raises(ConfigError, match="input size must be at least 29x29 for 4 blocks"):
        cost_of(preset("densenet121"), 28, 28)


def test_costs_grow_with_every_dimension():
    space = SearchSpace(
        growth_rate=(4, 8), block_config=((1, 2), (1, 2)), bn_size=(2, 4), compression=(0.5, 1.0)
    )
    points = space.points(np.random.default_rng(0))
    cost = costs(points.arrays(), 16, 16)
    least, most = int(np.argmin(cost.macs)), int(np.argmax(cost.macs))
    assert not points.digits[least].any()
    assert points.config(most).widths[-1] == max(config.widths[-1] for config in points)
