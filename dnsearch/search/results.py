"""``Results``: everything a report or an export needs to know of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dnsearch.config import StudyConfig

COLUMNS = {
    "number": "trial number in Optuna's storage",
    "key": "ArchConfig.key",
    "name": "short description, or the preset's name",
    "preset": "name of the preset this architecture is, else empty",
    "state": "finished, failed or unfit (finished, but over a limit known only when measured)",
    "growth_rate": "",
    "block_config": "depths joined by '-', such as 6-12-24",
    "num_init_features": "",
    "bn_size": "",
    "compression": "",
    "drop_rate": "",
    "norm": "",
    "depth": "weighted layers",
    "params": "parameters",
    "macs": "multiply-adds of one image",
    "activations": "elements convolutions write for one image",
    "train_bytes": "bytes a training step holds at training.batch_size",
    "latency_ms": "measured milliseconds of one forward pass, NaN where not asked for",
    "rung": "epochs trained",
    "seed": "seed of the training",
    "error": "validation error, 0 to 1; NaN where failed",
    "loss": "validation loss, nats",
    "train_loss": "mean training loss of the last epoch, nats",
    "seconds": "wall-clock seconds of this training",
    "images_per_second": "training images a second",
    "train_macs": "compute spent: 3 x macs x images x epochs (forward and backward)",
    "finished_after": "seconds of search time, over all sittings, when this candidate was told",
    "failure": "reason, empty where there is none",
    "curve": "list of {epoch, train_loss, error, loss}",
}
"""Columns of ``Results.candidates``, one row a candidate, in the order they were finished."""


@dataclass(frozen=True)
class Results:
    """A run as it stands.

    ``candidates`` has the columns of ``COLUMNS``. ``presets`` has one row (key, name, params, macs,
    activations, train_bytes) for each preset whose stem and depth fit the input, trained or not.
    ``importance`` maps a name of an objective to the share of its variance each dimension explains.
    ``data`` tells of the images: name, classes, image shape, numbers of images a split.
    """

    name: str
    study: StudyConfig
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    candidates: pd.DataFrame
    presets: pd.DataFrame
    importance: Mapping[str, Mapping[str, float]]
    seconds: float
