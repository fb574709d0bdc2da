"""``Table``: the recorded trainings of a run, so that searches can be replayed without training.

A lower rung of a training is read off its curve: the learning rate follows the top rung's schedule
whatever rung a job asks for, so a shorter training is the beginning of a longer one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis.candidates import Candidate
from dnsearch.analysis.reference import reference_point
from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import costs
from dnsearch.errors import RunError
from dnsearch.text import counted
from dnsearch.training.score import CurvePoint, Score

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

FIGURES = ("error", "loss", "train_loss")
"""What a training scores at each rung."""

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
    time the run took, ``baseline_error`` that of ``analysis.baseline``, None in older files. A
    score that is not a finite number counts as a failed training.

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
    baseline_error: float | None = None

    def __post_init__(self) -> None:
        if self.trainings.empty:
            raise RunError(f"{self.name}: has no trained candidates yet; dnsearch run trains them")
        rows = self.trainings.reset_index(drop=True)
        unknown = ~np.isfinite(rows["error"].to_numpy(dtype=np.float64))
        rows.loc[unknown & (rows["failure"] == ""), "failure"] = "its error is not a finite number"
        object.__setattr__(self, "trainings", rows)
        nameless = set(rows["key"]) - self.archs.keys()
        if nameless:
            raise RunError(f"{self.name}: does not say what architecture {min(nameless)} is")

    @classmethod
    def of(cls, results: Results) -> Table:
        """The trainings of a run so far, on all of its training images; it may still be searched.

        Raises RunError where nothing has been trained.
        """
        rungs, images = results.study.training.rungs, results.data["images"]["train"]
        trainings: dict[tuple[str, int], list[Candidate]] = {}
        for candidate in results.measured:
            if candidate.images == images:
                trainings.setdefault((candidate.key, candidate.seed), []).append(candidate)
        rows = [
            {"key": key, "seed": seed, **row}
            for (key, seed), parts in trainings.items()
            for row in _rungs_of(parts, rungs)
        ]
        archs = results.archs
        return cls(
            name=results.name,
            study=_without_folders(results.study),
            shape=tuple(results.data["shape"]),
            classes=len(results.data["classes"]),
            images=images,
            rungs=rungs,
            archs={row["key"]: archs[row["key"]] for row in rows},
            trainings=pd.DataFrame(rows, columns=list(COLUMNS)),
            environment=results.environment,
            seconds=results.seconds,
            baseline_error=results.search_baseline.error,
        )

    @property
    def reference(self) -> dict[str, float]:
        """The reference point of hypervolumes, that of the run; a latency is NaN."""
        return reference_point(
            self.study, self.shape, self.classes, baseline_error=self.baseline_error
        )

    @cached_property
    def truth(self) -> pd.DataFrame:
        """The true error and the costs of each architecture that was trained to the top rung.

        By key: ``error``, the mean over its recorded ``seeds``, and their number; exact ``params``,
        ``macs``, ``activations``. Raises RunError where no training reached the top rung.
        """
        found = {key: self._top_errors(key) for key in self.scores}
        known = {key: errors for key, errors in found.items() if errors}
        if not known:
            raise RunError(
                f"{self.name}: no training reached the top rung of "
                f"{counted(self.rungs[-1], 'epoch')}; a replay needs at least one that did"
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

    @cached_property
    def seconds_per_mac(self) -> float | None:
        """Of training by one epoch, by the MACs of one image; the mean over all trainings whose
        time is known, None where that of none is."""
        known = self.trainings.loc[
            np.isfinite(self.trainings["seconds"]) & (self.trainings["failure"] == "")
        ]
        longest = known.sort_values("rung").drop_duplicates(["key", "seed"], keep="last")
        archs = [self.archs[key] for key in longest["key"]]
        if not archs:
            return None
        macs = costs(ArchArrays.of(archs), *self.shape[1:]).macs
        return float(longest["seconds"].sum() / (macs * longest["rung"]).sum())

    def _top_errors(self, key: str) -> list[float]:
        tops = [rungs.get(self.rungs[-1]) for rungs in self.scores[key].values()]
        return [top.error for top in tops if top is not None and top.error is not None]

    def replicates(self, figure: str) -> NDArray[np.float64]:
        """A figure of ``FIGURES`` of the architectures of ``truth``, in their order.

        (architectures, seeds, rungs), NaN where missing. The order of an architecture's seeds has
        no meaning.
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
        """The score of each training at each of its rungs, by key, seed and rung.

        Curves hold the recorded rungs alone.
        """
        found: dict[str, dict[int, dict[int, Score]]] = {}
        for row in self.trainings.sort_values("rung", kind="stable").to_dict("records"):
            rungs = found.setdefault(row["key"], {}).setdefault(row["seed"], {})
            before = rungs[max(rungs)].curve if rungs else ()
            rungs[row["rung"]] = _score(row, before)
        return found


def _rungs_of(parts: Sequence[Candidate], rungs: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of one training, a rung each.

    ``parts`` are its candidates. A promotion is a trial of its own, and where its worker died, what
    the lower rung scored is a second candidate.
    """
    parts = sorted(parts, key=lambda part: part.rung)
    points: dict[int, CurvePoint] = {}  # by epoch; those of a longer part replace a shorter one's
    seconds: dict[int, float] = {}
    failure = ""
    for part in parts:
        points |= {point.epoch: point for point in part.curve}
        seconds |= _seconds_to(part, rungs)
        if part.failure:
            failure = part.failure
            points.pop(part.rung, None)
        else:
            points[part.rung] = CurvePoint(part.rung, part.train_loss, part.error, part.loss)
    ended = parts[-1].rung if failure else 0
    return [
        {
            "rung": rung,
            **{name: getattr(points.get(rung), name, math.nan) for name in FIGURES},
            "seconds": seconds.get(rung, math.nan),
            "failure": "" if rung in points else failure,
        }
        for rung in rungs
        if rung in points or rung <= ended
    ]


def _seconds_to(part: Candidate, rungs: Sequence[int]) -> dict[int, float]:
    """Seconds from the start of a training to each rung; none where they are unknown."""
    if not math.isfinite(part.seconds):
        return {}
    epochs = len(part.curve) + 1 if part.failure else part.rung  # it failed in the next epoch
    return {rung: part.seconds * min(1.0, rung / epochs) for rung in rungs if rung <= part.rung}


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
    """The study with the last part of ``data.path`` alone; its folder is of one machine."""
    if study.data.path is None:
        return study
    data = study.data.model_copy(update={"path": Path(study.data.path.name)})
    return study.model_copy(update={"data": data})
