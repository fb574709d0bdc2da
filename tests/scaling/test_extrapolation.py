"""Verdicts on scaling laws: a good one is trusted, and each kind of bad data is refused with its
reason and what would settle it."""

import math

import numpy as np
import pytest

from dnsearch.errors import ConfigError
from dnsearch.scaling.extrapolation import study_law
from dnsearch.scaling.verdict import LongerTraining, MoreNetworks, Reason

from .curves import IMAGES, SIZES, about, grid
from .published import PAPER_ERROR, PAPER_PARAMS, TORCHVISION_ERROR, TORCHVISION_PARAMS


def refusal(sizes, error, owner=None, names=("params",)):
    owner = np.arange(len(error)) if owner is None else owner
    found = study_law(sizes, error, owner, names).verdict.refusal
    assert found is not None
    return found


# What is trusted


def test_a_good_law_is_trusted():
    study = study_law(*about(SIZES, noise=0.003), ["params"])
    assert study.verdict.trusted
    assert study.verdict.refusal is None
    assert not study.verdict.one_seed
    held_out = study.held_out
    assert held_out is not None
    assert held_out.above == (("params", pytest.approx(SIZES[19])),)  # 64x: the top 4x
    assert len(held_out.found) == 10
    assert 2 <= study.reach < 4  # no prediction of 4x was tested three times over 64x
    own = held_out.error_of(held_out.law)
    assert own < 0.05
    assert own < min(held_out.error_of(held_out.constant), held_out.error_of(held_out.line))


def test_held_out_baselines_by_hand():
    sizes = np.geomspace(1e5, 1.6e6, 12)
    error = 0.02 + 0.3 * (sizes / 1e5) ** -0.7
    held_out = study_law(sizes, error, np.arange(12), ["params"]).held_out
    assert held_out is not None
    np.testing.assert_allclose(held_out.sizes[:, 0], sizes[9:])  # 16x: the top 2x, at least three
    np.testing.assert_allclose(held_out.constant, np.prod(error[6:9]) ** (1 / 3))
    line = np.polyfit(np.log(sizes[:9]), np.log(error[:9]), 1)
    np.testing.assert_allclose(held_out.line, np.exp(np.polyval(line, np.log(sizes[9:]))))
    np.testing.assert_allclose(held_out.law, error[9:], rtol=0.02)


def test_one_seed_is_allowed_and_told():
    verdict = study_law(*about(SIZES, seeds=1, noise=0.003), ["params"]).verdict
    assert verdict.trusted
    assert verdict.one_seed


# What is not, by what it said of the sizes left out


def test_a_wide_band_is_not_trusted():
    """Of networks and seeds that scatter by 3 %, at twice the size."""
    study = study_law(*about(SIZES), ["params"])
    found = study.verdict.refusal
    assert found.reason is Reason.WIDE
    band = study.averaged.predict([2 * SIZES[-1]]).mean
    assert found.value == pytest.approx(band.high[0] / band.value[0] - 1)
    assert found.value > found.limit == 0.05
    assert (found.advice.low, found.advice.high) == (pytest.approx(6.4e6), pytest.approx(25.6e6))
    assert study.reach == 0


def test_what_would_make_the_band_narrow_does_if_the_curve_is_right():
    sizes, error, owner = about(SIZES, noise=0.01)
    study = study_law(sizes, error, owner, ["params"])
    advice = study.verdict.refusal.advice
    assert study.verdict.refusal.reason is Reason.WIDE
    assert not advice.at_least
    new = np.geomspace(SIZES[-1], 4 * SIZES[-1], advice.count + 1)[1:]
    more = study.averaged.predict(new).mean.value
    sizes, error = np.append(sizes, new), np.append(error, more)
    owner = np.append(owner, 100 + np.arange(advice.count))
    assert study_law(sizes, error, owner, ["params"]).reach >= 2


@pytest.mark.parametrize("times", [0.9, 1.1, 1.25])
def test_sizes_left_out_that_lie_off_are_not_trusted(times):
    """Off the curve of the others, far beyond seed noise. Without that the law is trusted."""
    sizes, error, owner = about(SIZES, law=(0.05, 100.0, 0.5), noise=0.002)
    assert study_law(sizes, error, owner, ["params"]).verdict.trusted
    off = np.where(sizes > 1.6e6, times, 1.0)
    study = study_law(sizes, error * off, owner, ["params"])
    assert study.verdict.refusal.reason is Reason.WIDE


def test_a_range_that_allows_few_predictions_is_not_trusted():
    sizes = np.geomspace(1e5, 1.6e6, 20)
    found = refusal(*about(sizes, noise=0.001))
    assert found.reason is Reason.FEW_CHECKS
    assert found.value < found.limit == 3
    assert found.advice == more(6, 1.6e6 / 32, 1.6e6 / 8)


# What is not, before any size is left out


def more(count, low, high, size="params"):
    return MoreNetworks(count, False, pytest.approx(low), pytest.approx(high), size)


@pytest.mark.parametrize(
    ("sizes", "error", "expected", "advice"),
    [
        (
            [2e6] * 12,
            np.linspace(0.1, 0.2, 12),
            (Reason.SAME_SIZE, "params", 12, 2e6, None),
            more(8, 5e5, 8e6),
        ),
        (
            [1e5, 4e5, 1.6e6],
            [0.3, 0.2, 0.1],
            (Reason.TOO_FEW, "", 3, None, 8),
            more(5, 1e5, 1.6e6),
        ),
        (
            np.geomspace(1e6, 3e6, 20),
            np.geomspace(0.2, 0.1, 20),
            (Reason.NARROW, "params", 0, 3.0, 8),
            more(6, 3e6, 16e6),
        ),
        (SIZES, [0.1] * 30, (Reason.FLAT, "params", 0, None, None), more(6, 12.5e3, 1e5)),
        (
            SIZES,
            np.geomspace(0.1, 0.2, 30),
            (Reason.FLAT, "params", 0, None, None),
            more(6, 12.5e3, 1e5),
        ),
        (
            SIZES,
            np.concatenate([np.geomspace(0.4, 0.1, 20), np.geomspace(0.1, 0.2, 10)]),
            (Reason.RISING, "params", 0, SIZES[15], None),
            LongerTraining(pytest.approx(SIZES[15]), "params", 2),
        ),
        (
            [*np.geomspace(1e5, 3e5, 9), 1e7],
            [*np.geomspace(0.3, 0.2, 9), 0.1],
            (Reason.FEW_LARGE, "params", 1, 4, 3),
            more(2, 2.5e6, 10e6),
        ),
        (
            [1e5, 2e5, *np.geomspace(1e6, 1.6e6, 8)],
            [0.3, 0.25, *np.geomspace(0.2, 0.15, 8)],
            (Reason.FEW_KEPT, "", 2, None, 5),
            more(3, 1e5, 1.01 * 8e5),
        ),
        (
            [*np.geomspace(1e5, 3e5, 6), *np.geomspace(9e5, 1.2e6, 4)],
            [*np.geomspace(0.3, 0.2, 6), *np.geomspace(0.15, 0.1, 4)],
            (Reason.NARROW_KEPT, "params", 0, 3.0, 4),
            more(6, 2.5e4, 1e5),
        ),
    ],
)
def test_bad_data_is_never_a_confident_fit(sizes, error, expected, advice):
    found = refusal(sizes, error)
    reason, size, networks, value, limit = expected
    assert (found.reason, found.size, found.networks) == (reason, size, networks)
    for figure, known in ((found.value, value), (found.limit, limit)):
        assert math.isnan(figure) if known is None else figure == pytest.approx(known)
    assert found.advice == advice


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -0.1])
def test_impossible_figures_are_refused_in_one_line(bad):
    sizes, error, owner = about(SIZES)
    with pytest.raises(ConfigError, match=r"^error must be finite and above 0, got "):
        study_law(sizes, np.append(error[:-1], bad), owner, ["params"])


# Published curves


@pytest.mark.parametrize(
    ("params", "error", "advice"),
    [
        (PAPER_PARAMS, PAPER_ERROR, more(2, 769_162, 25_624_430)),
        (TORCHVISION_PARAMS, TORCHVISION_ERROR, more(4, 7_978_856, 16 * 7_978_856)),
    ],
)
def test_published_networks_are_too_few(params, error, advice):
    study = study_law(params, error, range(len(params)), ["params"])
    assert study.law is not None
    assert study.held_out is None
    assert study.verdict.one_seed
    found = study.verdict.refusal
    assert (found.reason, found.networks, found.limit) == (Reason.TOO_FEW, len(params), 8)
    assert found.advice == advice


# Network and data


def test_joint_study_leaves_out_the_largest_of_both():
    study = study_law(*grid(), ["params", "images"])
    assert study.held_out is not None
    (params, above), (images, most) = study.held_out.above
    assert (params, images) == ("params", "images")
    assert above == pytest.approx(np.geomspace(1e5, 3.2e6, 20)[13])
    assert most == IMAGES / 2
    assert study.held_out.error_of(study.held_out.law) < 0.1


@pytest.mark.parametrize("whole", [8000, 8001, 8004, 8007, 8009, 1003])
def test_shares_of_the_images_are_whole_images(whole):
    """Rounded, a half, a quarter and an eighth are no exact factors, yet they are the design's."""
    sizes, error, owner = grid(noise=0.002)
    exact = study_law(sizes, error, owner, ["params", "images"])
    rounded = [round(whole * share) for share in sizes[:, 1] / IMAGES]
    found = study_law(np.column_stack([sizes[:, 0], rounded]), error, owner, ["params", "images"])
    assert found.verdict.trusted
    assert found.held_out.above == (exact.held_out.above[0], ("images", round(whole / 2)))
    assert len(found.held_out.found) == len(exact.held_out.found)


def test_one_amount_of_data_is_refused():
    sizes, error, owner = grid()
    whole = sizes[:, 1] == IMAGES
    found = refusal(sizes[whole], error[whole], owner[whole], ["params", "images"])
    assert (found.reason, found.size, found.networks) == (Reason.SAME_SIZE, "images", 20)
    assert found.value == IMAGES
    assert found.advice == more(8, IMAGES / 4, IMAGES * 4, "images")


def test_a_joint_law_that_misses_what_was_left_out_is_refused():
    sizes, error, owner = grid(noise=0.002)
    assert study_law(sizes, error, owner, ["params", "images"]).verdict.trusted
    off = np.where(sizes[:, 0] > 1e6, 1.08, 1.0)
    found = refusal(sizes, error * off, owner, ["params", "images"])
    assert found.reason in (Reason.MISSED, Reason.WORSE_THAN_LINE)
    jump = np.where(sizes[:, 0] > 1e6, 1.5, 1.0)
    found = refusal(sizes, error * jump, owner, ["params", "images"])
    assert found.reason in (Reason.WORSE_THAN_CONSTANT, Reason.FLAT)


def test_a_joint_law_whose_floor_may_be_0_is_refused():
    found = refusal(*grid(noise=0.002, parts=(0.002, 0.15, 0.2)), ["params", "images"])
    assert found.reason is Reason.FLOOR_UNKNOWN
