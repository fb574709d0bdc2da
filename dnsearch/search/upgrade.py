"""A run's storage as an earlier version wrote it, brought to today's schema (``search.layout``)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from dnsearch.search.database import connect, damaged, guarded, open_storage, readable
from dnsearch.search.layout import (
    FAILED_BEFORE,
    INTERRUPTED,
    JOB,
    REJECTED,
    SCHEMA,
    SCORE,
    SECONDS,
    damage,
    job_attribute,
    job_of,
    noted,
    read_noted,
    score_told,
    sealed,
)

_AT_FIRST = "arch", "key", "seed", "rung", "images", "score_sha256", "values", "finished_after"


def upgrade(file: Path) -> None:
    """Writes every trial's attributes as they are today, and the schema, in one transaction; for
    the holder of the run's lock. What cannot be read is left alone.

    Raises RunError where a trial is damaged, MachineError on a full disk.
    """
    storage = open_storage(file, read_only=True)
    with readable(file):
        names = optuna.get_all_study_names(storage)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in names]
        trials = [(study, trial) for study in studies for trial in study.get_trials(deepcopy=False)]
        changes = [(trial._trial_id, _attributes(file, study, trial)) for study, trial in trials]
    with guarded(file), contextlib.closing(connect(file, "rw")) as connection, connection:
        for number, attributes in changes:
            _write(connection, number, attributes)
        for study in studies:
            _note_seconds(connection, study)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _attributes(file: Path, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """What a trial has to carry; of one that is under way it is settled later."""
    name, attrs = study.study_name, trial.user_attrs
    wrong = damage(trial, name, is_old=True)
    if wrong:
        raise damaged(file, wrong)
    told: dict[str, Any] = {}
    if JOB in attrs or "arch" in attrs:
        told[JOB] = job_attribute(job_of(trial, name))
    for attribute in (SCORE, FAILED_BEFORE):
        score = score_told(trial, attribute)
        if score is not None:
            told[attribute] = sealed(score, trial, name, told[JOB])
    if trial.state.is_finished() and not {SCORE, FAILED_BEFORE, REJECTED} & attrs.keys():
        told[INTERRUPTED] = True
    return told


def _write(connection: sqlite3.Connection, trial: int, attributes: dict[str, Any]) -> None:
    for name in (*_AT_FIRST, *attributes):
        connection.execute(
            "DELETE FROM trial_user_attributes WHERE trial_id = ? AND key = ?", (trial, name)
        )
    connection.executemany(
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
        [(trial, name, json.dumps(value)) for name, value in attributes.items()],
    )


def _note_seconds(connection: sqlite3.Connection, study: optuna.Study) -> None:
    spent = read_noted(study.study_name, study.user_attrs.get(SECONDS, 0.0), is_old=True)
    (number,) = connection.execute(
        "SELECT study_id FROM studies WHERE study_name = ?", (study.study_name,)
    ).fetchone()
    connection.execute(
        "DELETE FROM study_user_attributes WHERE study_id = ? AND key = ?", (number, SECONDS)
    )
    connection.execute(
        "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (?, ?, ?)",
        (number, SECONDS, json.dumps(noted(study.study_name, spent))),
    )
