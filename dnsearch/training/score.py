"""``Score``: the result of one training. Imports no torch, for the search and the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class CurvePoint:
    """The end of an epoch, numbered from 1: mean training loss over it in nats, then error (0 to 1)
    and loss (nats) of the averaged weights on the validation images."""

    epoch: int
    train_loss: float
    error: float
    loss: float


@dataclass(frozen=True)
class Score:
    """The result of one training. A missing figure is None; ``failure`` says why there is no error.

    rung: epochs asked for, of which ``curve`` has those that were done. error: share of validation
    images that are misclassified, 0 to 1. loss, train_loss: mean cross-entropy in nats, of the
    averaged weights on the validation images and over the last epoch of training. seconds:
    wall-clock time of training and validation, lower rungs and earlier sessions included.
    images_per_second: training images. latency_ms: of one forward pass, if asked for. test_error,
    test_loss: on so many test_images, in trainings of ``dnsearch confirm``. zero_cost: the scores
    of ``training.zerocost`` by name, if asked for.
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
        """All fields in values that JSON can hold; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """The score with these fields. Raises KeyError without a curve, TypeError on others."""
        curve = tuple(CurvePoint(**point) for point in values["curve"])
        return cls(**{**values, "curve": curve})

    def failed(self, reason: str) -> Score:
        """This score as a failure for this reason: without error and loss, the rest as it was."""
        return replace(self, error=None, loss=None, test_error=None, test_loss=None, failure=reason)
