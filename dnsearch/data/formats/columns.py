"""Which column of a Parquet file holds the pictures and which the labels, and what labels mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.source import named, repeated, require_listed, whole
from dnsearch.errors import ConfigError, DataError
from dnsearch.text import listed

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_NAMES = ("label", "labels", "class", "target", "y", "fine_label")
"""Columns called so, case ignored, hold the labels; ``label`` does even beside another of them."""


class Columns(NamedTuple):
    """The names of the image and of the label column; a note where it is not plain that the labels
    are there."""

    image: str
    label: str
    note: str = ""


class Labels(NamedTuple):
    """Labels, (n,) int64, and the names that they number, if any. where: names them in messages;
    by_name: the file itself holds names."""

    where: str
    values: np.ndarray
    names: tuple[str, ...] | None
    by_name: bool


def find_columns(path: Path, schema: pa.Schema, config: DataConfig) -> Columns:
    """The image and the label column. Raises DataError naming the candidates where it is doubtful
    which they are, and ConfigError where the ones chosen in the settings are not there."""
    image = _image(path, schema, config.image)
    return Columns(image, *_label(path, schema, config.label))


def _image(path: Path, schema: pa.Schema, chosen: str | None) -> str:
    import pyarrow.types as types

    structs = [f.name for f in schema if _is_picture(f.type)]
    plain = [f.name for f in schema if types.is_binary(f.type) or types.is_large_binary(f.type)]
    if chosen is not None:
        if chosen not in structs + plain:
            raise _not_there("image", chosen, structs + plain, path)
        return chosen
    found = structs or plain
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"{path}: must have one column of pictures (struct{{bytes, path}} or binary), has "
        f"{', '.join(found) or 'none'} ({_columns(schema)})"
        + ("; set data.image to one of them" if found else "")
    )


def _label(path: Path, schema: pa.Schema, chosen: str | None) -> tuple[str, str]:
    import pyarrow.types as types

    others = [f for f in schema if not _is_picture(f.type)]
    if chosen is not None:
        if chosen not in [f.name for f in others]:
            raise _not_there("label", chosen, [f.name for f in others], path)
        return chosen, ""
    called = [f.name for f in others if f.name.lower() in LABEL_NAMES]
    called.sort(key=lambda name: LABEL_NAMES.index(name.lower()))
    if called and (len(called) == 1 or called[0].lower() == "label"):
        note = f"labels are those of column {called[0]!r}, not {listed(called[1:])}"
        return called[0], note if called[1:] else ""
    declared = [f.name for f in others if class_names(schema, f.name)]
    if not called and len(declared) == 1:
        return declared[0], ""
    numbers = [f.name for f in others if types.is_integer(f.type)]
    rivals = [f.name for f in others if not types.is_integer(f.type) and _groups(path, f)]
    if not called and len(numbers) == 1 and not rivals:
        return numbers[0], f"labels are those of column {numbers[0]!r} (data.label)"
    candidates = called or declared or numbers + rivals
    if not candidates:
        raise DataError(f"{path}: must have a column of labels, has {_columns(schema)}")
    raise DataError(
        f"{path}: cannot tell which column holds the labels, {listed(candidates)} "
        f"({_columns(schema)}); set data.label to one of them"
    )


def _is_picture(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _groups(path: Path, field: pa.Field) -> bool:
    """Whether a column could sort the rows into classes: it has few values, each in several rows,
    unlike captions and names of files."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import pyarrow.types as types

    if types.is_binary(field.type) or types.is_large_binary(field.type):
        return False
    column = pq.read_table(path, columns=[field.name]).column(field.name)
    if _is_list(column.type):
        lengths = pc.list_value_length(column)  # type: ignore
        if pc.all(pc.equal(lengths, 1)).as_py() is not True:  # type: ignore
            return False
        column = pc.list_flatten(column)  # type: ignore
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_nested(column.type):
        return False
    return 2 * pc.count_distinct(column).as_py() <= len(column)  # type: ignore


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _columns(schema: pa.Schema) -> str:
    return "has " + ", ".join(f"{f.name}: {f.type}" for f in schema)


def _not_there(key: str, chosen: str, known: list[str], path: Path) -> ConfigError:
    rule = f"must be one of the columns that {path.name} has, {', '.join(known) or 'none fits'}"
    return ConfigError(f"data.{key}", rule, chosen)


def class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """The names that Hugging Face's metadata gives the class numbers, if it is there."""
    try:
        metadata: Any = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(map(str, metadata["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return None


def read_labels(where: str, column: pa.ChunkedArray, names: tuple[str, ...] | None) -> Labels:
    """What a column of labels says: whole numbers of any type, text, booleans, categories, or lists
    of one of these.

    Raises DataError naming ``where`` on values that are missing, fractional, several to a row, or
    of another kind.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if _is_list(kind):
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)  # type: ignore
        if column.null_count or (lengths != 1).any():
            raise DataError(
                f"{where} must hold one label a row, got lists of several or none: images with "
                "several labels are not what dnsearch trains for"
            )
        return read_labels(where, pc.list_flatten(column), names)  # type: ignore
    if column.null_count:
        raise DataError(f"{where} must have a label in every row, {column.null_count} have none")
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind):
        values = column.to_numpy()
        found, positions = named(values.astype(bool if types.is_boolean(kind) else str))
        return Labels(where, positions, found, True)
    if types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if types.is_integer(kind) or types.is_floating(kind):
        values = column.to_numpy()
        return Labels(where, whole(where, values), names, False)
    raise DataError(f"{where} must hold whole numbers or text, got {kind}")


def joined(where: str, parts: list[Labels]) -> Labels:
    """The labels of all files of a split as one. Names in another order are renumbered by name;
    numbers without names beside files with names are theirs.

    Raises DataError naming ``where`` where some files have numbers and others names alone, and
    naming the file where a label that has to be renumbered has no name, or that of several classes.
    """
    values = np.concatenate([part.values for part in parts])
    listings = list(dict.fromkeys(part.names for part in parts if part.names))
    shared = set[str]().union(*map(repeated, listings))
    if any(part.by_name for part in parts):
        if not all(part.by_name or part.names for part in parts):
            raise DataError(f"{where}: labels must be text in all files, are numbers in some")
        texts = [np.array(part.names)[_named(part, part.names or (), shared)] for part in parts]
        found, positions = named(np.concatenate(texts))
        return Labels(where, positions, found, True)
    if len(listings) < 2 or (values < 0).all():  # those are hidden, which is told where it matters
        return Labels(where, values, listings[0] if listings else None, False)
    names = list(dict.fromkeys(name for listing in listings for name in listing))
    numbers = []
    for part in parts:
        own = part.names or listings[0]
        numbers.append(np.array([names.index(name) for name in own])[_named(part, own, shared)])
    return Labels(where, np.concatenate(numbers), tuple(names), False)


def _named(part: Labels, names: tuple[str, ...], shared: set[str]) -> np.ndarray:
    """Its values, each of which has a name, and none of those that classes share."""
    require_listed(part.where, part.values, names)
    used = {names[value] for value in np.unique(part.values)}
    if several := sorted(used & shared):
        raise DataError(
            f"{part.where}: must list the classes as all files of the split do, or give each a "
            f"name of its own; several are called {several[0]!r}"
        )
    return part.values
