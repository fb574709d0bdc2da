"""What was written is read back and compared with the network: outputs, parameters, MACs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dnsearch.arch.densenet import DenseNet
from dnsearch.cost.formula import cost_of
from dnsearch.errors import RunError
from dnsearch.export.formats import Format, Network
from dnsearch.export.preprocessing import Preprocessing

TOLERANCE = 1e-4
"""By how much logits may differ from the network's, as a share of its largest."""

BATCHES = (3, 1)
"""Numbers of images that are compared."""


class Check(NamedTuple):
    """What was found of a file: ``largest_difference`` of its logits from the network's, as a share
    of the largest; the ``params`` and ``macs`` of what it holds, None where torch cannot count
    them."""

    largest_difference: float
    params: int | None
    macs: int | None


def check(form: Format, folder: Path, model: DenseNet, images: Preprocessing) -> Check:
    """Reads the network back and compares it with the model, which is in eval mode.

    Raises RunError where logits differ by more than ``TOLERANCE``, or where its parameters and
    multiply-adds are not those of the formula.
    """
    found = form.read(folder)
    difference = max(_difference(found, model, images.shape, count) for count in BATCHES)
    if not difference <= TOLERANCE:
        raise RunError(
            f"{form.file}: gives other outputs when loaded again (off by {difference:.1e}); "
            "nothing is kept"
        )
    if not isinstance(found, nn.Module):
        return Check(difference, None, None)
    counted, cost = _counted(found, images.shape), cost_of(model.config, *images.shape[1:])
    if counted != (cost.params, cost.macs):
        raise RunError(
            f"{form.file}: must have {cost.params:,} parameters and {cost.macs:,} multiply-adds, "
            f"has {counted[0]:,} and {counted[1]:,}; nothing is kept"
        )
    return Check(difference, *counted)


def _difference(found: Network, model: DenseNet, shape: Sequence[int], count: int) -> float:
    images = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
    with torch.inference_mode():
        wanted, got = model(images), found(images)
    if got.shape != wanted.shape:
        return torch.inf
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))


def _counted(found: nn.Module, shape: Sequence[int]) -> tuple[int, int]:
    """Parameters, and multiply-adds of one image, by torch's counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        found(torch.zeros(2, *shape))
    params = sum(parameter.numel() for parameter in found.parameters())
    return params, counter.get_total_flops() // 4  # of two images, two flops a multiply-add
