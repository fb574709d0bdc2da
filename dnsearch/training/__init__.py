"""What a network scores: training, for a few epochs or in full.

    Score, CurvePoint            what one training found
    Trainer(arch, data, ...)     trains one architecture; goes on from a checkpoint
    FullTraining, train_fully    one network trained to the end and measured on the test images
    initial_network(arch, seed)  the weights that a training begins with
    zero_cost_scores(arch, ...)  scores of an untrained network, from one batch

All but the first two need torch, so they are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily
from dnsearch.training.score import CurvePoint, Score

if TYPE_CHECKING:
    from dnsearch.training.full import FullTraining, Trained, Watch, train_fully
    from dnsearch.training.initial import initial_network
    from dnsearch.training.measured import Measured
    from dnsearch.training.trainer import Trainer
    from dnsearch.training.zerocost import one_batch, zero_cost_scores

__all__ = [
    "CurvePoint",
    "FullTraining",
    "Measured",
    "Score",
    "Trained",
    "Trainer",
    "Watch",
    "initial_network",
    "one_batch",
    "train_fully",
    "zero_cost_scores",
]

__getattr__ = lazily(
    __name__,
    {
        "FullTraining": "full",
        "Measured": "measured",
        "Trained": "full",
        "Trainer": "trainer",
        "Watch": "full",
        "initial_network": "initial",
        "one_batch": "zerocost",
        "train_fully": "full",
        "zero_cost_scores": "zerocost",
    },
)
