"""Networks of many kinds with weights as different as trained ones, and their images."""

from __future__ import annotations

import torch

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.export.preprocessing import Preprocessing

SMALL = ArchConfig(4, (1, 1), 8, 2, stem="cifar", num_classes=3)
TORCHVISIONS = {
    "bottlenecks": ArchConfig(4, (1, 2), 8, 2, num_classes=3),
    "odd widths": ArchConfig(5, (1, 2, 1), 7, 3, num_classes=3),
    "one block": ArchConfig(4, (2,), 8, 4, compression=0.3, drop_rate=0.2, num_classes=3),
}
ARCHS = {
    "plain": ArchConfig(4, (1, 2), 8, 0, stem="cifar", in_channels=1, num_classes=3),
    "by block": ArchConfig(
        (2, 4, 6), (1, 2, 2), 8, (0, 2, 4), transition=("narrow", "pool"), stem="patch2",
        num_classes=3,
    ),
    "group norm": ArchConfig(8, (1, 2), 24, 2, norm="group", num_classes=3),
    "grey, narrow": ArchConfig(
        6, (1, 1, 1), 9, (2, 3, 2), compression=0.7, transition="narrow", stem="patch4",
        in_channels=1, num_classes=3,
    ),
    "dropout": ArchConfig(4, (2, 2), 8, 4, drop_rate=0.3, stem="cifar", num_classes=3),
    **TORCHVISIONS,
}  # fmt: skip


def network(arch: ArchConfig, seed: int = 0) -> DenseNet:
    """In eval mode; norms with statistics, so that a batch norm that is another's is seen."""
    model, generator = DenseNet(arch), torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=generator)
            scale = 0.5 if value.dim() < 2 else (2 / value[0].numel()) ** 0.5
            value.copy_(drawn.abs() + 0.5 if name.endswith("var") else scale * drawn)
    return model.eval()


def preprocessing(arch: ArchConfig, height: int = 0, width: int = 0) -> Preprocessing:
    """Of the smallest images, or of this size."""
    shape = (arch.in_channels, height or arch.least_size, width or arch.least_size + 2)
    mean, std = (0.3, 0.4, 0.5)[: arch.in_channels], (0.2, 0.25, 0.3)[: arch.in_channels]
    return Preprocessing(shape, mean, std, ("it's", 'a "b"', "ü|ö"), "#204060")
