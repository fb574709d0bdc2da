"""Writes a run's report with all that is known of it: what every verb that ends in one calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnsearch.confirm.findings import Confirmed
    from dnsearch.rundir import RunDir
    from dnsearch.scaling.study import Scaling
    from dnsearch.search.results import Results


def write_page(
    results: Results,
    run: RunDir,
    scaling: Scaling | None = None,
    confirmed: Confirmed | None = None,
) -> Path:
    """Writes ``report.html`` and the files beside it into the run's folder, and notes its answer;
    the page's path.

    scaling, confirmed: what `dnsearch scale` and `dnsearch confirm` have just found; by default
    what they find of the run as it stands. Raises RunError where a file cannot be written.
    """
    from dnsearch.confirm.findings import confirmed as findings
    from dnsearch.report.page import write_report
    from dnsearch.scaling.recorded import recorded_scaling
    from dnsearch.search.answers import answers, change, note_answer
    from dnsearch.search.results import read_results

    page = write_report(
        results,
        run.path,
        confirmed or findings(results),
        scaling or recorded_scaling(results, run, read_results),
        change(results, answers(run)),
    )
    note_answer(results, run)
    return page
