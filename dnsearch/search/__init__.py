"""What to train next, and the search around it.

    search(study, run, ...)      searches, or goes on searching
    read_results(run)            a run as it stands: its candidates, costs and data
    KnownCostSampler, suggest    for Optuna studies of one's own; CostModel is what they cost

Resolved on first use, since Optuna and SciPy take a second that not every command needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily

if TYPE_CHECKING:
    from dnsearch.search.feasible import CostModel
    from dnsearch.search.parameters import suggest
    from dnsearch.search.results import Results, read_results
    from dnsearch.search.samplers.known_cost import KnownCostSampler
    from dnsearch.search.session import search

__all__ = [
    "CostModel",
    "KnownCostSampler",
    "Results",
    "read_results",
    "search",
    "suggest",
]

__getattr__ = lazily(
    __name__,
    {
        "CostModel": "feasible",
        "KnownCostSampler": "samplers.known_cost",
        "Results": "results",
        "read_results": "results",
        "search": "session",
        "suggest": "parameters",
    },
)
