"""What shifting 14x14 images does to a three-epoch proxy, on fashion-mnist-16k.

python studies/shift_at_14.py      # about two minutes on one core
"""

from __future__ import annotations

import torch

from dnsearch.arch import ArchConfig
from dnsearch.config import DataConfig, TrainingConfig
from dnsearch.cost.formula import cost_of
from dnsearch.data import DeviceData, prepare
from dnsearch.training.trainer import Trainer

SMALL = {"stem": "cifar", "in_channels": 1, "num_classes": 10}
ARCHS = (
    ArchConfig(4, (1, 1, 1), 8, 0, **SMALL),
    ArchConfig(8, (2, 3, 2), 16, 2, **SMALL),
    ArchConfig(12, (2, 4, 4), 24, 2, **SMALL),
)


def main() -> None:
    """Trains each network with each shift and prints the errors."""
    torch.set_num_threads(1)
    data = DeviceData(prepare(DataConfig(image_size=14)))
    print("validation error after 3 epochs, seed 0")
    print("MACs      " + "".join(f"{f'shift {shift}':>10}" for shift in (0, 1, 2)))
    for arch in ARCHS:
        errors = []
        for shift in (0, 1, 2):
            recipe = TrainingConfig(rungs=(3,), batch_size=64, shift=shift)
            errors.append(Trainer(arch, data, recipe, seed=0).train(3).error)
        macs = cost_of(arch, 14, 14).macs
        print(f"{macs:<10,}" + "".join(f"{100 * e:>8.2f} %" for e in errors if e is not None))


if __name__ == "__main__":
    main()
