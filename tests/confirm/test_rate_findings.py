"""Whether the order flips at other learning rates: invented trainings with a known answer."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dnsearch.arch.config import ArchConfig
from dnsearch.confirm.findings import confirmed
from dnsearch.confirm.rate_findings import Flip, best_rate, rate_findings, tuned_errors
from dnsearch.confirm.record import confirmed_record
from dnsearch.search.confirmed import best_run
from dnsearch.search.evaluators.base import CONFIRM, RATES
from dnsearch.search.predictions import Predictions

from .invented import NAN, arch, candidate, fresh, results

RATES_TRIED = (0.0333, None, 0.3)
"""The study's is 0.1."""

OWN = arch(7)
OTHER = ArchConfig(4, (1, 1, 1), 8, 4, stem="cifar", in_channels=1, num_classes=10)
WOBBLE = (0.99, 1.0, 1.01)
"""Of three seeds."""


def trained(network, rate, seed, test, validation=None, epochs=27):
    """A training run of ``dnsearch confirm --rates``, where the study puts it."""
    own = network == OWN and rate is None
    found = fresh(0, seed, test, epochs=epochs)
    study = CONFIRM if own else RATES
    job = replace(found.job, arch=network, study=study, learning_rate=rate)
    if found.score.failure or validation is None:
        return replace(found, job=job)
    return replace(found, job=job, score=replace(found.score, error=validation))


def at_all_rates(network, tests, validations=None, wobble=WOBBLE, **more):
    """Three seeds at each rate, about these errors; seeds differ between rates and networks."""
    first = 1000 if network == OWN else 5000
    return [
        trained(network, rate, first + 10 * i + j, share * test, share * validation, **more)
        for j, share in enumerate(wobble)
        for i, (rate, test, validation) in enumerate(
            zip(RATES_TRIED, tests, validations or tests, strict=True)
        )
    ]


def run_of(own, other, **more):
    records = [*own, *other]
    searched = [candidate(i, 0.3 - 0.02 * i) for i in range(8)]
    return results(
        searched,
        [r for r in records if r.job.study == CONFIRM],
        at_rates=tuple(r for r in records if r.job.study == RATES),
        **more,
    )


def found_of(own, other, **more):
    return rate_findings(run_of(at_all_rates(OWN, own), at_all_rates(OTHER, other), **more))


def test_an_order_that_the_learning_rate_made_flips():
    found = found_of((0.12, 0.10, 0.14), (0.11, 0.11, 0.09))
    assert found.learning_rates == (0.0333, 0.1, 0.3)
    assert (found.usual, found.epochs, found.failed, found.seeds) == (1, 27, 0, (3, 3))
    own, other = found.networks if found.networks[0].reference is None else found.networks[::-1]
    assert (own.key, own.reference) == (OWN.key, None)
    assert (other.name, other.reference.published) == (
        "DenseNet-BC (depth 10, k=4)",
        False,
    )
    assert (found.best(own), found.best(other)) == (0.1, 0.3)
    (difference,) = found.differences
    assert (difference.first, difference.second) == (own, other)
    assert [each.value for each in difference.at] == pytest.approx([-0.01, 0.01, -0.05])
    assert difference.tuned.value == pytest.approx(-0.01)
    assert difference.flip is Flip.FLIPS
    assert difference.flips_at == (0, 2)


@pytest.mark.parametrize(
    ("own", "other", "flip"),
    [
        ((0.12, 0.10, 0.14), (0.14, 0.12, 0.13), Flip.SAME),
        ((0.12, 0.10, 0.14), (0.12, 0.10, 0.08), Flip.EMERGES),
        ((0.12, 0.10, 0.14), (0.12, 0.12, 0.10), Flip.UNTOLD),
    ],
)
def test_the_order_at_the_best_rates_is_told_with_what_it_was(own, other, flip):
    (difference,) = found_of(own, other).differences
    assert difference.flip is flip


def test_the_interval_of_a_difference_is_students():
    """Two log-normal means of three seeds, one variance: by the delta method."""
    rng = np.random.default_rng(5)
    luck = rng.lognormal(0, 0.03, (2, 3))
    own = at_all_rates(OWN, (0.3, 0.20, 0.3), wobble=luck[0])
    other = at_all_rates(OTHER, (0.3, 0.25, 0.3), wobble=luck[1])
    (difference,) = rate_findings(run_of(own, other)).differences
    sd = math.sqrt(np.log(luck).var(axis=1, ddof=1).mean())
    a, b = 0.2 * stats.gmean(luck[0]), 0.25 * stats.gmean(luck[1])
    reach = stats.t.ppf(0.95, 4) * sd / math.sqrt(3) * math.hypot(a, b)
    for told in (difference.at[1], difference.tuned):
        assert told.low == pytest.approx(b - a - reach, abs=0.12 * reach)
        assert told.high == pytest.approx(b - a + reach, abs=0.12 * reach)


def test_validation_errors_choose_the_rate_and_test_errors_are_compared():
    own = at_all_rates(OWN, (0.05, 0.10, 0.12), validations=(0.3, 0.2, 0.1))
    found = rate_findings(run_of(own, at_all_rates(OTHER, (0.2, 0.2, 0.2))))
    (network,) = (each for each in found.networks if each.reference is None)
    assert found.best(network) == 0.3
    assert network.tuned.value == pytest.approx(0.12)
    assert network.validation == pytest.approx((0.3, 0.2, 0.1))


def test_each_seed_is_measured_at_the_rate_that_the_others_choose():
    def at(rate, validations, tests):
        pairs = enumerate(zip(validations, tests, strict=True))
        return [trained(OWN, rate, i, test, validation) for i, (validation, test) in pairs]

    uneven = at(None, (0.10, 0.20, 0.20), (0.01, 0.02, 0.03))
    even = at(0.3, (0.17, 0.17, 0.17), (0.04, 0.05, 0.06))
    assert best_rate([uneven, even]) == 0  # by all three
    assert tuned_errors([uneven, even]) == (0.04, 0.02, 0.03)
    assert tuned_errors([uneven[:1], even[:1]]) == (0.01,)  # one seed has no others
    assert tuned_errors([uneven, even[:2]]) == (0.04, 0.02)
    assert tuned_errors([uneven, []]) == ()
    assert best_rate([uneven, []]) is None


def test_picking_the_best_of_three_rates_does_not_flatter():
    """Where all rates are alike and a seed's luck is the same on validation and test images."""
    rng = np.random.default_rng(0)
    worlds, flattered, fair = 300, [], []
    for _ in range(worlds):
        luck = rng.lognormal(0, 0.05, (3, 3))
        runs = [
            [trained(OWN, rate, 10 * i + j, 0.2 * luck[i, j], 0.2 * luck[i, j]) for j in range(3)]
            for i, rate in enumerate(RATES_TRIED)
        ]
        fair.append(np.log(tuned_errors(runs)).mean())
        flattered.append(np.log(0.2 * luck[best_rate(runs)]).mean())
    error = np.std(fair) / math.sqrt(worlds)
    assert abs(np.mean(fair) - math.log(0.2)) < 3 * error
    assert np.mean(flattered) < math.log(0.2) - 10 * error  # what it would be without


def test_a_rate_at_which_a_seed_diverged_is_nobodys_best():
    own = at_all_rates(OWN, (0.12, 0.10, 0.05))
    lost = [trained(OWN, 0.3, 1021, NAN) if r.job.seed == 1021 else r for r in own]
    assert any(r.score.failure for r in lost)
    found = rate_findings(run_of(lost, at_all_rates(OTHER, (0.2, 0.2, 0.2))))
    (network,) = (each for each in found.networks if each.reference is None)
    assert found.best(network) == 0.1
    assert network.tuned.value == pytest.approx(0.10)
    assert not network.test[2].is_known
    assert not found.differences[0].at[2].is_known
    assert found.failed == 1
    repeated = [*lost, *(r for r in own if r.job.seed == 1021)]
    again = rate_findings(run_of(repeated, at_all_rates(OTHER, (0.2, 0.2, 0.2))))
    assert (again.failed, {again.best(n) for n in again.networks if n.reference is None}) == (
        0,
        {0.3},
    )


def test_half_of_the_trainings_tell_no_best_rate():
    own = [r for r in at_all_rates(OWN, (0.12, 0.10, 0.05)) if r.job.learning_rate != 0.3]
    found = rate_findings(run_of(own, at_all_rates(OTHER, (0.2, 0.2, 0.2))))
    (difference,) = found.differences
    assert difference.flip is Flip.MISSING
    assert difference.at[1].is_known
    assert found.seeds == (0, 3)


def test_one_seed_has_the_searchs_noise():
    noise = Predictions((), np.empty((0, 0)), 0.05, 4000, 9)
    own = at_all_rates(OWN, (0.12, 0.10, 0.14), wobble=(1.0,))
    other = at_all_rates(OTHER, (0.3, 0.3, 0.3), wobble=(1.0,))
    (alone,) = rate_findings(run_of(own, other)).differences
    assert not alone.tuned.has_ends
    assert alone.flip is Flip.UNTOLD
    (told,) = rate_findings(run_of(own, other, predict=lambda: noise)).differences
    assert told.flip is Flip.SAME


def test_without_a_reference_network_the_recommended_ones_are_compared():
    """Both are candidates, and one is a member of the family that the search itself recommends."""
    searched = [candidate(0, 0.1, arch=OTHER), candidate(7, 0.101)]
    runs = [*at_all_rates(OWN, (0.2, 0.2, 0.2)), *at_all_rates(OTHER, (0.3, 0.3, 0.3))]
    given = run_of(runs, [])
    found = rate_findings(replace(given, measured=searched))
    assert OTHER.key in {p.key for p in replace(given, measured=searched).search_picks.values()}
    assert not any(network.reference for network in found.networks)
    (difference,) = found.differences
    assert {difference.first.key, difference.second.key} == {OWN.key, OTHER.key}


def test_lengths_are_told_apart():
    own, other = at_all_rates(OWN, (0.1,) * 3), at_all_rates(OTHER, (0.2,) * 3)
    shorter = at_all_rates(OTHER, (0.4,) * 3, epochs=9)[:4]
    run = run_of(own, [*other, *shorter])
    assert rate_findings(run).epochs == 27
    assert rate_findings(run, 9).epochs == 9
    assert rate_findings(run, 3) is None
    assert rate_findings(run_of(own[1:2], [])) is None


def test_nothing_else_follows_from_other_rates():
    """Trainings at other rates are so much better that whatever takes them for its own changes."""
    own, other = at_all_rates(OWN, (0.01, 0.10, 0.01)), at_all_rates(OTHER, (0.01,) * 3)
    with_rates = run_of(own, other)
    without = replace(with_rates, at_rates=())
    found, before = confirmed(with_rates), confirmed(without)
    assert found.rates is not None
    assert before.rates is None
    assert repr(replace(found, rates=None)) == repr(before)
    assert repr(with_rates.networks) == repr(without.networks)
    assert with_rates.joint.draws == pytest.approx(without.joint.draws)
    # even if one lay among the confirmations
    mixed = replace(without, confirmed=(*without.confirmed, *with_rates.at_rates))
    mixed = replace(mixed, confirmed=tuple(r for r in mixed.confirmed if r.job.arch == OWN))
    assert confirmed(mixed).networks[0].test_errors == before.networks[0].test_errors
    assert best_run(mixed.confirmed, OWN.key).job.learning_rate is None


def test_other_programs_get_the_same_figures():
    run = run_of(at_all_rates(OWN, (0.12, 0.10, 0.14)), at_all_rates(OTHER, (0.11, 0.11, 0.09)))
    told = json.loads(json.dumps(confirmed_record(confirmed(run))["rates"]))
    assert told["learning_rates"] == [0.0333, 0.1, 0.3]
    assert told["study_learning_rate"] == 0.1
    assert [each["best_learning_rate"] for each in told["networks"]] == [0.1, 0.3]
    (difference,) = told["differences"]
    assert (difference["order"], difference["flips_at"]) == ("flips", [0.0333, 0.3])
    assert difference["at_best"]["value"] == pytest.approx(-0.01)
    assert (difference["first"], difference["second"]) == (OWN.key, OTHER.key)
