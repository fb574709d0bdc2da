"""The DenseNet as plain torch modules, to be read and to be compared with.

With the imagenet stem and batch norm its state dict (keys, shapes, initialisation) is torchvision's
(BSD-3-Clause), so weights go both ways. Huang et al. 2017, arXiv:1608.06993.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnsearch.arch.config import STEMS, ArchConfig

LEAST_CHANNELS_A_GROUP = 8


def group_count(channels: int) -> int:
    """Groups of a GroupNorm: the most that leave at least 8 channels each and divide evenly."""
    most = max(1, channels // LEAST_CHANNELS_A_GROUP)
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


def _norm(config: ArchConfig, channels: int) -> nn.Module:
    if config.norm == "group":
        return nn.GroupNorm(group_count(channels), channels)
    return nn.BatchNorm2d(channels)


class DenseLayer(nn.Module):
    """norm-relu-conv1x1-norm-relu-conv3x3, or norm-relu-conv3x3 where there is no bottleneck.

    Takes all earlier feature maps of block ``block`` of the config, counted from 0, each
    (n, c_i, h, w), and returns its own k ones, (n, k, h, w), k the block's growth rate.
    """

    def __init__(self, config: ArchConfig, block: int, channels: int) -> None:
        super().__init__()
        k, width = config.growth_rates[block], config.bottlenecks[block]
        self.drop_rate = config.drop_rate
        self.norm1 = _norm(config, channels)
        self.relu1 = nn.ReLU(inplace=True)
        if not width:
            self.conv1 = nn.Conv2d(channels, k, 3, padding=1, bias=False)
            return
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.norm2 = _norm(config, width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, k, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The new maps (n, k, h, w) of earlier ones, a list of (n, c_i, h, w)."""
        new = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        if hasattr(self, "conv2"):
            new = self.conv2(self.relu2(self.norm2(new)))
        return F.dropout(new, self.drop_rate, self.training) if self.drop_rate else new


class DenseBlock(nn.ModuleDict):
    """Layers that each see all maps before them: (n, c, h, w) -> (n, c + layers*k, h, w).

    ``block`` is the block's position in the config, from 0.
    """

    def __init__(self, config: ArchConfig, block: int) -> None:
        super().__init__()
        for i in range(config.block_config[block]):
            channels = config.widths[block] + i * config.growth_rates[block]
            self[f"denselayer{i + 1}"] = DenseLayer(config, block, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """The block's input and all that its layers add, (n, c + layers*k, h, w)."""
        features = [inputs]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Sequential):
    """norm-relu-conv1x1-avgpool: (n, c, h, w) -> (n, floor(compression * c), h // 2, w // 2).

    The one behind block ``block`` of the config, counted from 0. Without the pooling, and at the
    same resolution, where the config says ``narrow``.
    """

    def __init__(self, config: ArchConfig, block: int) -> None:
        layers, k = config.block_config[block], config.growth_rates[block]
        channels = config.widths[block] + layers * k
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            norm=_norm(config, channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, config.widths[block + 1], 1, bias=False),
        )
        if config.pools[block]:
            parts["pool"] = nn.AvgPool2d(2)
        super().__init__(parts)


class PlainDenseNet(nn.Module):
    """The network of a config: images (n, in_channels, h, w) -> logits (n, num_classes).

    Calling it raises ConfigError for images smaller than ``config.least_size``, unless it is traced
    or compiled.
    """

    synchronised = False
    """Whether batch norms that train take their statistics from all processes of torch's default
    group, which share each batch; only faster ways to compute it can (``arch.kernels``)."""

    def __init__(self, config: ArchConfig) -> None:
        super().__init__()
        self.config = config
        self.features = nn.Sequential(self._stem(config))
        for block in range(len(config.block_config)):
            if block:
                self.features.add_module(f"transition{block}", Transition(config, block - 1))
            self.features.add_module(f"denseblock{block + 1}", DenseBlock(config, block))
        self.features.add_module("norm5", _norm(config, config.widths[-1]))
        self.classifier = nn.Linear(config.widths[-1], config.num_classes)
        self.apply(_initialise)

    @staticmethod
    def _stem(config: ArchConfig) -> OrderedDict[str, nn.Module]:
        width, stem = config.num_init_features, STEMS[config.stem]
        settings = {"stride": stem.stride, "padding": stem.padding, "bias": False}
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(config.in_channels, width, stem.kernel, **settings)
        )
        if stem.pooled:
            parts["norm0"] = _norm(config, width)
            parts["relu0"] = nn.ReLU(inplace=True)
            parts["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        return parts

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, in_channels, h, w)."""
        if not torch.jit.is_scripting():  # pyright: ignore
            self._require_size(images)
        return self.classifier(self.pooled_features(images))

    def _require_size(self, images: Tensor) -> None:
        """A tracer would keep the answer for all sizes, or stop at the question."""
        if not is_traced(images):
            height, width = images.shape[-2:]
            self.config.require_size(height, width)

    def pooled_features(self, images: Tensor) -> Tensor:
        """What the classifier reads of images (n, in_channels, h, w): (n, c)."""
        return self._by_modules(images)

    def _by_modules(self, images: Tensor) -> Tensor:
        features = F.relu(self.features(images), inplace=True)
        return F.adaptive_avg_pool2d(features, 1).flatten(1)


def is_traced(images: Tensor) -> bool:
    """Whether a call is recorded, not run: by tracing, torch.compile, torch.export or torch.fx."""
    traced: bool = torch.jit.is_tracing()  # pyright: ignore
    return traced or torch.compiler.is_compiling() or not isinstance(images, Tensor)


def _initialise(module: nn.Module) -> None:
    """torchvision's: He et al. for convolutions, the linear layer's default weight with bias 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
