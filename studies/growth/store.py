"""What one tell costs, and resuming, in runs of up to 3,000 trials.

A tell is all that comes of one ended training: it is stored, and the weights that lost their place
on the front are removed. Resuming is what is read before the first proposal.

    OMP_NUM_THREADS=1 python studies/growth/store.py
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import cast

import numpy as np
import optuna
from growth import Watch, exponent, fresh, line
from optuna.distributions import distribution_to_json
from optuna.trial import create_trial

from dnsearch.arch import SearchSpace
from dnsearch.config import SearchConfig, parse_study
from dnsearch.rundir import RunDir
from dnsearch.search import CostModel
from dnsearch.search.engine import Engine
from dnsearch.search.evaluators.base import SEARCH, Evaluator, Job
from dnsearch.search.feasible import feasible_points
from dnsearch.search.layout import JOB, SCORE, job_attribute, score_attribute, sealed
from dnsearch.search.parameters import RUNG, distributions, rung_distribution
from dnsearch.search.problem import Problem
from dnsearch.search.proposer import Proposer
from dnsearch.search.store import StudyStore
from dnsearch.search.weights import Keeper
from dnsearch.training.score import CurvePoint, Score

SIZES = 300, 1000, 2000, 3000
RUNGS, TELLS = (1, 3, 9), 10
TRIAL = "trial_id, number, study_id, state, datetime_start, datetime_complete"
WHEN = "2026-01-01 00:00:00.000000"
SPACE = SearchSpace(growth_rate=tuple(range(4, 33)), block_config=(tuple(range(1, 9)),) * 3)


def main() -> None:
    """Measures and prints."""
    for name, work in (("a tell", tells), ("resuming", resumed)):
        seconds = []
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                fresh(filled, folder, size)
                grown = fresh(work, folder)
            if work is tells:
                grown = grown._replace(seconds=grown.seconds / TELLS)
            seconds.append(grown.seconds)
            line(f"{name}, {size:,} trials", grown)
        print(f"{name}: seconds grow with trials to the {exponent(SIZES, seconds):.2f}")


def problem_of() -> Problem:
    """A search of two objectives on small images."""
    model = CostModel((1, 14, 14))
    points, _ = feasible_points(SPACE, model, np.random.default_rng(0))
    return Problem(points, model, ("macs",), RUNGS, "log", {}, 1000)


def score(number: int) -> Score:
    """Of a network that is the better the later it comes, with luck."""
    error = 0.1 + 0.2 * np.random.default_rng(number).random()
    curve = tuple(CurvePoint(e, 2 / e, error + 0.1 / e, 1 / e) for e in range(1, RUNGS[-1] + 1))
    return Score(RUNGS[-1], number, error, 1.0, 0.5, curve, seconds=60.0)


def filled(watch: Watch, folder: str, count: int) -> None:
    """Writes a run of so many finished trials into a folder; straight into the tables of Optuna's
    storage, since Optuna itself takes minutes."""
    problem, run = problem_of(), RunDir(Path(folder))
    store = StudyStore(run, problem.objectives)
    study = store.logs[SEARCH].study._study_id
    ranges = distributions(SPACE) | rung_distribution(RUNGS)
    trials, params, values, attributes = [], [], [], []
    places = np.random.default_rng(1).permutation(len(problem.points))[:count]
    for number, place in enumerate(map(int, places)):
        arch, trial = problem.points.config(place), number + 1
        chosen = {**problem.points.values(place), RUNG: RUNGS[-1]}
        figures = [score(number).error, float(problem.model.cost(arch).macs)]
        job = job_attribute(Job(number, arch, RUNGS[-1], number))
        frozen = create_trial(
            values=figures, params={name: chosen[name] for name in ranges}, distributions=ranges
        )
        frozen.number = number
        told = sealed(
            score_attribute(score(number), figures, {}, 60.0 * number), frozen, SEARCH, job
        )
        trials.append((trial, number, study, "COMPLETE", WHEN, WHEN))
        for name, of in ranges.items():
            value = of.to_internal_repr(chosen[name])
            params.append((trial, name, value, distribution_to_json(of)))
        values += [(trial, at, figure, "FINITE") for at, figure in enumerate(figures)]
        attributes += [(trial, JOB, json.dumps(job)), (trial, SCORE, json.dumps(told))]
    with contextlib.closing(sqlite3.connect(run.database)) as database, database:
        for table, columns, rows in (
            ("trials", TRIAL, trials),
            ("trial_params", "trial_id, param_name, param_value, distribution_json", params),
            ("trial_values", "trial_id, objective, value, value_type", values),
            ("trial_user_attributes", "trial_id, key, value_json", attributes),
        ):  # fmt: skip
            marks = ", ".join("?" * len(rows[0]))
            database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def resumed(watch: Watch, folder: str) -> int:
    """Everything up to the first proposal."""
    problem = problem_of()
    config = SearchConfig(sampler="known-cost", trials=10_000)
    with watch:
        store = StudyStore(RunDir(Path(folder)), problem.objectives)
        store.recover()
        proposer = Proposer(store, problem, config, [])
        Engine(store, proposer, cast(Evaluator, None), problem, config)
        return len(store.records())


def tells(watch: Watch, folder: str) -> None:
    """Some tells of a search that goes on."""
    problem, run = problem_of(), RunDir(Path(folder))
    store, keeper = StudyStore(run, problem.objectives), Keeper(run, parse_study(""))
    keeper.tidy(store.records())
    sampler = optuna.samplers.RandomSampler(seed=0)
    store.logs[SEARCH].study.sampler = sampler
    ranges = distributions(SPACE) | rung_distribution(RUNGS)
    rng = np.random.default_rng(0)
    for place in itertools.islice(rng.permutation(len(problem.points)), TELLS):
        trial = store.logs[SEARCH].study.ask(ranges)
        arch = problem.points.config(int(place))
        job = Job(trial.number, arch, RUNGS[-1], trial.number)
        store.accept(trial, job)
        values = [score(trial.number).error or 0.0, float(problem.model.cost(arch).macs)]
        with watch:
            store.tell(job, score(trial.number), values, {}, 60.0 * trial.number)
            keeper.tidy(store.records())


if __name__ == "__main__":
    main()
