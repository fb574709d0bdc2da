"""A training step as one CUDA graph: its hundreds of small kernels are launched by a single call.

A small network's step is bound by launches, not by arithmetic. The recorded kernels are those of
the plain step, on the same numbers, so the results are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

Record = Callable[[Callable[[], None], Generator], Callable[[], None]]
"""Makes something that repeats a function's work on the device when it is called."""

PLAIN_CALLS = 3
"""Calls before the one that is recorded: they allocate the optimiser's state, choose algorithms and
compile kernels."""


class Captured:
    """A function of tensors and numbers, recorded at the fourth call and replayed from then on.

    Every call must bring tensors of the same shapes, draw only from ``generator`` and the device's
    default one, and leave its results in tensors that stay where they are. A number is given to the
    function as a tensor (), so that a replay sees each call's own.
    """

    def __init__(self, function: Callable[..., None], generator: Generator, record: Record) -> None:
        self.function, self.generator, self.record = function, generator, record
        self._calls = 0
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], None] | None = None

    def __call__(self, *inputs: Tensor | float) -> None:
        if not self._inputs:
            self._inputs = [self._place(value) for value in inputs]
        for place, value in zip(self._inputs, inputs, strict=True):
            if isinstance(value, Tensor):
                place.copy_(value, non_blocking=True)
            else:
                place.fill_(value)
        self._calls += 1
        if self._calls <= PLAIN_CALLS:
            self.function(*self._inputs)
            return
        if self._replay is None:
            self._replay = self.record(lambda: self.function(*self._inputs), self.generator)
        self._replay()

    def _place(self, value: Tensor | float) -> Tensor:
        if isinstance(value, Tensor):
            return torch.empty_like(value)
        return torch.empty((), device=self.generator.device)


def cuda_graph(work: Callable[[], None], generator: Generator) -> Callable[[], None]:
    """The work as a CUDA graph. Recording it computes nothing."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        work()
    return graph.replay
