"""From splits as they are in their files to those for training: classes, hold-out, statistics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np

from dnsearch.data.classes import Classes
from dnsearch.data.dataset import LabelledImages
from dnsearch.data.formats import Split
from dnsearch.data.split import draw
from dnsearch.errors import ConfigError, DataError
from dnsearch.text import agreeing, counted

IMAGES_AT_ONCE = 4096  # limits the memory that a pass over all images takes


def number(where: str, split: Split, classes: Classes) -> LabelledImages:
    """The split as (n, c, h, w), with labels as positions among the classes.

    Raises DataError where it has a label that the training split lacks.
    """
    positions = classes.positions(where, split)
    return LabelledImages(np.ascontiguousarray(split.images.transpose(0, 3, 1, 2)), positions)


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
    data: LabelledImages, total: int, rng: np.random.Generator, leave: int = 1
) -> tuple[LabelledImages, LabelledImages]:
    """The rest, and about ``total`` images held out: each class in proportion, at least one of it,
    while ``leave`` of it are left."""
    held = draw(data.labels, total, rng, leave=leave)
    return data[~held], data[held]


def require_unlike(where: str, images: np.ndarray) -> None:
    """Raises DataError where all images (n, c, h, w) are the same: nothing could be learnt."""
    if all((images[i : i + IMAGES_AT_ONCE] == images[0]).all() for i in _starts(images)):
        raise DataError(
            f"{where}: images must differ, but all {len(images):,} are alike; what they show may "
            "lie in parts that data.background hides"
        )


def duplicates(seen: LabelledImages, held: LabelledImages) -> tuple[int, int]:
    """How many of the ``held`` images are among those ``seen``, pixel for pixel; how many of these
    have another label there."""
    known: dict[bytes, set[int]] = {}
    for digest, label in zip(_digests(seen.images), seen.labels.tolist(), strict=True):
        known.setdefault(digest, set()).add(label)
    twice = [
        label not in known[digest]
        for digest, label in zip(_digests(held.images), held.labels.tolist(), strict=True)
        if digest in known
    ]
    return len(twice), sum(twice)


def _digests(images: np.ndarray) -> Iterator[bytes]:
    return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)


def duplicates_note(split: str, seen: LabelledImages, held: LabelledImages) -> tuple[str, ...]:
    """What to say of images of a split that are among the training images; nothing if none are."""
    twice, contrary = duplicates(seen, held)
    if not twice:
        return ()
    share = f"{counted(twice, f'{split} image')} ({100 * twice / len(held):.1f} %)"
    other = f", {contrary:,} with another label" if contrary else ""
    return (
        f"{share} {agreeing(twice, 'is', 'are')} among the training images, pixel for pixel{other}",
    )


def subset(
    data: LabelledImages, field: str, wanted: int | None, rng: np.random.Generator
) -> LabelledImages:
    """So many of the images as ``field`` of the study wants, each class in proportion; all if None.

    Raises ConfigError where there are fewer, or fewer are asked for than there are classes.
    """
    if wanted is None or wanted == len(data):
        return data
    least = len(np.unique(data.labels))
    if not least <= wanted <= len(data):
        raise ConfigError(
            field,
            f"must be between {least} (one a class) and {len(data)} (all there are)",
            wanted,
        )
    return data[draw(data.labels, wanted, rng)]


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of (n, c, h, w) uint8, on a scale from 0 to 1.

    Exact, from the counts of the 256 values. The deviation is at least one step of grey, so that a
    constant channel can be divided by it.
    """
    chunks = [images[i : i + IMAGES_AT_ONCE] for i in _starts(images)]
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


def _starts(images: np.ndarray) -> range:
    return range(0, len(images), IMAGES_AT_ONCE)


def fingerprint(classes: tuple[str, ...], *parts: LabelledImages) -> str:
    """16 hex digits of the classes, every image and every label."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for part in parts:
        digest.update(json.dumps(part.images.shape).encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()[:16]
