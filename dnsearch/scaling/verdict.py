"""Whether a law may be used beyond its points, as values: codes, and the figures they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a law is not trusted; beneath each what ``Refusal`` holds for it."""

    SAME_SIZE = "same-size"
    """networks: all of them have one size. value: that size."""
    TOO_FEW = "too-few-networks"
    """networks. limit: how many it takes."""
    NARROW = "narrow-range"
    """value: the factor between the largest and the smallest size. limit: the factor it takes."""
    FLAT = "errors-do-not-fall"
    RISING = "errors-rise"
    """value: the size from which on errors rise."""
    FEW_LARGE = "too-few-large-networks"
    """networks: within the factor ``value`` of the largest. limit: how many it takes to check."""
    FEW_KEPT = "too-few-without-the-largest"
    """networks: left to fit without those that are to be predicted. limit: how many it takes."""
    NARROW_KEPT = "narrow-range-without-the-largest"
    """As NARROW, without the networks that are to be predicted."""
    WORSE_THAN_CONSTANT = "no-better-than-a-constant"
    """value: mean relative error of the law on the sizes left out. limit: that of a constant."""
    WORSE_THAN_LINE = "no-better-than-a-line"
    """value: mean relative error of the law on the sizes left out. limit: that of a plain line in
    logs."""
    MISSED = "missed"
    """value: mean relative error on the sizes left out, more than the law's interval allows."""
    FLOOR_UNKNOWN = "floor-unknown"
    """E may be 0: a plain power law fits as well."""
    FEW_CHECKS = "too-few-checks"
    """value: how many predictions so far ahead that share no data the sizes allow. limit: how many
    it takes."""
    WIDE = "wide-band"
    """value: half of the band's width at ``TRUSTED_BEYOND`` times the largest size, as a share.
    limit: how wide it may be."""


@dataclass(frozen=True)
class MoreNetworks:
    """Advice: train ``count`` more networks of a size from ``low`` to ``high``, or more than that
    (``at_least``). Where the size is images: on so many images."""

    count: int
    at_least: bool
    low: float
    high: float
    size: str


@dataclass(frozen=True)
class LongerTraining:
    """Advice: train the networks above a size longer, with so many more seeds each."""

    above: float
    size: str
    seeds: int


Advice = MoreNetworks | LongerTraining


@dataclass(frozen=True)
class Refusal:
    """Why a law is not trusted beyond its points.

    advice: what data would settle it. size: the name of the size that it is about, empty where it
    is about all. networks, value, limit: figures, as ``Reason`` says; NaN and 0 where there is
    none.
    """

    reason: Reason
    advice: Advice
    size: str = ""
    networks: int = 0
    value: float = math.nan
    limit: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """Whether a law may be used beyond its points.

    refusal: why not, None where it may. one_seed: each network was trained with one seed, so that
    the seed noise is unknown.
    """

    refusal: Refusal | None
    one_seed: bool = False

    @property
    def trusted(self) -> bool:
        """Whether it may."""
        return self.refusal is None
