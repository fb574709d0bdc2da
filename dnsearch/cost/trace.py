"""The same costs counted by fvcore on the built module: the independent check of the formula."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore 0.1.5 uses torch.jit.script
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis


@dataclass(frozen=True)
class Traced:
    """fvcore's counts for one image. fvcore says flops where it counts multiply-adds.

    ``stage_macs`` maps the formula's stage names to their share of ``macs``.
    """

    params: int
    macs: int
    activations: int
    stage_macs: Mapping[str, int]


def trace(config: ArchConfig, height: int, width: int) -> Traced:
    """Builds the network on the CPU, runs two images through it and counts those of one.

    fvcore also counts norms and pooling; only convolutions and the linear layer are MACs.
    Raises ConfigError for an input that is too small.
    """
    config.require_size(height, width)
    model = DenseNet(config).eval()
    # Two, because group norm refuses a single image whose last map is a single value (torch 2.13).
    images = torch.zeros(2, config.in_channels, height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about Python values it takes as constants
        flops = _quiet(FlopCountAnalysis(model, images)).by_module_and_operator()
        written = _quiet(ActivationCountAnalysis(model, images)).by_operator()
    names = {name: _macs(count) for name, count in flops.items()}
    return Traced(
        params=sum(p.numel() for p in model.parameters()),
        macs=names[""],
        activations=int(written["conv"]) // 2,
        stage_macs=_stages(names),
    )


def _quiet(analysis: Any) -> Any:
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)


def _macs(by_operator: Mapping[str, float]) -> int:
    return int(by_operator.get("conv", 0) + by_operator.get("linear", 0)) // 2


def _stages(names: Mapping[str, int]) -> dict[str, int]:
    stages = {"stem": names["features.conv0"], "classifier": names["classifier"]}
    for name, macs in names.items():
        prefix, _, stage = name.partition(".")
        if prefix == "features" and stage.startswith(("denseblock", "transition")):
            stages |= {stage: macs} if "." not in stage else {}
    return stages
