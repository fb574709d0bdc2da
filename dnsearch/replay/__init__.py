"""Search strategies tried on recorded training runs.

    read_table(name)             recorded training runs, of a run or of ``bench:NAME``
    replays(table, samplers,...) trajectories of strategies, in parallel processes
    compare(table, ...)          what follows from them, as Comparison

Resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily

if TYPE_CHECKING:
    from dnsearch.replay.comparison import Comparison, compare
    from dnsearch.replay.files import read_table
    from dnsearch.replay.run import replays
    from dnsearch.replay.table import Table

__all__ = [
    "Comparison",
    "Table",
    "compare",
    "read_table",
    "replays",
]

__getattr__ = lazily(
    __name__,
    {
        "Comparison": "comparison",
        "Table": "table",
        "compare": "comparison",
        "read_table": "files",
        "replays": "run",
    },
)
