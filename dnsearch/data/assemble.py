"""From splits as they are in their files to those for training: classes, hold-out, statistics."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from dnsearch.data.dataset import LabelledImages
from dnsearch.data.split import draw
from dnsearch.errors import ConfigError, DataError
from dnsearch.text import agreeing, counted


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
    labels: np.ndarray, rows: np.ndarray, total: int, rng: np.random.Generator, leave: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Of these rows (n,) the rest, and about ``total`` held out: each class in proportion, at least
    one of it, while ``leave`` of it are left. labels: (m,), of which the rows have theirs."""
    held = draw(labels[rows], total, rng, leave=leave)
    return rows[~held], rows[held]


def require_unlike(where: str, images: LabelledImages) -> None:
    """Raises DataError where all images are the same: nothing could be learnt."""
    first = None
    for chunk in images.chunks():
        first = chunk[0].copy() if first is None else first
        if (chunk != first).any():
            return
    raise DataError(
        f"{where}: images must differ, but all {len(images):,} are alike; what they show may "
        "lie in parts that data.background hides"
    )


def duplicates(seen: LabelledImages, held: LabelledImages) -> tuple[int, int]:
    """How many of the ``held`` images are among those ``seen``, pixel for pixel; how many of these
    have another label than any of their like there."""
    known = _digests(seen)
    order = np.argsort(known)
    known, labels = known[order], seen.labels[order]
    own = _digests(held)
    first, stop = (np.searchsorted(known, own, side) for side in ("left", "right"))
    twice = np.flatnonzero(stop > first)
    contrary = [held.labels[i] not in labels[first[i] : stop[i]] for i in twice]
    return len(twice), sum(contrary)


def _digests(data: LabelledImages) -> np.ndarray:
    """Of each image, (n,) of 16 bytes, which have an order."""
    found = np.empty(len(data), "S32")
    images = (image for chunk in data.chunks() for image in chunk)
    for index, image in enumerate(images):
        found[index] = hashlib.blake2b(image.data, digest_size=16).hexdigest()
    return found


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
    labels: np.ndarray, rows: np.ndarray, field: str, wanted: int | None, rng: np.random.Generator
) -> np.ndarray:
    """So many of the rows (n,) as ``field`` of the study wants, each class in proportion; all if
    None. labels: (m,), of which the rows have theirs.

    Raises ConfigError where there are fewer, or fewer are asked for than there are classes.
    """
    if wanted is None or wanted == len(rows):
        return rows
    own = labels[rows]
    least = len(np.unique(own))
    if not least <= wanted <= len(rows):
        raise ConfigError(
            field,
            f"must be between {least} (one a class) and {len(rows)} (all there are)",
            wanted,
        )
    return rows[draw(own, wanted, rng)]


def channel_statistics(images: LabelledImages) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, on a scale from 0 to 1.

    Exact, from the counts of the 256 values. The deviation is at least one step of grey, so that a
    constant channel can be divided by it.
    """
    counts = np.zeros((images.shape[0], 256), np.int64)
    for chunk in images.chunks():
        for channel in range(len(counts)):
            counts[channel] += np.bincount(chunk[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    means, stds = [], []
    for weights in counts:
        mean = np.average(values, weights=weights)
        variance = np.average((values - mean) ** 2, weights=weights)
        means.append(float(mean))
        stds.append(max(float(np.sqrt(variance)), 1 / 255))
    return means, stds


def fingerprint(classes: tuple[str, ...], *parts: LabelledImages) -> str:
    """16 hex digits of the classes, every image and every label."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for part in parts:
        digest.update(json.dumps([len(part), *part.shape]).encode())
        for chunk in part.chunks():
            digest.update(np.ascontiguousarray(chunk).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()[:16]
