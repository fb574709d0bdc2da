"""Parquet as Hugging Face has it: a column of encoded pictures and one of class numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnsearch.data.formats.images import Encoded, read_pictures
from dnsearch.data.formats.source import Source, Split, SplitFiles, SplitName, checked_split
from dnsearch.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
LABEL_NAMES = ("label", "labels", "fine_label")
ROWS_AT_ONCE = 1024


def open_parquet(path: Path) -> Source:
    """One file, all for training, or a folder of train-*, validation-* and test-*.parquet files.

    Raises DataError where a folder has no file for training.
    """
    if path.is_file():
        files: SplitFiles = {"train": (path,)}
    else:
        files = {s: tuple(sorted(path.glob(f"{s}-*.parquet"))) for s in SPLITS}
        files = {split: paths for split, paths in files.items() if paths}
    if "train" not in files:
        raise DataError(f"{path}: must hold files named train-*.parquet, has none")
    return Source(files, partial(_read_split, files))


def _read_split(files: SplitFiles, split: SplitName, size: int | None) -> Split:
    tables = [_open(path) for path in files[split]]
    labels = np.concatenate([table.read_labels() for table in tables])
    if not labels.size:
        raise DataError(f"{files[split][0]}: must hold images, has no rows")
    images = read_pictures(chain.from_iterable(t.read_pictures() for t in tables), size)
    return checked_split(files[split][0], images, labels, tables[0].classes)


@dataclass(frozen=True)
class Table:
    """A Parquet file: the names of its image and label columns; its class names if it has any."""

    path: Path
    image: str
    label: str
    classes: tuple[str, ...] | None

    def read_labels(self) -> np.ndarray:
        """The labels, (n,) int64. Raises DataError where one is missing."""
        batches = [batch.column(self.label) for batch in self._batches(self.label)]
        if any(batch.null_count for batch in batches):
            raise DataError(f"{self.path}: column {self.label!r} must have a number in every row")
        arrays = [batch.to_numpy(zero_copy_only=False).astype(np.int64) for batch in batches]
        return np.concatenate([np.empty(0, np.int64), *arrays])

    def read_pictures(self) -> Iterator[Encoded]:
        """The encoded pictures, row by row. Raises DataError where one is missing."""
        row = 0
        for batch in self._batches(self.image):
            for data in batch.column(self.image).field("bytes").to_pylist():
                name = f"{self.path} row {row}"
                if data is None:
                    raise DataError(
                        f"{name}: must hold the picture's bytes; a path is not followed"
                    )
                yield Encoded(name, data)
                row += 1

    def _batches(self, column: str) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with _readable(self.path), pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(ROWS_AT_ONCE, columns=[column])


def _open(path: Path) -> Table:
    import pyarrow.parquet as pq

    with _readable(path):
        schema = pq.read_schema(path)
    image, label = _columns(path, schema)
    return Table(path, image, label, _class_names(schema, label))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises on a damaged file into a DataError that names it."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: must be a readable Parquet file: {reason}") from None


def _columns(path: Path, schema: pa.Schema) -> tuple[str, str]:
    """The names of the image and the label column, found by their types."""
    import pyarrow.types as types

    images = [
        f.name for f in schema if types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0
    ]
    numbers = [f.name for f in schema if types.is_integer(f.type)]
    labels = numbers if len(numbers) == 1 else [n for n in LABEL_NAMES if n in numbers][:1]
    if len(images) == 1 and labels:
        return images[0], labels[0]
    columns = ", ".join(f"{f.name}: {f.type}" for f in schema)
    raise DataError(
        f"{path}: must have one column struct{{bytes, path}} of images and one of integers, "
        f"called label if there are several; has {columns}"
    )


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """The names that Hugging Face's metadata gives the class numbers, if it is there."""
    try:
        metadata: Any = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(map(str, metadata["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return None
