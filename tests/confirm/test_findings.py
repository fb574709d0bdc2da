"""What was found of a confirmed search: invented trainings, whose answer is known beforehand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dnsearch.analysis.candidates import State, by_network
from dnsearch.analysis.picks import front
from dnsearch.config import TrainingConfig
from dnsearch.confirm import findings
from dnsearch.confirm.certificate import Kind, View
from dnsearch.confirm.findings import Caveat, Note, confirmed
from dnsearch.confirm.record import confirmed_record
from dnsearch.confirm.signals import same_schedule, short_errors
from dnsearch.report.verdict import sentences
from dnsearch.search.predictions import Predictions
from dnsearch.training.measured import binomial_standard_error
from dnsearch.training.recipe import learning_rate

from .invented import NAN, RUNGS, TESTS, arch, candidate, curve, fresh, results

LATENCY = '[objectives]\ncosts = ["latency_ms", "macs"]'


def searched(n=8, **changes):
    """Larger networks are better, and the last and largest the best."""
    return [candidate(i, 0.3 - 0.02 * i, **changes) for i in range(n)]


def retrained(n=8, seeds=3, spread=0.02, **changes):
    """Fresh trainings, whose errors lie ``spread`` (of the log) around the search's."""
    rng = np.random.default_rng(1)
    return [
        fresh(i, 100 * i + seed, (0.3 - 0.02 * i) * math.exp(spread * rng.normal()), **changes)
        for seed in range(seeds)
        for i in range(n)
    ]


def test_each_network_is_told_with_its_errors_and_costs():
    found = confirmed(results(searched(), retrained()))
    assert (found.epochs, found.test_images, found.cost) == (27, TESTS, "macs")
    assert [network.key for network in found.networks] == [arch(i).key for i in range(8)]
    third = found.network(arch(3).key)
    errors = [r.score.test_error for r in retrained() if r.job.arch == arch(3)]
    assert third.test_errors == tuple(errors)
    assert third.test.value == pytest.approx(np.mean(errors))
    assert third.error == pytest.approx(0.24)
    assert third.candidate.cost == candidate(3, 0.24).cost
    assert (third.seeds, found.seeds, found.judged) == (3, (3, 3), 8)
    assert found.network("nothing") is None
    assert found.best_first[0].key == found.pick == arch(7).key
    middle = np.median([network.test.value for network in found.networks])
    luck = 1.645 * binomial_standard_error(middle, TESTS)
    assert found.images_luck == pytest.approx(luck, rel=1e-3)


def test_intervals_are_students_of_the_pooled_seed_noise():
    """Log errors of one variance: the mean of r seeds lies within t(.95, free) sd / sqrt(r)."""
    given = retrained(n=8, seeds=3)
    found = confirmed(results(searched(), given))
    logs = np.log([[r.score.test_error for r in given[i::8]] for i in range(8)])
    sd = math.sqrt(logs.var(axis=1, ddof=1).mean())
    reach = stats.t.ppf(0.95, 16) * sd / math.sqrt(3)
    for network, own in zip(found.networks, logs.mean(axis=1), strict=True):
        assert math.log(network.test.low) == pytest.approx(own - reach, abs=0.1 * reach)
        assert math.log(network.test.high) == pytest.approx(own + reach, abs=0.1 * reach)


def test_the_searchs_seed_noise_counts_as_four_degrees_of_freedom():
    given = retrained(seeds=1)
    noise = 0.05
    predictions = Predictions((), np.empty((0, 0)), noise, 4000, 9)
    found = confirmed(results(searched(), given, predict=lambda: predictions))
    reach = stats.t.ppf(0.95, 4) * noise
    assert Note(Caveat.SEARCH_NOISE) in found.notes
    for network, record in zip(found.networks, given, strict=True):
        own = math.log(record.score.test_error)
        assert math.log(network.test.high) == pytest.approx(own + reach, abs=0.15 * reach)
    alone = confirmed(results(searched(), given))  # nobody knows the noise
    assert Note(Caveat.SEARCH_NOISE) not in alone.notes
    assert not any(network.test.has_ends for network in alone.networks)
    assert all(network.test.is_known for network in alone.networks)
    assert (alone.judged, alone.pick) == (0, found.pick)
    assert math.isnan(alone.opportunity_loss)


def test_one_second_seed_gives_no_wild_loss():
    """Of one degree of freedom Student's t has no mean."""
    predictions = Predictions((), np.empty((0, 0)), 0.03, 4000, 9)
    given = [*retrained(seeds=1), fresh(0, 999, 0.5)]
    found = confirmed(results(searched(), given, predict=lambda: predictions))
    assert sorted(network.seeds for network in found.networks)[-2:] == [1, 2]
    assert 0 <= found.opportunity_loss < 0.1
    assert max(network.test.high for network in found.networks) <= 1


def test_probabilities_and_opportunity_loss_follow_the_test_errors():
    """One network is far better by test errors than the search's pick, which is also costlier."""
    given = [r if r.job.arch != arch(2) else replace_error(r, 0.05) for r in retrained()]
    found = confirmed(results(searched(), given))
    best, pick = found.network(arch(2).key), found.network(arch(7).key)
    assert found.best_first[0] is best
    assert found.pick == pick.key  # the search's, which knows nothing of test errors
    assert best.best_probability == 1 == sum(n.best_probability for n in found.networks)
    assert (best.front_probability, pick.front_probability) == (1, 0)
    assert found.opportunity_loss == pytest.approx(pick.test.value - 0.05, abs=0.005)
    agreed = confirmed(results(searched(), retrained(spread=0.001)))
    assert agreed.opportunity_loss == 0


def replace_error(record, error):
    return replace(record, score=replace(record.score, test_error=error))


def test_a_network_over_a_limit_has_an_error_but_no_chance():
    runs = [*searched(7), candidate(7, 0.16, state=State.UNFIT)]
    found = confirmed(results(runs, retrained()))
    over = found.network(arch(7).key)
    assert (over.seeds, over.error) == (3, 0.16)
    assert over.test.is_known
    assert not over.test.has_ends
    assert math.isnan(over.best_probability)
    assert (found.judged, found.pick) == (7, arch(6).key)


def test_each_length_is_told_for_itself():
    given = [*retrained(), *retrained(n=3, seeds=1, epochs=9), *retrained(n=8, seeds=3, epochs=18)]
    run = results(searched(), given)
    assert confirmed(run).epochs == 27  # of two with as many trainings the longest
    assert confirmed(replace(run, confirmed=run.confirmed[1:])).epochs == 18  # the most
    short = confirmed(run, 9)
    assert (short.epochs, len(short.networks)) == (9, 3)
    assert confirmed(run, 3) is None
    assert confirmed(results(searched())) is None


def test_a_training_that_failed_counts_as_missing_and_its_repetition_once():
    given = retrained(n=8, seeds=2)
    failed = [fresh(0, 0, NAN), fresh(1, 100, NAN)]
    assert {(r.job.arch, r.job.seed) for r in failed} <= {(r.job.arch, r.job.seed) for r in given}
    whole = confirmed(results(searched(), given))
    again = confirmed(results(searched(), [*failed, *given]))  # both failed, and were repeated
    assert repr(again) == repr(whole)
    assert not {Caveat.FAILED} & {note.caveat for note in again.notes}
    lost = confirmed(results(searched(), [*failed, *given[2:]]))
    assert Note(Caveat.FAILED, 2) in lost.notes
    assert [network.seeds for network in lost.networks] == [1, 1, 2, 2, 2, 2, 2, 2]
    assert [len(network.test_errors) for network in lost.networks] == [2] * 8
    assert lost.networks[0].test.value == given[8].score.test_error


def test_of_several_seeds_the_search_tells_their_mean_and_the_first():
    lucky = [candidate(i, 0.2 - 0.02 * i, seed=1) for i in range(8)]
    screened = candidate(0, 0.9, rung=1, state=State.SCREENED, curve=curve([0.9]))
    runs = [screened, *searched(), *lucky]
    found = confirmed(results(runs, retrained()))
    assert [network.error for network in found.networks] == pytest.approx(
        [0.25 - 0.02 * i for i in range(8)]
    )
    assert [network.candidate for network in found.networks] == runs[1:9]
    members = {member.key for member in front(by_network(runs, 4000), ("macs",))}
    assert {network.key for network in found.networks if network.front} == members


def test_a_network_that_was_only_screened_has_no_error_of_the_search():
    screened = candidate(8, 0.5, rung=3, state=State.SCREENED, curve=curve([0.6, 0.5, 0.5]))
    found = confirmed(results([*searched(), screened], retrained(n=9)))
    assert math.isnan(found.network(arch(8).key).error)
    assert not found.network(arch(8).key).front


def test_members_of_the_front_were_chosen_by_the_searchs_errors():
    some = confirmed(results(searched(), retrained()))
    assert all(network.front for network in some.networks)
    assert not {Caveat.SELECTED} & {note.caveat for note in some.notes}  # nobody else to compare
    dominated = [*searched(7), candidate(7, 0.9)]
    assert Note(Caveat.SELECTED) in confirmed(results(dominated, retrained())).notes


def test_the_first_cost_of_the_study_is_told():
    found = confirmed(results(searched(latency_ms=3.0), retrained(), LATENCY))
    assert found.cost == "latency_ms"
    unknown = confirmed(results(searched(), retrained(), LATENCY))  # no latency was measured
    assert (unknown.judged, unknown.pick) == (0, "")


def lucky_trainings(n=12, seeds=3, epochs=27):
    """Trainings of equally good networks: errors are luck, which a seed's short training knows."""
    rng = np.random.default_rng(0)
    luck = rng.uniform(0.1, 0.2, (n, seeds))
    records = [
        fresh(i, 100 * i + s, luck[i, s], [luck[i, s]] * epochs, epochs)
        for s in range(seeds)
        for i in range(n)
    ]
    return luck, records


def test_a_short_training_is_never_held_against_its_own_seed():
    luck, records = lucky_trainings()
    own = np.random.default_rng(1).uniform(0.1, 0.2, 12)
    runs = [candidate(i, own[i]) for i in range(12)]
    found = confirmed(results(runs, records))
    signals = np.column_stack([own, luck])  # the search's seed, which has no full training
    pairs = [(s, t) for s in range(4) for t in range(1, 4) if s != t]
    expected = np.mean(
        [stats.kendalltau(signals[:, s], luck[:, t - 1]).statistic for s, t in pairs]
    )
    first, *_ = found.certificate.of(Kind.PROXY)
    assert first.rung == 1
    assert first.tau.overall.value == pytest.approx(expected)


@pytest.mark.parametrize(("epochs", "decay"), [*itertools.product((3, 9, 18, 27), (0.0, 0.3, 0.5))])
def test_schedules_are_alike_where_the_learning_rate_is(epochs, decay):
    """Of the search, whose rate falls at the end of its top rung, and of these trainings."""
    search = TrainingConfig(rungs=RUNGS, decay=decay)
    fresh_one = search.model_copy(update={"rungs": (epochs,)})
    for rung in RUNGS:
        if rung > epochs:
            continue
        rates = [
            [learning_rate(recipe, epoch) for epoch in np.linspace(0, rung, 200)]
            for recipe in (search, fresh_one)
        ]
        assert same_schedule(search, rung, epochs) == (rates[0] == pytest.approx(rates[1]))


def test_the_errors_of_unlike_schedules_are_not_used():
    luck, records = lucky_trainings()
    runs = [[candidate(i, 0.5)] for i in range(12)]
    by_network = [[r for r in records if r.job.arch == arch(i)] for i in range(12)]
    recipe = TrainingConfig(rungs=RUNGS, decay=0.3)
    own = np.full(12, 0.5)
    early = short_errors(recipe, 3, 27, runs, by_network)
    np.testing.assert_array_equal(early, np.column_stack([own, luck]))
    # after 9 epochs the search's rate has fallen, that of 27 epochs has not yet
    late = short_errors(recipe, 9, 27, runs, by_network)
    np.testing.assert_array_equal(late, np.column_stack([own, np.full((12, 3), NAN)]))
    same = short_errors(recipe, 9, 9, runs, by_network)
    np.testing.assert_array_equal(same, np.column_stack([own, luck]))
    found = confirmed(results([run for (run,) in runs], records))
    known = {s.rung: s.tau.overall.is_known for s in found.certificate.of(Kind.PROXY)}
    assert known == {1: True, 3: True, 9: False}  # the search's errors are all the same


def test_the_searchs_own_errors_are_of_all_images_and_of_the_last_that_came_so_far():
    partial = candidate(0, 0.9, state=State.PARTIAL)
    screened = candidate(0, 0.4, rung=3, state=State.SCREENED, curve=curve([0.6, 0.5, 0.4]))
    recipe = TrainingConfig(rungs=RUNGS)

    def own(*runs, rung=3):
        return short_errors(recipe, rung, 27, [runs], [[fresh(0, 1, 0.1)]])[0, 0]

    assert own(candidate(0, 0.3), screened, partial) == 0.4
    assert own(candidate(0, 0.3), screened, rung=9) == 0.3
    assert math.isnan(own(partial))


@pytest.mark.parametrize(("epochs", "shorter"), [(27, [1, 3, 9]), (9, [1, 3]), (1, [])])
def test_only_shorter_rungs_are_held_against_full_training(epochs, shorter):
    found = confirmed(results(searched(), retrained(epochs=epochs)))
    assert [row.rung for row in found.certificate.of(Kind.PROXY)] == shorter
    said = sentences(found.certificate, found.verdict)
    assert any("No rung of the search is shorter" in each for each in said) == (not shorter)


def test_scores_at_initialisation_are_baselines():
    runs = [candidate(i, 0.3, zero_cost={"synflow": 1.0 + i, "none": None}) for i in range(8)]
    found = confirmed(results(runs, retrained(spread=0.0)))
    names = [signal.name for signal in found.certificate.of(Kind.BASELINE)]
    assert names == ["params alone", "MACs alone", "synflow", "none"]
    synflow = found.certificate.of(Kind.BASELINE)[2]
    assert synflow.tau.overall.value == pytest.approx(1)  # higher is better, as it is here
    assert not found.certificate.of(Kind.BASELINE)[3].tau.overall.is_known


def test_what_the_search_does_not_know_is_left_out():
    found = confirmed(results(searched(7), retrained()))
    assert [network.key for network in found.networks] == [arch(i).key for i in range(7)]


def test_the_same_results_tell_the_same():
    given = results(searched(), retrained())
    assert repr(confirmed(given)) == repr(confirmed(given))


def test_other_programs_get_the_same_figures():
    found = confirmed(results(searched(predicted_error=0.2), retrained()))
    record = confirmed_record(found)
    assert list(record) == [
        "epochs",
        "test_images",
        "test_class_images",
        "pick",
        "opportunity_loss",
        "candidates",
        "certificate",
        "rates",
    ]
    one, network = record["candidates"][3], found.networks[3]
    assert list(one) == [
        "key",
        "name",
        "front",
        "error",
        "predicted_error",
        "params",
        "macs",
        "activations",
        "train_bytes",
        "latency_ms",
        "test_errors",
        "test_mean",
        "test_low",
        "test_high",
        "test_class_errors",
        "front_probability",
        "best_probability",
    ]
    assert (one["test_mean"], one["test_low"], one["test_high"]) == network.test
    assert one["macs"] == network.candidate.cost.macs
    assert one["predicted_error"] == 0.2
    signals = record["certificate"]["signals"]
    kinds = ["proxy", "proxy", "proxy", "baseline", "baseline", "ceiling"]
    assert [signal["kind"] for signal in signals] == kinds
    assert signals[0]["name"] == "1 epoch"
    last = found.certificate.rows[-1]
    assert signals[-1]["pairs_right_matched"]["low"] == last.right(View.MATCHED).low


def test_luck_of_the_images_is_what_was_measured_with_the_kind_of_error():
    """A balanced error's standard error is not binomial; older records of it have none."""
    balanced = '[objectives]\nerror = "balanced"'
    given = [
        replace(r, score=replace(r.score, test_error_se=0.02 + 0.001 * i, test_class_images=(9, 1)))
        for i, r in enumerate(retrained(seeds=1))
    ]
    found = confirmed(results(searched(), given, balanced))
    assert found.error == "balanced"
    assert found.images_luck == pytest.approx(1.645 * (0.02 + 0.001 * 3.5))
    assert math.isnan(confirmed(results(searched(), retrained(), balanced)).images_luck)


def test_an_error_of_zero_counts_as_half_of_the_least_there_can_be(monkeypatch):
    """Told to the draws, which have no place for 0: of a class of 4,000 and one of 1,000."""
    seen = []
    mean_draws = findings.mean_draws
    monkeypatch.setattr(findings, "mean_draws", lambda *a: seen.append(a[1]) or mean_draws(*a))
    given = retrained(seeds=1)
    given[0] = replace(given[0], score=replace(given[0].score, test_class_images=(4000, 1000)))
    for kind in ("balanced", "top1"):
        confirmed(results(searched(), given, f'[objectives]\nerror = "{kind}"'))
    assert seen == [0.5 / 8000, 0.5 / 5000]
    draws = mean_draws(np.array([[0.0], [0.1]]), 0.003, 0.05, np.random.default_rng(0))
    assert np.median(draws, axis=0) == pytest.approx([0.003, 0.1], rel=0.01)
