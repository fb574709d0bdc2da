"""Writes a run's report with all that is known of it: what every verb that ends in one calls, and a
search every now and then while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsearch.rundir import RUNS, RunDir

if TYPE_CHECKING:
    from dnsearch.confirm.findings import Confirmed
    from dnsearch.scaling.study import Scaling
    from dnsearch.search.engine import Progress
    from dnsearch.search.results import Results

SHARE = 0.02
"""Of a search's time that writing its report meanwhile may take."""

FIRST_SECONDS = 60.0
"""Of a session, before its report is written for the first time."""


def write_page(
    results: Results,
    run: RunDir,
    scaling: Scaling | None = None,
    confirmed: Confirmed | None = None,
    figures: Sequence[str] = (),
) -> Path:
    """Writes ``report.html`` and the files beside it into the run's folder, and notes its answer;
    the page's path. Of a run that may only be read it goes to its ``place_for``.

    While a process is at work on the run the page says so, and the answer is not noted: only a
    later one than a finished session's is a change. scaling, confirmed: what `dnsearch scale` and
    `dnsearch confirm` have just found; by default what they find of the run as it stands. figures:
    formats in which all pictures are written into ``run.figures``, too. Raises RunError where a
    file cannot be written.
    """
    from dnsearch.confirm.findings import confirmed as findings
    from dnsearch.report.page import write_report
    from dnsearch.scaling.recorded import recorded_scaling
    from dnsearch.scaling.study import Scaling
    from dnsearch.search.answers import answers, change, note_answer
    from dnsearch.search.results import read_results

    place, under_way = place_for(run), _under_way(run)
    if place != run:
        click.echo(
            f"note: {run.path} may only be read: what is written goes to {place.path}", err=True
        )
    fresh = confirmed or findings(results)
    larger = scaling or recorded_scaling(results, run, read_results)
    if isinstance(larger, Scaling):
        write_networks(larger, place)
    page = write_report(
        results,
        place.path,
        fresh,
        larger,
        change(results, answers(run)),
        under_way,
    )
    if figures:
        from dnsearch.report.digest import digest
        from dnsearch.report.figure_files import write_figures

        write_figures(digest(results), fresh, larger, place.figures, figures)
    if not under_way:
        note_answer(results, run)
    return page


def write_networks(scaling: Scaling, run: RunDir) -> list[Path]:
    """Writes the networks to train next as configs for `dnsearch train`; their paths. Raises
    RunError."""
    from dnsearch.files import write_json

    paths = [run.larger(each.times) for each in scaling.next]
    for path, each in zip(paths, scaling.next, strict=True):
        write_json(path, each.arch.to_dict())
    for stale in set(run.larger(1).parent.glob("x*.json")) - set(paths):
        stale.unlink(missing_ok=True)
    return paths


def _under_way(run: RunDir) -> str:
    """How far a run is that a process is at work on; empty where none is."""
    if run.holder() is None:
        return ""
    from dnsearch.search.standing import Observer

    return Observer(run).look().so_far


class Refresher:
    """Writes the report of a search while it goes on: whenever a network has been trained to the
    top rung, but so rarely that all of it takes at most ``SHARE`` of the time.

    A report that cannot be written is ``told``, each reason once, and never ends the search.
    """

    def __init__(
        self,
        run: RunDir,
        told: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run, self.told, self.clock = run, told, clock
        self.due, self.new = clock() + FIRST_SECONDS, False
        self.reasons: set[str] = set()

    def __call__(self, progress: Progress) -> None:
        """Writes it where that is due."""
        self.new |= any(record.values is not None for record in progress.finished)
        started = self.clock()
        if not self.new or started < self.due:
            return
        self.new = False
        try:
            self._write()
        except Exception as error:  # what is wrong with a report is no reason to lose a search
            self._tell(f"{type(error).__name__}: {error}")
        ended = self.clock()
        self.due = ended + max(FIRST_SECONDS, (ended - started) / SHARE)

    def _write(self) -> None:
        from dnsearch.search.results import read_results

        write_page(read_results(self.run), self.run)

    def _tell(self, reason: str) -> None:
        if reason not in self.reasons:
            self.told(f"the report was not written, the search goes on: {reason}")
        self.reasons.add(reason)


def place_for(run: RunDir) -> RunDir:
    """Where to write what is found of a run: its folder, or for somebody else's, which may only be
    read, one below ours."""
    return run if run.is_writable else RunDir(RUNS / f"{run.name}-report")
