"""Whether a damaged file of a run is ever read as something else (docs/reliability.md).

    python studies/reliability/mutations.py [KIND ...] [--count 1000] [--seed 0]

Each mutation changes a copy of one file, which is then read in this process by what the verbs read
it with: bytes flipped, zeroed or overwritten, the file cut off; of study.db also single valid
looking edits by SQL, of every table and column in turn. It is detected (one line), harmless (what
is read is the same), or read as something else, a traceback or slow, of which there must be none.
A line a kind of file into reports/reliability/mutations.txt.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared import ROOT, Tally

sys.path.insert(0, str(ROOT))

import numpy as np
import torch

from dnsearch.arch.checkpoint import load_network, read_weights
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.config import load_study
from dnsearch.errors import DnsearchError
from dnsearch.export.bundle import write_bundle
from dnsearch.export.preprocessing import Preprocessing
from dnsearch.files import read_json, write_json
from dnsearch.replay.files import load_table, write_table
from dnsearch.replay.table import Table
from dnsearch.rundir import RunDir
from dnsearch.search.answers import answers
from dnsearch.search.draws import Draws
from dnsearch.search.results import read_results
from dnsearch.training.measured import Measured, read_confusion, write_confusion
from dnsearch.training.trainer import _read as read_training_state
from tests.invented_runs import invent

SLOW = 5.0
"""Seconds of computing that nothing may take; a busy machine is no fault."""

ARCH = ArchConfig(growth_rate=2, block_config=(1, 1), num_init_features=4, in_channels=1)

Read = Callable[[Path], Any]


class Kind(NamedTuple):
    """A file within the prepared folder, and what is read of it, given the folder."""

    file: str
    read: Read


def whole_run(folder: Path) -> Any:
    """All that a report is made from."""
    found = read_results(RunDir(folder / "run"))
    return [
        *map(repr, found.measured),
        *map(repr, (*found.confirmed, *found.at_rates)),
        found.seconds,
        sorted(found.importance.items()),
        repr(found.study),
        found.data,
        found.environment,
    ]


def tensors(values: Any) -> Any:
    """In what can be compared."""
    if isinstance(values, torch.Tensor):
        return (str(values.dtype), tuple(values.shape), values.numpy().tobytes())
    if isinstance(values, dict):
        return {key: tensors(value) for key, value in values.items()}
    return repr(values)


def training_state(folder: Path) -> Any:
    """A checkpoint, as a training goes on from it."""
    return tensors(read_training_state(folder / "state.pt", torch.device("cpu")))


def weights(folder: Path) -> Any:
    """A state dict, as a training starts from it."""
    return tensors(read_weights(folder / "weights.pth"))


def network(folder: Path) -> Any:
    """An export, as `dnsearch predict` opens it."""
    export = folder / "export"
    return tensors(dict(load_network(export).state_dict())), repr(Preprocessing.read(export))


def table(folder: Path) -> Any:
    """A recorded table, as `dnsearch replay` opens it."""
    found = load_table(folder / "table.parquet")
    return repr({**vars(found), "trainings": found.trainings.to_json(double_precision=15)})


def draws(folder: Path) -> Any:
    """None is what is made anew."""
    found = Draws.read(folder / "predictions.npz", "made from")
    if found is None:
        return None
    return repr([np.asarray(each).tolist() for each in vars(found).values()])


def matrix(folder: Path) -> Any:
    """None is not shown."""
    found = read_confusion(folder / "confusion.npy")
    return None if found is None else (found.dtype, found.tolist())


def json_file(name: str) -> Kind:
    """One that ``read_json`` alone reads."""
    return Kind(name, lambda folder: read_json(folder / name))


KINDS = {
    "study.db": Kind("run/study.db", whole_run),
    "study.toml": Kind("run/study.toml", lambda folder: load_study(folder / "run/study.toml")),
    "data.json": json_file("run/data.json"),
    "environment.json": json_file("run/environment.json"),
    "summary.json": json_file("run/summary.json"),
    "answers.json": Kind("run/answers.json", lambda folder: answers(RunDir(folder / "run"))),
    "scaling.json": json_file("scaling.json"),
    "checkpoint": Kind("state.pt", training_state),
    "weights.pth": Kind(
        "weights.pth", lambda folder: tensors(read_weights(folder / "weights.pth"))
    ),
    "model.safetensors": Kind("export/model.safetensors", network),
    "config.json": Kind("export/config.json", network),
    "preprocessing.json": Kind("export/preprocessing.json", network),
    "manifest.json": Kind("export/manifest.json", network),
    "bench table": Kind("table.parquet", table),
    "predictions.npz": Kind("predictions.npz", draws),
    "confusion.npy": Kind("confusion.npy", matrix),
}
MADE_ANEW = "predictions.npz", "confusion.npy"
"""Of which None is an answer: as if there were none."""


def prepare(folder: Path) -> None:
    """Each kind of file once, small, as dnsearch writes it."""
    run = invent("run", folder, trials=12)
    write_table(Table.of(read_results(run)), folder / "table.parquet")
    torch.manual_seed(0)
    model = DenseNet(ARCH).eval()
    classes = tuple("abcdefghij"[: ARCH.num_classes]) or ("a",)
    names = [*classes, *(f"c{n}" for n in range(ARCH.num_classes - len(classes)))]
    images = Preprocessing((1, 8, 8), (0.5,), (0.25,), tuple(names))
    write_bundle(folder / "export", model, images, "card")
    torch.save(model.state_dict(), folder / "weights.pth")
    state = {"averaged": model.state_dict(), "curve": [{"epoch": 1, "error": 0.5}], "seed": 3}
    torch.save(state, folder / "state.pt")
    write_json(folder / "scaling.json", {"runs": ["run"], "cost": "macs", "next": [{"times": 2.0}]})
    chance = np.random.default_rng(0)
    Draws.rounded(chance.normal(size=(5, 40)), 0.1).write(folder / "predictions.npz", "made from")
    confusion = chance.integers(0, 90, (6, 6)).astype(np.int32)
    found = Measured(0.5, 0.1, 0.5, 1.0, 99, None, None, confusion)
    write_confusion(found, folder / "confusion.npy")


def damaged(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """One mutation of bytes, and what it is called."""
    size, place = len(content), chance.randrange(len(content))
    how = chance.choices(("bit", "byte", "cut", "zeros", "noise"), (4, 3, 1, 1, 1))[0]
    if how == "cut":
        return how, content[:place]
    if how == "zeros":
        page = 4096 if size > 16384 else 32
        start = place // page * page
        return how, content[:start] + bytes(min(page, size - start)) + content[start + page :]
    if how == "noise":
        noise = chance.randbytes(min(16, size - place))
        return how, content[:place] + noise + content[place + 16 :]
    changed = content[place] ^ (1 << chance.randrange(8))
    if how == "byte":
        changed = chance.randrange(256)
    return how, content[:place] + bytes([changed]) + content[place + 1 :]


def edits(file: Path, chance: random.Random) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Edits by SQL for ever: every column of every table in turn, and rows removed and copied."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        names = [name for (name,) in connection.execute(tables)]
        columns = {n: [c[1] for c in connection.execute(f"PRAGMA table_info({n})")] for n in names}
        rows = {n: connection.execute(f"SELECT rowid, * FROM {n}").fetchall() for n in names}
    filled = [name for name in names if rows[name]]
    every = [(name, column) for name in filled for column in (*columns[name], "-", "+")]
    every = [each for each in every if each[1] != "+" or len(columns[each[0]]) > 1]
    for name, column in itertools.cycle(every):
        row = chance.choice(rows[name])
        if column in "-+":
            yield f"{name} {column}", edit_of_row(name, column, row, columns[name])
            continue
        place = 1 + columns[name].index(column)
        value = other_value(row[place], [each[place] for each in rows[name]], chance)
        statement = f'UPDATE {name} SET "{column}" = ? WHERE rowid = ?'
        yield f"{name}.{column}", executed(statement, (value, row[0]))


def edit_of_row(name: str, sign: str, row: tuple, columns: list[str]) -> Callable[[Path], None]:
    """Removes a row, or copies it under a new primary key."""
    if sign == "-":
        return executed(f"DELETE FROM {name} WHERE rowid = ?", (row[0],))
    marks = ", ".join("?" * (len(columns) - 1))
    others = ", ".join(f'"{column}"' for column in columns[1:])
    return executed(f"INSERT INTO {name} ({others}) VALUES ({marks})", row[2:])


def executed(statement: str, values: tuple) -> Callable[[Path], None]:
    """To be said to a database; what a constraint forbids changes nothing."""

    def edit(file: Path) -> None:
        with (
            contextlib.suppress(sqlite3.IntegrityError),
            contextlib.closing(sqlite3.connect(file)) as connection,
            connection,
        ):
            connection.execute(statement, values)

    return edit


def other_value(value: Any, others: list[Any], chance: random.Random) -> Any:
    """One that might as well stand there: another row's, a number near it, a changed digit."""
    different = [other for other in others if other != value]
    if different and chance.random() < 0.4:
        return chance.choice(different)
    if isinstance(value, (int, float)):
        return chance.choice((value + 1, value - 1, value * 2, 0, type(value)(value * 0.9), None))
    if isinstance(value, str) and any(map(str.isdigit, value)):
        place = chance.choice([n for n, sign in enumerate(value) if sign.isdigit()])
        return value[:place] + chance.choice("0123456789") + value[place + 1 :]
    return chance.choice((f"{value}x", None, "RUNNING", "COMPLETE", "FAIL", "1", "null"))


def outcome(read: Read, folder: Path, right: Any, may_lack: bool) -> str:
    """What comes of reading."""
    started = time.process_time()
    try:
        found = read(folder)
        told = "harmless" if found == right else "read as something else"
        if may_lack and found is None:
            told = "detected"
    except DnsearchError as error:
        told = "detected" if "\n" not in str(error) else "traceback"
    except Exception as error:
        told = f"traceback: {type(error).__name__}: {error}"
    return "slow" if time.process_time() - started > SLOW else told


def mutate(name: str, folder: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """So many mutations of a kind of file: how they came out, and what must not have been."""
    kind, chance = KINDS[name], random.Random(f"{name} {seed}")
    file, found, wrong = folder / kind.file, Counter[str](), list[str]()
    content, right = file.read_bytes(), kind.read(folder)
    assert right is not None
    by_sql = edits(file, chance) if name == "study.db" else None
    for number in range(count):
        if by_sql is not None and number % 2:
            how, edit = next(by_sql)
            file.write_bytes(content)
            edit(file)
        else:
            how, changed = damaged(content, chance)
            file.write_bytes(changed)
        told = outcome(kind.read, folder, right, name in MADE_ANEW)
        label = told.partition(":")[0]
        found[label] += 1
        if label not in ("detected", "harmless"):
            wrong.append(f"{name}, {number}, {how}: {told}"[:300])
        for leftover in file.parent.glob(f"{file.name}-*"):
            leftover.unlink()
    file.write_bytes(content)
    return found, wrong


def option(words: Sequence[str], name: str, default: int) -> int:
    """The number behind --NAME."""
    return int(words[words.index(name) + 1]) if name in words else default


def main(words: Sequence[str]) -> int:
    """Prepares the files, mutates them, and tells."""
    count, seed = option(words, "--count", 1000), option(words, "--seed", 0)
    chosen = [name for name in words if name in KINDS] or [*KINDS]
    file = ROOT / "reports/reliability/mutations.txt" if len(chosen) == len(KINDS) else None
    tally = Tally(file)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for kind in chosen:
            own = Path(shutil.copytree(folder, folder.with_name(f"{folder.name}-own")))
            try:
                found, wrong = mutate(kind, own, count, seed)
            finally:
                shutil.rmtree(own)
            figures = f"{found['detected']} detected, {found['harmless']} harmless"
            tally.note(f"{count} mutations of {kind}", wrong[:5], figures)
            for line in wrong if len(chosen) == 1 else ():
                print(line)
    return tally.total()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
