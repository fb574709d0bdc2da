"""What to train next, and the search around it.

``KnownCostSampler`` and ``suggest`` also serve Optuna studies of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsearch.search.feasible import CostModel
    from dnsearch.search.parameters import suggest
    from dnsearch.search.samplers.known_cost import KnownCostSampler

__all__ = ["CostModel", "KnownCostSampler", "suggest"]

_WHERE = {
    "CostModel": "feasible",
    "KnownCostSampler": "samplers.known_cost",
    "suggest": "parameters",
}


def __getattr__(name: str) -> Any:
    """Imports on first use, since Optuna and SciPy take a second that not every verb needs."""
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(f"dnsearch.search.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
