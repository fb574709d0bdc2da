"""What one proposal of known-cost costs: by finished trials, and by the number of costs.

50,000 points; trials to rungs of 1, 3 and 9 epochs on an invented error surface.
Hyper-parameters are fitted before; what is proposed is trained, as in a search.

    OMP_NUM_THREADS=1 python studies/growth/proposal.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from growth import Watch, exponent, fresh, line

from dnsearch.arch.space import SearchSpace
from dnsearch.search import CostModel, KnownCostSampler
from dnsearch.search.parameters import distributions
from dnsearch.search.samplers.history import Outcome

SIZES, POINTS = (100, 300, 1_000, 3_000), 50_000
RUNGS, PROPOSALS = (1, 3, 9), 3
COSTS = ("macs",), ("macs", "params"), ("macs", "params", "activations")


def main() -> None:
    """Measures and prints."""
    for name, tops in (("", False), (", all to the top", True)):
        seconds = []
        for size in SIZES:
            grown = fresh(proposed, size, COSTS[0], tops)
            seconds.append(grown.seconds / PROPOSALS)
            line(f"{size:,} trials{name}", grown._replace(seconds=seconds[-1]), grown.found)
        print(f"seconds grow with trials to the {exponent(SIZES, seconds):.2f}")
    for size in (20, 50, 100, 300):
        for costs in COSTS:
            grown = fresh(proposed, size, costs, False)
            grown = grown._replace(seconds=grown.seconds / PROPOSALS)
            line(f"{size} trials, {len(costs)} cost{'s' * (len(costs) > 1)}", grown, grown.found)


def proposed(watch: Watch, count: int, costs: tuple[str, ...], tops: bool) -> str:
    """A proposal, and some more, each after one more trial; the points that were chosen."""
    space, rng = space_of(), np.random.default_rng(0)
    points = space.points(rng)
    points = points.take(np.sort(rng.permutation(len(points))[:POINTS]))
    model = CostModel((3, 32, 32))
    sampler = KnownCostSampler(space, model, costs, rungs=RUNGS, points=points)
    chosen = rng.choice(POINTS, count, replace=False)
    outcomes = [
        outcome(model, at, sampler.pool.points.values(int(place)), tops)
        for at, place in enumerate(chosen)
    ]
    sampler.choose(outcomes[:-1])
    found = []
    for at in range(count, count + PROPOSALS):
        with watch:
            values = sampler.choose(outcomes)
        found.append(space.config(values).key[:6])
        outcomes.append(outcome(model, at, values, tops=True))
    return " ".join(found)


def space_of() -> SearchSpace:
    """165,888 points."""
    return SearchSpace(
        growth_rate=tuple(range(4, 36, 4)), block_config=(tuple(range(1, 13)),) * 4, bn_size=(0,)
    )


def outcome(model: CostModel, number: int, values: Mapping[str, Any], tops: bool) -> Outcome:
    """A training of one point: a power law of its cost, with the luck of its shape and seed."""
    space, rng = space_of(), np.random.default_rng([7, number])
    params = {name: values[name] for name in distributions(space)}
    base = -0.2 * np.log(model.cost(space.config(values)).macs / 1e6) - 1.0
    errors = {rung: np.exp(base + 0.5 / rung + rng.normal(0, 0.05)) for rung in RUNGS}
    rung = RUNGS[number % 3] if number % 4 == 0 and not tops else RUNGS[-1]
    signals = {r: {"error": e, "loss": 3 * e, "train_loss": 3 * e} for r, e in errors.items()}
    return Outcome(number, params, rung, signals={r: s for r, s in signals.items() if r <= rung})


if __name__ == "__main__":
    main()
