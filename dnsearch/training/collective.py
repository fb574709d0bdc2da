"""What processes that train one network together exchange, through torch's default group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


def together(model: nn.Module) -> DistributedDataParallel:
    """The model, whose backward passes average the gradients of all processes as they come about.

    Its weights must be the same in all. Looking for unused parameters, of which there are none,
    keeps torch (2.13) from arranging the gradients anew after the first step: in another order the
    sums of more than two processes round differently, and a training that goes on would not be the
    same bit for bit.
    """
    return DistributedDataParallel(
        model, broadcast_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=True
    )


def mean_over_processes(value: Tensor) -> Tensor:
    """Of each process's value, of the same shape in all."""
    total = value.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def gathered(arrays: Sequence[np.ndarray]) -> Iterable[tuple[np.ndarray, ...]]:
    """For each of the arrays those of all processes, in the order of ranks."""
    every: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(every, list(arrays))
    return zip(*every, strict=True)
