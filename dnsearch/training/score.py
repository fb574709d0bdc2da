"""``Score``: the result of one training. Imports no torch, for the search and the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsearch.training.measured import Measured


OUT_OF_MEMORY = "out of memory"
"""What ``Score.failure`` begins with where memory did not suffice."""


def lacked_memory(failure: str | None) -> bool:
    """Whether a training failed for want of memory."""
    return failure is not None and failure.startswith(OUT_OF_MEMORY)


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

    rung: epochs asked for, of which ``curve`` has those that were done. error: of the averaged
    weights on the validation images, 0 to 1, as ``objectives.error`` has it; error_se: its standard
    error, by the choice of images alone. top1_error: the share of images that are misclassified,
    where ``error`` is another. class_errors: wrong images of each class, of trainings to the top
    rung (``training.measured``). loss, train_loss: mean cross-entropy in nats, of the averaged
    weights on the validation images and over the last epoch of training, there with the classes'
    weights. seconds: wall-clock time of training and validation, lower rungs and earlier sessions
    included. images_per_second: training images. latency_ms: of one forward pass, if asked for;
    latency_unsteady: whether measuring it again gave other figures (``cost.device.Latency``).
    test_error, test_error_se, test_top1_error, test_loss, test_class_errors: the same on so many
    test_images, of which test_class_images are of each class, in trainings of ``dnsearch confirm``.
    zero_cost: the scores of ``training.zerocost`` by name, if asked for.
    accumulation_steps: over how many micro-batches the gradients of a batch were accumulated, for
    ``training.micro_batch`` or for lack of memory.
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
    error_se: float | None = None
    top1_error: float | None = None
    class_errors: tuple[int, ...] | None = None
    test_error_se: float | None = None
    test_top1_error: float | None = None
    test_class_errors: tuple[int, ...] | None = None
    test_class_images: tuple[int, ...] | None = None
    accumulation_steps: int = 1
    latency_unsteady: bool = False

    def to_dict(self) -> dict[str, Any]:
        """All fields in values that JSON can hold; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """The score with these fields, some by the names that older versions stored. Raises
        KeyError without a curve, TypeError on others."""
        values = {_RENAMED.get(name, name): value for name, value in values.items()}
        curve = tuple(CurvePoint(**point) for point in values["curve"])
        counts = {n: tuple(values[n]) for n in _COUNTS if values.get(n) is not None}
        return cls(**{**values, "curve": curve, **counts})

    def tested(self, found: Measured) -> Score:
        """This score with what was found on the test images."""
        return replace(
            self,
            test_error=found.error,
            test_error_se=found.error_se,
            test_top1_error=None if self.top1_error is None else found.top1_error,
            test_class_errors=found.class_errors,
            test_class_images=found.class_images,
            test_loss=found.loss,
            test_images=found.images,
        )

    def failed(self, reason: str) -> Score:
        """This score as a failure for this reason: without what was measured on the images, the
        rest as it was."""
        nothing = dict.fromkeys(("error", "loss", "test_error", "test_loss", *_MEASURED))
        return replace(self, **nothing, failure=reason)


_RENAMED = {"parts": "accumulation_steps"}
_COUNTS = ("class_errors", "test_class_errors", "test_class_images")
_MEASURED = ("error_se", "top1_error", "test_error_se", "test_top1_error", *_COUNTS)
