"""CIFAR-10 and CIFAR-100 in their Python version: pickles in a folder or in the .tar.gz."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.source import (
    Batch,
    Source,
    Split,
    SplitFiles,
    SplitName,
    plain_split,
)
from dnsearch.errors import DataError, cannot_read

SHAPE = (32, 32, 3)
ROWS_AT_ONCE = 1024


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """What NumPy's function of that name does with an array pickled by protocol 5.

    ``np.frombuffer`` makes no arrays of objects, so no more is run by this."""
    elements = np.frombuffer(buffer, dtype)
    if axes is not None:
        return elements.reshape(shape).transpose(axes)
    return elements.reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes by protocols 0 to 2; no other encoding is needed."""
    if encoding != "latin1":
        raise DataError(f"must hold NumPy arrays and plain values only, got text as {encoding}")
    return text.encode(encoding)


RECONSTRUCT = np.zeros(0).__reduce__()[0]  # the function that a pickled array calls
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,  # NumPy 1, as in the published files
    ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


@dataclass(frozen=True)
class Layout:
    """The names of files, and of entries in them, in CIFAR-10 or CIFAR-100."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels: str
    class_names: str

    def parts(self, split: SplitName) -> tuple[str, ...]:
        """The names of the files of a split; there is no validation split."""
        return self.train if split == "train" else self.test


CIFAR10 = Layout(
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test=("test_batch",),
    meta="batches.meta",
    labels="labels",
    class_names="label_names",
)
CIFAR100 = Layout(
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    meta="meta",
    labels="fine_labels",
    class_names="fine_label_names",
)


def open_cifar(path: Path, config: DataConfig, layout: Layout) -> Source:
    """The data set in this .tar.gz, in this folder, or in its usual folder inside this one.

    Raises DataError naming missing files.
    """
    if path.is_file():
        both: SplitFiles = {"train": (path,), "test": (path,)}
        return Source(both, partial(_open_split, path, layout))
    root = path / layout.folder if (path / layout.folder).is_dir() else path
    files: SplitFiles = {"train": tuple(root / name for name in (*layout.train, layout.meta))}
    if absent := [file.name for file in files["train"] if not file.is_file()]:
        raise DataError(f"{root}: must hold {', '.join(absent)}; no such file")
    if all((root / name).is_file() for name in layout.test):
        files["test"] = tuple(root / name for name in (*layout.test, layout.meta))
    return Source(files, partial(_open_split, root, layout))


class Part(NamedTuple):
    """One file of images: pixels (n, 32, 32, 3), labels (n,)."""

    pixels: np.ndarray
    labels: np.ndarray


def _open_split(path: Path, layout: Layout, split: SplitName) -> Split:
    """Labels lie in one pickle with the pixels, so all are read for them, and kept until pixels are
    asked for: 150 MB at most."""
    classes: tuple[str, ...] | None = None
    parts: dict[str, Part] = {}
    for name, content in _contents(path, (*layout.parts(split), layout.meta)):
        if name == layout.meta:
            meta = _load(path / name, content)
            names = _entry(path / name, meta, layout.class_names, (list,))
            classes = tuple(map(str, names))
        else:
            parts[name] = _part(path / name, content, layout.labels)
    labels = [parts[name].labels for name in layout.parts(split)]
    sizes = [len(each) for each in labels]
    starts = dict(zip(layout.parts(split), np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    together = np.concatenate(labels)
    held = np.dtype(np.uint8), (len(together), *SHAPE)
    return plain_split(
        str(path), held, together, partial(_read_rows, path, layout, starts, parts), classes
    )


def _read_rows(
    path: Path, layout: Layout, starts: dict[str, int], kept: dict[str, Part], rows: np.ndarray
) -> Iterator[Batch]:
    """From the parts that are ``kept``, of which each is let go once it was read, or from the files
    again."""
    again = [name for name in starts if name not in kept]
    for name in list(kept):
        yield from _batches(kept.pop(name).pixels, starts[name], rows)
    for name, content in _contents(path, tuple(again)) if again else ():
        part = _part(path / name, content, layout.labels)
        yield from _batches(part.pixels, starts[name], rows)


def _batches(pixels: np.ndarray, start: int, rows: np.ndarray) -> Iterator[Batch]:
    """Those of the rows that are in a part, which begins with row ``start``."""
    wanted = rows[slice(*np.searchsorted(rows, [start, start + len(pixels)]))]
    for begin in range(0, len(wanted), ROWS_AT_ONCE):
        some = wanted[begin : begin + ROWS_AT_ONCE]
        yield Batch(some, pixels[some - start])


def _part(where: Path, content: bytes, labels_key: str) -> Part:
    """One file of images. A row of ``data`` is 1,024 bytes of red, then of green, then of blue."""
    batch = _load(where, content)
    pixels = _entry(where, batch, "data", (np.ndarray,))
    labels = _entry(where, batch, labels_key, (list, np.ndarray))
    if pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise DataError(f"{where}: data must be of shape (n, 3072), got {pixels.shape}")
    if not all(isinstance(label, int | np.integer) for label in labels):
        raise DataError(f"{where}: {labels_key} must be whole numbers")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    numbers = np.array(labels, np.int64)
    checked = plain_split(str(where), (images.dtype, images.shape), numbers, lambda _: iter(()))
    return Part(images, checked.labels)


def _contents(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each of these files of the folder or the archive ``path``, one at
    a time, in the order in which they lie there."""
    absent = dict.fromkeys(names)
    try:
        for name, content in _files(path, names):
            if name in absent:
                del absent[name]
                yield name, content
            if not absent:
                break
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        rule = f"must be a readable folder or .tar.gz: {error}"
        raise cannot_read(path, error, rule) from None
    if absent:
        raise DataError(f"{path}: must hold {', '.join(absent)}: no such file in it")


def _files(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((name, (path / name).read_bytes()) for name in names)
        return
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in names and member.isfile() and (file := archive.extractfile(member)):
                yield name, file.read()


def _entry(where: Path, batch: Any, key: str, kinds: tuple[type, ...]) -> Any:
    if not isinstance(batch, dict) or not isinstance(batch.get(key), kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{where}: must be a dictionary with {key!r}, of type {names}")
    return batch[key]


def _load(where: Path, content: bytes) -> Any:
    """The content of a pickle made by Python 2 or 3. Raises DataError naming the file."""
    try:
        # latin1 is what NumPy asks for to read arrays that Python 2 pickled
        return ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except Exception as error:  # a damaged pickle raises almost anything
        reason = " ".join(str(error).split())
        raise DataError(f"{where}: must be a whole pickle: {reason}") from None


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain Python values and NumPy arrays only.

    A pickle can call any function it names, so one from elsewhere could run any code.
    """

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The class or function of this name. Raises DataError unless it is in ``ALLOWED``."""
        try:
            return ALLOWED[module_name, global_name]
        except KeyError:
            raise DataError(
                f"must hold NumPy arrays and plain values only, got {module_name}.{global_name}"
            ) from None
