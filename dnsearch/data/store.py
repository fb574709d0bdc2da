"""From settings to arrays ready for training, decoded once and cached. Imports no torch.

``prepare`` returns the training and validation images only; ``prepare_test`` alone returns test
images, and ``check_test`` says whether it can.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnsearch.cachedir import cache_root
from dnsearch.config import DataConfig
from dnsearch.data import assemble
from dnsearch.data.cache import Entry, cache_key, cached
from dnsearch.data.classes import Classes
from dnsearch.data.dataset import LabelledImages, PreparedData
from dnsearch.data.formats import MOST_LISTED, BadPictures, Source, Split, SplitName, open_source
from dnsearch.errors import DataError
from dnsearch.seeds import derived_seed
from dnsearch.text import counted

LAYOUT = 2  # of the cache: to be raised when the same settings give other arrays than before
CHEAP_BYTES = 32_000_000
"""Test files of this size in all are looked at within about a second."""

logger = logging.getLogger(__name__)


def prepare(config: DataConfig, cache: Path | None = None) -> PreparedData:
    """The training and validation images of these settings, from the cache or from their files.

    cache: its folder; None is the user's, see ``cachedir.cache_root``.
    Raises ConfigError on the settings, DataError on the files.
    """
    source = open_source(config)
    return _prepared(config, source, _entry(config, source, cache))


def _prepared(config: DataConfig, source: Source, entry: Entry) -> PreparedData:
    arrays, facts = entry
    return PreparedData(
        name=_name(config),
        classes=tuple(facts["classes"]["names"]),
        train=LabelledImages(arrays["train_images"], arrays["train_labels"]),
        validation=LabelledImages(arrays["validation_images"], arrays["validation_labels"]),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        fingerprint=facts["fingerprint"],
        test_split=_has_test(config, source),
        notes=(*source.notes, *facts["notes"]),
    )


def has_test(config: DataConfig) -> bool:
    """Whether there is a test split now. Lists the data set's files, opens none of its images."""
    return _has_test(config, open_source(config))


def _has_test(config: DataConfig, source: Source) -> bool:
    return "test" in source.files or config.test is not None


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
    _require_test(config, source)
    arrays, _ = _test_entry(config, source, _entry(config, source, cache), cache)
    return LabelledImages(arrays["test_images"], arrays["test_labels"])


class SplitCheck(NamedTuple):
    """What can be said of a test split without its images: why it cannot be used, None if it can;
    how many images it has, 0 if not; sentences on them."""

    reason: str | None
    images: int
    notes: tuple[str, ...]


def check_test(config: DataConfig, cache: Path | None = None) -> SplitCheck:
    """Reads the whole test split, to find what is wrong with it before anything is trained.

    Raises what ``prepare`` raises on the training images.
    """
    source = open_source(config)
    seen = _entry(config, source, cache)
    try:
        _require_test(config, source)
        arrays, facts = _test_entry(config, source, seen, cache)
    except DataError as error:
        return SplitCheck(str(error), 0, ())
    return SplitCheck(None, len(arrays["test_labels"]), tuple(facts["notes"]))


def is_cheap_to_check(config: DataConfig) -> bool:
    """Whether ``check_test`` takes about a second at most, by the size of the files."""
    source = open_source(config)
    files = source.files.get("test") or source.files["train"]
    return sum(file.stat().st_size for file in files if file.exists()) <= CHEAP_BYTES


def _entry(config: DataConfig, source: Source, cache: Path | None) -> Entry:
    splits: tuple[SplitName, ...] = ("train", "validation")
    folder = _folder(cache, config, source, splits)
    return _cached(folder, lambda: _build(config, source))


def _require_test(config: DataConfig, source: Source) -> None:
    if not _has_test(config, source):
        has = ", ".join(source.files)
        raise DataError(
            f"{_name(config)}: must have a test split, has {has}; data.test can hold one out"
        )


def _test_entry(config: DataConfig, source: Source, seen: Entry, cache: Path | None) -> Entry:
    """Of a data set with test images, whose training entry is ``seen``."""
    split: SplitName = "test" if "test" in source.files else "train"
    folder = _folder(cache, config, source, (split,), "test", seen.facts["fingerprint"])
    return _cached(folder, lambda: _build_test(config, source, seen))


def _cached(folder: Path | None, build: Callable[[], Entry]) -> Entry:
    """The entry; bad pictures are reported in one message, and all of them in a file."""
    try:
        return build() if folder is None else cached(folder, build)
    except BadPictures as error:
        raise _told(error, folder) from None


def _told(error: BadPictures, folder: Path | None) -> DataError:
    reasons = error.reasons
    if len(reasons) == 1:
        return DataError(f"{reasons[0]} (data.skip_bad = true goes on without it)")
    text = "\n".join(reasons) + "\n"
    name = f"bad-pictures-{hashlib.sha256(text.encode()).hexdigest()[:8]}.txt"
    file = (folder.parent.parent if folder else Path(tempfile.gettempdir())) / name
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        where = f"all are in {file}"
    except OSError as failed:
        where = f"the others could not be listed in {file}: {failed.strerror}"
    shown = "; ".join(reasons[:MOST_LISTED]) + "; ..." * (len(reasons) > MOST_LISTED)
    return DataError(
        f"{counted(len(reasons), 'picture')} cannot be used: {shown} ({where}); mend or remove "
        "them, or set data.skip_bad = true to go on without them"
    )


def _name(config: DataConfig) -> str:
    """Such as ``cifar10``, or for general formats ``flowers (folder)``."""
    if config.path is None or config.format not in ("parquet", "folder", "npz"):
        return config.format
    return f"{config.path.resolve().name} ({config.format})"


def _folder(
    cache: Path | None, config: DataConfig, source: Source, splits: Iterable[SplitName], *more: str
) -> Path | None:
    """Where what is made of these splits is cached; None where there is no place for a cache."""
    try:
        root = cache or cache_root()
    except RuntimeError:
        say_no_cache()
        return None
    present: list[SplitName] = [split for split in splits if split in source.files]
    files = tuple(file for split in present for file in source.files[split])
    labels = source.labels

    def all_labels() -> bytes:
        return b"".join(map(labels, present)) if labels else b""

    settings = config.model_dump(mode="json", exclude={"path"})
    return root / "data" / cache_key([LAYOUT, settings, *more], files, all_labels)


@functools.cache
def say_no_cache() -> None:
    """Logs, once and not in every worker, that there is no place for a cache."""
    if multiprocessing.parent_process() is None:
        logger.warning("images are decoded anew each time: no home folder; set DNSEARCH_CACHE")


class _Training(NamedTuple):
    """The training split of the files, in part held out as test images where that is asked for."""

    classes: Classes
    images: LabelledImages
    test: LabelledImages | None
    total: int
    notes: tuple[str, ...]


def _read_training(config: DataConfig, source: Source) -> _Training:
    where = f"{_name(config)}, train"
    split = source.read("train", config.image_size)
    classes = Classes.of(where, split)
    images = assemble.number(where, split, classes)
    assemble.require_unlike(where, images.images)
    test, splits = None, 1 + ("validation" not in source.files)
    share = None if "test" in source.files else config.test
    assemble.check_counts(where, images.labels, classes.names, splits + (share is not None))
    total = len(images)
    if share is not None:
        rng = np.random.default_rng(derived_seed("test images", config.seed))
        images, test = assemble.hold_out(images, round(share * total), rng, leave=splits)
    return _Training(classes, images, test, total, _notes(split, "training") + classes.notes)


def _notes(split: Split, name: str) -> tuple[str, ...]:
    return tuple(f"{name} images: {note}" for note in split.notes)


def _build(config: DataConfig, source: Source) -> Entry:
    """Reads training and validation images; without a validation split, some are held out."""
    training = _read_training(config, source)
    train, notes = training.images, training.notes
    rng = np.random.default_rng(config.seed)
    if "validation" in source.files:
        where = f"{_name(config)}, validation"
        held = source.read("validation", config.image_size)
        numbered = assemble.number(where, held, training.classes)
        validation = assemble.match(where, numbered, train.images.shape[1:])
        notes += _notes(held, "validation")
    else:
        total = round(config.validation * training.total)
        train, validation = assemble.hold_out(train, total, rng)
    train = assemble.subset(train, "data.train_images", config.train_images, rng)
    own = np.random.default_rng(derived_seed("validation images", config.seed))
    wanted = config.validation_images
    validation = assemble.subset(validation, "data.validation_images", wanted, own)
    notes += assemble.duplicates_note("validation", train, validation)
    return _assembled(training.classes, train, validation, notes)


def _assembled(
    classes: Classes, train: LabelledImages, validation: LabelledImages, notes: tuple[str, ...]
) -> Entry:
    mean, std = assemble.channel_statistics(train.images)
    arrays = {
        "train_images": train.images,
        "train_labels": train.labels,
        "validation_images": validation.images,
        "validation_labels": validation.labels,
    }
    facts = {
        "classes": classes.facts(),
        "mean": mean,
        "std": std,
        "fingerprint": assemble.fingerprint(classes.names, train, validation),
        "notes": notes,
    }
    return Entry(arrays, facts)


def _build_test(config: DataConfig, source: Source, seen: Entry) -> Entry:
    train = LabelledImages(seen.arrays["train_images"], seen.arrays["train_labels"])
    notes: tuple[str, ...] = ()
    if "test" in source.files:
        where = f"{_name(config)}, test"
        split = source.read("test", config.image_size)
        numbered = assemble.number(where, split, Classes.read(seen.facts["classes"]))
        test = assemble.match(where, numbered, train.images.shape[1:])
        notes = _notes(split, "test")
    else:
        test = _read_training(config, source).test
        assert test is not None
    notes += assemble.duplicates_note("test", train, test)
    return Entry({"test_images": test.images, "test_labels": test.labels}, {"notes": notes})
