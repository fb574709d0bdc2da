"""Scaling laws: planted coefficients, published curves, verdicts on bad data, growth and costs."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from dnsearch.errors import ConfigError
from dnsearch.scaling.costlaw import fit_cost
from dnsearch.scaling.extrapolation import study_law
from dnsearch.scaling.growth import best_growth
from dnsearch.scaling.law import fit_law, parameter, worth
from dnsearch.scaling.powerlaw import curve

COVERAGE = runpy.run_path(
    str(Path(__file__).parents[2] / "studies" / "scaling_coverage.py"), run_name="coverage"
)

# DenseNet paper (arXiv:1608.06993), BC networks: parameters and C10+ error in %
PAPER_PARAMS = [769_162, 1_542_682, 2_733_130, 4_261_690, 15_324_406, 25_624_430]
PAPER_ERROR = np.array([4.51, 4.58, 3.99, 4.01, 3.62, 3.46]) / 100

# torchvision's ImageNet weights of DenseNet 121, 169, 201, 161
TORCHVISION_PARAMS = [7_978_856, 14_149_480, 20_013_928, 28_681_000]
TORCHVISION_ERROR = 1 - np.array([74.43, 75.60, 76.90, 77.14]) / 100


def planted(sizes, seeds=2, noise=0.03, law=(0.05, 30.0, 0.45), seed=0):
    """Sizes, errors and owners of trainings about a law."""
    rng = np.random.default_rng(seed)
    floor, factor, alpha = law
    mean = (floor + factor * np.asarray(sizes) ** -alpha)[:, None]
    error = mean * rng.lognormal(0, noise, (len(sizes), seeds))
    owner = np.repeat(np.arange(len(sizes)), seeds)
    return np.repeat(sizes, seeds), error.ravel(), owner


SIZES = np.geomspace(1e5, 6.4e6, 30)


def verdict(sizes, error, owner=None, names=("params",)):
    owner = np.arange(len(error)) if owner is None else owner
    return study_law(sizes, error, owner, names).verdict


# The curve and the fit


@pytest.mark.parametrize("sizes", [1, 2])
def test_gradient_is_that_of_finite_differences(sizes):
    rng = np.random.default_rng(0)
    theta, logs = rng.normal(0, 0.5, 1 + 2 * sizes), rng.normal(0, 1, (4, sizes))
    for place in range(4):
        found = curve(theta[None], logs)[1][0, place]
        expected = optimize.approx_fprime(
            theta, lambda t, place=place: curve(t[None], logs)[0][0, place]
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_errors_without_noise_give_their_law_back():
    law = fit_law(*planted(SIZES, noise=0.0), ["params"])
    assert law.floor.value == pytest.approx(0.05, rel=1e-3)
    assert law.factors[0].value == pytest.approx(30, rel=1e-2)
    assert law.exponents[0].value == pytest.approx(0.45, rel=1e-3)
    assert law.mean([2.56e7]).value[0] == pytest.approx(0.05 + 30 * 2.56e7**-0.45, rel=1e-3)


def test_fit_is_the_minimum_that_another_optimiser_finds():
    law = fit_law(*planted(SIZES), ["params"])
    solution = law._solution
    found = optimize.minimize(
        lambda theta: solution.problem.loss(theta[None])[0],
        solution.theta + 0.1,
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 10_000, "maxfev": 10_000},
    )
    assert solution.loss == pytest.approx(found.fun, abs=1e-4)
    np.testing.assert_allclose(solution.theta, found.x, atol=0.02)


def test_ends_of_an_interval_are_where_the_constrained_fit_is_just_too_bad():
    """E held at the ends, the rest optimised by SciPy: the loss is the threshold above the best."""
    solution = fit_law(*planted(SIZES), ["params"])._solution
    _, low, high = solution.interval(parameter(0))
    goal, _ = solution._threshold(np.array([[1.0, 0.0, 0.0]]))
    for end in (low[0], high[0]):
        rest = optimize.minimize(
            lambda free, end=end: solution.problem.loss(np.array([[end, *free]]))[0],
            solution.theta[1:],
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-10},
        )
        assert rest.fun - solution.loss == pytest.approx(goal[0], rel=0.05)


def test_outliers_hardly_move_the_law():
    sizes, error, owner = planted(SIZES)
    clean = fit_law(sizes, error, owner, ["params"])
    error[::15] *= 1.6
    spoilt = fit_law(sizes, error, owner, ["params"])
    plain = np.polyfit(np.log(sizes), np.log(error), 1)
    assert abs(spoilt.mean([1e7]).value[0] / clean.mean([1e7]).value[0] - 1) < 0.03
    assert spoilt.scatter < 2 * clean.scatter
    assert np.std(np.log(error) - np.polyval(plain, np.log(sizes))) > 2 * clean.scatter


def test_seeds_of_one_architecture_are_not_points_of_their_own():
    """The same luck thrice is no more than once."""
    sizes, error, owner = planted(SIZES, seeds=1)
    once = fit_law(sizes, error, owner, ["params"])
    thrice = fit_law(np.tile(sizes, 3), np.tile(error, 3), np.tile(owner, 3), ["params"])
    np.testing.assert_allclose(once.floor, thrice.floor, rtol=1e-6)
    assert (thrice.architectures, thrice.trainings) == (30, 90)
    assert math.isnan(once.seed_sd)
    assert thrice.seed_sd == pytest.approx(0, abs=1e-12)


def test_units_and_order_do_not_matter():
    sizes, error, owner = planted(SIZES)
    law = fit_law(sizes, error, owner, ["params"])
    turned = fit_law(sizes[::-1] * 1e3, error[::-1], 7 - owner[::-1], ["MACs"])
    np.testing.assert_allclose(law.floor, turned.floor, rtol=1e-3)
    np.testing.assert_allclose(law.exponents, turned.exponents, rtol=1e-3)
    np.testing.assert_allclose(law.mean([1e7]), turned.mean([1e10]), rtol=1e-3)


# Honesty


def test_planted_coefficients_lie_in_their_intervals():
    """A small piece of studies/scaling_coverage.py, which draws 500."""
    rng, found = np.random.default_rng(3), []
    for _ in range(100):
        drawn = COVERAGE["draw"](rng)
        law = fit_law(drawn.sizes, drawn.error, drawn.architecture, ["params"])
        found.append(COVERAGE["covered"](law, drawn))
    for name in found[0]:
        # at 95 % fewer than 88 of 100 are less likely than 1 in 200, and 100 of 100 are too good
        assert 88 <= sum(row[name] for row in found) <= 99, name


def test_one_training_is_less_certain_than_the_mean():
    law = fit_law(*planted(SIZES), ["params"])
    mean, one = law.mean([1e6, 2e7]), law.training([1e6, 2e7])
    np.testing.assert_allclose(mean.value, one.value)
    assert (one.low < mean.low).all()
    assert (one.high > mean.high).all()
    # within the points, nearly all of it is the luck of a training: 3 %
    assert math.log(one.high[0] / one.low[0]) == pytest.approx(2 * 2 * 0.03, rel=0.35)


def test_a_narrow_range_leaves_e_open():
    law = fit_law(*planted(np.geomspace(1e6, 3e6, 20)), ["params"])
    assert law.floor.low == 0
    assert law.exponents[0].high > 3 * law.exponents[0].low


# Published curves


def test_densenet_bc_on_cifar10():
    study = study_law(PAPER_PARAMS, PAPER_ERROR, range(6), ["params"])
    assert study.law is not None
    np.testing.assert_allclose(study.law.mean(PAPER_PARAMS).value, PAPER_ERROR, rtol=0.06)
    assert study.law.floor.low == 0  # six points over 33x cannot tell
    assert not study.verdict.trusted
    assert study.verdict.reason == "6 networks are too few for a curve: it takes 8"
    assert study.verdict.settle == "train 2 more networks between 769 k and 25.6 M params"
    assert study.verdict.notes == ("one seed each: the noise of seeds is unknown",)


def test_densenet_bc_predicts_its_largest_network():
    """The 3.46 % of 25.6 M params from the five smaller networks."""
    law = fit_law(PAPER_PARAMS[:5], PAPER_ERROR[:5], range(5), ["params"])
    found = law.training([PAPER_PARAMS[5]])
    assert found.value[0] == pytest.approx(PAPER_ERROR[5], rel=0.05)
    assert found.low[0] < PAPER_ERROR[5] < found.high[0]


def test_torchvision_on_imagenet():
    study = study_law(TORCHVISION_PARAMS, TORCHVISION_ERROR, range(4), ["params"])
    assert study.law is not None
    fitted = study.law.mean(TORCHVISION_PARAMS)
    np.testing.assert_allclose(fitted.value, TORCHVISION_ERROR, rtol=0.02)
    assert study.law.floor.low == 0
    assert study.law.exponents[0].low < 0.011  # nothing is known of it
    assert study.law.exponents[0].high > 9
    assert study.verdict.reason == "4 networks are too few for a curve: it takes 8"


# Verdicts


def test_a_good_law_is_trusted():
    study = study_law(*planted(SIZES), ["params"])
    assert study.verdict.trusted
    assert study.verdict.reason == study.verdict.settle == ""
    assert study.verdict.notes == ()
    held_out = study.held_out
    assert held_out is not None
    assert held_out.rule == "above 1.53 M params"  # 64x: the top 4x
    assert len(held_out.found) == 10
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
    np.testing.assert_allclose(held_out.law, error[9:], rtol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_plain_power_law_is_not_trusted(noise):
    told = verdict(*planted(SIZES, law=(0.0, 30.0, 0.4), noise=noise))
    assert not told.trusted
    assert "log-log line" in told.reason or "E is not identified" in told.reason
    assert told.settle.endswith("more networks between 6.40 M and 25.6 M params")


def test_a_jump_beyond_the_points_is_a_miss():
    sizes, error, owner = planted(SIZES, law=(0.05, 100.0, 0.5))
    error[sizes > 1.5e6] *= 1.25
    told = verdict(sizes, error, owner)
    assert not told.trusted
    assert "off by" in told.reason or "missed" in told.reason


@pytest.mark.parametrize(
    ("sizes", "error", "reason", "settle"),
    [
        (
            [2e6] * 12,
            np.linspace(0.1, 0.2, 12),
            "all 12 networks have the same params (2 M)",
            "train 8 more networks between 500 k and 8 M params",
        ),
        (
            [1e5, 4e5, 1.6e6],
            [0.3, 0.2, 0.1],
            "3 networks are too few for a curve: it takes 8",
            "train 5 more networks between 100 k and 1.60 M params",
        ),
        (
            np.geomspace(1e6, 3e6, 20),
            np.geomspace(0.2, 0.1, 20),
            "params span a factor of 3.0: a curve takes 8",
            "train 6 more networks between 3 M and 16 M params",
        ),
        (
            SIZES,
            [0.1] * 30,
            "errors do not fall with params",
            "train 6 more networks between 12.5 k and 100 k params",
        ),
        (
            SIZES,
            np.geomspace(0.1, 0.2, 30),
            "errors do not fall with params",
            "train 6 more networks between 12.5 k and 100 k params",
        ),
        (
            SIZES,
            np.concatenate([np.geomspace(0.4, 0.1, 20), np.geomspace(0.1, 0.2, 10)]),
            "errors rise from 859 k params on",
            "train those above 859 k params longer, two more seeds each",
        ),
        (
            [*np.geomspace(1e5, 3e5, 9), 1e7],
            [*np.geomspace(0.3, 0.2, 9), 0.1],
            "1 networks in the largest 4x of params are too few to check the curve on",
            "train 2 more networks between 2.50 M and 10 M params",
        ),
        (
            [1e5, 2e5, *np.geomspace(1e6, 1.6e6, 8)],
            [0.3, 0.25, *np.geomspace(0.2, 0.15, 8)],
            "without the largest, 2 networks are left to fit: it takes 5",
            "train 3 more networks between 100 k and 800 k params",
        ),
    ],
)
def test_bad_data_is_never_a_confident_fit(sizes, error, reason, settle):
    told = verdict(sizes, error)
    assert not told.trusted
    assert (told.reason, told.settle) == (reason, settle)


def test_one_seed_is_allowed_with_a_note():
    told = verdict(*planted(SIZES, seeds=1))
    assert told.trusted
    assert told.notes == ("one seed each: the noise of seeds is unknown",)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -0.1])
def test_impossible_figures_are_refused_in_one_line(bad):
    sizes, error, owner = planted(SIZES)
    with pytest.raises(ConfigError, match=r"^error must be finite and above 0, got "):
        study_law(sizes, np.append(error[:-1], bad), owner, ["params"])
    with pytest.raises(ConfigError, match=r"^params must be finite and above 0, got "):
        fit_law(np.append(sizes[:-1], bad), error, owner, ["params"])
    with pytest.raises(ConfigError, match=r"^sizes must be finite and above 0$"):
        fit_law(sizes, error, owner, ["params"]).mean([bad])


def test_impossible_shapes_are_refused():
    with pytest.raises(ConfigError, match="one row a training"):
        fit_law([1e5, 1e6], [0.1], [0], ["params"])
    with pytest.raises(ConfigError, match="at least one training"):
        study_law([], [], [], ["params"])
    with pytest.raises(ConfigError, match="architectures must be at least 4 to fit, got 3"):
        fit_law([1e5, 1e6, 1e7], [0.3, 0.2, 0.1], [0, 1, 2], ["params"])
    with pytest.raises(ConfigError, match="params must differ between networks, got 1000000"):
        fit_law([1e6] * 8, [0.1] * 8, range(8), ["params"])


# Network and data


def grid(alpha=0.5, beta=0.4, parts=(0.05, 0.15, 0.2), noise=0.02):
    """20 networks over 32x, each on 1/8 to all of 12,000 images."""
    rng = np.random.default_rng(1)
    network = np.repeat(np.geomspace(1e5, 3.2e6, 20), 4)
    images = np.tile(12000 / np.array([8, 4, 2, 1]), 20)
    error = parts[0] + parts[1] * (network / 1e5) ** -alpha + parts[2] * (images / 1500) ** -beta
    error = error * rng.lognormal(0, noise, 80)
    return np.column_stack([network, images]), error, np.repeat(np.arange(20), 4)


def test_joint_law():
    sizes, error, owner = grid()
    law = fit_law(sizes, error, owner, ["params", "images"])
    assert law.floor.low <= 0.05 <= law.floor.high
    assert law.exponents[0].low <= 0.5 <= law.exponents[0].high
    assert law.exponents[1].low <= 0.4 <= law.exponents[1].high
    truth = 0.05 + 0.15 * 128**-0.5 + 0.2 * 8**-0.4
    found = law.mean([[1.28e7, 12000]])
    assert found.low[0] <= truth <= found.high[0]
    assert found.value[0] == pytest.approx(truth, rel=0.1)


def test_what_is_worth_more():
    law = fit_law(*grid(), ["params", "images"])
    gain = worth(law, 3.2e6, 12000)
    of_network = 100 * 0.15 * 32**-0.5 * (1 - 2**-0.5)
    of_data = 100 * 0.2 * 8**-0.4 * (1 - 2**-0.4)
    assert gain.network.low <= of_network <= gain.network.high
    assert gain.data.low <= of_data <= gain.data.high
    assert gain.ratio.low <= of_data / of_network <= gain.ratio.high
    assert gain.better == "images"
    assert worth(law, 1e5, 12000).better == "params"
    alone = fit_law(*planted(SIZES), ["params"])
    with pytest.raises(ConfigError, match="must be of network size and data, got 'params'"):
        worth(alone, 1e6, 12000)


def test_joint_study_leaves_out_the_largest_of_both():
    study = study_law(*grid(), ["params", "images"])
    assert study.held_out is not None
    assert study.held_out.rule == "above 1.07 M params or above 6 k images"
    assert study.held_out.error_of(study.held_out.law) < 0.1


def test_one_amount_of_data_is_refused():
    sizes, error, owner = grid()
    whole = sizes[:, 1] == 12000
    told = verdict(sizes[whole], error[whole], owner[whole], ["params", "images"])
    assert told.reason == "all 20 networks have the same images (12 k)"
    assert told.settle == "train 8 more networks on 3 k to 48 k images"


def test_shared_luck_of_an_architecture_widens_the_joint_law():
    """Four rows with the same luck are less than four with their own."""
    sizes, error, owner = grid(noise=0.0)
    rng = np.random.default_rng(0)
    shared = error * np.repeat(rng.lognormal(0, 0.04, 20), 4)
    shared = shared * rng.lognormal(0, 0.01, 80)
    names = ["params", "images"]
    together = fit_law(sizes, shared, owner, names)
    apart = fit_law(sizes, shared, np.arange(80), names)
    widths = [np.log(b.high / b.low) for b in (x.mean([[3.2e6, 6000]]) for x in (together, apart))]
    assert widths[0][0] > 1.2 * widths[1][0]


# Growth and costs


def wide_or_deep(rng, count, exponent=0.3):
    """Errors of networks whose best growth rate is 4 at 1 M MACs and grows with this exponent."""
    budget = np.exp(rng.uniform(math.log(1e6), math.log(64e6), count))
    rate = 4 * (budget / 1e6) ** 0.5 * rng.lognormal(0, 0.5, count)  # what the space offers
    off = np.log(rate / (4 * (budget / 1e6) ** exponent))
    error = (0.05 + 0.1 * (budget / 1e6) ** -0.4) * np.exp(0.1 * off**2)
    return budget, rate, error * rng.lognormal(0, 0.02, count)


def test_growth_finds_planted_exponents():
    rng, inside, told = np.random.default_rng(0), 0, 0
    for _ in range(40):
        budget, rate, error = wide_or_deep(rng, 40)
        growth = best_growth(budget, error, {"growth_rate": rate}, rng, 100)["growth_rate"]
        told += growth.told
        inside += growth.told and growth.exponent.low <= 0.3 <= growth.exponent.high
    assert told >= 20
    assert inside >= 0.87 * told


def test_growth_says_when_it_cannot_tell():
    rng = np.random.default_rng(0)
    budget, rate, error = wide_or_deep(rng, 40)
    same = np.full(40, 4)
    found = best_growth(budget, error, {"growth_rate": rate, "bn_size": same}, rng)
    at = found["growth_rate"].at(64e6)
    assert at.low < at.value < at.high
    assert at.value == pytest.approx(4 * 64**0.3, rel=0.3)
    assert found["bn_size"].reason == "bn_size is 4 in all of them"
    assert math.isnan(found["bn_size"].exponent.value)

    def reason(budget=budget, error=error, rate=rate):
        return best_growth(budget, error, {"layers": rate}, rng)["layers"].reason

    assert reason(budget[:11], error[:11], rate[:11]) == "11 networks are too few: it takes 12"
    assert reason(budget=budget**0.3).startswith("the budget spans a factor of 3.")
    never_worse = reason(error=budget**-0.2 * rate**-0.3)
    assert never_worse == "no best value shows among what was tried"
    with pytest.raises(ConfigError, match="layers must be finite and above 0, got nan"):
        best_growth(budget, error, {"layers": np.full(40, np.nan)}, rng)


@pytest.mark.parametrize(
    ("form", "law"),
    [
        ("linear", lambda a, m: 2e-3 + 3e-8 * a + 2e-9 * m),
        ("power", lambda a, m: 1e-6 * a**0.5 * m**0.2),
    ],
)
def test_cost_of_a_larger_network(form, law):
    rng = np.random.default_rng(0)
    macs = np.exp(rng.uniform(math.log(1e6), math.log(3e7), 25))
    activations = macs**0.8 * rng.lognormal(0, 0.3, 25)
    seconds = law(activations, macs) * rng.lognormal(0, 0.04, 25)
    seconds[3] *= 1.5
    found = fit_cost(seconds, activations, macs, rng, 100)
    assert found.form == form
    assert found.off < 0.1
    larger = found.predict([1.2e8**0.8], [1.2e8])
    truth = law(1.2e8**0.8, 1.2e8)
    assert larger.low[0] < truth < larger.high[0]
    assert larger.value[0] == pytest.approx(truth, rel=0.15)
    with pytest.raises(ConfigError, match="networks must be at least 6 to fit a cost, got 3"):
        fit_cost(seconds[:3], activations[:3], macs[:3], rng)
