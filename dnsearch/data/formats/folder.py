"""A folder of pictures: a sub-folder for each class, or train/, val/, test/ with those in each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from dnsearch.data.formats.images import Encoded, read_pictures
from dnsearch.data.formats.source import Source, Split, SplitFiles, SplitName, checked_split
from dnsearch.errors import DataError

SPLIT_FOLDERS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
EXTENSIONS = frozenset(
    [".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"]
)


def open_folder(path: Path) -> Source:
    """The pictures in this folder. Classes are named by their sub-folders, in sorted order.

    Raises DataError where there are no such sub-folders, or a split has no pictures.
    """
    if not path.is_dir():
        raise DataError(f"{path}: must be a folder with one sub-folder a class, got a file")
    roots = _split_roots(path)
    classes = tuple(folder.name for folder in _subfolders(roots["train"]))
    if not classes:
        raise DataError(f"{path}: must hold one sub-folder a class, has none")
    files: SplitFiles = {split: _pictures(root, classes) for split, root in roots.items()}
    return Source(files, partial(_read_split, files, classes))


def _split_roots(path: Path) -> dict[SplitName, Path]:
    """The folder of each split; without sub-folders in train/ the whole is for training."""
    if not _subfolders(path / "train"):
        return {"train": path}
    found: dict[SplitName, Path] = {}
    for split, names in SPLIT_FOLDERS.items():
        if root := next((path / name for name in names if (path / name).is_dir()), None):
            found[split] = root
    return found


def _subfolders(path: Path) -> list[Path]:
    """Sub-folders in order of their names, without hidden ones; none if there is no such folder."""
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures(root: Path, classes: tuple[str, ...]) -> tuple[Path, ...]:
    """The pictures of a split, by class and name. Raises DataError on other classes than these."""
    folders = _subfolders(root)
    if unknown := [folder.name for folder in folders if folder.name not in classes]:
        raise DataError(
            f"{root / unknown[0]}: must be one of the training classes {', '.join(classes)}"
        )
    pictures = tuple(
        picture
        for folder in folders
        for picture in sorted(folder.iterdir())
        if picture.suffix.lower() in EXTENSIONS and not picture.name.startswith(".")
    )
    if not pictures:
        raise DataError(f"{root}: must hold pictures in its sub-folders, has none")
    return pictures


def _read_split(
    files: SplitFiles,
    classes: tuple[str, ...],
    split: SplitName,
    size: int | None,
) -> Split:
    paths = files[split]
    images = read_pictures((Encoded(str(path), path) for path in paths), size)
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[path.parent.name] for path in paths])
    return checked_split(paths[0].parent.parent, images, labels, classes)
