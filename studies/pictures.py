"""What stronger augmentation and fine-tuning bring on few pictures: CIFAR-10 at 32x32.

    python studies/pictures.py CIFAR10      # ten minutes on one core; CIFAR10: a folder of parquet

Trains one small network with three seeds in each way and prints errors on 2,000 images that no
training saw and nothing was chosen by, mean ± standard error over seeds:

- 5,000 images of ten classes for 10 epochs, with and without each of the stronger augmentations;
- 400 images of four classes, from random weights and from those of the same network, trained on
  the other six classes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnsearch.arch import ArchConfig
from dnsearch.config import DataConfig, TrainingConfig
from dnsearch.cost.formula import cost_of
from dnsearch.data import DeviceData, LabelledImages, PreparedData, prepare
from dnsearch.training.initial import InitialWeights
from dnsearch.training.trainer import Trainer

ARCH = ArchConfig((6, 12, 24), (2, 3, 3), 16, 2, stem="cifar", num_classes=10)
SEEDS = 3
WAYS: Mapping[str, Mapping[str, Any]] = {
    "flip and shift, as by default": {},
    "resized crops": {"crop": "resized"},
    "jitter 0.4": {"jitter": 0.4},
    "mixup 0.2": {"mixup": 0.2},
    "CutMix 1": {"cutmix": 1.0},
}
OTHERS, OWN = range(6), range(6, 10)
"""Classes of the first training, and those of the one that goes on from it."""


def main() -> None:
    """Trains in all ways and prints the errors."""
    torch.set_num_threads(1)
    source = DataConfig(
        format="parquet", path=Path(sys.argv[1]), train_images=20_000, validation_images=5_000
    )
    data = prepare(source)
    macs = cost_of(ARCH, 32, 32).macs
    print(f"{ARCH.describe()}, {macs:,} MACs; CIFAR-10; {SEEDS} seeds, mean ± standard error\n")
    augmented(part(data, range(10), 500, 200))
    print()
    fine_tuned(data)
    print(f"\n{time.process_time():.0f} s of CPU; torch {torch.__version__}")


def part(
    data: PreparedData, classes: Sequence[int], training: int, validation: int
) -> PreparedData:
    """These classes alone, numbered anew, with so many images of each."""

    def some(images: LabelledImages, count: int) -> LabelledImages:
        rows = np.concatenate([np.flatnonzero(images.labels == c)[:count] for c in classes])
        chosen = images[rows]
        return LabelledImages(chosen.images, np.searchsorted(classes, chosen.labels))

    names = tuple(data.classes[c] for c in classes)
    train, held = some(data.train, training), some(data.validation, validation)
    pixels = train.images / 255
    mean, std = (tuple(map(float, f(pixels, (0, 2, 3)))) for f in (np.mean, np.std))
    return replace(data, classes=names, train=train, validation=held, mean=mean, std=std)


def augmented(data: PreparedData) -> None:
    """Prints the error of each augmentation."""
    print(f"{len(data.train):,} images of 10 classes, 10 epochs{'error':>12}{'training loss':>18}")
    on_device = DeviceData(data)
    for name, settings in WAYS.items():
        recipe = TrainingConfig(rungs=(10,), batch_size=64, **settings)
        scores = [Trainer(ARCH, on_device, recipe, seed).train(10) for seed in range(SEEDS)]
        loss = np.mean([score.train_loss for score in scores])
        print(f"{name:<38}{told([score.error for score in scores])}{loss:>14.2f}", flush=True)


def fine_tuned(data: PreparedData) -> None:
    """Prints the error from random weights and from trained ones, at several learning rates."""
    own = DeviceData(part(data, OWN, 100, 500))
    arch = ARCH.replace(num_classes=len(OWN))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "others.pt"
        recipe = TrainingConfig(rungs=(10,), batch_size=64)
        others = DeviceData(part(data, OTHERS, 2_000, 200))
        before = Trainer(ARCH.replace(num_classes=6), others, recipe, 0, file).train(10)
        init = InitialWeights.read(file, arch)
    print(
        f"the other six classes: {100 * (before.error or 0):.1f} % after 10 epochs, 12,000 images"
    )
    print("400 images of four classes, 20 epochs      error")
    for begins, weights in (("random weights", None), ("fine-tuned", init)):
        for rate in (0.1, 0.03, 0.01):
            recipe = TrainingConfig(rungs=(20,), batch_size=32, learning_rate=rate)
            scores = [
                Trainer(arch, own, recipe, seed, init=weights).train(20) for seed in range(SEEDS)
            ]
            name = f"{begins}, learning rate {rate:g}"
            print(f"{name:<38}{told([score.error for score in scores])}", flush=True)


def told(errors: Sequence[float | None]) -> str:
    """Such as ``41.2 ± 0.3 %``; a training that failed has no error."""
    values = 100 * np.array(errors, dtype=float)
    return f"{values.mean():.1f} ± {values.std(ddof=1) / len(values) ** 0.5:.1f} %"


if __name__ == "__main__":
    main()
