"""Predictions against errors that are known, since a formula and a seed's noise make the scores."""

import numpy as np

from dnsearch.config import SearchConfig, parse_study
from dnsearch.search.engine import Engine
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.predictions import LEAST, predict_errors
from dnsearch.search.problem import Problem
from dnsearch.search.proposer import Proposer
from dnsearch.search.store import StudyStore
from dnsearch.training.score import Score
from tests.fakes import FakeEvaluator

NOISE = 0.05
SPACE = """
[space]
growth_rate = [2, 4, 6, 8]
block_config = [[1, 2, 3], [1, 2, 3]]
bn_size = [0, 2]
"""


def truth(arch):
    return 0.3 * (arch.depth * arch.growth_rate / 20) ** -0.3


def noisy(job):
    luck = np.random.default_rng(job.seed).normal(0, NOISE)
    return Score(job.rung, job.seed, float(truth(job.arch) * np.exp(luck)), 1.0, 1.0, seconds=1.0)


def searched(trials, seed):
    """Random search in memory, and predictions for what it found."""
    space = parse_study(SPACE).space.build(1, 4)
    model = CostModel((1, 8, 8))
    points, _ = feasible_points(space, model, np.random.default_rng(0))
    problem = Problem(points, model, ("macs",), (3,), "log", {}, 1000)
    store = StudyStore(None, problem.objectives)
    config = SearchConfig(sampler="random", trials=trials, seed=seed)
    proposer = Proposer(store, problem, config, [])
    Engine(store, proposer, FakeEvaluator(score=noisy), problem, config).run(lambda progress: None)
    return store.records(), predict_errors(store, space, model, (3,), 4000)


def test_they_are_nearer_to_the_truth_than_what_was_measured():
    half, most, predicted, flattery = [], [], [], []
    for seed in range(6):
        found, predictions = searched(30, seed)
        records = {record.job.arch.key: record for record in found}
        assert set(predictions.keys) == set(records)
        true = np.array([truth(records[key].job.arch) for key in predictions.keys])
        measured = np.array([records[key].score.error for key in predictions.keys])
        for level, inside in ((0.5, half), (0.9, most)):
            low, high = predictions.interval(level)
            inside += list((low <= true) & (true <= high))
        best = measured.argmin()
        predicted.append(np.log(predictions.error / true).std() / np.log(measured / true).std())
        flattery.append((measured[best] / true[best], predictions.error[best] / true[best]))
    assert 0.42 < np.mean(half) < 0.63  # of 180 statements each
    assert 0.83 < np.mean(most) < 0.97
    assert np.mean(predicted) < 0.7
    least, pooled = np.abs(np.mean(flattery, axis=0) - 1)
    assert pooled < 0.4 * least  # the winner's curse is taken back


def test_nothing_is_predicted_of_too_few():
    assert searched(LEAST - 1, 0)[1] is None
    _, predictions = searched(LEAST, 0)
    assert predictions.draws.shape[1] == LEAST == len(predictions.keys)


def test_the_same_run_gives_the_same_predictions():
    one, two = (searched(10, 1)[1] for _ in range(2))
    np.testing.assert_array_equal(one.draws, two.draws)
