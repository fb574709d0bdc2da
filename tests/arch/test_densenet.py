import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from dnsearch.arch import ArchConfig, DenseNet, preset
from dnsearch.arch.config import STEMS
from dnsearch.arch.plain import group_count
from dnsearch.errors import ConfigError

TORCHVISION = ("densenet121", "densenet161", "densenet169", "densenet201")
SMALL = {"growth_rate": 6, "block_config": (2, 3, 2), "num_init_features": 10, "num_classes": 7}


def make_small(torchvision, **fields):
    """torchvision's network and ours, of the same small shape with the same weights."""
    theirs = torchvision.DenseNet(**SMALL, **fields)
    ours = DenseNet(ArchConfig(**SMALL, **fields))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("name", TORCHVISION)
def test_state_dict_is_torchvisions(torchvision, name):
    with torch.device("meta"):
        theirs = getattr(torchvision, name)().state_dict()
        ours = DenseNet(preset(name)).state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]
    assert len(ours) == {"densenet121": 727, "densenet161": 967, "densenet169": 1015}.get(
        name, 1207
    )


def test_initialisation_is_torchvisions(torchvision):
    """Same generator, same draws: both initialise the same modules in the same order."""
    torch.manual_seed(1)
    theirs = torchvision.DenseNet(**SMALL)
    torch.manual_seed(1)
    ours = DenseNet(ArchConfig(**SMALL))
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(64, 64), (61, 75)])
def test_outputs_agree_in_eval_mode(torchvision, size):
    theirs, ours = make_small(torchvision)
    images = torch.randn(3, 3, *size)
    theirs(images), ours(images)  # moves the running statistics off their start
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-5, atol=1e-5)


def test_densenet121_agrees_in_eval_mode(torchvision):
    theirs, ours = torchvision.densenet121().eval(), DenseNet(preset("densenet121")).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fields", [{}, {"bn_size": 2}, {"drop_rate": 0.3}])
def test_gradients_agree_in_train_mode(torchvision, fields):
    theirs, ours = make_small(torchvision, **fields)
    images, labels = torch.randn(4, 3, 40, 40), torch.randint(7, (4,))
    for model in (theirs, ours):
        torch.manual_seed(3)  # dropout draws the same
        nn.functional.cross_entropy(model(images), labels).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-5)


class PlainLayer(nn.Module):
    """A layer without a bottleneck, which torchvision has not."""

    def __init__(self, channels, k):
        super().__init__()
        self.norm1, self.conv1 = (
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, k, 3, 1, 1, bias=False),
        )

    def forward(self, features):
        return self.conv1(torch.relu(self.norm1(torch.cat(features, 1))))


def of_torchvisions_parts(library, growth_rates, block_config, bn_sizes, pools):
    """Blocks and transitions of torchvision put together block by block."""
    channels, classes = SMALL["num_init_features"], SMALL["num_classes"]
    model = library.DenseNet(6, (1,), channels, num_classes=classes)
    parts = {
        name: model.features.get_submodule(name) for name in ("conv0", "norm0", "relu0", "pool0")
    }
    for i, (k, layers, bn_size) in enumerate(
        zip(growth_rates, block_config, bn_sizes, strict=True)
    ):
        block = library._DenseBlock(layers, channels, bn_size or 1, k, 0.0)
        for j, name in enumerate([] if bn_size else list(block)):
            block[name] = PlainLayer(channels + j * k, k)
        parts[f"denseblock{i + 1}"], channels = block, channels + layers * k
        if i < len(pools):
            transition = library._Transition(channels, channels // 2)
            if not pools[i]:
                del transition.pool
            parts[f"transition{i + 1}"], channels = transition, channels // 2
    model.features = nn.Sequential(OrderedDict(**parts, norm5=nn.BatchNorm2d(channels)))
    model.classifier = nn.Linear(channels, classes)
    return model


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(
    ("growth_rates", "bn_sizes", "pools"),
    [
        ((3, 6, 11), (4, 4, 4), (True, True)),
        ((6, 6, 6), (2, 0, 3), (True, True)),
        ((6, 6, 6), (4, 4, 4), (False, False)),
        ((9, 2, 5), (0, 1, 4), (True, False)),
        ((2, 7, 2), (0, 0, 0), (False, True)),
    ],
)
def test_blocks_that_differ_are_torchvisions_put_together(
    torchvision, growth_rates, bn_sizes, pools, stem
):
    depths = SMALL["block_config"]
    theirs = of_torchvisions_parts(torchvision, growth_rates, depths, bn_sizes, pools)
    fields = {"growth_rate": growth_rates, "bn_size": bn_sizes}
    transition = tuple("pool" if each else "narrow" for each in pools)
    config = ArchConfig(**SMALL | fields, transition=transition, stem=stem)
    if stem != "imagenet":
        for name in ("norm0", "relu0", "pool0"):
            delattr(theirs.features, name)
        side = {"cifar": 3, "patch2": 2, "patch4": 4}[stem]
        settings = {"padding": 1} if stem == "cifar" else {"stride": side}
        width = SMALL["num_init_features"]
        theirs.features.conv0 = nn.Conv2d(3, width, side, bias=False, **settings)
    ours = DenseNet(config).double()
    ours.load_state_dict(theirs.double().state_dict())
    images, labels = torch.randn(4, 3, 41, 35, dtype=torch.float64), torch.randint(7, (4,))
    for model in (theirs, ours):
        nn.functional.cross_entropy(model(images), labels).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(
    "pools", [(), (1,), (0,), (1, 1), (0, 1), (0, 0), (1, 1, 1), (1, 0, 1), (1, 1, 1, 1)]
)
def test_least_size_is_the_least(stem, pools):
    transition = tuple("pool" if each else "narrow" for each in pools)
    blocks = len(pools) + 1
    config = ArchConfig(2, (1,) * blocks, 4, stem=stem, transition=transition, num_classes=3)
    model, least = DenseNet(config).eval(), config.least_size
    assert model(torch.zeros(1, 3, least, least + 3)).shape == (1, 3)
    with pytest.raises(ConfigError, match=f"at least {least}x{least}.*got '{least - 1}x{least}'"):
        model(torch.zeros(1, 3, least - 1, least))
    if least > 1:  # without our check torch itself finds nothing left to pool
        features = copy.deepcopy(model.features)
        with pytest.raises(RuntimeError, match=r"too small|can.t be greater"):
            features(torch.zeros(1, 3, least - 1, least))


def test_group_norm_has_no_running_statistics_and_divides_channels():
    model = DenseNet(ArchConfig(**SMALL, norm="group"))
    assert not list(model.buffers())
    for channels in range(1, 200):
        groups = group_count(channels)
        assert channels % groups == 0
        assert groups == 1 or channels // groups >= 8


def test_all_four_kinds_of_the_paper():
    """DenseNet, -B, -C, -BC differ in bottlenecks and in what transitions keep."""
    for bn_size in (0, 4):
        for compression in (1.0, 0.5):
            config = ArchConfig(**SMALL, bn_size=bn_size, compression=compression, stem="cifar")
            model = DenseNet(config)
            assert hasattr(model.features.denseblock1.denselayer1, "conv2") == bool(bn_size)
            assert model.features.transition1.conv.out_channels == int(22 * compression)
            assert model(torch.randn(2, 3, 8, 8)).shape == (2, 7)
