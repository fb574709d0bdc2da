"""A folder of pictures: a sub-folder for each class, or a folder for each split with those in it.

A class is the first level below the split; its pictures may lie at any depth.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.images import Encoded
from dnsearch.data.formats.source import (
    Batch,
    Source,
    Split,
    SplitFiles,
    SplitName,
    require_every_class,
)
from dnsearch.data.formats.spellings import (
    is_junk,
    known_spellings,
    spelling_rank,
    split_called,
    unused,
)
from dnsearch.errors import DataError
from dnsearch.text import counted, listed

ROWS_AT_ONCE = 64
EXTENSIONS = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ]
)


class Labelled(NamedTuple):
    """A split's folder: its classes, also those without pictures; its pictures, by class and path;
    the class of each; what else lies there."""

    root: Path
    classes: tuple[str, ...]
    pictures: tuple[Path, ...]
    labels: tuple[int, ...]
    others: tuple[Path, ...]


class Layout(NamedTuple):
    """The folder of each split, and folders in none of them."""

    roots: dict[SplitName, Path]
    unknown: tuple[Path, ...]


def open_folder(path: Path, _: DataConfig) -> Source:
    """The pictures in this folder. Classes are named by their sub-folders, in sorted order.

    Raises DataError where there are no such sub-folders, or the training split has no pictures.
    """
    if not path.is_dir():
        raise DataError(f"{path}: must be a folder with one sub-folder a class, got a file")
    top = _descend(path)
    layout = _layout(top)
    taken = set(layout.roots.values())
    found: dict[SplitName, Labelled] = {
        split: _labelled(root, taken) for split, root in layout.roots.items()
    }
    train = found["train"]
    if not train.classes:
        raise DataError(
            f"{path}: must hold one sub-folder a class, has none "
            f"(known names of splits are {known_spellings()})"
        )
    if not train.pictures:
        raise DataError(f"{train.root}: must hold pictures in its sub-folders, has none")
    notes = [f"images are those in {top.relative_to(path)}/"] * (top != path)
    empty: list[SplitName] = [split for split, each in found.items() if not each.pictures]
    for split in empty:
        root = found.pop(split).root
        notes.append(f"no {split} split: {root.name}/ has no pictures in sub-folders of classes")
    notes += unused("folder", (f"{folder.name}/" for folder in layout.unknown))
    loose = [] if top in taken else [entry for entry in _entries(top) if entry.is_file()]
    notes += _skipped([*loose, *(file for each in found.values() for file in each.others)])
    files: SplitFiles = {split: each.pictures for split, each in found.items()}
    return Source(files, partial(_open_split, found), tuple(notes))


def _entries(path: Path) -> list[Path]:
    """What lies in a folder, sorted, without what is hidden or left by systems."""
    return sorted(entry for entry in path.iterdir() if not is_junk(entry.name))


def _subfolders(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.is_dir()]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS


def _descend(path: Path, split: SplitName | None = None, known: Iterable[str] = ()) -> Path:
    """The folder in this one, and so on, as long as it is alone and has folders in it: archives
    unpack so. One called by another ``split``'s name or by a ``known`` one is not entered."""
    seen = {path.resolve()}
    while len(inner := _subfolders(path)) == 1:
        (only,) = inner
        other = split_called(only.name) not in (None, split)
        if other or only.name in known or not _subfolders(only):
            break
        if only.resolve() in seen or any(map(_is_picture, _entries(path))):
            break
        path = only
        seen.add(path.resolve())
    return path


def _layout(path: Path) -> Layout:
    """Which folder is which split's. Where none for training has sub-folders, the whole is for
    training, but for folders called after another split whose sub-folders are called as classes."""
    folders = _subfolders(path)
    called: dict[SplitName, list[Path]] = {}
    for folder in sorted(folders, key=lambda folder: spelling_rank(folder.name)):
        if split := split_called(folder.name):
            called.setdefault(split, []).append(folder)
    training = next(filter(_subfolders, called.get("train", [])), None)
    names = {folder.name for folder in folders}
    roots: dict[SplitName, Path]
    if training is not None:
        roots = {split: found[0] for split, found in called.items()}
        roots["train"] = training
        unknown = tuple(folder for folder in folders if folder not in roots.values())
        train = _descend(training, "train")
        classes = [folder.name for folder in _subfolders(train)]
        for split, root in roots.items():
            roots[split] = train if split == "train" else _descend(root, split, classes)
        return Layout(roots, unknown)
    roots = {"train": path}
    others: tuple[SplitName, ...] = ("validation", "test")
    for split in others:
        for folder in called.get(split, []):
            inner = {each.name for each in _subfolders(folder)}
            if inner and inner <= names - {folder.name}:
                roots.setdefault(split, folder)
    if folders and all(split_called(each.name) and _subfolders(each) for each in folders):
        raise DataError(
            f"{path}: must hold a training split, has {listed([each.name for each in folders])}"
            f" (known names are {known_spellings()})"
        )
    return Layout(roots, ())


def _labelled(root: Path, taken: Collection[Path]) -> Labelled:
    """The pictures in a split's folder; folders of other splits in it, which are ``taken``, aside.

    Raises DataError where a class has none.
    """
    folders = [folder for folder in _subfolders(root) if folder not in taken]
    pictures: list[Path] = []
    labels: list[int] = []
    others = [entry for entry in _entries(root) if entry.is_file()]
    for label, folder in enumerate(folders):
        files = sorted(_files(folder))
        own = list(filter(_is_picture, files))
        pictures += own
        labels += [label] * len(own)
        others += [file for file in files if not _is_picture(file)]
    names = tuple(folder.name for folder in folders)
    return Labelled(root, names, tuple(pictures), tuple(labels), tuple(others))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder. Links are followed, but none twice, as they may go in circles.

    Raises OSError where a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    for here, inner, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not is_junk(name)]
        yield from (Path(here, name) for name in names if not is_junk(name))


def _skipped(files: Sequence[Path]) -> tuple[str, ...]:
    """A note that counts files that are no pictures, by kind; none where there are none."""
    if not files:
        return ()
    kinds = Counter(file.suffix.lower() or "without extension" for file in files)
    each = [f"{count} {kind}" for kind, count in kinds.most_common()]
    return (f"{counted(len(files), 'file')} skipped: {', '.join(each)}",)


def _open_split(found: dict[SplitName, Labelled], split: SplitName) -> Split:
    each = found[split]
    labels = np.array(each.labels, np.int64)
    opened = Split(
        str(each.root),
        labels,
        partial(_read_rows, each),
        classes=each.classes,
        by_name=True,
        every_class=split == "train",
    )
    require_every_class(opened, labels)
    return opened


def _read_rows(each: Labelled, rows: np.ndarray) -> Iterator[Batch]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        paths = [each.pictures[row] for row in some]
        yield Batch(some, [Encoded(str(path), path) for path in paths])
