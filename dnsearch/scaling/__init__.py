"""What a larger budget buys: scaling laws, when to trust them, the networks to train next."""

from typing import Literal, get_args

Size = Literal["macs", "params", "activations"]
"""A cost, by its name in ``METRICS``, that a budget may be of and that a law is fitted for."""

SIZES: tuple[str, ...] = get_args(Size)

TIMES = (2.0, 4.0, 8.0)
"""Larger budgets, as multiples of the largest network that was fitted."""
