"""What a larger budget buys: scaling laws, when to trust them, the networks to train next.

    study_scaling(results)       all that one or more runs say, as Scaling
    study_law(sizes, error, ...) one law with its held-out check and verdict
    fit_law(sizes, error, ...)   the law alone

These are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from dnsearch._lazy import lazily

if TYPE_CHECKING:
    from dnsearch.scaling.extrapolation import LawStudy, study_law
    from dnsearch.scaling.law import Law, fit_law
    from dnsearch.scaling.study import Scaling, study_scaling

Size = Literal["macs", "params", "activations"]
"""A cost, by its name in ``METRICS``, that a budget may be of and that a law is fitted for."""

SIZES: tuple[str, ...] = get_args(Size)

TIMES = (2.0, 4.0, 8.0)
"""Larger budgets, as multiples of the largest network that was fitted."""

__all__ = [
    "SIZES",
    "TIMES",
    "Law",
    "LawStudy",
    "Scaling",
    "Size",
    "fit_law",
    "study_law",
    "study_scaling",
]

__getattr__ = lazily(
    __name__,
    {
        "Law": "law",
        "LawStudy": "extrapolation",
        "Scaling": "study",
        "fit_law": "law",
        "study_law": "extrapolation",
        "study_scaling": "study",
    },
)
