"""What a network costs before it is trained.

    cost_of(config, h, w)              parameters, MACs, activations, memory: closed form
    costs(arrays, h, w)                the same for many architectures at once
    stage_costs(arrays, h, w)          stage by stage
    predicted_peak_bytes(arrays, ...)  memory of a training step at its peak, predicted
    LatencyModel                       milliseconds of a forward pass, predicted
    cost_by_fvcore(config, h, w)       counted by fvcore on the built network, an independent check
    measure_latency(model, ...)        milliseconds of a forward pass, measured
    saved_bytes(model, images)         what autograd keeps of a forward pass, measured

The last three need torch, so they are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily
from dnsearch.cost.formula import Cost, CostArrays, StageCost, cost_of, costs, stage_costs
from dnsearch.cost.latency import LatencyModel
from dnsearch.cost.memory import predicted_peak_bytes

if TYPE_CHECKING:
    from dnsearch.cost.device import Latency, measure_latency, saved_bytes
    from dnsearch.cost.trace import FvcoreCost, cost_by_fvcore

__all__ = [
    "Cost",
    "CostArrays",
    "FvcoreCost",
    "Latency",
    "LatencyModel",
    "StageCost",
    "cost_by_fvcore",
    "cost_of",
    "costs",
    "measure_latency",
    "predicted_peak_bytes",
    "saved_bytes",
    "stage_costs",
]

__getattr__ = lazily(
    __name__,
    {
        "FvcoreCost": "trace",
        "Latency": "device",
        "cost_by_fvcore": "trace",
        "measure_latency": "device",
        "saved_bytes": "device",
    },
)
