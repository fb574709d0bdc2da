"""From splits as they are in their files to those for training: classes, hold-out, statistics."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.dataset import LabelledImages
from dnsearch.data.formats import Split
from dnsearch.data.split import draw
from dnsearch.errors import ConfigError, DataError

IMAGES_AT_ONCE = 4096  # limits the memory that a pass over all images takes


def class_names(where: str, split: Split) -> tuple[str, ...]:
    """The names of the training split's classes; their numbers, in order, if they have no names.

    Raises DataError naming ``where`` if there are fewer than two.
    """
    classes = split.classes or tuple(map(str, np.unique(split.labels)))
    if len(classes) < 2:
        raise DataError(f"{where}: must have at least 2 classes, got {', '.join(classes)}")
    return classes


def number(where: str, split: Split, classes: tuple[str, ...]) -> LabelledImages:
    """The split as (n, c, h, w), with labels as positions in ``classes``.

    Raises DataError where it has a label or classes that the training split lacks.
    """
    if split.classes not in (None, classes):
        raise DataError(f"{where}: must have the training split's classes, {', '.join(classes)}")
    numbers = np.arange(len(classes)) if split.classes else np.array([int(c) for c in classes])
    positions = np.searchsorted(numbers, split.labels).clip(max=len(numbers) - 1)
    unknown = numbers[positions] != split.labels
    if unknown.any():
        raise DataError(
            f"{where}: labels must be among {_span(numbers)}, got {split.labels[unknown][0]}"
        )
    images = np.ascontiguousarray(split.images.transpose(0, 3, 1, 2))
    return LabelledImages(images, positions.astype(np.int64))


def _span(numbers: np.ndarray) -> str:
    if len(numbers) == numbers[-1] - numbers[0] + 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return f"the training split's {', '.join(map(str, numbers))}"


def match(where: str, data: LabelledImages, shape: tuple[int, ...]) -> LabelledImages:
    """The images in the training images' shape (c, h, w): grey ones become RGB if those are RGB.

    Raises DataError on another size, and on RGB images if the training images are grey.
    """
    channels, height, width = shape
    if data.images.shape[2:] != (height, width):
        got = "x".join(map(str, data.images.shape[2:]))
        raise DataError(
            f"{where}: images must be {height}x{width} like the training images, got {got}; "
            "set data.image_size to resize them"
        )
    if data.images.shape[1] > channels:
        raise DataError(f"{where}: images must be grey like the training images, got RGB")
    return LabelledImages(data.images.repeat(channels // data.images.shape[1], axis=1), data.labels)


def check_counts(where: str, labels: np.ndarray, classes: tuple[str, ...], least: int) -> None:
    """Raises DataError naming the smallest class if it has fewer than ``least`` images."""
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(counts.argmin())
    if counts[smallest] < least:
        raise DataError(
            f"{where}: every class must have at least {least} images"
            f"{' to be split' if least > 1 else ''}, class {classes[smallest]!r} has "
            f"{counts[smallest]}"
        )


def hold_out(
    data: LabelledImages, share: float, rng: np.random.Generator
) -> tuple[LabelledImages, LabelledImages]:
    """Training and validation images: this share of each class, at least one image, is held out."""
    held = draw(data.labels, round(share * len(data)), rng, leave=1)
    return data[~held], data[held]


def subset(data: LabelledImages, config: DataConfig, rng: np.random.Generator) -> LabelledImages:
    """``config.train_images`` of the training images, each class in proportion; all if unset.

    Raises ConfigError where there are fewer, or fewer are asked for than there are classes.
    """
    wanted = config.train_images
    if wanted is None or wanted == len(data):
        return data
    least = len(np.unique(data.labels))
    if not least <= wanted <= len(data):
        raise ConfigError(
            "data.train_images",
            f"must be between {least} (one a class) and {len(data)} (all there are)",
            wanted,
        )
    return data[draw(data.labels, wanted, rng)]


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of (n, c, h, w) uint8, on a scale from 0 to 1.

    Exact, from the counts of the 256 values. The deviation is at least one step of grey, so that a
    constant channel can be divided by it.
    """
    chunks = [images[i : i + IMAGES_AT_ONCE] for i in range(0, len(images), IMAGES_AT_ONCE)]
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        pixels = (np.bincount(chunk[:, channel].ravel(), minlength=256) for chunk in chunks)
        weights = np.sum(list(pixels), axis=0)
        mean = np.average(values, weights=weights)
        variance = np.average((values - mean) ** 2, weights=weights)
        means.append(float(mean))
        stds.append(max(float(np.sqrt(variance)), 1 / 255))
    return means, stds


def fingerprint(classes: tuple[str, ...], *parts: LabelledImages) -> str:
    """16 hex digits of the classes, every image and every label."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for part in parts:
        digest.update(json.dumps(part.images.shape).encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()[:16]
