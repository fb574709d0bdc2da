"""Parquet as Hugging Face has it: a column of encoded pictures and one of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from dnsearch.data.formats.images import Encoded
from dnsearch.data.formats.source import Batch, Source, Split, SplitFiles, SplitName
from dnsearch.data.formats.spellings import (
    SPELLINGS,
    is_junk,
    known_spellings,
    split_called,
    split_within,
    unused,
)
from dnsearch.errors import DataError, cannot_read
from dnsearch.text import listed

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

LABELS_AT_ONCE = 65536
MOST_ROWS, BYTES_AT_ONCE = 256, 1 << 23
"""Of pictures that are read at a time."""
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
    opened = partial(_open_split, files, config, path.is_dir())
    return Source(files, opened, notes, partial(_label_bytes, files, config))


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


def _open_split(files: SplitFiles, config: DataConfig, folder: bool, split: SplitName) -> Split:
    where = str(files[split][0])
    if folder:
        _require_all_shards(files[split], split)
    tables = _open_all(files[split], config)
    parts = [table.read_labels() for table in tables]
    found = joined(str(tables[0].path), parts)
    if not found.values.size:
        raise DataError(f"{where}: must hold images, has no rows")
    note = tables[0].columns.note
    return Split(
        where,
        found.values,
        partial(_read_rows, tables, [len(part.values) for part in parts]),
        classes=found.names,
        by_name=found.by_name,
        notes=(note,) if note else (),
    )


def _read_rows(tables: list[Table], sizes: list[int], rows: np.ndarray) -> Iterator[Batch]:
    starts = np.cumsum([0, *sizes])
    for table, start, stop in zip(tables, starts, starts[1:], strict=False):
        wanted = rows[slice(*np.searchsorted(rows, [start, stop]))]
        for own, pictures in table.read_pictures(wanted - start):
            yield Batch(own + start, pictures)


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

    def read_pictures(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, list[Encoded]]]:
        """The encoded pictures of these rows, ascending, some at a time; ``data`` is None where
        there are no bytes. Row groups without any of them are not read."""
        import pyarrow.parquet as pq

        if not len(rows):
            return
        with _readable(self.path), pq.ParquetFile(self.path) as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            starts = np.cumsum([0, *(group.num_rows for group in groups)])
            for index, group in enumerate(groups):
                first, stop = starts[index : index + 2]
                wanted = rows[slice(*np.searchsorted(rows, [first, stop]))]
                if wanted.size:
                    each = group.total_byte_size // max(1, group.num_rows)
                    at_once = int(min(MOST_ROWS, max(1, BYTES_AT_ONCE // max(1, each))))
                    yield from self._read_group(file, index, wanted, int(first), at_once)

    def _read_group(
        self, file: pq.ParquetFile, group: int, rows: np.ndarray, start: int, at_once: int
    ) -> Iterator[tuple[np.ndarray, list[Encoded]]]:
        name = self.columns.image
        for batch in file.iter_batches(at_once, row_groups=[group], columns=[name]):
            stop = start + batch.num_rows
            wanted = rows[slice(*np.searchsorted(rows, [start, stop]))]
            if wanted.size:
                column = batch.column(name)
                column = column.field("bytes") if _is_struct(column) else column
                found = column.take(wanted - start).to_pylist()
                names = (f"{self.path} row {row}" for row in wanted)
                yield wanted, [Encoded(*each) for each in zip(names, found, strict=True)]
            start = stop

    def _batches(self, column: str) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with _readable(self.path), pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(LABELS_AT_ONCE, columns=[column])


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
    """Turns what pyarrow raises on a damaged file into a DataError that names it, or a
    MachineError."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise cannot_read(path, error, f"must be a readable Parquet file: {reason}") from None
