"""What a larger budget buys: planted laws come back, and bad runs are refused in one line."""

import json

import numpy as np
import pytest

from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig
from dnsearch.errors import RunError
from dnsearch.report.forecast import record, sentences, told
from dnsearch.scaling.growth import best_growth
from dnsearch.scaling.larger import _split
from dnsearch.scaling.study import _Front, study_scaling

from . import planted
from .planted import scaling_results


@pytest.fixture(scope="module")
def good():
    """Two seeds of 60 architectures over 64x, and a third training on part of the images."""
    return study_scaling([scaling_results(60, partial=True, noise=0.01)])


def test_error_of_larger_networks_lies_in_its_interval():
    """Of the networks proposed: their shape is part of the truth."""
    found = study_scaling([scaling_results(60, noise=0.03)])
    assert found.laws["macs"].verdict.trusted
    assert [larger.times for larger in found.next] == [2, 4, 8]
    for larger in found.next:
        truth = planted.true_error(larger.arch)
        assert larger.training.low < truth < larger.training.high
        assert larger.error.value == pytest.approx(truth, rel=0.08)
        assert larger.training.low < larger.error.low < larger.error.value
        assert larger.training.high > larger.error.high > larger.error.value


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


def test_the_best_growth_rate_is_recovered(good):
    growth = good.growth["growth_rate"]
    assert growth.told
    assert growth.exponent.low < planted.GROWTH < growth.exponent.high
    assert growth.exponent.value == pytest.approx(planted.GROWTH, abs=0.06)
    assert growth.at(5e5).value == pytest.approx(8, rel=0.15)


def test_best_growth_is_not_that_of_what_was_tried():
    """All networks go with budget^0.6; the best at each budget with budget^0.3."""
    rng = np.random.default_rng(0)
    budget = np.exp(rng.uniform(0, 5, 60))
    width = budget**0.6 * rng.lognormal(0, 0.6, 60)
    error = 0.1 * budget**-0.2 * np.exp(0.1 * np.log(width / (3 * budget**0.3)) ** 2)
    error *= rng.lognormal(0, 0.01, 60)
    found = best_growth(budget, error, {"width": width}, rng)["width"]
    assert found.told
    assert found.exponent.low < 0.3 < found.exponent.high < 0.45
    more = best_growth(budget, 0.1 * width**-0.2, {"width": width}, rng)["width"]
    assert not more.told
    assert more.reason == "no best value shows among what was tried"
    few = best_growth(budget[:8], error[:8], {"width": width[:8]}, rng)["width"]
    assert few.reason == "8 networks are too few: it takes 12"


def test_what_doubling_is_worth(good):
    assert good.data.verdict.trusted
    assert good.data.law.names == ("MACs", "images")
    here, most = planted.error_of(good.largest), 2 * planted.TRAIN
    data = 100 * (here - planted.error_of(good.largest, most))
    network = 100 * (here - planted.error_of(2 * good.largest))
    assert good.worth.data.low < data < good.worth.data.high
    assert good.worth.network.value == pytest.approx(network, rel=0.25)
    said = dict(told(good))["worth"]
    assert said.startswith(f"Twice the images are worth {good.worth.data.value:.2g} points (")
    assert said.endswith(": images are worth more.")


def test_choosing_by_other_seeds_does_not_flatter():
    """Measured errors of the fitted trainings against the same without noise."""
    bias = []
    for seed in range(8):
        noisy = scaling_results(40, noise=0.06, seed=seed).candidates
        clean = scaling_results(40, noise=0.0, seed=seed).candidates
        front = _Front(noisy, "macs", {})
        assert front.chosen
        gap = np.log(noisy["error"].to_numpy() / clean["error"].to_numpy())
        bias.append(gap[front.fitted].mean())
    # of those chosen by their own mean it would be -0.02
    assert abs(np.mean(bias)) < 0.01


def test_one_seed_works_and_says_so():
    found = study_scaling([scaling_results(30, seeds=1)])
    assert not found.chosen
    assert found.trainings["fitted"].all()
    notes = [text for label, text in told(found) if label == "note"]
    assert notes[0] == "One seed each: the noise of seeds is unknown."
    assert "too few have a second seed" in notes[1]


def test_json_holds_all_that_is_told(good):
    values = json.loads(json.dumps(record(good), allow_nan=False))
    assert values["laws"]["macs"]["trusted"]
    assert values["laws"]["macs"]["held_out"]["found"]
    assert values["next"][1]["arch"] == good.next[1].arch.to_dict()
    assert values["answer"] == sentences(good)


def test_the_answer_in_words(good):
    text = "\n".join(sentences(good))
    larger = good.next[1]
    low, value, high = (100 * larger.error[i] for i in (1, 0, 2))
    assert f"At 4x the MACs expect {value:.1f} % ({low:.1f} to {high:.1f})" in text
    assert larger.arch.describe() in text
    assert "a constant by" in text
    assert "a log-log line by" in text
    assert "The best growth rate grows as MACs^" in text


# Several runs


def test_the_same_run_twice_is_one():
    run = scaling_results(20)
    assert len(study_scaling([run, run]).trainings) == len(run.candidates)


def test_runs_on_the_same_images_are_fitted_together():
    one, other = scaling_results(16), scaling_results(16, name="other", seed=1)
    other.candidates["seed"] += 1000
    found = study_scaling([one, other])
    assert len(found.trainings) == 64
    assert found.runs == ("planted", "other")


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
    with pytest.raises(RunError, match=r"^planted: 5 architectures trained in full are too few "):
        study_scaling([scaling_results(5)])
    empty = scaling_results(5)
    empty.candidates["state"] = "failed"
    with pytest.raises(RunError, match=r"^planted: no architectures trained in full are too few"):
        study_scaling([empty])


def test_all_the_same_size():
    run = scaling_results(12)
    run.candidates["macs"] = 123456
    with pytest.raises(RunError, match=r"^planted: all 12 architectures have the same cost, 123 k"):
        study_scaling([run])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (lambda macs: 0.1, "do not fall"),
        (lambda macs: 0.05 + 0.1 * (macs / 6e6) ** 0.3, "do not fall"),
        (lambda macs: 0.1 + 0.1 * abs(np.log10(macs / 5e5)), "errors"),
    ],
)
def test_errors_that_do_not_fall_are_never_a_confident_fit(error, reason):
    run = scaling_results(30)
    run.candidates["error"] = [
        error(macs) * noise
        for macs, noise in zip(
            run.candidates["macs"], np.random.default_rng(0).lognormal(0, 0.01, 60), strict=True
        )
    ]
    found = study_scaling([run])
    assert not found.laws["macs"].verdict.trusted
    assert reason in found.laws["macs"].verdict.reason
    assert all(larger.error is None for larger in found.next)
    refusal = [text for label, text in told(found) if label == "refused"]
    assert refusal[0].startswith("What larger networks would score is not told: errors ")
    assert "To settle it, train " in refusal[0]


def test_an_error_of_no_image_is_half_of_one():
    run = scaling_results(20)
    run.candidates.loc[0, "error"] = 0.0
    found = study_scaling([run])
    assert found.trainings["error"].min() == 0.5 / planted.VALIDATION


def test_layers_are_split_as_shares_say():
    counts = np.arange(3, 40)
    whole = _split(counts, np.array([0.1, 0.3, 0.6]))
    np.testing.assert_array_equal(whole.sum(axis=1), counts)
    assert whole.min() == 1
    np.testing.assert_allclose(whole[-1], [3.9, 11.7, 23.4], atol=1)
