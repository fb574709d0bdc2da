"""The runs in a folder, quickly: read from their small files alone, without torch, Optuna or NumPy.

An answer is the one of the run's last report; `dnsearch status` reads the storage itself.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import sqlite3
import time
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from dnsearch import text
from dnsearch.errors import ConnectionLost, DnsearchError
from dnsearch.postgres import connect, refused
from dnsearch.rundir import RESULT_FILE, RunDir

LEAST_ERROR = "least-error"
"""As ``analysis.picks`` has it, which imports NumPy."""

INTERRUPTED = "interrupted"
"""As ``search.engine`` has it, which imports Optuna."""

OUT_OF_REACH_SECONDS = 10.0
"""For which a server that could not be reached is not asked again."""

REPLAY_FILE = "trajectories.parquet"


class Kind(StrEnum):
    """What a folder holds."""

    SEARCH = "search"
    SCALING = "scaling"
    TRAINING = "training"
    REPLAY = "replay"


class RunState(StrEnum):
    """Whether a run is at work, and if not, whether it has ended by itself."""

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"


class Answer(NamedTuple):
    """A network, its error (0 to 1) with the ends of an interval where they are known, and what
    the error is."""

    name: str
    key: str
    error: float
    low: float | None
    high: float | None
    error_name: str


class Listed(NamedTuple):
    """A run. done, of: training runs so far and at most, or epochs of one training; None where
    they are not known. changed: when its files were last written, seconds since 1970. problem: why
    it cannot be read, empty where it can."""

    path: Path
    kind: Kind
    state: RunState | None
    changed: float
    done: int | None = None
    of: int | None = None
    reason: str = ""
    answer: Answer | None = None
    problem: str = ""

    def record(self) -> dict[str, Any]:
        """In JSON's types alone."""
        told = self._asdict() | {"path": str(self.path), "name": self.path.name}
        told["changed"] = datetime.fromtimestamp(self.changed, UTC).isoformat(timespec="seconds")
        told["answer"] = self.answer._asdict() if self.answer else None
        return told


def kind_of(folder: Path) -> Kind | None:
    """What a folder holds, None where it holds no run; a scaling design is a search here."""
    run = RunDir(folder)
    if run.is_search:
        return Kind.SEARCH
    if run.training_file.is_file():
        return Kind.TRAINING
    return Kind.REPLAY if (folder / REPLAY_FILE).is_file() else None


def runs_in(parent: Path) -> list[Listed]:
    """The runs right below a folder, the one that was changed last first; none where there is no
    such folder."""
    try:
        folders = sorted(path for path in parent.iterdir() if path.is_dir())
    except OSError:
        return []
    found = [listed(folder, kind) for folder in folders if (kind := kind_of(folder)) is not None]
    return sorted(found, key=lambda run: -run.changed)


def listed(folder: Path, kind: Kind) -> Listed:
    """One of them; of a damaged one why it cannot be read."""
    changed = _changed(folder)
    try:
        return _READERS[kind](RunDir(folder), changed)
    except (DnsearchError, OSError, sqlite3.Error, *_WRONG) as error:
        return Listed(folder, kind, None, changed, problem=_reason(error))


_WRONG = LookupError, TypeError, ValueError, AttributeError
"""What a file that holds something else than it should leads to."""


def _reason(error: Exception) -> str:
    if isinstance(error, DnsearchError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _search(run: RunDir, changed: float) -> Listed:
    study = tomllib.loads(run.study_file.read_text(encoding="utf-8"))["search"]
    done, seconds = _trained(run)
    kind = Kind.SCALING if study["sampler"] == "scaling" else Kind.SEARCH
    reason = run.end_reason()
    state = RunState.INTERRUPTED if reason in ("", INTERRUPTED) else RunState.DONE
    if not reason and (done >= study["trials"] or seconds >= study.get("time", float("inf"))):
        state = RunState.DONE  # a run of an earlier version, which did not say why it ended
    if run.holder():
        state, reason = RunState.RUNNING, ""
    answer = _answer(run)
    return Listed(run.path, kind, state, changed, done, int(study["trials"]), reason, answer)


_STUDIES = "SELECT study_id FROM studies WHERE study_name IN ({0}, {0})"
_TRAINED = (
    "SELECT count(*) FROM trials JOIN trial_user_attributes USING (trial_id) "
    f"WHERE key = 'score' AND state != 'RUNNING' AND study_id IN ({_STUDIES})"
)
_NOTED = (
    "SELECT value_json FROM study_user_attributes WHERE key = 'seconds' "
    f"AND study_id IN ({_STUDIES})"
)


def _trained(run: RunDir) -> tuple[int, float]:
    """How many training runs of the search Optuna's storage holds, and the noted seconds.

    Raises sqlite3.Error where it is no such storage, and a DnsearchError of a server.
    """
    names: tuple[str, ...] = "search", "references"
    place = run.place
    if place is None:
        sign, address = "?", f"{run.database.resolve().as_uri()}?mode=ro"
        opened: Any = sqlite3.connect(address, uri=True)
    else:
        sign, opened = "%s", _connected(place.address)
        names = tuple(f"{place.run}/{name}" for name in names)
    with contextlib.closing(opened) as connection:
        try:
            (count,) = connection.execute(_TRAINED.format(sign), names).fetchone()
            noted = connection.execute(_NOTED.format(sign), names).fetchall()
        except Exception as error:
            if place is None:
                raise
            raise refused(place.address, error) from None
    seconds = (json.loads(value) for (value,) in noted)
    return count, max((_seconds(each) for each in seconds), default=0.0)


_unreachable: dict[str, tuple[float, ConnectionLost]] = {}


def _connected(address: str) -> Any:
    """A connection that reads; a server that was just found out of reach is not waited for with
    every run anew."""
    since, error = _unreachable.get(address, (-math.inf, None))
    if error is not None and time.monotonic() - since < OUT_OF_REACH_SECONDS:
        raise error
    try:
        return connect(address, "dnsearch list", read_only=True, connect_timeout=3)
    except ConnectionLost as error:
        _unreachable[address] = time.monotonic(), error
        raise


def _seconds(stored: Any) -> float:
    """The time spent, as ``search.layout`` has it noted."""
    return float(stored["value"] if isinstance(stored, Mapping) else stored)


def _answer(run: RunDir) -> Answer | None:
    """Of the last report; None where there is none, or it recommends nothing."""
    if not (run.path / "summary.json").is_file():
        return None
    told = run.read_json("summary.json", "picks", "errors")
    best = told["picks"].get(LEAST_ERROR)
    if best is None:
        return None
    low, high = best["new_low"], best["new_high"]
    images = f"{_KINDS[told.get('error_kind', 'top1')]}{told['errors']['measured_on']} error"
    return Answer(
        str(best["name"]), str(best["key"]), float(best["predicted_error"]), low, high, images
    )


_KINDS = {"top1": "", "balanced": "balanced ", "top5": "top-5 "}


def _training(run: RunDir, changed: float) -> Listed:
    asked = run.read_json(run.training_file.name, "epochs")
    epochs = int(asked["epochs"])
    if not (run.path / RESULT_FILE).is_file():
        state = RunState.RUNNING if run.holder() else RunState.INTERRUPTED
        return Listed(run.path, Kind.TRAINING, state, changed, None, epochs)
    result = run.read_json(RESULT_FILE, "validation", "test", "key")
    return Listed(
        run.path, Kind.TRAINING, RunState.DONE, changed, epochs, epochs, "", _measured(result)
    )


def _measured(result: Mapping[str, Any]) -> Answer:
    images = "test" if result["test"] is not None else "validation"
    kind = _KINDS[result.get("objectives", {}).get("error", "top1")]
    name, key, error = str(result["name"]), str(result["key"]), float(result[images]["error"])
    return Answer(name, key, error, None, None, f"{kind}{images} error")


def _replay(run: RunDir, changed: float) -> Listed:
    """Its answer is no network; ``reason`` says which strategy was first."""
    with (run.path / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["axis"] == "log"]
    medians = {r["sampler"]: float(r["median"]) for r in rows if float(r["level"]) == 0.95}
    return Listed(run.path, Kind.REPLAY, RunState.DONE, changed, reason=_first(medians))


def _first(medians: Mapping[str, float]) -> str:
    """Which strategies are first at 95 %, by the median over replays of the compute it takes them,
    infinite where half of the replays or more never got there."""
    least = min(medians.values())
    first = [sampler for sampler, median in medians.items() if median == least]
    if len(medians) == 1:
        reached = "did not reach 95 % in most replays" if math.isinf(least) else "reached 95 %"
        return f"{first[0]} {reached}"
    if math.isinf(least):
        return "no strategy reached 95 % in most replays"
    return f"{text.listed(first)} {text.agreeing(len(first), 'is', 'are')} first at 95 %"


_READERS = {Kind.SEARCH: _search, Kind.TRAINING: _training, Kind.REPLAY: _replay}


def _changed(folder: Path) -> float:
    """When the files right in a folder were last written; locks are none."""
    times = [0.0]
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_file() and path.suffix != ".lock":
                with contextlib.suppress(OSError):
                    times.append(path.stat().st_mtime)
    return max(times)


def ago(seconds: float) -> str:
    """An age in one unit: ``42 s``, ``3 min``, ``5 h``, ``2 days``."""
    for unit, least in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= least:
            number = int(seconds // least)
            return f"{number} {unit}{'s' * (unit == 'day' and number > 1)}"
    return f"{max(0, int(seconds))} s"
