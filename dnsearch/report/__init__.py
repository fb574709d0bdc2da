"""How a run is shown: one HTML page that opens offline, a CSV of candidates, a JSON summary.

    write_report(results, folder)    the three files; imports plotly
    write_replay(comparison, folder) the page of replayed strategies

Resolved on first use; the figures and the answer in words are in ``dnsearch.report.digest``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsearch._lazy import lazily

if TYPE_CHECKING:
    from dnsearch.report.page import write_report
    from dnsearch.report.replay import write_replay

__all__ = [
    "write_replay",
    "write_report",
]

__getattr__ = lazily(
    __name__,
    {
        "write_replay": "replay",
        "write_report": "page",
    },
)
