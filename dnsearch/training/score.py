"""``Score``: what one training run found. Imports no torch: the search and the reports read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class CurvePoint:
    """The end of one epoch: mean training loss over it, then validation with averaged weights."""

    epoch: int
    train_loss: float
    error: float
    loss: float


@dataclass(frozen=True)
class Score:
    """One training run's result; a figure that is missing is None and ``failure`` says why.

    rung: epochs asked for in all; ``curve`` tells how many were done. error: share of validation
    images that are wrong, 0 to 1. loss, train_loss: mean cross-entropy in nats, on validation with
    averaged weights and over the last training epoch. seconds: wall-clock time of training and
    validation, lower rungs and interrupted sittings included. images_per_second: training images.
    latency_ms: of one forward pass, where it was asked for. test_error, test_loss: of so many
    test_images, which only ``dnsearch confirm`` has opened. zero_cost: ``training.zerocost``'s, by
    name, where they were asked for.
    """

    rung: int
    seed: int
    error: float | None = None
    loss: float | None = None
    train_loss: float | None = None
    curve: tuple[CurvePoint, ...] = ()
    seconds: float | None = None
    images_per_second: float | None = None
    latency_ms: float | None = None
    test_error: float | None = None
    test_loss: float | None = None
    test_images: int | None = None
    zero_cost: Mapping[str, float | None] | None = None
    failure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        curve = tuple(CurvePoint(**point) for point in values["curve"])
        return cls(**{**values, "curve": curve})

    def failed(self, reason: str) -> Score:
        """This score as a failure: what was measured stays, the result goes."""
        return replace(self, error=None, loss=None, test_error=None, test_loss=None, failure=reason)
