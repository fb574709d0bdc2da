"""Tables as files: those that come with dnsearch, and any run's trainings as one parquet file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dnsearch.arch.config import ArchConfig
from dnsearch.config import parse_study, to_toml
from dnsearch.errors import DamagedError, DnsearchError, RunError, nearest
from dnsearch.files import atomic
from dnsearch.replay.table import COLUMNS, Table
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results

BENCH = "bench:"
"""In front of the name of a table that comes with dnsearch."""


def read_table(name: str) -> Table:
    """The table of ``bench:NAME``, which comes with dnsearch, or of a run by its name or path.

    Raises RunError where there is no such table or run, or nothing is recorded in it.
    """
    if not name.startswith(BENCH):
        return Table.of(read_results(RunDir.find(name)))
    known = {path.stem: path for path in _bench_folder().glob("*.parquet")}
    wanted = name.removeprefix(BENCH)
    if wanted not in known:
        hint = nearest(wanted, known) if known else "none comes with this installation"
        raise RunError(f"there is no benchmark {wanted!r}; {hint}")
    return load_table(known[wanted])


def write_table(table: Table, path: Path) -> None:
    """Writes all that a replay needs as one parquet file.

    Each row also has its architecture as JSON; what belongs to the whole table is JSON in the
    file's metadata, under ``dnsearch``. Raises RunError where it cannot be written.
    """
    about = {
        "name": table.name,
        "shape": table.shape,
        "classes": table.classes,
        "images": table.images,
        "rungs": table.rungs,
        "seconds": table.seconds,
        "baseline_error": table.baseline_error,
        "environment": dict(table.environment),
        "study": to_toml(table.study),
    }
    archs = [json.dumps(table.archs[key].to_dict()) for key in table.trainings["key"]]
    rows = pa.Table.from_pandas(table.trainings.assign(arch=archs), preserve_index=False)
    about["checksum"] = _checksum(rows, about)
    with atomic(path) as aside:
        metadata = {"dnsearch": json.dumps(about, ensure_ascii=False)}
        pq.write_table(rows.replace_schema_metadata(metadata), aside, compression="zstd")


def load_table(path: Path) -> Table:
    """Reads what ``write_table`` wrote. Raises RunError where the file is missing or damaged."""
    try:
        rows = pq.read_table(path)
        about = json.loads((rows.schema.metadata or {})[b"dnsearch"])
        checksum = about.pop("checksum", None)
        if checksum not in (None, _checksum(rows, about)):
            raise DamagedError(f"{path}: was changed or damaged, as its checksum tells")
        for name in ("shape", "rungs"):
            about[name] = tuple(about[name])
        study = parse_study(about.pop("study"), source=str(path))
        trainings = rows.to_pandas()
        archs = [ArchConfig.from_dict(json.loads(text)) for text in trainings["arch"].unique()]
        return Table(
            study=study,
            archs={arch.key: arch for arch in archs},
            trainings=trainings[list(COLUMNS)],
            **about,
        )
    except DnsearchError:
        raise
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError, AttributeError):
        raise DamagedError(f"{path}: is no table that dnsearch wrote, or is damaged") from None


def _checksum(rows: pa.Table, about: Mapping[str, Any]) -> str:
    """Of all that is read of a table."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(rows.column_names):
        found.update(json.dumps([name, rows[name].to_pylist()]).encode())
    return found.hexdigest()


def _bench_folder() -> Path:
    """Where the bundled tables are: inside the package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    inside = package / "studies" / "densenet-bench"
    return inside if inside.is_dir() else package.parent / "studies" / "densenet-bench"
