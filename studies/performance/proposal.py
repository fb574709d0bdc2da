"""How long known-cost takes for one proposal: 300 finished trials, 50,000 points, two rungs below
the top. Prints the fit of the hyper-parameters apart, since it is done anew only now and then.

    python studies/performance/proposal.py
"""

from __future__ import annotations

import time

import numpy as np

from dnsearch.arch.space import SearchSpace
from dnsearch.search import CostModel, KnownCostSampler
from dnsearch.search.parameters import distributions
from dnsearch.search.samplers.history import Outcome

TRIALS, POINTS, RUNGS = 300, 50_000, (1, 3, 9)
REPEATS = 5


def main() -> None:
    """Times proposals on scores of an invented error surface."""
    space = SearchSpace(
        growth_rate=tuple(range(4, 33, 4)),
        block_config=(tuple(range(1, 13)),) * 4,
        bn_size=(0, 2, 4),
        in_channels=3,
    )
    rng = np.random.default_rng(0)
    points = space.points(rng, POINTS)
    model = CostModel((3, 32, 32))
    sampler = KnownCostSampler(space, model, rungs=RUNGS, points=points)
    chosen = rng.choice(len(points), TRIALS, replace=False)
    outcomes = [outcome(sampler, number, int(i), rng) for number, i in enumerate(chosen)]
    started = time.perf_counter()
    sampler.choose(outcomes)
    first = time.perf_counter() - started
    again = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        sampler.choose(outcomes)
        again.append(time.perf_counter() - started)
    print(f"{TRIALS} finished trials, {len(points):,} points, rungs {RUNGS}")
    print(f"one proposal, hyper-parameters known: {np.median(again):.2f} s (median of {REPEATS})")
    print(f"one proposal, hyper-parameters fitted first: {first:.2f} s")


def outcome(
    sampler: KnownCostSampler, number: int, index: int, rng: np.random.Generator
) -> Outcome:
    """A training of one point: an invented power law of its cost, with noise."""
    values = sampler.pool.points.values(index)
    params = {name: values[name] for name in distributions(sampler.space)}
    base = -0.2 * np.log(sampler.pool.known.macs[index] / 1e6) - 1.0
    errors = {rung: np.exp(base + 0.5 / rung + rng.normal(0, 0.05)) for rung in RUNGS}
    rung = RUNGS[number % 3] if number % 4 == 0 else RUNGS[-1]
    signals = {r: {"error": e, "loss": 3 * e, "train_loss": 3 * e} for r, e in errors.items()}
    return Outcome(number, params, rung, signals={r: s for r, s in signals.items() if r <= rung})


if __name__ == "__main__":
    main()
