"""From settings to arrays ready for training, decoded once and cached. Imports no torch.

Splits are drawn from labels; then the images that were drawn are decoded, and no others. What a
study draws is kept under its own settings, pixels for all studies of the same files and size.

``prepare`` returns the training and validation images only; ``prepare_test`` alone returns test
images, and ``check_test`` says whether it can.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnsearch.cachedir import cache_root
from dnsearch.config import DataConfig
from dnsearch.data import assemble
from dnsearch.data.cache import Entry, cache_key, cache_limit, cached, make_room
from dnsearch.data.classes import Classes
from dnsearch.data.dataset import LabelledImages, PreparedData
from dnsearch.data.decoding import SplitPixels
from dnsearch.data.formats import (
    MOST_LISTED,
    BadPictures,
    Options,
    Source,
    Split,
    SplitName,
    open_source,
    require_every_class,
)
from dnsearch.errors import DataError, DnsearchError
from dnsearch.files import write_text
from dnsearch.seeds import derived_seed
from dnsearch.text import as_unicode, counted

LAYOUT = 4  # of the cache: to be raised when the same settings give other arrays than before
CHEAP_BYTES = 32_000_000
"""Test files of this size in all are looked at within about a second."""

logger = logging.getLogger(__name__)


def prepare(config: DataConfig, cache: Path | None = None) -> PreparedData:
    """The training and validation images of these settings, from the cache or from their files.

    cache: its folder; None is the user's, see ``cachedir.cache_root``.
    Raises ConfigError on the settings, DataError on the files, MachineError for want of memory or
    where the machine is at fault.
    """
    with _data_set(config, cache) as data:
        return data.prepared()


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
    with _data_set(config, cache) as data:
        data.require_test()
        return data.test()[0]


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
    with _data_set(config, cache) as data:
        data.training_entry()
        try:
            data.require_test()
            test, notes = data.test()
        except DataError as error:
            return SplitCheck(str(error), 0, ())
        return SplitCheck(None, len(test), notes)


def is_cheap_to_check(config: DataConfig) -> bool:
    """Whether ``check_test`` takes about a second at most, by the size of the files."""
    source = open_source(config)
    files = source.files.get("test") or source.files["train"]
    return sum(file.stat().st_size for file in files if file.exists()) <= CHEAP_BYTES


@contextlib.contextmanager
def _data_set(config: DataConfig, cache: Path | None) -> Iterator[_DataSet]:
    """A data set with these settings; at the end the cache makes room for what that added."""
    data = _DataSet(config, cache)
    yield data
    data.make_room()


class _DataSet:
    """A data set with these settings: from labels to splits, from splits to the rows to decode."""

    def __init__(self, config: DataConfig, cache: Path | None) -> None:
        self.config, self.source = config, open_source(config)
        self.root = _root(cache)
        if self.root is not None:
            cache_limit()  # what is wrong with it is said before anything is done
        self._added = False
        self._contents: dict[SplitName, str] = {}
        self._decoded: dict[object, SplitPixels] = {}

    def prepared(self) -> PreparedData:
        """The training and validation images."""
        entry = self.training_entry()
        facts = entry.facts
        return PreparedData(
            name=_name(self.config),
            classes=tuple(facts["classes"]["names"]),
            train=self._part(entry, "train"),
            validation=self._part(entry, "validation"),
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
            fingerprint=facts["fingerprint"],
            test_split=_has_test(self.config, self.source),
            notes=(*self.source.notes, *facts["notes"]),
        )

    def test(self) -> tuple[LabelledImages, tuple[str, ...]]:
        """The test images, and notes on them."""
        seen = self.training_entry()
        entry = self._cached(self._test_folder(seen), lambda: self._build_test(seen))
        return self._part(entry, "test"), tuple(entry.facts["notes"])

    def require_test(self) -> None:
        """Raises DataError where there is no test split."""
        if not _has_test(self.config, self.source):
            has = ", ".join(self.source.files)
            raise DataError(
                f"{_name(self.config)}: must have a test split, has {has}; data.test can hold one "
                "out"
            )

    def training_entry(self) -> Entry:
        """Which rows the training and validation images are, their labels, and what is known of
        them. Their pixels need not be there."""
        return self._cached(self._training_folder(), self._build)

    def make_room(self) -> None:
        """Has the cache keep its bound, if anything of this was added to it."""
        if self.root and (self._added or any(held.added for held in self._decoded.values())):
            make_room(self.root, self._folders)

    def _folders(self) -> set[Path | None]:
        """Where the cache has this data set, also what of it was not asked for."""
        seen = self.training_entry()
        held = [self._pixels_of(seen, part) for part in ("train", "validation")]
        if "test" in self.source.files:
            held.append(self._pixels("test", tuple(seen.facts["shape"])))
        return {self._training_folder(), self._test_folder(seen), *(each.folder for each in held)}

    def _cached(self, folder: Path | None, build: Callable[[], Entry]) -> Entry:
        def built() -> Entry:
            self._added = True
            return build()

        with self._bad_pictures_told():
            return build() if folder is None else cached(folder, built)

    @contextlib.contextmanager
    def _bad_pictures_told(self) -> Iterator[None]:
        """Bad pictures are reported in one message, and all of them in a file."""
        try:
            yield
        except BadPictures as error:
            raise _told(error, self.root) from None

    def _part(self, entry: Entry, part: str) -> LabelledImages:
        """The images of an entry called so, which are decoded where they are not in the cache."""
        held = self._pixels_of(entry, part)
        rows, labels = entry.arrays[f"{part}_rows"], entry.arrays[f"{part}_labels"]
        with self._bad_pictures_told():
            return _labelled(held, np.array(rows), np.array(labels), entry.facts["channels"])

    def _pixels_of(self, entry: Entry, part: str) -> SplitPixels:
        """The decoded images among which those of an entry are that are called so."""
        like = entry.facts["like"][part]
        return self._pixels(entry.facts["splits"][part], like and tuple(like))

    def _pixels(self, split: SplitName, like: tuple[int, int, int] | None = None) -> SplitPixels:
        """The decoded images of a split of the files; ``like``: of this shape, to be beside the
        training images."""
        if (found := self._decoded.get((split, like))) is None:
            config = self.config
            options = Options(config.image_size, config.background, config.draft, config.fit)
            folder = None
            if self.root is not None:
                settings = [LAYOUT, split, config.format, config.image, *_keyed(options), like]
                folder = self.root / "pixels" / cache_key([settings, self._content(split)], ())
            what = f"{_name(config)}, {split}"
            opened = functools.partial(self.source.open, split)
            found = SplitPixels(what, opened, folder, options, like)
            self._decoded[split, like] = found
        return found

    def _training_folder(self) -> Path | None:
        return self._folder(("train", "validation"))

    def _test_folder(self, seen: Entry) -> Path | None:
        split: SplitName = "test" if "test" in self.source.files else "train"
        return self._folder((split,), "test", seen.facts["fingerprint"])

    def _folder(self, splits: Iterable[SplitName], *more: str) -> Path | None:
        """Where what is made of these splits is cached; None where there is no place for it."""
        if self.root is None:
            return None
        contents = [self._content(split) for split in splits if split in self.source.files]
        settings = self.config.model_dump(mode="json", exclude={"path", "keep"})
        if self.config.fit == "crop":  # as before there was the setting
            del settings["fit"]
        return self.root / "data" / cache_key([LAYOUT, settings, *more, contents], ())

    def _content(self, split: SplitName) -> str:
        """What names the files of a split by all that is in them."""
        if split not in self._contents:
            labels = self.source.labels
            told = (lambda: labels(split)) if labels else bytes
            self._contents[split] = cache_key([], self.source.files[split], told)
        return self._contents[split]

    def _training(self) -> _Training:
        """Classes and labels of the training split; its rows, in part held out as test images where
        that is asked for."""
        config, where = self.config, f"{_name(self.config)}, train"
        held = self._pixels("train")
        split, rows = held.split, self._usable(held)
        if len(rows) < len(split):
            require_every_class(split, split.labels[rows])
        classes = Classes.of(where, replace(split, labels=split.labels[rows]))
        labels = _positions(where, split, rows, classes)
        test, splits = None, 1 + ("validation" not in self.source.files)
        share = None if "test" in self.source.files else config.test
        least = splits + (share is not None)
        assemble.check_counts(where, labels[rows], classes.names, least)
        total = len(rows)
        if share is not None:
            rng = np.random.default_rng(derived_seed("test images", config.seed))
            amount = round(share * total)
            rows, test = assemble.hold_out(labels, rows, amount, rng, leave=splits)
        return _Training(held, classes, labels, rows, test, total)

    def _build(self) -> Entry:
        """Draws training and validation images, by labels alone, and decodes what was drawn."""
        config, training = self.config, self._training()
        held, labels, train = training.held, training.labels, training.rows
        rng = np.random.default_rng(config.seed)
        validation, own_split = train[:0], "validation" in self.source.files
        if not own_split:
            total = round(config.validation * training.total)
            train, validation = assemble.hold_out(labels, train, total, rng)
        train = assemble.subset(labels, train, "data.train_images", config.train_images, rng)
        own = np.random.default_rng(derived_seed("validation images", config.seed))
        if not own_split:
            validation = self._validation_subset(labels, validation, own)
        decoded = np.union1d(train, validation)
        held.of(decoded)
        channels = 1 if config.skip_bad and held.is_grey(decoded) else held.shape[0]
        assemble.require_unlike(held.what, _labelled(held, decoded, labels[decoded], channels))
        notes = _notes(held, decoded, "training", config.skip_bad) + training.classes.notes
        seen = _labelled(held, train, labels[train], channels)
        split: SplitName = "train"
        like = None
        if own_split:
            split, like = "validation", seen.shape
            held, validation, labels = self._other("validation", like, training.classes, own)
            notes += _notes(held, validation, "validation", config.skip_bad)
        others = _labelled(held, validation, labels[validation], channels)
        notes += assemble.duplicates_note("validation", seen, others)
        mean, std = assemble.channel_statistics(seen)
        facts = {
            "classes": training.classes.facts(),
            "mean": mean,
            "std": std,
            "fingerprint": assemble.fingerprint(training.classes.spelt, seen, others),
            "notes": notes,
            "splits": {"train": "train", "validation": split},
            "like": {"train": None, "validation": like},
            "channels": channels,
            "shape": seen.shape,
        }
        arrays = {
            "train_rows": train,
            "train_labels": seen.labels,
            "validation_rows": validation,
            "validation_labels": others.labels,
        }
        return Entry(arrays, facts)

    def _usable(self, held: SplitPixels) -> np.ndarray:
        """The rows of a split whose pictures can be read; all, unless bad ones are left out."""
        if self.config.skip_bad and held.split.shape is None:
            return np.flatnonzero(held.readable())
        return np.arange(len(held.split))

    def _validation_subset(
        self, labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        wanted = self.config.validation_images
        return assemble.subset(labels, rows, "data.validation_images", wanted, rng)

    def _other(
        self,
        name: SplitName,
        like: tuple[int, int, int],
        classes: Classes,
        rng: np.random.Generator | None,
    ) -> tuple[SplitPixels, np.ndarray, np.ndarray]:
        """A split beside the training images: its pixels, which of its rows are wanted, and the
        labels of all. With ``rng`` those of a validation split may be some."""
        where = f"{_name(self.config)}, {name}"
        held = self._pixels(name, like)
        rows = self._usable(held)
        labels = _positions(where, held.split, rows, classes)
        if rng is not None:
            rows = self._validation_subset(labels, rows, rng)
        held.of(rows)
        return held, rows, labels

    def _build_test(self, seen: Entry) -> Entry:
        train, channels = self._part(seen, "train"), seen.facts["channels"]
        notes: tuple[str, ...] = ()
        like = None
        if "test" in self.source.files:
            split, like = "test", train.shape
            classes = Classes.read(seen.facts["classes"])
            held, rows, labels = self._other(split, like, classes, None)
            notes = _notes(held, rows, "test", self.config.skip_bad)
        else:
            split, training = "train", self._training()
            assert training.test is not None
            held, rows, labels = training.held, training.test, training.labels
        test = _labelled(held, rows, labels[rows], channels)
        notes += assemble.duplicates_note("test", train, test)
        facts = {
            "notes": notes,
            "splits": {"test": split},
            "like": {"test": like},
            "channels": channels,
        }
        return Entry({"test_rows": rows, "test_labels": test.labels}, facts)


def _keyed(options: Options) -> tuple[object, ...]:
    """Options as they are in a key; a setting that is newer than the cache only where it is set."""
    return options if options.fit != "crop" else options[:-1]


class _Training(NamedTuple):
    """The training split of the files. labels: (n,) as positions among the classes, -1 for pictures
    that are left out; rows: of the training and validation images; test: of those held out; total:
    how many there are of all these."""

    held: SplitPixels
    classes: Classes
    labels: np.ndarray
    rows: np.ndarray
    test: np.ndarray | None
    total: int


def _positions(where: str, split: Split, rows: np.ndarray, classes: Classes) -> np.ndarray:
    """Labels of all of a split, (n,), as positions among the classes; -1 but for these rows."""
    labels = np.full(len(split), -1, np.int64)
    labels[rows] = classes.positions(where, replace(split, labels=split.labels[rows]))
    return labels


def _labelled(
    held: SplitPixels, rows: np.ndarray, labels: np.ndarray, channels: int
) -> LabelledImages:
    """These rows of a split; the first of equal channels where only one is wanted."""
    pixels, own = held.of(rows)
    return LabelledImages(pixels[:, :channels], labels, own)


def _notes(held: SplitPixels, rows: np.ndarray, name: str, skip_bad: bool) -> tuple[str, ...]:
    notes = (*held.split.notes, *held.notes(rows, skip_bad))
    return tuple(f"{name} images: {note}" for note in notes)


def _told(error: BadPictures, root: Path | None) -> DataError:
    reasons = error.reasons
    if len(reasons) == 1:
        return DataError(f"{reasons[0]} (data.skip_bad = true goes on without it)")
    text = as_unicode("\n".join(reasons) + "\n")
    name = f"bad-pictures-{hashlib.sha256(text.encode()).hexdigest()[:8]}.txt"
    file = (root or Path(tempfile.gettempdir())) / name
    try:
        write_text(file, text)
        where = f"all are in {file}"
    except DnsearchError as failed:
        where = f"the others could not be listed: {failed}"
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


def _root(cache: Path | None) -> Path | None:
    """The cache's folder; None where there is no place for one."""
    try:
        return cache or cache_root()
    except RuntimeError:
        say_no_cache()
        return None


@functools.cache
def say_no_cache() -> None:
    """Logs, once and not in every worker, that there is no place for a cache."""
    if multiprocessing.parent_process() is None:
        logger.warning("images are decoded anew each time: no home folder; set DNSEARCH_CACHE")
