"""What a latency is of, when it is measured again, and which of the rounds counts; what is timed
does not matter."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.cost.device import AGREEING, ROUNDS, Latency, least_disturbed, measure_latency
from dnsearch.cost.latency import Setting


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


class Watched(DenseNet):
    """Notes how it is called; a copy of it in the same list."""

    calls: ClassVar[list[dict]] = []

    def forward(self, images):
        weights = next(self.parameters())
        self.calls.append(
            {
                "shape": tuple(images.shape),
                "dtypes": {images.dtype, weights.dtype},
                "kernels": self.kernels,
                "channels_last": images.is_contiguous(memory_format=torch.channels_last),
                "training": self.training,
                "gradients": torch.is_grad_enabled() or weights.requires_grad,
            }
        )
        return super().forward(images)


@pytest.mark.parametrize(
    ("setting", "dtype"),
    [
        (Setting("cpu", 1, 3, "fp32", "portable"), torch.float32),
        (Setting("cpu", 1, 2, "bf16", "reference"), torch.bfloat16),
    ],
)
def test_a_latency_is_of_what_its_setting_says(monkeypatch, setting, dtype):
    monkeypatch.setattr(Watched, "calls", [])
    model = Watched(ArchConfig(4, (1, 2), 8, 2, stem="cifar", in_channels=2)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = measure_latency(model, (2, 8, 12), setting, torch.device("cpu"), 1e-3, rounds=1)
    assert 0 < found.least_ms <= found.ms
    expected = {
        "shape": (setting.batch_size, 2, 8, 12),
        "dtypes": {dtype},
        "kernels": setting.kernels,
        "channels_last": True,
        "training": False,
        "gradients": False,
    }
    assert Watched.calls
    assert all(call == expected for call in Watched.calls)
    assert model.training  # it was a copy
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
