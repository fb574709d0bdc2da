"""``confirm --rates``: who is trained at which rates, where that is kept, that it goes on."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace

import numpy as np
import optuna
import pytest

from dnsearch.analysis import picks
from dnsearch.analysis.predictions import Predictions
from dnsearch.arch.presets import PRESETS
from dnsearch.config import TrainingConfig
from dnsearch.confirm.findings import confirmed
from dnsearch.confirm.published import cost_model, reference_of
from dnsearch.confirm.rates import at_rates, learning_rates
from dnsearch.confirm.run import Request, confirm
from dnsearch.errors import RunError
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import CONFIRM, RATES, SEARCH
from dnsearch.search.results import read_results
from tests.fakes import FakeEvaluator, FakeWorkers

from .invented import candidate, results
from .test_run import Confirmation, copied, score

PLAIN = Request(top=1, sample=1, seeds=2, epochs=6)
REQUEST = replace(PLAIN, rates=True)


@pytest.fixture(scope="module")
def compared(search_ended, tmp_path_factory) -> RunDir:
    """The same with all trainings of ``REQUEST``, in one session."""
    run = copied(search_ended, tmp_path_factory.mktemp("compared"))
    assert Confirmation(run, REQUEST).reason == "all trials finished"
    return run


@pytest.fixture
def run(search_ended, tmp_path) -> RunDir:
    return copied(search_ended, tmp_path)


def trainings(run: RunDir):
    found = read_results(run)
    return sorted(
        (r.job.study, r.job.arch.key, r.job.seed, str(r.job.learning_rate), r.score.test_error)
        for r in (*found.confirmed, *found.at_rates)
    )


def test_a_third_one_and_three_times_the_studys_rate():
    assert learning_rates(TrainingConfig(learning_rate=0.1)) == (0.0333, None, 0.3)
    assert learning_rates(TrainingConfig(learning_rate=0.0125)) == (0.00417, None, 0.0375)


def many(**changes):
    """The larger the better, ever so little at last: an answer, and one as good and cheaper."""
    return [candidate(i, 0.3 - 0.02 * min(i, 6) - 1e-4 * i, **changes) for i in range(9)]


def predicted(*candidates):
    """Their results, where the errors are known to a tenth of what seeds move them by."""
    luck = 0.003 * np.random.default_rng(0).standard_normal((400, len(candidates)))
    draws = np.array([each.error for each in candidates]) * np.exp(luck)
    keys = tuple(each.key for each in candidates)
    return results(candidates, predict=lambda: Predictions(keys, draws, 0.03, 1000, 6))


def test_what_is_recommended_and_the_closest_reference_are_compared():
    run = predicted(*many())
    asked = at_rates(run)
    named = run.search_picks
    own = [named[picks.LEAST_ERROR].arch, named[picks.AS_GOOD].arch]
    assert list(asked.archs[:2]) == own
    assert own[0] != own[1]
    assert len(asked.archs) == 3
    assert reference_of(asked.archs[2])
    assert asked.searched == (True, True, False)


def test_the_runs_own_published_networks_come_before_the_closest():
    preset = PRESETS["densenet-40-12"].replace(in_channels=1)
    trained = candidate(20, 0.25, arch=preset, preset="densenet-40-12")
    asked = at_rates(predicted(*many(), trained))
    assert (asked.archs[2], asked.searched[2], len(asked.archs)) == (preset, True, 3)
    best = replace(trained, error=0.01)  # now the answer: another one is compared with it
    asked = at_rates(results([*many(), best]))
    assert asked.archs[0] == preset
    assert preset not in asked.archs[1:]
    assert reference_of(asked.archs[-1])


def test_without_two_networks_there_is_nothing_to_compare():
    with pytest.raises(RunError, match="recommends no network yet"):
        at_rates(results([]))
    alone = results([candidate(3, 0.2)], study="[limits]\nmax_params = 9\n")
    with pytest.raises(RunError, match="none made like a published one within the limits"):
        at_rates(alone)


def test_each_is_trained_at_each_rate_and_kept_apart(compared):
    found = read_results(compared)
    asked = at_rates(found)
    counts = Counter((r.job.arch.key, r.job.learning_rate) for r in found.at_rates)
    expected = {
        (arch.key, rate): REQUEST.seeds
        for arch, known in zip(*asked, strict=True)
        for rate in (0.0333, None, 0.3)
        if not (known and rate is None)
    }
    assert counts == expected
    assert {r.job.study for r in found.at_rates} == {RATES}
    assert all(r.job.learning_rate is None for r in found.confirmed)
    own = {a.key for a, known in zip(*asked, strict=True) if known}
    at_the_studys = Counter(r.job.arch.key for r in found.confirmed)
    assert {at_the_studys[key] for key in own} == {REQUEST.seeds}
    seeds = [r.job.seed for r in (*found.confirmed, *found.at_rates)]
    assert len(set(seeds)) == len(seeds)


def test_nothing_else_changes(compared, search_ended, tmp_path):
    """Against a confirmation of the same networks without other rates."""
    run = copied(search_ended, tmp_path)
    both = len(at_rates(read_results(run)).archs) - 1
    Confirmation(run, replace(PLAIN, top=max(1, both)))
    with_rates, without = read_results(compared), read_results(run)
    shared = {r.job.arch.key for r in with_rates.confirmed}
    shared &= {r.job.arch.key for r in without.confirmed}

    def told(found):
        return {(n.key, n.test_errors) for n in confirmed(found).networks if n.key in shared}

    assert told(with_rates) == told(without)
    assert repr(with_rates.candidates) == repr(without.candidates)


def test_typed_again_with_and_without_rates_it_does_what_is_left(run, compared):
    Confirmation(run, PLAIN)
    plain = trainings(run)
    storage = f"sqlite:///{run.database}"
    assert RATES not in optuna.get_all_study_names(storage)
    killed = Confirmation(run, REQUEST, most=3)
    assert not killed.reason
    opened = killed.opened[0]
    assert opened.jobs - opened.todo == len(plain)
    assert opened.rates.learning_rates == (0.0333, 0.1, 0.3)
    assert len(trainings(run)) == len(plain) + 3
    assert Confirmation(run, PLAIN).opened[0].todo == 0
    again = Confirmation(run, REQUEST)
    assert again.reason == "all trials finished"
    assert len(again.evaluator.submitted) == opened.todo - 3
    assert trainings(run) == trainings(compared)
    assert not Confirmation(run, REQUEST).evaluator.submitted
    more = Confirmation(run, replace(REQUEST, seeds=3))
    assert more.opened[0].todo == more.opened[0].jobs // 3


def test_the_cost_is_told_with_what_the_search_never_trained(run):
    """Two seconds an epoch for each candidate; the published one by its MACs."""
    found = read_results(run)
    opened = Confirmation(run, REQUEST, most=0).opened[0]
    asked = at_rates(found)
    model, candidates = cost_model(found), found.candidates
    macs = sum(c.cost.macs for c in {c.key: c for c in candidates}.values())
    pace = 2.0 * len({c.key for c in candidates}) / macs
    published = 3 * pace * model.cost(asked.archs[-1]).macs
    others = 2.0 * (opened.jobs / REQUEST.seeds - 3)
    assert opened.seconds == pytest.approx(REQUEST.seeds * REQUEST.epochs * (published + others))
    assert opened.rates.jobs == len(asked.archs) * 3 * REQUEST.seeds - sum(asked.searched) * 2
    assert opened.rates.networks[-1] == reference_of(asked.archs[-1]).name


def test_weights_of_other_rates_are_never_kept(run):
    """Not even where their validation error is the least."""
    weights = []

    def make(study, data, folder, plan):
        def trained(job):
            file = folder.checkpoint(job.arch.key, job.seed)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            weights.append(file)
            found = score(job)
            return found if job.study == CONFIRM else replace(found, error=0.001)

        return contextlib.nullcontext(FakeEvaluator(score=trained))

    workers = FakeWorkers(make)
    confirm(run, read_results(run), REQUEST, lambda _: None, lambda _: None, workers)
    kept = {(file.parent.name, int(file.stem)) for file in weights if file.exists()}
    best = {}
    for record in read_results(run).confirmed:
        before = best.get(record.job.arch.key, record)
        best[record.job.arch.key] = min(record, before, key=lambda r: r.score.error)
    assert kept == {(key, record.job.seed) for key, record in best.items()}


def test_the_searchs_own_jobs_are_stored_as_before(search_ended):
    study = optuna.load_study(study_name=SEARCH, storage=f"sqlite:///{search_ended.database}")
    assert set(study.trials[0].user_attrs["job"]) == {"arch", "key", "seed", "rung"}
    assert all(r.job.learning_rate is None for r in read_results(search_ended).confirmed)
