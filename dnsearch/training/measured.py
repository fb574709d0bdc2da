"""``Measured``: what a network got wrong on some images, as the study's kind of error has it.

Imports no torch: a trainer brings the answers here once, after its pass over the images.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.arrays import Floats, Ints
from dnsearch.config import ErrorName
from dnsearch.files import atomic

MOST_CLASSES = 1000
"""With more classes nothing is kept by class, so that stored trials and matrices stay small."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a network got wrong on this number of ``images``.

    error: 0 to 1, as ``objectives.error`` has it; error_se: its standard error, by the choice of
    images alone. top1_error: share of images whose likeliest class is wrong. loss: mean
    cross-entropy, nats. class_errors: images of each class that are wrong, under ``top5`` those
    whose class is not among the five likeliest. class_images: images of each class. confusion:
    images by true and by predicted class, (classes, classes) int32. The last three are None with
    more than ``MOST_CLASSES``.
    """

    error: float
    error_se: float
    top1_error: float
    loss: float
    images: int
    class_errors: tuple[int, ...] | None
    class_images: tuple[int, ...] | None
    confusion: np.ndarray | None


def measured(
    kind: ErrorName,
    labels: Ints,
    predicted: Ints,
    wrong: np.ndarray,
    loss: float,
    classes: int,
) -> Measured:
    """From the true and the predicted class of each image, (n,), and whether it counts as ``wrong``
    (n,): under ``top5`` where its class is not among the five likeliest, else where the two differ.
    """
    counts = np.bincount(labels, minlength=classes)
    missed = np.bincount(labels[wrong], minlength=classes)
    error, error_se = error_of(kind, missed, counts)
    few = classes <= MOST_CLASSES
    return Measured(
        error=error,
        error_se=error_se,
        top1_error=float(np.mean(predicted != labels)),
        loss=loss,
        images=len(labels),
        class_errors=tuple(missed.tolist()) if few else None,
        class_images=tuple(counts.tolist()) if few else None,
        confusion=confusion_of(labels, predicted, classes) if few else None,
    )


def confusion_of(labels: Ints, predicted: Ints, classes: int) -> np.ndarray:
    """How many images of each true class (rows) were taken for each class (columns), int32."""
    pairs = np.bincount(labels * classes + predicted, minlength=classes**2)
    return pairs.astype(np.int32).reshape(classes, classes)


def write_confusion(found: Measured, path: Path) -> None:
    """Writes the confusion matrix as .npy, whole or not at all; nothing where there is none. Behind
    what NumPy reads stands its SHA-256. Raises RunError."""
    if found.confusion is None:
        return
    with atomic(path) as aside, aside.open("wb") as file:
        content = io.BytesIO()
        np.save(content, found.confusion)
        file.write(content.getvalue() + hashlib.sha256(content.getvalue()).digest())


def read_confusion(path: Path) -> np.ndarray | None:
    """A matrix that ``write_confusion`` wrote; None where there is none that can be read."""
    with contextlib.suppress(Exception):  # half a dozen types, of NumPy and of Python's parser
        content = path.read_bytes()
        file = io.BytesIO(content)
        found = np.load(file, allow_pickle=False)
        array, checksum = content[: file.tell()], content[file.tell() :]
        if checksum in (b"", hashlib.sha256(array).digest()):  # older ones have none
            return found
    return None


def error_of(kind: ErrorName, wrong: Ints, images: Ints) -> tuple[float, float]:
    """The error (0 to 1) and its standard error, from how many images of each class are wrong and
    how many there are, (classes,) each. ``balanced`` is the mean over the classes that occur."""
    count = int(images.sum())
    if kind != "balanced":
        share = int(wrong.sum()) / count
        return share, float(binomial_standard_error(share, count))
    wrong, images = wrong[images > 0], images[images > 0]
    return float(np.mean(wrong / images)), _stratified_standard_error(wrong, images)


def binomial_standard_error(error: ArrayLike, images: int) -> Floats:
    """Standard error of a share of wrong images, ``sqrt(p (1 - p) / n)``, same shape as ``error``.

    It covers the choice of images alone, not the seed of the training. Shares closer than one image
    to 0 or 1 count as one image away: none wrong of 100 is no proof of 0.
    """
    if images < 2:
        return np.full(np.shape(error), np.nan)
    share = np.clip(np.asarray(error, dtype=np.float64), 1 / images, 1 - 1 / images)
    return np.sqrt(share * (1 - share) / images)


def _stratified_standard_error(wrong: Ints, images: Ints) -> float:
    """Of the mean over classes of their errors p, ``sqrt(sum p (1 - p) / n) / classes``: they are
    strata of equal weight (Cochran 1977, Sampling Techniques, 5.3).

    A class with a single image, of which nothing is known of p, counts with the mean error. None
    wrong at all counts as one image of the smallest class, and so does none right.
    """
    if images.sum() < 2:
        return math.nan
    share = wrong / images
    if share.min() == share.max() and share[0] in (0, 1):
        share = np.zeros(len(images))
        share[images.argmin()] = 1 / max(2, images.min())
    else:
        share = np.where(images > 1, share, share.mean())
    return float(np.sqrt(np.sum(share * (1 - share) / images)) / len(images))


def effective_images(kind: ErrorName, class_images: ArrayLike) -> float:
    """How many images an error is worth as a share of them: all, or, of the mean over classes, as
    many as would vary as much were every class wrong equally often, ``classes^2 / sum(1 / n)``."""
    images = np.asarray(class_images, np.float64)
    there = images[images > 0]
    return float(len(there) ** 2 / np.sum(1 / there) if kind == "balanced" else images.sum())


def least_error(kind: ErrorName, class_images: Ints) -> float:
    """Half of the smallest error above 0 that images of these classes, (classes,), can show: where
    none is wrong and a logarithm has no place for 0."""
    images = np.asarray(class_images)
    steps = images.max() * np.count_nonzero(images) if kind == "balanced" else images.sum()
    return 0.5 / max(1, int(steps))
