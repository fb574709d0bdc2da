"""From settings to arrays ready for training, decoded once and cached. Imports no torch.

``prepare`` opens the training and validation images only; ``prepare_test`` alone opens the test
split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnsearch.cachedir import cache_root
from dnsearch.config import DataConfig
from dnsearch.data import assemble
from dnsearch.data.cache import Entry, cache_key, cached
from dnsearch.data.dataset import LabelledImages, PreparedData
from dnsearch.data.formats import Source, open_source
from dnsearch.errors import DataError

LAYOUT = 1  # of the cache: to be raised when the same settings give other arrays than before


def prepare(config: DataConfig, cache: Path | None = None) -> PreparedData:
    """The training and validation images of these settings, from the cache or from their files.

    cache: its folder; None is the user's, see ``cachedir.cache_root``.
    Raises ConfigError on the settings, DataError on the files.
    """
    source = open_source(config)
    files = source.files["train"] + source.files.get("validation", ())
    folder = _folder(cache, config, files)
    arrays, facts = cached(folder, lambda: _build(config, source))
    return PreparedData(
        name=_name(config),
        classes=tuple(facts["classes"]),
        train=LabelledImages(arrays["train_images"], arrays["train_labels"]),
        validation=LabelledImages(arrays["validation_images"], arrays["validation_labels"]),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        fingerprint=facts["fingerprint"],
        test_split="test" in source.files,
    )


def has_test(config: DataConfig) -> bool:
    """Whether there is a test split now. Lists the data set's files, opens none of its images."""
    return "test" in open_source(config).files


def had_test(described: Mapping[str, Any], config: DataConfig) -> bool:
    """Whether there was a test split when ``PreparedData.describe`` wrote this (``data.json``).

    Runs from before that was recorded are answered by ``has_test``, which raises DataError where
    the images are gone.
    """
    recorded = described.get("test_split")
    return has_test(config) if recorded is None else bool(recorded)


def prepare_test(config: DataConfig, cache: Path | None = None) -> LabelledImages:
    """The test split, with the size, channels and class numbers of the training images.

    Raises DataError where there is no test split, and what ``prepare`` raises.
    """
    source = open_source(config)
    if "test" not in source.files:
        raise DataError(f"{_name(config)}: must have a test split, has {', '.join(source.files)}")
    seen = prepare(config, cache)
    folder = _folder(cache, config, source.files["test"], seen.fingerprint)
    arrays, _ = cached(folder, lambda: _build_test(config, source, seen))
    return LabelledImages(arrays["test_images"], arrays["test_labels"])


def _name(config: DataConfig) -> str:
    """Such as ``cifar10``, or for general formats ``flowers (folder)``."""
    if config.path is None or config.format not in ("parquet", "folder", "npz"):
        return config.format
    return f"{config.path.resolve().name} ({config.format})"


def _folder(cache: Path | None, config: DataConfig, files: tuple[Path, ...], *more: str) -> Path:
    settings = config.model_dump(mode="json", exclude={"path"})
    return (cache or cache_root()) / "data" / cache_key([LAYOUT, settings, *more], files)


def _build(config: DataConfig, source: Source) -> Entry:
    """Reads training and validation images; without a validation split, some are held out."""
    where = f"{_name(config)}, train"
    rng = np.random.default_rng(config.seed)
    split = source.read("train", config.image_size)
    classes = assemble.class_names(where, split)
    train = assemble.number(where, split, classes)
    if "validation" in source.files:
        assemble.check_counts(where, train.labels, classes, least=1)
        held_where = f"{_name(config)}, validation"
        held = source.read("validation", config.image_size)
        numbered = assemble.number(held_where, held, classes)
        validation = assemble.match(held_where, numbered, train.images.shape[1:])
    else:
        assemble.check_counts(where, train.labels, classes, least=2)
        train, validation = assemble.hold_out(train, config.validation, rng)
    return _entry(classes, assemble.subset(train, config, rng), validation)


def _entry(classes: tuple[str, ...], train: LabelledImages, validation: LabelledImages) -> Entry:
    mean, std = assemble.channel_statistics(train.images)
    arrays = {
        "train_images": train.images,
        "train_labels": train.labels,
        "validation_images": validation.images,
        "validation_labels": validation.labels,
    }
    facts = {
        "classes": classes,
        "mean": mean,
        "std": std,
        "fingerprint": assemble.fingerprint(classes, train, validation),
    }
    return Entry(arrays, facts)


def _build_test(config: DataConfig, source: Source, seen: PreparedData) -> Entry:
    where = f"{_name(config)}, test"
    split = source.read("test", config.image_size)
    numbered = assemble.number(where, split, seen.classes)
    test = assemble.match(where, numbered, seen.shape)
    return Entry({"test_images": test.images, "test_labels": test.labels}, {})
