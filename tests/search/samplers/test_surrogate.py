import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal, norm

from dnsearch.search.samplers.covariance import JITTER, Covariance, Parameters, Rows, Trend
from dnsearch.search.samplers.growing import BLOCK, GrowingFactor
from dnsearch.search.samplers.hyperparameters import Normal, Posterior, State, fit, sample
from dnsearch.search.samplers.surrogate import Narrowing, Surrogate
from dnsearch.search.samplers.triangle import factor
from tests.search.rows import joined


def planted(rng, trainings=40, dimensions=3, noise=0.02, lower=0.03, tells=True):
    """Log errors of trainings at a lower rung and the top, of a surface that is known."""
    features = rng.normal(size=(trainings, dimensions))
    truth = surface(features)
    low = 0.4 + 0.9 * truth if tells else np.zeros(trainings)
    value = np.concatenate([truth, low + lower * rng.standard_normal(trainings)])
    value[:trainings] += noise * rng.standard_normal(trainings)
    level = np.repeat([0, 1], trainings)
    training = np.tile(np.arange(trainings), 2)
    slopes = np.linspace(-0.12, 0.03, dimensions), np.linspace(0.1, 0.3, dimensions)
    return Rows(np.tile(features, (2, 1)), level, training, value, Trend(*slopes)), truth


def surface(features):
    return -1.8 - 0.15 * features[:, 0] + 0.1 * np.sin(2 * features[:, 1])


def surprise(rows):
    """What the prior does not expect of the values."""
    left = rows.value - rows.features @ rows.trend.mean
    return left - left[rows.level == 0].mean()


def test_the_gradient_is_the_derivative():
    rng = np.random.default_rng(0)
    rows, _ = planted(rng, trainings=12)
    posterior = Posterior(rows, rng, 2)
    vector = posterior.mean + 0.5 * posterior.sd * rng.standard_normal(len(posterior.mean))
    _, gradient = posterior.loss(vector)
    expected = approx_fprime(vector, lambda v: posterior.loss(v)[0], 1e-6)
    assert gradient == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_the_loss_is_the_density_of_the_rows_and_the_prior():
    rng = np.random.default_rng(1)
    rows, _ = planted(rng, trainings=8)
    posterior = Posterior(rows, rng, 2)
    mean, sd, value = posterior.mean, posterior.sd, surprise(rows)
    losses, fast, densities, priors = [], [], [], []
    for vector in (mean, mean + 0.3 * sd):
        losses.append(posterior.loss(vector)[0])
        fast.append(posterior.likelihood(vector))
        matrix = Covariance(rows, 2).matrix(Parameters.unpack(vector, 3))
        priors.append(-0.5 * np.sum(((vector - mean) / sd) ** 2))
        densities.append(multivariate_normal(cov=matrix).logpdf(value))
    prior, density = np.diff(priors), np.diff(densities)
    assert -np.diff(losses) == pytest.approx(density + prior)
    assert np.diff(fast) == pytest.approx(density, rel=1e-5)


def test_the_posterior_is_that_of_textbook_conditioning():
    rng = np.random.default_rng(2)
    rows, _ = planted(rng, trainings=10)
    parameters = fit(rows, rng, 2)
    new = rng.normal(size=(4, 3))
    mean, sd = Surrogate(rows, parameters).predict(new)
    # One covariance of everything at once, from the code that the rows' own covariance uses; the
    # new rows are trainings of their own, so their noise is on the diagonal alone.
    joint = joined(rows, new, np.zeros(4))
    matrix = Covariance(joint, 2).matrix(parameters)
    old, fresh = slice(0, len(rows)), slice(len(rows), None)
    weights = np.linalg.solve(matrix[old, old], matrix[old, fresh])
    slope = rows.trend.mean
    centre = np.mean((rows.value - rows.features @ slope)[rows.level == 0])
    assert mean == pytest.approx(centre + new @ slope + weights.T @ surprise(rows), abs=1e-6)
    noise = parameters.noise[0] ** 2 + JITTER
    covariance = matrix[fresh, fresh] - matrix[fresh, old] @ weights - noise * np.eye(4)
    assert sd**2 == pytest.approx(np.diag(covariance), abs=1e-6)
    together, shared = Surrogate(rows, parameters).joint(new)
    assert together == pytest.approx(mean)
    assert shared == pytest.approx(covariance, abs=1e-6)


def test_without_deviations_slopes_are_those_of_bayesian_regression():
    rng = np.random.default_rng(10)
    features, noise = rng.normal(size=(6, 2)), 0.05
    trend = Trend(np.array([-0.2, 0.1]), np.array([0.1, 0.02]))
    value = -1.5 + features @ [-0.3, 0.3] + noise * rng.standard_normal(6)
    rows = Rows(features, np.zeros(6, int), np.arange(6), value, trend)
    one = np.ones(1)
    straight = Parameters(np.ones(2), 1e-6, noise * one, one, 0 * one, one)
    mean, sd = Surrogate(rows, straight).predict(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    # Beta ~ N(m, S), y ~ N(X beta, noise^2): the posterior's precision is S^-1 + X'X / noise^2.
    design = np.column_stack([np.ones(6), features])
    before = np.array([np.mean(value - features @ trend.mean), *trend.mean])
    prior = np.diag([1.0, 0.1**-2, 0.02**-2])
    covariance = np.linalg.inv(prior + design.T @ design / noise**2)
    after = covariance @ (prior @ before + design.T @ value / noise**2)
    assert mean == pytest.approx([after[0], after[0] + after[1], after[0] + after[2]], abs=1e-5)
    assert sd[0] == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-3)


def test_a_planted_surface_and_its_noise_are_recovered():
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows, _ = planted(rng, trainings=60)
        model = Surrogate(rows, fit(rows, rng, 2))
        new = rng.normal(size=(200, 3))
        mean, sd = model.predict(new)
        wrong = mean - surface(new)
        assert np.sqrt(np.mean(wrong**2)) < 0.05
        assert 0.01 < model.parameters.noise[0] < 0.04
        inside.append([np.abs(wrong) < width * sd for width in norm.ppf([0.75, 0.95])])
    half, most = np.mean(inside, axis=(0, 2))
    assert 0.42 < half < 0.63
    assert 0.83 < most < 0.97


def test_steps_draw_from_prior_times_likelihood(monkeypatch):
    rng = np.random.default_rng(8)
    rows, _ = planted(rng, trainings=3)
    posterior = Posterior(rows, rng, 2)
    at, width = posterior.mean + posterior.sd, 0.7 * posterior.sd
    likelihood = lambda vector: -0.5 * np.sum(((vector - at) / width) ** 2)  # noqa: E731
    monkeypatch.setattr(posterior, "likelihood", likelihood)
    around = Normal(posterior.mean + 0.5 * posterior.sd, np.diag(0.8 * posterior.sd))
    state, found = State(posterior.mean, likelihood(posterior.mean)), []
    for _ in range(10_000):
        state = posterior.step(state, around)
        found.append((state.vector - posterior.mean) / posterior.sd)
    variance = 1 / (1 + 0.7**-2)  # of the product of two normals
    assert np.mean(found, axis=0) == pytest.approx(variance * 0.7**-2, abs=0.1)
    assert np.std(found, axis=0) == pytest.approx(variance**0.5, abs=0.06)


def test_draws_of_the_noise_are_about_what_was_planted():
    rng = np.random.default_rng(9)
    rows, _ = planted(rng, trainings=25)
    noise = [each.noise[0] for each in sample(rows, rng, 2, 10)]
    assert min(noise) < 0.02 < max(noise)
    assert np.ptp(noise) < 0.03


@pytest.mark.parametrize(("tells", "low", "high"), [(True, 0.2, 1.0), (False, 0.0, 0.1)])
def test_a_lower_rung_explains_as_much_as_it_has_been_seen_to(tells, low, high):
    rng = np.random.default_rng(4)
    rows, _ = planted(rng, trainings=50, lower=0.03 if tells else 0.5, tells=tells)
    model = Surrogate(rows, fit(rows, rng, 2))
    far = 3 * rng.normal(size=(30, 3))
    assert low <= np.median(model.explained(far, 1)) <= high


def test_a_lower_rungs_result_narrows_the_top_as_announced():
    rng = np.random.default_rng(5)
    rows, _ = planted(rng)
    model = Surrogate(rows, fit(rows, rng, 2))
    new = np.array([[2.5, -2.0, 1.0]])
    _, before = model.predict(new)
    share = model.explained(new, 1)
    seen = Rows(
        np.vstack([rows.features, new]), np.append(rows.level, 1),
        np.append(rows.training, 999), np.append(rows.value, -1.0), rows.trend,
    )  # fmt: skip
    _, after = Surrogate(seen, model.parameters).predict(new)
    assert after**2 == pytest.approx(before**2 * (1 - share), rel=1e-3)


@pytest.mark.parametrize("growing", [False, True])
def test_believing_narrows_as_rows_of_the_same_features_do(growing):
    """Whatever is believed or looked at first."""
    rng = np.random.default_rng(6)
    rows, _ = planted(rng, trainings=60)
    p = fit(rows, rng, 2)
    model = Surrogate(rows, p, GrowingFactor(p, 40) if growing else None)
    points, pending = rng.normal(size=(9, 3)), rng.normal(size=(7, 3))
    points[0] = pending[5]
    narrowing, pieces = Narrowing(model), [(2, 1), (5, 4), (9, 7)]
    for looked_at, believed in pieces:
        narrowing.look_at(points[len(narrowing.sd) : looked_at])
        narrowing.believe(pending[len(narrowing._believed) : believed])
        seen = points[: len(narrowing.sd)]
        known = pending[: len(narrowing._believed)]
        _, expected = Surrogate(joined(rows, known, np.zeros(len(known))), p).predict(seen)
        assert narrowing.sd == pytest.approx(expected, rel=1e-6)
    assert narrowing.sd[0] < 0.9 * model.predict(points[:1])[1][0]


@pytest.mark.parametrize("trainings", [1, 2])
def test_few_or_equal_values_give_an_answer(trainings):
    rng = np.random.default_rng(7)
    features = rng.normal(size=(trainings, 2))
    zeros = np.zeros(trainings, np.intp)
    rows = Rows(features, zeros, np.arange(trainings), np.full(trainings, -1.0))
    mean, sd = Surrogate(rows, fit(rows, rng)).predict(rng.normal(size=(5, 2)))
    assert np.isfinite(mean).all()
    assert (sd > 0).all()


def grown_rows(rng, trainings):
    """Trainings to the top, of which the last 10 have a lower rung's row too."""
    rows, _ = planted(rng, trainings=trainings)
    late = np.arange(trainings, 2 * trainings)[-10:]
    return rows.take(np.concatenate([np.arange(trainings), late]))


def test_a_factor_that_grows_is_the_same_to_the_bit_as_one_made_anew():
    """What is kept is a cache: an interrupted search goes on as an uninterrupted one."""
    whole = planted(np.random.default_rng(0), trainings=150)[0]
    p = Parameters.unpack(Posterior(whole, np.random.default_rng(0), 2).mean, 3)
    growing, roots = GrowingFactor(p, 40), {}
    for count in (40, 41, 71, 72, 73, 110, 149):
        roots[count] = growing.of(grown_rows(np.random.default_rng(count), 40))  # of others
        rows = whole.take(np.r_[np.arange(count), 150 + np.arange(count - 10, count)])
        roots[count] = growing.of(rows)
        anew = GrowingFactor(p, 40).of(rows)
        assert np.array_equal(np.tril(roots[count]), np.tril(anew))
        exact = np.linalg.cholesky(Covariance(rows, 2).matrix(p))
        assert np.allclose(np.tril(roots[count]), exact, atol=1e-9)


def test_a_factor_grows_by_its_new_rows_alone(monkeypatch):
    whole = planted(np.random.default_rng(0), trainings=150)[0]
    p = Parameters.unpack(Posterior(whole, np.random.default_rng(0), 2).mean, 3)
    growing, factored = GrowingFactor(p, 60), []

    def counting(matrix):
        factored.append(len(matrix))
        return factor(matrix)

    monkeypatch.setattr("dnsearch.search.samplers.growing.factor", counting)
    for count in range(60, 126):
        growing.of(whole.take(np.r_[np.arange(count), 150 + np.arange(count - 10, count)]))
    assert factored.count(60) == 1
    assert max(each for each in factored if each != 60) < BLOCK + 10


def test_predictions_of_a_growing_surrogate_are_those_of_one_made_at_once():
    rng = np.random.default_rng(1)
    rows = grown_rows(rng, 120)
    p = Parameters.unpack(Posterior(rows, rng, 2).mean, 3)
    features = rng.normal(size=(30, 3))
    a, b = Surrogate(rows, p), Surrogate(rows, p, GrowingFactor(p, 50))
    for found, expected in zip(b.predict(features), a.predict(features), strict=True):
        assert found == pytest.approx(expected, rel=1e-8)
    assert np.array_equal(a.mean(features), a.predict(features)[0])
    assert b.explained(features, 1) == pytest.approx(a.explained(features, 1), rel=1e-7)
