"""How good the shapes are that a scaling design picks, on recorded trainings.

    python studies/scaling/shapes.py bench:fashion14-growth

The design is shown the errors of one seed; what it picks is judged by the other seeds: log error in
each of its rounds, less the mean over all recorded networks of about the same size. The first round
takes any shapes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import optuna

from dnsearch.arrays import Floats
from dnsearch.errors import DnsearchError
from dnsearch.replay.files import read_table
from dnsearch.replay.run import problem_of
from dnsearch.search import design, suggest
from dnsearch.search.problem import Problem
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.shapes import GoodShapes

SEEDS = 40
ROUNDS = 3
SPAN = 8.0
"""Recorded networks span less than a scaling design asks for."""


def main(name: str) -> None:
    """Prints the mean of each round."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = read_table(name)
    problem = problem_of(table)
    places = {problem.points.config(i).key: i for i in range(len(problem.points))}
    errors, recorded = np.full((len(places), 2), np.nan), table.replicates("error")
    for row, key in enumerate(table.truth.index):
        if key in places:
            errors[places[key]] = recorded[row, :2, -1]
    with patch.object(design, "LEAST_SPAN", SPAN):
        found = np.array([list(_left(problem, errors, seed)) for seed in range(SEEDS)])
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(SEEDS)
    print(f"{table.name}: error of the networks picked against others of their size")
    for number, (left, se) in enumerate(zip(mean, error, strict=True), start=1):
        print(f"  round {number}: {100 * np.expm1(left):+.1f} ± {100 * se:.1f} %")


def _left(problem: Problem, errors: Floats, seed: int) -> Iterator[float]:
    """Of each round the mean log error less that of all networks nearest to the same sizes."""
    shown = seed % 2
    points, known = problem.points, problem.model.of_points(problem.points)
    study = optuna.create_study()
    history = History(problem.rungs[-1:])
    shapes = GoodShapes(points, known, problem.model, history, study, seed)
    log = np.log(known.macs)
    plan = design.scaling(known.macs, np.random.default_rng(seed), shapes)
    new = (each.point for each in plan if each.share == 1 and each.times == 1)
    for _ in range(ROUNDS):
        left = []
        for point in itertools.islice(new, design.SIZES):
            study.enqueue_trial(points.values(point))
            trial = study.ask()
            suggest(trial, problem.space)
            study.tell(trial, errors[point, shown])
            alike = np.argsort(np.abs(log - log[point]))[: len(log) // design.SIZES]
            judged = np.log(errors[:, 1 - shown])
            left.append(judged[point] - judged[alike].mean())
        yield float(np.mean(left))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
