"""How honest the intervals and verdicts of scaling laws are, on invented training runs.

python studies/scaling_coverage.py [DRAWS]      # 500: about ten minutes on one core

Coverage: in how many of 100 draws the 95 % intervals of E, A and alpha and the 90 % bands of the
averaged laws hold the truth. The errors of 20 to 60
architectures over 16x or 64x in size are drawn about ``E + A x^-alpha``: the largest part of the
error that training can take off is 40 to 90 %, alpha 0.2 to 0.8; log-normal scatter of
architectures 3 %, of 1 to 3 seeds 3 to 5 %, and 5 % of runs are 15 to 50 % worse.
The other worlds, each with a quarter of the draws, show where that fails.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.scaling.averaged import Averaged, average
from dnsearch.scaling.extrapolation import study_law
from dnsearch.scaling.law import Law, fit_law, worth
from dnsearch.scaling.powerlaw import curve
from dnsearch.scaling.rows import Rows, rows_of

Floats = NDArray[np.float64]
SMALLEST, IMAGES, BEYOND = 1e5, 12000.0, (2.0, 4.0)
RESAMPLES = 200


@dataclass(frozen=True)
class World:
    """What training runs are drawn from."""

    architectures: tuple[int, int] = (20, 60)
    ranges: tuple[float, ...] = (16.0, 64.0)
    floor: tuple[float, float] = (0.1, 0.6)  # E as a share of the error of the smallest network
    outliers: float = 0.05
    whole: bool = False  # an outlier is an architecture, not a training
    noise: tuple[float, float] = (1.0, 1.0)  # factors on all noise at the smallest and the largest
    bend: float = 1.0  # factor on alpha in the larger half of the sizes


WORLDS = {
    "as above": World(),
    "8 to 12 architectures": World(architectures=(8, 12)),
    "5 or 6 architectures": World(architectures=(5, 6)),
    "no outliers": World(outliers=0.0),
    "15 % outliers": World(outliers=0.15),
    "outlying architectures": World(whole=True),
    "noise falls 4x with size": World(noise=(2.0, 0.5)),
    "noise rises 4x with size": World(noise=(0.5, 2.0)),
    "a range of 8x": World(ranges=(8.0,)),
    "E = 0": World(floor=(0.0, 0.0)),
    "alpha halves midway": World(bend=0.5),
}


class Draw(NamedTuple):
    """Training runs (n,), and the law they come from."""

    sizes: Floats
    error: Floats
    architecture: NDArray[np.int64]
    floor: float
    factor: float
    alpha: float
    beyond: Floats  # (places,)
    mean: Floats  # error there
    one: Floats  # and that of one more training

    @property
    def rows(self) -> Rows:
        return rows_of(self.sizes, self.error, self.architecture, ["params"])


def draw(rng: np.random.Generator, world: World = WORLDS["as above"]) -> Draw:
    span = float(rng.choice(world.ranges))
    count = int(rng.integers(world.architectures[0], world.architectures[1] + 1))
    seeds, seed_sd = int(rng.integers(1, 4)), rng.uniform(0.03, 0.05)
    top = float(np.exp(rng.uniform(np.log(0.08), np.log(0.35))))
    floor, alpha = top * rng.uniform(*world.floor), rng.uniform(0.2, 0.8)
    factor = (top - floor) * SMALLEST**alpha
    middle = SMALLEST * np.sqrt(span)

    def mean(sizes: Floats) -> Floats:
        late = np.maximum(1.0, sizes / middle) ** (alpha * (1 - world.bend))
        return floor + factor * sizes**-alpha * late

    def luck(sizes: Floats, seeds: int) -> Floats:
        """Log noise (architectures, seeds)."""
        place = np.log(sizes / SMALLEST) / np.log(span)
        grown = np.exp(np.interp(place, [0, 1], np.log(world.noise)))[:, None]
        shape = (len(sizes), seeds)
        scatter, of_seeds = rng.standard_normal((len(sizes), 1)), rng.standard_normal(shape)
        bad = rng.random((len(sizes), 1) if world.whole else shape) < world.outliers
        return grown * (0.03 * scatter + seed_sd * of_seeds) + bad * rng.uniform(0.15, 0.5, shape)

    sizes = SMALLEST * np.exp(np.sort(rng.uniform(0, np.log(span), count)))
    errors = mean(sizes)[:, None] * np.exp(luck(sizes, seeds))
    beyond = SMALLEST * span * np.array(BEYOND)
    return Draw(
        sizes=np.repeat(sizes, seeds),
        error=errors.ravel(),
        architecture=np.repeat(np.arange(count), seeds),
        floor=floor,
        factor=factor,
        alpha=alpha,
        beyond=beyond,
        mean=mean(beyond),
        one=(mean(beyond)[:, None] * np.exp(luck(beyond, 1)))[:, 0],
    )


def covered(law: Law, drawn: Draw) -> dict[str, bool]:
    """Whether each interval of a law holds the truth."""
    return {
        "E": law.floor.low <= drawn.floor <= law.floor.high,
        "A": law.factors[0].low <= drawn.factor <= law.factors[0].high,
        "alpha": law.exponents[0].low <= drawn.alpha <= law.exponents[0].high,
    }


def foretold(averaged: Averaged, drawn: Draw) -> dict[str, bool]:
    """Whether each band of the averaged laws holds the truth."""
    mean, one = averaged.predict(drawn.beyond)
    found = {}
    for place, times in enumerate(BEYOND):
        found[f"mean {times:g}x"] = mean.low[place] <= drawn.mean[place] <= mean.high[place]
    for place, times in enumerate(BEYOND):
        found[f"one {times:g}x"] = one.low[place] <= drawn.one[place] <= one.high[place]
    return found


def covered_by_percentiles(law: Law, drawn: Draw, rng: np.random.Generator) -> dict[str, bool]:
    """The same of percentiles of a bootstrap over architectures."""
    solution = law.solution
    problem, count = solution.problem, law.architectures
    counts = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    thetas, losses = zip(
        *(
            problem.minimise(np.repeat(start[None], RESAMPLES, axis=0), counts)
            for start in (solution.theta, *problem.starts())
        ),
        strict=True,
    )
    best = np.argmin(losses, axis=0)
    theta = np.array(thetas)[best, np.arange(RESAMPLES)]
    logs = law.logs_of(drawn.beyond)
    draws = np.column_stack([theta[:, [0, 2]], curve(theta, logs)[0]])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    low[0] = -np.inf if low[0] < problem.bounds[0][0] + 0.05 else low[0]
    with np.errstate(divide="ignore"):
        truth = np.log([drawn.floor, drawn.alpha, *drawn.mean])
    names = ("E", "alpha", *(f"mean {times:g}x" for times in BEYOND))
    return dict(zip(names, (low <= truth) & (truth <= high), strict=True))


def single(draws: int, world: World, percentiles: bool = False) -> None:
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    found, classic, off, trusted = [], [], [], []
    for _ in range(draws):
        drawn = draw(rng, world)
        study = study_law(drawn.sizes, drawn.error, drawn.architecture, ["params"])
        assert study.law is not None
        averaged = study.averaged or average(drawn.rows)
        found.append(covered(study.law, drawn) | foretold(averaged, drawn))
        off.append(abs(averaged.predict(drawn.beyond).mean.value / drawn.mean - 1))
        trusted.append(study.verdict.trusted)
        if percentiles:
            classic.append(covered_by_percentiles(study.law, drawn, other))
    show("all", found, np.array(off))
    for name, which in (("trusted", True), ("refused", False)):
        rows = [row for row, told in zip(found, trusted, strict=True) if told is which]
        if rows:
            show(name, rows, np.array(off)[np.array(trusted) == which])
    if percentiles:
        show("percentiles", classic)


def show(name: str, rows: list[dict[str, bool]], off: Floats | None = None) -> None:
    shares = "  ".join(f"{key} {np.mean([row[key] for row in rows]):6.1%}" for key in rows[0])
    print(f"  {name:<12}{len(rows):4d}  {shares}", end="")
    if off is not None:
        middle, bad = np.median(off, axis=0), np.quantile(off, 0.9, axis=0)
        told = ", ".join(
            f"{times:g}x {half:.1%} ({nine:.1%})"
            for times, half, nine in zip(BEYOND, middle, bad, strict=True)
        )
        print(f"  off: {told}", end="")
    print(flush=True)


def joint(draws: int) -> None:
    """12 to 30 architectures, each on 1/8 to all of the images, 1 or 2 seeds."""
    rng, found, better, trusted = np.random.default_rng(0), [], [], 0
    for _ in range(draws):
        count, seeds = int(rng.integers(12, 31)), int(rng.integers(1, 3))
        span = float(rng.choice([16.0, 64.0]))
        network = SMALLEST * np.exp(np.sort(rng.uniform(0, np.log(span), count)))
        images = IMAGES / np.array([8, 4, 2, 1])
        alpha, beta = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7)
        parts = rng.dirichlet([2, 2, 2]) * np.exp(rng.uniform(np.log(0.15), np.log(0.45)))

        def mean(n: Floats, d: Floats, parts=parts, alpha=alpha, beta=beta) -> Floats:
            by_network = parts[1] * (n / SMALLEST) ** -alpha
            return parts[0] + by_network + parts[2] * (d / IMAGES * 8) ** -beta

        shape = (count, len(images), seeds)
        log = np.log(mean(network[:, None], images[None]))[..., None]
        log = log + 0.03 * rng.standard_normal((count, 1, 1))  # one luck for all amounts of data
        log = log + rng.uniform(0.03, 0.05) * rng.standard_normal(shape)
        log = log + (rng.random(shape) < 0.05) * rng.uniform(0.15, 0.5, shape)
        rows = np.stack(np.broadcast_arrays(network[:, None, None], images[None, :, None], log))
        sizes, errors = rows[:2].reshape(2, -1).T, np.exp(rows[2].ravel())
        sizes = np.repeat(sizes, len(errors) // len(sizes), axis=0)
        owner = np.repeat(np.arange(count), len(images) * seeds)
        law = fit_law(sizes, errors, owner, ["params", "images"])
        trusted += study_law(sizes, errors, owner, ["params", "images"]).verdict.trusted
        top = SMALLEST * span
        gain = worth(law, top, IMAGES)
        at = law.mean([[4 * top, IMAGES]])
        places = np.array([[top, IMAGES], [2 * top, IMAGES], [top, 2 * IMAGES], [4 * top, IMAGES]])
        here, larger, longer, beyond = mean(*places.T)
        network_gain, data_gain = 100 * (here - larger), 100 * (here - longer)
        found.append(
            {
                "E": law.floor.low <= parts[0] <= law.floor.high,
                "alpha": law.exponents[0].low <= alpha <= law.exponents[0].high,
                "beta": law.exponents[1].low <= beta <= law.exponents[1].high,
                "mean 4x": at.low[0] <= beyond <= at.high[0],
                "2x network": gain.network.low <= network_gain <= gain.network.high,
                "2x data": gain.data.low <= data_gain <= gain.data.high,
            }
        )
        if gain.better:
            better.append(gain.better == ("images" if data_gain > network_gain else "params"))
    show("all", found)
    print(f"  trusted {trusted} of {draws}; says what is worth more in {len(better)}, ", end="")
    print(f"rightly in {np.mean(better):.1%}")


def main(draws: int = 500) -> None:
    print("coverage of 95 % intervals and 90 % bands; off: median (and 90 %) error of predictions")
    for position, (name, world) in enumerate(WORLDS.items()):
        print(name, flush=True)
        single(draws if not position else draws // 4, world, percentiles=position < 3)
    print("network and data")
    joint(draws // 4)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
