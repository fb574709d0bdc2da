"""One answer from search and confirmation: on invented worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.candidates import Basis
from dnsearch.analysis.predictions import Predictions
from dnsearch.search.confirmed import best_run, fresh_runs, usual_epochs, with_confirmed
from dnsearch.search.evaluators.base import CONFIRM, Job
from dnsearch.search.store import Record
from dnsearch.training.score import Score
from tests.confirm.invented import arch, candidate, fresh, results

IMAGES = 100_000


def world(seed, n=40, confirmed=14, posterior=0.04, change=0.04, noise=0.03, slope=1.15):
    """Predictions of n networks, test errors of some with three seeds, log costs, and true log
    errors when confirmed."""
    rng = np.random.default_rng(seed)
    log_cost = np.linspace(12, 16, n)
    short = -1 - 0.2 * (log_cost - 12) + 0.05 * rng.standard_normal(n)
    true = short.mean() - 0.3 + slope * (short - short.mean()) + change * rng.standard_normal(n)
    mean = short + posterior * rng.standard_normal(n)
    draws = np.exp(mean + posterior * rng.standard_normal((2000, n)))
    keys = tuple(map(str, range(n)))
    some = rng.choice(n, confirmed, replace=False)
    tests = {keys[i]: np.exp(true[i] + noise * rng.standard_normal(3)).tolist() for i in some}
    return Predictions(keys, draws, noise, IMAGES, 9), tests, log_cost, true


def joined(seed, **more):
    before, tests, log_cost, true = world(seed, **more)
    after = with_confirmed(before, tests, log_cost, IMAGES, 27, np.random.default_rng(seed))
    return before, tests, true, after


def test_intervals_hold_and_errors_shrink():
    inside, own, others, alone, pooled = [], [], [], [], []
    for seed in range(12):
        before, tests, true, after = joined(seed)
        low, high = np.log(after.interval(0.9))
        inside += list((low <= true) & (true <= high))
        confirmed = np.array([key in tests for key in after.keys])
        missed = np.log(after.error) - true
        own.append(missed[confirmed])
        others.append(missed[~confirmed])
        pooled.append(np.log(before.error)[~confirmed] - true[~confirmed])
        measured = np.array([np.log(tests[k]).mean() for k in after.keys if k in tests])
        alone.append(measured - true[confirmed])
    assert 0.83 < np.mean(inside) < 0.96  # of 480 statements of 90 %
    assert np.std(own) < 1.02 * np.std(alone)  # a confirmed network follows its own seeds
    assert np.std(others) < 0.08  # one that was not follows the search, corrected
    assert abs(np.mean(others)) < 0.02 < abs(np.mean(pooled))


def test_what_confirmation_found_rules():
    """Two networks alike in the search: the one that confirmation found better is predicted so."""
    rng = np.random.default_rng(0)
    keys = tuple("abcdefgh")
    draws = np.exp(np.log(0.2) + 0.03 * rng.standard_normal((2000, 8)))
    before = Predictions(keys, draws, 0.03, IMAGES, 9)
    tests = {k: [0.15, 0.151, 0.149] for k in "abcdef"} | {"g": [0.12, 0.121, 0.119]}
    after = with_confirmed(before, tests, np.zeros(8), IMAGES, 27, rng)
    error = dict(zip(keys, after.error, strict=True))
    assert min(error, key=error.get) == "g"
    assert error["g"] == pytest.approx(0.12, rel=0.02)
    assert 0.13 < error["h"] < 0.16  # about as the others, though nobody measured it
    assert after.basis is Basis.CONFIRMED
    assert after.confirmed == frozenset(tests)
    assert (after.images, after.epochs) == (IMAGES, 27)


def test_more_seeds_weigh_more():
    def shift(count):
        before, _, log_cost, _ = world(3)
        far = 0.8 * before.error[0]
        tests = {k: [e] for k, e in zip(before.keys[1:12], before.error[1:12], strict=True)}
        tests |= {"0": [float(far)] * count}
        rng = np.random.default_rng(1)
        after = with_confirmed(before, tests, log_cost, IMAGES, 27, rng)
        return np.log(after.error[0] / far), after.quantiles(0.05, 0.95)[:, 0]

    one, (low, high) = shift(1)
    many, (lower, higher) = shift(12)
    assert 0 <= many < one
    assert np.log(higher / lower) < np.log(high / low)


def test_no_error_at_all_is_predicted_as_none():
    before, tests, log_cost, _ = world(0)
    none = {key: [0.0] * 3 for key in tests}
    zero = Predictions(before.keys, 0 * before.draws, 0.03, 80, 9)
    after = with_confirmed(zero, none, log_cost, 80, 27, np.random.default_rng(0))
    told = after.described(after.keys, log_cost[:, None])
    assert (told["predicted_error"][[key in none for key in after.keys]] == 0).all()
    assert (told["new_high"] > 0.03).all()


def record(number, rung, error, test, failure=None):
    score = Score(rung, number, error, 1.0, 1.0, test_error=test, test_images=99, failure=failure)
    return Record(Job(0, arch(0), rung, number, CONFIRM), score, None, True, float(number))


def test_the_longest_run_of_least_validation_error_gives_the_weights():
    short = record(0, 9, 0.01, 0.01)
    worse, better = record(1, 27, 0.20, 0.05), record(2, 27, 0.10, 0.30)
    failed = record(3, 27, None, None, "diverged")
    runs = [short, worse, better, failed]
    assert best_run(runs, arch(0).key) is better  # whatever its test error
    assert best_run([failed], arch(0).key) is None
    assert best_run(runs, arch(1).key) is None


def test_most_runs_decide_the_length_and_repetitions_count_once():
    runs = [record(0, 9, 0.1, 0.1), record(1, 27, 0.1, 0.1), record(1, 27, 0.2, 0.2)]
    assert usual_epochs(runs) == 27
    assert usual_epochs([]) == 0
    assert fresh_runs(runs, 27) == {arch(0).key: [runs[2]]}


@pytest.mark.parametrize("tested", [(2000, 2000), (3800, 200), None])
@pytest.mark.parametrize("validated", [(3600, 400), (2000, 2000)])
def test_an_error_is_judged_by_the_baseline_of_the_images_that_it_is_of(validated, tested):
    """Networks of 16 to 30 % error; of test images whose classes were not counted the baseline is
    taken for that of the validation images."""
    searched = [candidate(i, 0.3 - 0.02 * i) for i in range(8)]
    runs = [fresh(i, 100 * i + seed, 0.3 - 0.02 * i) for seed in range(3) for i in range(8)]
    runs = [replace(r, score=replace(r.score, test_class_images=tested)) for r in runs]
    data = {
        "images": {"train": 8000, "validation": 4000},
        "shape": [1, 8, 8],
        "classes": ["cat", "dog"],
        "class_counts": {"train": (6000, 2000), "validation": validated},
    }
    found = results(searched, runs, data=data)
    before, after = (min(of) / 4000 for of in (validated, tested or validated))
    assert (found.search_baseline.error, found.baseline.error) == (before, after)
    assert bool(found.search_picks) == (before > 0.16)
    assert bool(found.picks) == (after > 0.16)
    assert {found.baseline_of(network).error for network in found.networks} == {after}
    assert found.reference()["error"] == before
