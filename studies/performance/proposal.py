"""How long known-cost takes for one proposal, at two sizes of a search, two rungs below the top.

300 finished trials and 50,000 points, of which most are weighed; and 1,000 finished trials and 10
million points, of which a small part is. Times are of the processor, so that others on the machine
count for little. Prints the fit of the hyper-parameters apart, since it is done only now and then.

    OMP_NUM_THREADS=1 python studies/performance/proposal.py
"""

from __future__ import annotations

import time

import numpy as np

from dnsearch.arch.space import Points, SearchSpace
from dnsearch.search import CostModel, KnownCostSampler
from dnsearch.search.parameters import distributions
from dnsearch.search.samplers.history import Outcome

SIZES = (300, 50_000), (1_000, 10_000_000)
RUNGS, REPEATS = (1, 3, 9), 5


def main() -> None:
    """Times proposals on scores of an invented error surface."""
    base = 0.0
    for trials, count in SIZES:
        space, rng = space_of(count), np.random.default_rng(0)
        points = space.points(rng, count)
        sampler = KnownCostSampler(space, CostModel((3, 32, 32)), rungs=RUNGS, points=points)
        pool = sampler.pool.points
        chosen = rng.choice(len(pool), trials, replace=False)
        outcomes = [outcome(sampler, number, int(i), rng) for number, i in enumerate(chosen)]
        first = seconds(sampler, outcomes)
        usual = float(np.median([seconds(sampler, outcomes) for _ in range(REPEATS)]))
        base = base or usual
        print(f"{trials:,} finished trials, {len(points):,} points, rungs {RUNGS}")
        print(f"  hyper-parameters known: {usual:.2f} s (median of {REPEATS}), {usual / base:.2f}")
        print(f"  hyper-parameters fitted first: {first:.2f} s, {first / base:.2f}")


def seconds(sampler: KnownCostSampler, outcomes: list[Outcome]) -> float:
    """Of the processor, for one proposal."""
    started = time.process_time()
    sampler.choose(outcomes)
    return time.process_time() - started


def space_of(count: int) -> SearchSpace:
    """A space of at least so many points."""
    growth = range(4, 33, 4) if count < 1_000_000 else range(4, 84, 2)
    return SearchSpace(
        growth_rate=tuple(growth),
        block_config=(tuple(range(1, 13)),) * 4,
        bn_size=(0, 2, 4),
        compression=(0.5,) if count < 1_000_000 else (0.25, 0.5, 0.75, 1.0, 0.4),
        in_channels=3,
    )


def outcome(
    sampler: KnownCostSampler, number: int, index: int, rng: np.random.Generator
) -> Outcome:
    """A training of one point, counted in the sampler's pool: an invented power law of its cost,
    with noise."""
    pool: Points = sampler.pool.points
    values = pool.values(index)
    params = {name: values[name] for name in distributions(sampler.space)}
    base = -0.2 * np.log(sampler.pool.macs[index] / 1e6) - 1.0
    errors = {rung: np.exp(base + 0.5 / rung + rng.normal(0, 0.05)) for rung in RUNGS}
    rung = RUNGS[number % 3] if number % 4 == 0 else RUNGS[-1]
    signals = {r: {"error": e, "loss": 3 * e, "train_loss": 3 * e} for r, e in errors.items()}
    return Outcome(number, params, rung, signals={r: s for r, s in signals.items() if r <= rung})


if __name__ == "__main__":
    main()
