"""The same costs counted by fvcore on the built module: the independent check of the formula."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore 0.1.5 uses torch.jit.script
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn.jit_handles import conv_flop_jit, generic_activation_jit


@dataclass(frozen=True)
class FvcoreCost:
    """fvcore's counts for one image. fvcore says flops where it counts multiply-adds.

    ``stage_macs`` maps the formula's stage names to their share of ``macs``.
    """

    params: int
    macs: int
    activations: int
    stage_macs: Mapping[str, int]


def cost_by_fvcore(config: ArchConfig, height: int, width: int) -> FvcoreCost:
    """Builds the network on the CPU, traces it with two images and counts for one.

    fvcore also counts norms and pooling; only convolutions and the linear layer are MACs.
    Raises ConfigError for an input that is too small.
    """
    config.require_size(height, width)
    model = DenseNet(config).eval()
    # Two, because group norm refuses a single image whose last map is a single value (torch 2.13).
    images = torch.zeros(2, config.in_channels, height, width)
    analysis = FlopCountAnalysis(model, images).set_op_handle("aten::_convolution", _convolution)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about Python values it takes as constants
        counts = analysis.by_module_and_operator()
    names = {name: _macs(count) for name, count in counts.items()}
    return FvcoreCost(
        params=sum(p.numel() for p in model.parameters()),
        macs=names[""],
        activations=int(counts[""]["written"]) // 2,
        stage_macs=_stages(names),
    )


def _convolution(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """fvcore's flops and activations of a convolution at once: tracing is what takes the time."""
    written: Any = generic_activation_jit("written")(inputs, outputs)
    return conv_flop_jit(inputs, outputs) + written


def _macs(by_operator: Mapping[str, float]) -> int:
    return int(by_operator.get("conv", 0) + by_operator.get("linear", 0)) // 2


def _stages(names: Mapping[str, int]) -> dict[str, int]:
    stages = {"stem": names["features.conv0"], "classifier": names["classifier"]}
    for name, macs in names.items():
        prefix, _, stage = name.partition(".")
        if prefix == "features" and stage.startswith(("denseblock", "transition")):
            stages |= {stage: macs} if "." not in stage else {}
    return stages
