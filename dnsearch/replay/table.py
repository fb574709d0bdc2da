"""``Table``: the recorded trainings of a run, so that searches can be replayed without training.

A lower rung of a training is read off its curve: the learning rate follows the top rung's schedule
whatever rung a job asks for, so a shorter training is the beginning of a longer one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis.frames import rows, texts
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.config import StudyConfig, parse_study, to_toml
from dnsearch.cost.formula import costs
from dnsearch.errors import DnsearchError, RunError, nearest
from dnsearch.rundir import RunDir, atomic
from dnsearch.search.results import PARTIAL, Results, read_results
from dnsearch.training.score import CurvePoint, Score

BENCH = "bench:"
"""In front of the name of a table that comes with dnsearch."""

FIGURES = ("error", "loss", "train_loss")

COLUMNS = {
    "key": "ArchConfig.key",
    "seed": "seed of the training",
    "rung": "epochs trained",
    "error": "validation error, 0 to 1; NaN where failed",
    "loss": "validation loss, nats",
    "train_loss": "mean training loss of the rung's last epoch, nats",
    "seconds": "wall-clock seconds from the start to this rung, its share of the whole by epochs; "
    "NaN where unknown",
    "failure": "reason, empty where there is none",
}
"""Columns of ``Table.trainings``, one row a training and rung."""


@dataclass(frozen=True)
class Table:
    """The trainings of a run.

    ``shape`` is (channels, height, width) of an image, ``images`` the number trained on, ``archs``
    maps a key to its architecture, ``trainings`` has the columns of ``COLUMNS``. ``seconds`` is the
    time the run took. A score that is not a finite number counts as a failed training.

    Raises RunError where nothing is recorded.
    """

    name: str
    study: StudyConfig
    shape: tuple[int, int, int]
    classes: int
    images: int
    rungs: tuple[int, ...]
    archs: Mapping[str, ArchConfig]
    trainings: pd.DataFrame
    environment: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.trainings.empty:
            raise RunError(f"{self.name}: has no trained candidates yet; dnsearch run trains them")
        rows = self.trainings.reset_index(drop=True)
        unknown = ~np.isfinite(rows["error"].to_numpy(dtype=np.float64))
        rows.loc[unknown & (rows["failure"] == ""), "failure"] = "its error is not a finite number"
        object.__setattr__(self, "trainings", rows)
        nameless = set(rows["key"]) - self.archs.keys()
        if nameless:
            raise RunError(f"{self.name}: does not tell what architecture {min(nameless)} is")

    @classmethod
    def of(cls, results: Results) -> Table:
        """The trainings of a run as it stands; one that is being searched is read as far as it is.

        Raises RunError where nothing has been trained.
        """
        rungs = results.study.training.rungs
        whole = np.array(texts(results.candidates, "state")) != PARTIAL
        trained = rows(results.candidates, whole).groupby(["key", "seed"], sort=False)
        recorded = [
            {"key": key, "seed": seed} | row
            for (key, seed), trials in trained  # pyright: ignore
            for row in _rungs_of(trials.to_dict("records"), rungs)
        ]
        trainings = pd.DataFrame(recorded, columns=list(COLUMNS))
        return cls(
            name=results.name,
            study=_without_folders(results.study),
            shape=tuple(results.data["shape"]),
            classes=len(results.data["classes"]),
            images=results.data["images"]["train"],
            rungs=rungs,
            archs={key: results.archs[key] for key in trainings["key"].unique()},
            trainings=trainings,
            environment=results.environment,
            seconds=results.seconds,
        )

    @cached_property
    def truth(self) -> pd.DataFrame:
        """What is known best of each architecture that was trained to the top rung.

        By key: ``error``, the mean over its recorded ``seeds``; exact params, macs, activations.
        Raises RunError where none was trained so far.
        """
        found = {key: self._top_errors(key) for key in self.scores}
        known = {key: errors for key, errors in found.items() if errors}
        if not known:
            raise RunError(
                f"{self.name}: no training reached the top rung of {self.rungs[-1]} epochs; "
                "a replay needs at least one that did"
            )
        cost = costs(ArchArrays.of([self.archs[key] for key in known]), *self.shape[1:])
        columns = {
            "error": [np.mean(errors) for errors in known.values()],
            "seeds": [len(errors) for errors in known.values()],
            "params": cost.params,
            "macs": cost.macs,
            "activations": cost.activations,
        }
        return pd.DataFrame(columns, index=pd.Index(known, name="key"))

    def _top_errors(self, key: str) -> list[float]:
        tops = [rungs.get(self.rungs[-1]) for rungs in self.scores[key].values()]
        return [top.error for top in tops if top is not None and top.error is not None]

    def replicates(self, figure: str) -> NDArray[np.float64]:
        """A figure (error, loss, train_loss) of the architectures of ``truth`` in their order.

        (architectures, seeds, rungs), NaN where missing. Which of an architecture's seeds comes
        first means nothing.
        """
        most = max(len(self.scores[key]) for key in self.truth.index)
        out = np.full((len(self.truth), most, len(self.rungs)), np.nan)
        for row, key in enumerate(self.truth.index):
            for column, rungs in enumerate(self.scores[key].values()):
                values = [getattr(rungs.get(rung), figure, None) for rung in self.rungs]
                out[row, column] = np.array(values, dtype=np.float64)  # None becomes NaN
        return out

    @cached_property
    def scores(self) -> Mapping[str, Mapping[int, Mapping[int, Score]]]:
        """By key, seed and rung, the score of that training when it stood there.

        Curves hold the recorded rungs alone.
        """
        found: dict[str, dict[int, dict[int, Score]]] = {}
        for row in self.trainings.sort_values("rung", kind="stable").to_dict("records"):
            rungs = found.setdefault(row["key"], {}).setdefault(row["seed"], {})
            before = rungs[max(rungs)].curve if rungs else ()
            rungs[row["rung"]] = _score(row, before)
        return found


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
    """Writes all that a replay needs as one parquet file; what is not a row is JSON in its
    metadata. Raises RunError where it cannot be written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {
        "name": table.name,
        "shape": table.shape,
        "classes": table.classes,
        "images": table.images,
        "rungs": table.rungs,
        "seconds": table.seconds,
        "environment": dict(table.environment),
        "study": to_toml(table.study),
    }
    archs = [json.dumps(table.archs[key].to_dict()) for key in table.trainings["key"]]
    rows = pa.Table.from_pandas(table.trainings.assign(arch=archs), preserve_index=False)
    with atomic(path) as aside:
        metadata = {"dnsearch": json.dumps(about, ensure_ascii=False)}
        pq.write_table(rows.replace_schema_metadata(metadata), aside, compression="zstd")


def load_table(path: Path) -> Table:
    """A table that ``write_table`` wrote. Raises RunError where the file is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path)
        about = json.loads((rows.schema.metadata or {})[b"dnsearch"])
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
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        raise RunError(f"{path}: is no table that dnsearch wrote, or is damaged") from None


def _bench_folder() -> Path:
    """Where the bundled tables are: inside the package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    inside = package / "studies" / "densenet-bench"
    return inside if inside.is_dir() else package.parent / "studies" / "densenet-bench"


def _rungs_of(trials: list[dict[str, Any]], rungs: tuple[int, ...]) -> list[dict[str, Any]]:
    """The rows of one training; ``trials`` are what it was asked for, one for each promotion."""
    trials = sorted(trials, key=lambda trial: trial["rung"])
    points: dict[int, Mapping[str, float]] = {}  # by epoch; a longer trial's replace a shorter's
    seconds: dict[int, float] = {}
    failure = ""
    for trial in trials:
        points |= {point["epoch"]: point for point in trial["curve"]}
        epochs = trial["rung"]
        if trial["failure"]:
            failure, epochs = trial["failure"], len(trial["curve"]) + 1  # it stopped in its next
            points.pop(trial["rung"], None)
        else:
            points[trial["rung"]] = trial
        if math.isfinite(trial["seconds"]):
            spent = {rung: trial["seconds"] * min(1.0, rung / epochs) for rung in rungs}
            seconds |= {rung: s for rung, s in spent.items() if rung <= trial["rung"]}
    failed = [rung for rung in rungs if failure and rung <= trials[-1]["rung"]]
    return [
        {
            "rung": rung,
            **{name: points.get(rung, {}).get(name, math.nan) for name in FIGURES},
            "seconds": seconds.get(rung, math.nan),
            "failure": "" if rung in points else failure,
        }
        for rung in rungs
        if rung in points or rung in failed
    ]


def _score(row: Mapping[str, Any], before: tuple[CurvePoint, ...]) -> Score:
    score = Score(row["rung"], row["seed"], seconds=_known(row["seconds"]))
    if row["failure"]:
        return replace(score, curve=before, failure=row["failure"])
    point = CurvePoint(row["rung"], row["train_loss"], row["error"], row["loss"])
    figures = {name: _known(row[name]) for name in FIGURES}
    return replace(score, curve=(*before, point), **figures)


def _known(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def _without_folders(study: StudyConfig) -> StudyConfig:
    """The study with the last name of ``data.path`` alone: where it lay is one machine's affair."""
    if study.data.path is None:
        return study
    data = study.data.model_copy(update={"path": Path(study.data.path.name)})
    return study.model_copy(update={"data": data})
