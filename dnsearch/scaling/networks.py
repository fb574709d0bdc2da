"""The networks to train next, and what is predicted of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dnsearch.analysis.trust import Interval
from dnsearch.arch.config import ArchConfig
from dnsearch.cost.formula import Cost
from dnsearch.scaling.costlaw import CostLaw, TooFewMeasured
from dnsearch.scaling.extrapolation import LawStudy
from dnsearch.scaling.law import Band


@dataclass(frozen=True)
class Larger:
    """A network for ``times`` the cost of the largest that was fitted.

    error: predicted error averaged over seeds, training_error: that of one training run (0 to 1,
    90 % bands); None where the data allow no prediction. trusted: the prediction is close enough
    and was tested often enough so far ahead (``extrapolation.NEAR``, ``CHECKS``). seconds: of
    training it on all images for the top rung's epochs as the others were trained, latency_ms:
    milliseconds of a forward pass; None where too few were measured.
    """

    times: float
    arch: ArchConfig
    cost: Cost
    error: Interval | None
    training_error: Interval | None
    trusted: bool
    seconds: Interval | None
    latency_ms: Interval | None


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts figures of a network that was not trained.

    size: the cost that ``study`` is a law of, by its name in ``METRICS``. seconds: of a training
    image. images: that a full training run sees, those of all epochs together.
    """

    size: str
    study: LawStudy
    seconds: CostLaw | TooFewMeasured
    latency: CostLaw | TooFewMeasured
    images: int

    def predict(self, times: float, arch: ArchConfig, cost: Cost) -> Larger:
        """What is predicted of this network."""
        size, averaged = float(getattr(cost, self.size)), self.study.averaged
        error = None if averaged is None else averaged.predict([size])
        seconds = _time(self.seconds, cost)
        return Larger(
            times=times,
            arch=arch,
            cost=cost,
            error=None if error is None else _only(error.mean),
            training_error=None if error is None else _only(error.training),
            trusted=averaged is not None and size <= self.study.reach * math.exp(averaged.top),
            seconds=None if seconds is None else seconds.scaled(self.images),
            latency_ms=_time(self.latency, cost),
        )


def _time(law: CostLaw | TooFewMeasured, cost: Cost) -> Interval | None:
    if isinstance(law, TooFewMeasured):
        return None
    return _only(law.predict([cost.activations], [cost.macs]))


def _only(band: Band) -> Interval:
    return Interval(*(float(end[0]) for end in band))
