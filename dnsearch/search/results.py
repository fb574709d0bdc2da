"""``Results``: everything a report or an export needs to know of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.presets import PRESETS
from dnsearch.config import StudyConfig, load_study
from dnsearch.cost.formula import Cost
from dnsearch.rundir import RunDir
from dnsearch.search.beliefs import BELIEVED, Beliefs, believe, with_beliefs
from dnsearch.search.evaluators.base import CONFIRM, SEARCH
from dnsearch.search.feasible import CostModel
from dnsearch.search.store import Record, StudyStore

COLUMNS = {
    "number": "trial number in Optuna's storage",
    "key": "ArchConfig.key",
    "name": "short description, or the preset's name",
    "preset": "name of the preset this architecture is, else empty",
    "state": "finished, screened (trained to a lower rung only), partial (trained on part of the "
    "images), failed, or unfit (finished, but over a limit known only when measured)",
    "growth_rate": "",
    "block_config": "depths joined by '-', such as 6-12-24",
    "num_init_features": "",
    "bn_size": "",
    "compression": "",
    "drop_rate": "",
    "norm": "",
    "stem": "",
    "depth": "weighted layers",
    "params": "parameters",
    "macs": "multiply-adds of one image",
    "activations": "elements convolutions write for one image",
    "train_bytes": "bytes a training step holds at training.batch_size",
    "latency_ms": "measured milliseconds of one forward pass, NaN where not asked for",
    "rung": "epochs trained",
    "images": "training images it was given",
    "seed": "seed of the training",
    "error": "validation error, 0 to 1; NaN where failed",
    "loss": "validation loss, nats",
    "train_loss": "mean training loss of the last epoch, nats",
    "seconds": "wall-clock seconds of this training",
    "images_per_second": "training images a second",
    "train_macs": "compute spent: 3 x macs x images x epochs done (forward and backward)",
    "finished_after": "seconds of search time, over all sittings, when this candidate was told",
    "failure": "reason, empty where there is none",
    "believed_error": "error in the mean over seeds, by what all trainings together say; NaN where "
    "nothing is believed, as of what was not trained to the end",
    "believed_low": "lower end of its 90 % interval",
    "believed_high": "upper end",
    "front_probability": "of being on the front of all finished candidates, by the same",
    "zero_cost": "scores at initialisation by name, None where they were not asked for",
    "curve": "list of {epoch, train_loss, error, loss}",
}
"""Columns of ``Results.candidates``, one row a training, in the order they were finished; one that
went on from a lower rung is one row."""

PARTIAL = "partial"

MEASURED = ("latency_ms", "error", "loss", "train_loss", "seconds", "images_per_second", *BELIEVED)
"""Columns of floats that may be missing."""


@dataclass(frozen=True)
class Results:
    """A run as it stands.

    ``candidates`` has the columns of ``COLUMNS``. ``presets`` has one row (key, name, params, macs,
    activations, train_bytes) for each preset whose stem and depth fit the input, trained or not.
    ``importance`` maps a name of an objective to the share of its variance each dimension explains.
    ``data`` tells of the images: name, classes, image shape, numbers of images a split.
    ``archs`` maps a candidate's key to its architecture. ``beliefs`` are what the surrogate makes
    of all trainings together; None where they were not asked for or there are too few.
    ``confirmed``: what ``dnsearch confirm`` trained, none of which is in ``candidates``.
    """

    name: str
    study: StudyConfig
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    candidates: pd.DataFrame
    presets: pd.DataFrame
    importance: Mapping[str, Mapping[str, float]]
    seconds: float
    archs: Mapping[str, ArchConfig] = field(default_factory=dict)
    beliefs: Beliefs | None = None
    confirmed: tuple[Record, ...] = ()


def read_results(run: RunDir, beliefs: bool = False) -> Results:
    """The run as it stands, whether or not it is being searched at this moment; with ``beliefs``,
    which take about a second, where errors are told.

    Raises RunError where a file of the run is missing or damaged.
    """
    study = load_study(run.study_file)
    data = run.read_json("data.json", "shape", "images", "classes")
    store = StudyStore(run, read_only=True)
    machine = run.read_json("environment.json", "activation_bytes")
    model = CostModel.of(study, tuple(data["shape"]), machine["activation_bytes"])
    records = _latest(store.records())
    presets = _fitting_presets(model, len(data["classes"]))
    names = {arch.key: name for name, arch in presets.items()}
    rows = [_row(record, model, data["images"]["train"], names) for record in records]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(MEASURED, float))
    found = _believe(store, study, model, data) if beliefs else None
    return Results(
        name=run.name,
        study=study,
        environment=machine,
        data=data,
        candidates=with_beliefs(table, found, study.objectives.costs) if found else table,
        presets=_preset_costs(presets, model),
        importance=store.logs[SEARCH].importance(),
        seconds=store.seconds,
        archs={record.job.arch.key: record.job.arch for record in records},
        beliefs=found,
        confirmed=tuple(store.log(CONFIRM).records()),
    )


def _believe(
    store: StudyStore, study: StudyConfig, model: CostModel, data: Mapping[str, Any]
) -> Beliefs | None:
    space = study.space.build(data["shape"][0], len(data["classes"]))
    return believe(store, space, model, study.training.rungs, study.search.seed)


def _latest(records: list[Record]) -> list[Record]:
    """Of each training the record that ended last, which holds what its lower rungs found too; but
    one whose worker died holds nothing, and stands beside the one before."""

    def empty(record: Record) -> bool:
        return record.score.failure is not None and not record.score.curve

    last = {(r.job.arch.key, r.job.seed): r for r in records if not empty(r)}
    return [r for r in records if empty(r) or last[r.job.arch.key, r.job.seed] is r]


def _row(
    record: Record, model: CostModel, images: int, preset_names: Mapping[str, str]
) -> dict[str, Any]:
    arch, score = record.job.arch, record.score
    cost = model.cost(arch)
    state = "screened" if record.values is None else "finished" if record.feasible else "unfit"
    state = state if record.job.images is None else PARTIAL
    name = preset_names.get(arch.key, "")
    return {
        "number": record.job.trial,
        "key": arch.key,
        "name": name or arch.describe(),
        "preset": name,
        "state": "failed" if score.failure else state,
        **arch.to_dict(),
        "block_config": "-".join(map(str, arch.block_config)),
        "depth": arch.depth,
        "images": record.job.images or images,
        **vars(cost),
        **{n: getattr(score, n) for n in COLUMNS if hasattr(score, n)},
        "train_macs": 3 * cost.macs * images * len(score.curve),
        "finished_after": record.finished_after,
        "failure": score.failure or "",
        "curve": [vars(point) for point in score.curve],
    }


def _fitting_presets(model: CostModel, classes: int) -> dict[str, ArchConfig]:
    """The presets that the images are large enough for, with their channels and classes."""
    archs = {
        name: config.replace(in_channels=model.shape[0], num_classes=classes)
        for name, config in PRESETS.items()
    }
    return {n: arch for n, arch in archs.items() if min(model.shape[1:]) >= arch.least_size}


def _preset_costs(presets: Mapping[str, ArchConfig], model: CostModel) -> pd.DataFrame:
    rows = [
        {"key": arch.key, "name": name, **vars(model.cost(arch))} for name, arch in presets.items()
    ]
    return pd.DataFrame(rows, columns=["key", "name", *vars(Cost(0, 0, 0, 0))])
