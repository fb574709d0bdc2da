"""What a larger budget buys: planted laws come back, and bad runs are refused in one line."""

from dataclasses import replace

import numpy as np
import pytest

from dnsearch.analysis.candidates import State
from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig
from dnsearch.errors import RunError
from dnsearch.scaling.costlaw import TooFewMeasured
from dnsearch.scaling.larger import _split
from dnsearch.scaling.latency import with_latencies
from dnsearch.scaling.law import fit_law
from dnsearch.scaling.study import study_scaling
from dnsearch.scaling.verdict import Reason

from . import planted
from .planted import scaling_results, with_errors


@pytest.fixture(scope="module")
def good():
    return planted.good()


def test_error_of_larger_networks_lies_in_its_interval():
    """Of the networks proposed: their shape is part of the truth."""
    found = study_scaling([scaling_results(60, noise=0.03)])
    assert found.laws["macs"].averaged is not None
    assert [larger.times for larger in found.next] == [2, 4, 8]
    for larger in found.next:
        truth = planted.true_error(larger.arch)
        assert larger.training_error.low < truth < larger.training_error.high
        assert larger.error.value == pytest.approx(truth, rel=0.08)
        assert larger.training_error.low < larger.error.low < larger.error.value
        assert larger.training_error.high > larger.error.high > larger.error.value


def test_next_networks_stay_within_their_budgets(good):
    for larger in good.next:
        budget = larger.times * good.largest
        assert 0.85 * budget <= larger.cost.macs <= budget
        assert ArchConfig.from_dict(larger.arch.to_dict()) == larger.arch
        assert larger.arch.stem == "cifar"
        assert larger.arch.num_init_features == 2 * larger.arch.growth_rate


def test_time_of_larger_networks(good):
    for larger in good.next[:2]:
        cost = larger.cost
        of_image = 2e-5 + 1e-9 * cost.activations + 2e-11 * cost.macs
        truth = of_image * planted.TRAIN * planted.EPOCHS
        assert larger.seconds.low < truth < larger.seconds.high
        assert larger.seconds.value == pytest.approx(truth, rel=0.1)


def test_latency_is_known_where_enough_were_measured():
    run = scaling_results(12, seeds=1)
    keys = [candidate.key for candidate in run.candidates]
    some = study_scaling([with_latencies(run, dict.fromkeys(keys[:5], 1.0))], times=[2])
    assert some.latency == TooFewMeasured(networks=5, needed=6)
    assert some.next[0].latency_ms is None
    six = study_scaling([with_latencies(run, dict.fromkeys(keys[:6], 1.0))], times=[2])
    assert six.next[0].latency_ms.value == pytest.approx(1.0, rel=1e-6)


def test_the_best_growth_rate_is_recovered(good):
    growth = good.growth["growth_rate"]
    assert growth.is_known
    assert growth.exponent.low < planted.GROWTH < growth.exponent.high
    assert growth.exponent.value == pytest.approx(planted.GROWTH, abs=0.06)
    assert growth.at(5e5).value == pytest.approx(8, rel=0.15)


def test_what_doubling_is_worth(good):
    assert good.data.verdict.trusted
    assert good.data.law.names == ("macs", "images")
    here, most = planted.error_of(good.largest), 2 * planted.TRAIN
    data = 100 * (here - planted.error_of(good.largest, most))
    network = 100 * (here - planted.error_of(2 * good.largest))
    assert good.worth.data.low < data < good.worth.data.high
    assert good.worth.network.value == pytest.approx(network, rel=0.25)
    assert good.worth.better == "images"


def test_the_basis_counts_what_there_is(good):
    full = [run for run in good.trainings if run.state is State.FINISHED]
    basis, macs = good.basis, [run.cost.macs for run in full]
    assert (basis.networks, basis.runs, basis.partial) == (60, 120, 60)
    assert (basis.smallest, basis.largest) == (min(macs), max(macs))
    means = {run.key: np.mean([r.error for r in full if r.key == run.key]) for run in full}
    assert basis.best.key == min(means, key=means.get)
    assert basis.best_error == pytest.approx(min(means.values()))
    fitted = {run.key for run, one in zip(good.trainings, good.front.fitted, strict=True) if one}
    assert basis.fitted == len(fitted)


def test_laws_of_all_images_hold_no_run_on_part_of_them(good):
    """The same law without them, from the fitted runs themselves: worse errors of less data would
    be taken for a worse network."""
    fitted = [
        run
        for run, one in zip(good.trainings, good.front.fitted, strict=True)
        if one and run.state is State.FINISHED
    ]
    expected = fit_law(
        [run.cost.macs for run in fitted],
        [run.error for run in fitted],
        [run.key for run in fitted],
        ["macs"],
    )
    law = good.laws["macs"].law
    assert law.trainings == len(fitted) < good.data.law.trainings
    assert law.floor == pytest.approx(expected.floor)
    assert law.exponents[0] == pytest.approx(expected.exponents[0])
    assert good.largest == max(run.cost.macs for run in fitted)


def test_one_seed_each_is_fitted_whole():
    found = study_scaling([scaling_results(30, seeds=1)], times=[2])
    assert not found.front.is_chosen
    assert found.front.fitted.all()
    assert found.laws["macs"].verdict.one_seed


# Several runs


def test_the_same_run_twice_is_one():
    run = scaling_results(12)
    assert study_scaling([run, run], times=[2]).trainings == tuple(run.candidates)


def test_runs_on_the_same_images_are_fitted_together():
    one, other = scaling_results(12), scaling_results(12, name="other", seed=1)
    moved = [replace(run, seed=run.seed + 1000) for run in other.candidates]
    found = study_scaling([one, replace(other, measured=moved)], times=[2])
    assert len(found.trainings) == 48


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"data": {"fingerprint": "0"}}, 'data.fingerprint: "5d41402abc4b2a76" -> "0"'),
        ({"data": {"shape": [3, 16, 16]}}, "data.shape: [1, 16, 16] -> [3, 16, 16]"),
        ({"environment": {"device_kind": "cuda"}}, 'environment.device_kind: "cpu" -> "cuda"'),
        ({"training": {"rungs": [3], "ema": 0.9}}, "training.ema: 0.98 -> 0.9"),
    ],
)
def test_runs_that_differ_are_not_mixed(changes, difference):
    one = scaling_results(12)
    fields = {"data": dict(one.data), "environment": dict(one.environment)}
    study = dict(planted.STUDY) | {k: v for k, v in changes.items() if k == "training"}
    for name in fields.keys() & changes.keys():
        fields[name] |= changes[name]
    other = scaling_results(12, name="other", study=StudyConfig.model_validate(study), **fields)
    with pytest.raises(RunError) as raised:
        study_scaling([one, other])
    told = "planted and other cannot be fitted together: they differ in "
    assert str(raised.value) == told + difference


# Bad input


def test_too_few_architectures():
    few = scaling_results(5)
    with pytest.raises(RunError, match=r"^planted: 5 architectures trained in full are too few "):
        study_scaling([few])
    failed = [replace(run, state=State.FAILED) for run in few.candidates]
    with pytest.raises(RunError, match=r"^planted: no architectures trained in full are too few"):
        study_scaling([replace(few, measured=failed)])
    with pytest.raises(RunError, match=r"^planted: 1 architecture trained in full is too few"):
        study_scaling([scaling_results(1)])


def test_all_the_same_size():
    run = scaling_results(12)
    alike = [replace(c, cost=replace(c.cost, macs=123456)) for c in run.candidates]
    with pytest.raises(RunError, match=r"^planted: all 12 architectures have the same cost, 123 k"):
        study_scaling([replace(run, measured=alike)])


@pytest.mark.parametrize(
    ("error", "reasons"),
    [
        (lambda macs: 0.1, [Reason.FLAT]),
        (lambda macs: 0.05 + 0.1 * (macs / 6e6) ** 0.3, [Reason.FLAT]),
        (lambda macs: 0.1 + 0.1 * abs(np.log10(macs / 5e5)), [Reason.FLAT, Reason.RISING]),
    ],
)
def test_errors_that_do_not_fall_are_never_a_confident_fit(error, reasons):
    run, noise = scaling_results(30), np.random.default_rng(0).lognormal(0, 0.01, 60)
    errors = [error(c.cost.macs) * off for c, off in zip(run.candidates, noise, strict=True)]
    found = study_scaling([with_errors(run, errors)])
    assert found.laws["macs"].verdict.refusal.reason in reasons
    assert all(larger.error is None for larger in found.next)


def test_an_error_of_no_image_is_half_of_one():
    run = scaling_results(12)
    errors = [0.0, *(c.error for c in run.candidates[1:])]
    found = study_scaling([with_errors(run, errors)], times=[2])
    assert min(c.error for c in found.trainings) == 0.5 / planted.VALIDATION


def test_layers_are_split_as_shares_say():
    counts = np.arange(3, 40)
    whole = _split(counts, np.array([0.1, 0.3, 0.6]))
    np.testing.assert_array_equal(whole.sum(axis=1), counts)
    assert whole.min() == 1
    np.testing.assert_allclose(whole[-1], [3.9, 11.7, 23.4], atol=1)
