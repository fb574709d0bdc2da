"""When a latency is measured again, and which of the rounds counts; nothing is timed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.cost.device import AGREEING, ROUNDS, Latency, least_disturbed


class Machine:
    """Measures these medians in turn, and notes how long it was waited between them."""

    def __init__(self, *medians: float, unsteady: bool = False) -> None:
        self.left, self.unsteady, self.waits = list(medians), unsteady, []

    def __call__(self) -> Latency:
        return Latency(self.left.pop(0), self.unsteady)

    def measured(self, rounds: int = ROUNDS, most_ms: float | None = None) -> Latency:
        return least_disturbed(self, rounds, most_ms, self.waits.append)


@pytest.mark.parametrize(
    ("medians", "most_ms", "expected", "left"),
    [
        ((0.30, 0.31, 9.0, 9.0), None, Latency(0.30, unsteady=False), 2),
        ((306.0, 0.31, 0.30, 9.0), None, Latency(0.30, unsteady=False), 1),
        ((0.30, 0.75, 1.1, 0.31), None, Latency(0.30, unsteady=False), 0),
        ((0.30, 0.75, 1.1, 306.0), None, Latency(0.30, unsteady=True), 0),
        # two rounds that were disturbed alike are believed, unless they would bar the network
        ((306.0, 292.0, 0.30, 0.31), None, Latency(292.0, unsteady=False), 2),
        ((306.0, 292.0, 0.30, 0.31), 5.0, Latency(0.30, unsteady=False), 0),
        ((306.0, 292.0, 280.0, 0.31), 5.0, Latency(0.31, unsteady=True), 0),
        ((7.0, 7.1, 7.2, 7.3), 5.0, Latency(7.0, unsteady=False), 0),
    ],
)
def test_what_is_disturbed_or_over_the_limit_is_measured_again(medians, most_ms, expected, left):
    machine = Machine(*medians)
    found = machine.measured(most_ms=most_ms)
    assert (found.ms, found.unsteady) == (expected.ms, expected.unsteady)
    assert len(machine.left) == left


def test_a_disturbance_is_waited_for():
    machine = Machine(4.0, 3.0, 2.0, 1.0)
    machine.measured()
    assert machine.waits == [0.25, 0.5]
    machine = Machine(2.0, 2.0)
    machine.measured()
    assert machine.waits == []


@pytest.mark.parametrize("unsteady", [False, True])
def test_a_single_round_is_as_steady_as_its_runs(unsteady):
    machine = Machine(4.0, 3.0, unsteady=unsteady)
    assert machine.measured(rounds=1) == Latency(4.0, unsteady)


times = st.floats(0.1, 1000.0)


@given(st.lists(times, min_size=ROUNDS, max_size=ROUNDS), st.none() | times)
def test_the_first_rounds_that_agree_within_the_limit_end_it(medians, most_ms):
    """Against all first parts of the rounds, each judged by all its pairs."""

    def is_enough(part):
        pairs = itertools.combinations(sorted(part), 2)
        agree = any(low == min(part) and high <= AGREEING * low for low, high in pairs)
        return agree and (most_ms is None or min(part) <= most_ms)

    parts = [medians[:count] for count in range(1, ROUNDS + 1)]
    taken = next((part for part in parts if is_enough(part)), medians)
    machine = Machine(*medians)
    assert machine.measured(most_ms=most_ms).ms == min(taken)
    assert len(machine.left) == ROUNDS - len(taken)
