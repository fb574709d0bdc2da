"""Known DenseNets by name: torchvision's, and the paper's CIFAR networks (arXiv:1608.06993)."""

from __future__ import annotations

from dnsearch.arch.config import ArchConfig
from dnsearch.errors import ConfigError, nearest


def _plain(depth: int, growth_rate: int) -> ArchConfig:
    """The paper's DenseNet for CIFAR: three blocks without bottlenecks, no compression."""
    layers = (depth - 4) // 3
    return ArchConfig(
        growth_rate=growth_rate,
        block_config=(layers,) * 3,
        num_init_features=16,
        bn_size=0,
        compression=1.0,
        stem="cifar",
        num_classes=10,
    )


def _bottleneck_compressed(depth: int, growth_rate: int) -> ArchConfig:
    """The paper's DenseNet-BC for CIFAR: bottlenecks, 2k initial features, compression 0.5."""
    layers = (depth - 4) // 6
    return ArchConfig(
        growth_rate=growth_rate,
        block_config=(layers,) * 3,
        num_init_features=2 * growth_rate,
        stem="cifar",
        num_classes=10,
    )


PRESETS: dict[str, ArchConfig] = {
    "densenet121": ArchConfig(),
    "densenet161": ArchConfig(growth_rate=48, block_config=(6, 12, 36, 24), num_init_features=96),
    "densenet169": ArchConfig(block_config=(6, 12, 32, 32)),
    "densenet201": ArchConfig(block_config=(6, 12, 48, 32)),
    "densenet264": ArchConfig(block_config=(6, 12, 64, 48)),
    "densenet-40-12": _plain(40, 12),
    "densenet-100-12": _plain(100, 12),
    "densenet-100-24": _plain(100, 24),
    "densenet-bc-100-12": _bottleneck_compressed(100, 12),
    "densenet-bc-250-24": _bottleneck_compressed(250, 24),
    "densenet-bc-190-40": _bottleneck_compressed(190, 40),
}


def preset(name: str) -> ArchConfig:
    """The preset of this name. Raises ConfigError, with the nearest known name, where none is."""
    if name not in PRESETS:
        raise ConfigError("network", "must be a known preset", name, nearest(name, PRESETS))
    return PRESETS[name]
