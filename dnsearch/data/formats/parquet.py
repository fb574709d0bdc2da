"""Parquet as Hugging Face has it: a column of encoded pictures and one of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.columns import (
    Columns,
    Labels,
    class_names,
    find_columns,
    joined,
    read_labels,
)
from dnsearch.data.formats.images import Encoded, Options, read_pictures
from dnsearch.data.formats.source import Source, Split, SplitFiles, SplitName, checked_split
from dnsearch.data.formats.spellings import (
    SPELLINGS,
    is_junk,
    known_spellings,
    split_called,
    split_within,
    unused,
)
from dnsearch.errors import DataError
from dnsearch.text import listed

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1024
SHARD = re.compile(r"(\d+)-of-(\d+)")


def open_parquet(path: Path, config: DataConfig) -> Source:
    """One file, all for training, or a folder of files with their split in the name, such as
    train-00000-of-00002.parquet, or in folders called by the splits.

    Raises DataError where a folder has no file for training.
    """
    files: SplitFiles = {"train": (path,)}
    notes: tuple[str, ...] = ()
    if not path.is_file():
        files, notes = _find(path)
    read = partial(_read_split, files, config, path.is_dir())
    return Source(files, read, notes, partial(_label_bytes, files, config))


def _find(path: Path) -> tuple[SplitFiles, tuple[str, ...]]:
    """The files of each split, and notes on what is not used, or used without a split's name."""
    entries = sorted(entry for entry in path.iterdir() if not is_junk(entry.name))
    tables = [entry for entry in entries if _is_table(entry)]
    folders: dict[Path, SplitName] = {
        entry: split for entry in entries if (split := _split_folder(entry))
    }
    found: dict[SplitName, list[Path]] = {}
    for table in tables:
        if split := split_within(table.stem):
            found.setdefault(split, []).append(table)
    for folder, split in folders.items():
        inside = [each for each in sorted(folder.rglob("*")) if _is_table(each)]
        found.setdefault(split, []).extend(inside)
    used = {file for files in found.values() for file in files} | folders.keys()
    if not found and tables:
        others = (entry.name for entry in entries if entry not in tables)
        names = listed([table.name for table in tables][:5])
        note = f"no split in the names of files, so all are for training: {names}"
        return {"train": tuple(tables)}, (note, *unused("file", others))
    inner = [entry for entry in entries if entry.is_dir()]
    if not found and len(inner) == 1:
        return _find(inner[0])
    files: SplitFiles = {split: tuple(found[split]) for split in SPELLINGS if split in found}
    if "train" not in files:
        raise DataError(
            f"{path}: must hold files named train-*.parquet, has "
            f"{listed([entry.name for entry in entries][:5]) or 'none'} "
            f"(known names of splits are {known_spellings()})"
        )
    return files, unused("file", (entry.name for entry in entries if entry not in used))


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq") and not is_junk(path.name) and path.is_file()


def _split_folder(path: Path) -> SplitName | None:
    split = split_called(path.name) if path.is_dir() else None
    return split if split and any(map(_is_table, path.rglob("*"))) else None


def _require_all_shards(files: tuple[Path, ...], split: SplitName) -> None:
    """Raises DataError where the names say that files are missing, or are of several versions."""
    shards = [(file, match) for file in files if (match := SHARD.search(file.stem))]
    if not shards:
        return
    totals = sorted({int(match[2]) for _, match in shards})
    numbers = [int(match[1]) for _, match in shards]
    folder = shards[0][0].parent
    if len(totals) > 1 or len(set(numbers)) < len(numbers):
        raise DataError(
            f"{folder}: must hold each file of the {split} split once, has two versions of it: "
            f"{listed([file.name for file, _ in shards][:5])}; remove one"
        )
    start = 0 if 0 in numbers or totals[0] not in numbers else 1
    absent = sorted(set(range(start, start + totals[0])) - set(numbers))
    if absent:
        shown = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
        raise DataError(
            f"{folder}: must hold all {totals[0]} files of the {split} split, lacks number "
            f"{shown} (of names such as {shards[0][0].name})"
        )


def _read_split(
    files: SplitFiles, config: DataConfig, folder: bool, split: SplitName, size: int | None
) -> Split:
    where = files[split][0]
    if folder:
        _require_all_shards(files[split], split)
    tables = _open_all(files[split], config)
    found = _labels(tables)
    if not found.values.size:
        raise DataError(f"{where}: must hold images, has no rows")
    options = Options(size, config.background, config.skip_bad)
    encoded = chain.from_iterable(table.read_pictures() for table in tables)
    first = next(encoded, None)
    if first is None:
        raise DataError(f"{where}: must be a readable Parquet file: has labels, but no pictures")
    pictures = read_pictures(chain([first], encoded), options)
    labels = found.values[np.flatnonzero(pictures.kept)]
    read = checked_split(where, pictures.images, labels, found.names)
    note = tables[0].columns.note
    return replace(read, by_name=found.by_name, notes=(*([note] if note else []), *pictures.notes))


def _open_all(files: tuple[Path, ...], config: DataConfig) -> list[Table]:
    """The tables of a split. Raises DataError where their labels are in columns of other names."""
    tables = [_open(path, config) for path in files]
    for table in tables[1:]:
        if table.columns.label != tables[0].columns.label:
            raise DataError(
                f"{table.path}: labels must be in column {tables[0].columns.label!r} as in "
                f"{tables[0].path.name}, are in {table.columns.label!r}; set data.label"
            )
    return tables


def _labels(tables: list[Table]) -> Labels:
    return joined(str(tables[0].path), [table.read_labels() for table in tables])


def _label_bytes(files: SplitFiles, config: DataConfig, split: SplitName) -> bytes:
    return _labels([_open(path, config) for path in files[split]]).values.tobytes()


@dataclass(frozen=True)
class Table:
    """A Parquet file, and which of its columns to read."""

    path: Path
    columns: Columns
    classes: tuple[str, ...] | None

    def read_labels(self) -> Labels:
        """The labels of all rows. Raises DataError where one is missing or cannot be one."""
        import pyarrow as pa

        name = self.columns.label
        with _readable(self.path):
            batches = [batch.column(name) for batch in self._batches(name)]
            column = pa.chunked_array(batches) if batches else pa.chunked_array([], pa.int64())
        return read_labels(f"{self.path}: column {name!r}", column, self.classes)

    def read_pictures(self) -> Iterator[Encoded]:
        """The encoded pictures, row by row; ``data`` is None where there are no bytes."""
        row = 0
        for batch in self._batches(self.columns.image):
            column = batch.column(self.columns.image)
            for data in (column.field("bytes") if _is_struct(column) else column).to_pylist():
                yield Encoded(f"{self.path} row {row}", data)
                row += 1

    def _batches(self, column: str) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with _readable(self.path), pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(ROWS_AT_ONCE, columns=[column])


def _is_struct(column: pa.Array) -> bool:
    import pyarrow.types as types

    return types.is_struct(column.type)


def _open(path: Path, config: DataConfig) -> Table:
    import pyarrow.parquet as pq

    with _readable(path):
        schema = pq.read_schema(path)
    columns = find_columns(path, schema, config)
    return Table(path, columns, class_names(schema, columns.label))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises on a damaged file into a DataError that names it."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: must be a readable Parquet file: {reason}") from None
