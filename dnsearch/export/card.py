"""The model card: what a network is, how good it is and how far that is known, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dnsearch.analysis.confidence import LEVEL, binomial_interval
from dnsearch.analysis.metrics import MISSING, error_ends, format_value
from dnsearch.config import DataConfig, ErrorName, TrainingConfig
from dnsearch.export.preprocessing import FITS, Preprocessing
from dnsearch.text import agreeing, counted
from dnsearch.training.measured import effective_images

LICENCES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("fashion-mnist-16k", "fashion-mnist"), "MIT, by Zalando SE")
)
"""Licences of data sets, by ``data.format``, as far as their authors state one."""

WORST = 20
"""Classes that the card shows of those that have more."""

UNCHECKED = (
    "Pictures from elsewhere: all figures are of images of the same source as the training images.",
    "The probabilities: they are the softmax of the logits. Whether of the answers given with 90 % "
    "nine in ten are right was not measured.",
    "Groups within a class, such as cameras, places or people: they were not told apart.",
    "Near-duplicates: between training images and those that errors are measured on, only images "
    "that are the same pixel for pixel were looked for.",
    "Noise, blur, cropping and other changes of the images, and images of none of the classes.",
)
"""What no network of dnsearch was checked for."""


class ClassErrors(NamedTuple):
    """How many images of each class are ``wrong``, of how many, (classes,); ``split`` names the
    images, ``test`` or ``validation``."""

    split: str
    wrong: Sequence[int]
    of: Sequence[int]


class Card(NamedTuple):
    """What a model card tells.

    intro: what was trained, and how it was found. figures: names and values. remark: how to read
    them. classes: errors by class, where known. data: the values of ``data.json``. source, recipe:
    what the images were read by and the network was trained by, for so many ``epochs``.
    unchecked: what holds for this network, beside ``UNCHECKED``. init: the file of weights that
    the training began with, if there was one.
    """

    title: str
    intro: str
    figures: Sequence[tuple[str, str]]
    remark: str
    classes: ClassErrors | None
    data: Mapping[str, Any]
    source: DataConfig
    recipe: TrainingConfig
    epochs: int
    seed: int
    unchecked: Sequence[str]
    init: str | None = None

    @property
    def images(self) -> Preprocessing:
        """How its images are prepared."""
        return Preprocessing.of(self.data, self.source)

    def text(self) -> str:
        """The card as Markdown."""
        parts = [f"# {self.title}", self.intro, _table(("figure", "value"), self.figures)]
        parts.append(
            f"{self.remark} Intervals hold the true figure "
            f"with a probability of {100 * LEVEL:.0f} %."
        )
        if self.classes is not None:
            names = list(map(str, self.data["classes"]))
            parts += ["## Errors by class", *_class_errors(self.classes, names)]
        parts += ["## Data", *_data(self.data, self.source)]
        parts += ["## Recipe", _list(_recipe(self))]
        parts += ["## Not checked", _list((*self.unchecked, *UNCHECKED))]
        return "\n\n".join(parts) + "\n"


def error_text(kind: ErrorName, error: float, images: Sequence[int], split: str) -> str:
    """An error (0 to 1) with the interval that so many images of each class allow."""
    if not math.isfinite(error):
        return MISSING
    low, high = binomial_interval(error, effective_images(kind, images), LEVEL)
    return f"{_between(error, low, high)} on {sum(images):,} {split} images"


def _between(error: float, low: float, high: float) -> str:
    """Such as ``12.30 % (11.62 to 13.01 %)``."""
    return f"{format_value('error', error)} ({error_ends(low, high)})"


def _class_errors(found: ClassErrors, names: Sequence[str]) -> Iterable[str]:
    wrong, of = np.array(found.wrong), np.array(found.of)
    there = np.flatnonzero(of)
    order = there[np.argsort(-wrong[there] / of[there], kind="stable")][:WORST]
    shares = wrong[order] / of[order]
    low, high = binomial_interval(shares, of[order], LEVEL)
    rows: list[Sequence[str]] = [
        (
            str(names[place]),
            f"{of[place]:,}",
            _between(float(wrong[place] / of[place]), least, most),
        )
        for place, least, most in zip(order, low, high, strict=True)
    ]
    yield _table(("class", f"{found.split} images", "error"), rows)
    if len(there) > len(rows):
        yield f"These are the {len(rows)} worst of {len(there):,} classes."


def _data(data: Mapping[str, Any], source: DataConfig) -> Iterable[str]:
    channels, height, width = data["shape"]
    colours = "grey" if channels == 1 else "RGB"
    images = data["images"]
    yield _list(
        [
            f"{data['name']}: {images['train']:,} training and {images['validation']:,} validation "
            f"images of {len(data['classes']):,} classes, {colours}, {height}x{width} pixels",
            _licence(source),
            f"pictures of other sizes: {FITS[source.fit]}",
            f"fingerprint of the images: `{data.get('fingerprint', 'not recorded')}`",
            *data.get("notes", ()),
        ]
    )


def _licence(source: DataConfig) -> str:
    known = LICENCES.get(source.format)
    if known is not None:
        return f"licence of the data: {known}"
    return (
        "licence of the data: not known to dnsearch; find out what it allows before you publish "
        "the network"
    )


def _recipe(card: Card) -> Iterable[str]:
    recipe = card.recipe
    at_once = "" if recipe.micro_batch is None else f" ({recipe.at_once} at a time, by micro_batch)"
    batches = f"batches of {recipe.batch_size}{at_once}"
    weights = "random weights" if card.init is None else f"the weights of {card.init}"
    warmup = f"{recipe.warmup:g} {agreeing(recipe.warmup, 'epoch', 'epochs')}"
    yield f"{counted(card.epochs, 'epoch')} in {batches}, seed {card.seed}, from {weights}"
    yield (
        f"SGD with Nesterov momentum {recipe.momentum:g} and a learning rate of "
        f"{recipe.learning_rate:g}: {warmup} of warm-up, constant, falling to 0 in the "
        f"last {100 * recipe.decay:g} %"
    )
    yield f"weight decay {recipe.weight_decay:g}, not of norms and biases"
    if recipe.ema:
        yield f"the weights are averages over training steps, with a decay of {recipe.ema:g}"
    if recipe.label_smoothing:
        yield f"label smoothing {recipe.label_smoothing:g}"
    if recipe.class_weights != "none":
        yield "classes weighted in inverse proportion to their images"
    if recipe.clip_norm:
        yield f"gradients clipped to a norm of {recipe.clip_norm:g}"
    shifted = recipe.shift and recipe.crop == "shift"
    changes = [
        *(["mirrored at random"] if recipe.flip else []),
        *([f"shifted by up to {recipe.shift} pixels"] if shifted else []),
        *(["cropped at random and resized"] if recipe.crop == "resized" else []),
        *([f"colours changed by up to {100 * recipe.jitter:g} %"] if recipe.jitter else []),
        *([f"a square of {recipe.cutout} pixels blanked"] if recipe.cutout else []),
        *([f"mixed in pairs by mixup ({recipe.mixup:g})"] if recipe.mixup else []),
        *([f"mixed in pairs by CutMix ({recipe.cutmix:g})"] if recipe.cutmix else []),
    ]
    yield f"images {', '.join(changes)}" if changes else "images as they are, without augmentation"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """A class may be called anything."""
    return " ".join(text.replace("|", "\\|").split())


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
