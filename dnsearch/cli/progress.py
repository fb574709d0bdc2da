"""What a person sees while networks train: a live table, or lines where there is no screen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dnsearch.analysis.metrics import METRICS, duration, error_label, format_value
from dnsearch.config import SCREENING, StudyConfig
from dnsearch.search.engine import Progress
from dnsearch.search.session import Opened
from dnsearch.search.store import Record
from dnsearch.search.weights import front
from dnsearch.text import counted

MOST_SHOWN = 8
"""Rows of the front that are shown; the report has them all."""


class Display(Protocol):
    """Shows a search to a person."""

    def opened(self, headline: str, records: Sequence[Record] = ()) -> None:
        """Before the first training run; ``records`` are those of earlier sessions."""
        ...

    def show(self, progress: Progress) -> None:
        """Whenever something has changed."""
        ...

    def note(self, text: str) -> None:
        """What went wrong without ending the search."""
        ...


@contextlib.contextmanager
def make_display(
    costs: tuple[str, ...], with_front: bool = True, quiet: bool = False
) -> Iterator[Display]:
    """A live display on a terminal, lines elsewhere, nothing if ``quiet``; ``with_front`` shows the
    front so far."""
    if quiet:
        yield Silence()
        return
    console = Console()
    if not console.is_terminal:
        yield Lines(costs, console)
        return
    screen = Screen(costs, Live(console=console, refresh_per_second=4), with_front)
    try:
        yield screen
    finally:
        screen.close()


def headline(name: str, study: StudyConfig, opened: Opened) -> str:
    """What is about to happen, in two lines, and what slows it down."""
    images = opened.data.counts
    channels, height, width = opened.data.shape
    kind = {"cpu": "CPU", "cuda": "GPU"}[opened.plan.kind]
    rungs = list(study.training.rungs)
    screening = len(rungs) > 1 and study.search.sampler in SCREENING
    epochs = f"{'up to ' if screening else ''}{counted(rungs[-1], 'epoch')} each"
    if study.objectives.error != "top1":
        epochs += f"; {error_label(study.objectives.error)}"
    workers = f"{counted(len(opened.plan.devices), 'worker')} on {kind}"
    workers += {"local": "", "ray": ", Ray", "slurm": ", Slurm"}[study.cluster.engine]
    again = f", going on from {opened.done} finished" if opened.done else ""
    notes = "".join(f"\nnote: {note}" for note in opened.notes)
    return (
        f"{name}: {opened.feasible} DenseNets within the limits (of {opened.space_size:,}), "
        f"{study.search.sampler}, {workers}{again}\n"
        f"{opened.data.name}: {images['train']:,} training and {images['validation']:,} "
        f"validation images, {channels}x{height}x{width}; {epochs}{notes}"
    )


def record_line(record: Record, costs: tuple[str, ...]) -> str:
    """One finished training, such as ``12.34 %  1.2 M MACs  k=8 blocks 2-2-2 bottleneck 4``."""
    name, score = record.job.arch.describe(), record.score
    if record.job.learning_rate is not None:
        name += f" at learning rate {record.job.learning_rate:g}"
    if score.failure is not None:
        return f"failed  {name}: {score.failure}"
    if record.values is None:
        after = f"after {counted(record.job.rung, 'epoch')}"
        if record.job.images is not None:
            after = f"{format_value('images', record.job.images)}"
        return f"{format_value('error', score.error or 0.0):>11}  {after:>11}  {name}"
    figures = [format_value(n, v) for n, v in zip(("error", *costs), record.values, strict=True)]
    text = f"{'  '.join(f'{figure:>11}' for figure in figures)}  {name}"
    marks = {"over a limit": not record.feasible, "unsteady latency": score.latency_unsteady}
    told = ", ".join(mark for mark, holds in marks.items() if holds)
    return f"{text}  ({told})" if told else text


class Silence:
    """Shows nothing."""

    def opened(self, headline: str, records: Sequence[Record] = ()) -> None:
        """Nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Lines:
    """One line a finished candidate: for files, pipes and CI."""

    def __init__(self, costs: tuple[str, ...], console: Console) -> None:
        self.costs, self.console = costs, console

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def opened(self, headline: str, records: Sequence[Record] = ()) -> None:
        """Prints the headline."""
        self._print(headline)

    def show(self, progress: Progress) -> None:
        """Prints a line for each training run that has just finished, and for each note."""
        for note in progress.notes:
            self.note(note)
        first = progress.done - len(progress.finished) + 1
        for number, record in enumerate(progress.finished, start=first):
            line = record_line(record, self.costs)
            self._print(f"{number:>4}/{progress.trials}  {duration(progress.seconds):>12}  {line}")

    def note(self, text: str) -> None:
        """Prints it."""
        self._print(f"note: {text}")


class Screen:
    """Progress, the candidates under way, and the front so far."""

    def __init__(self, costs: tuple[str, ...], live: Live, with_front: bool) -> None:
        self.costs, self.live, self.with_front = costs, live, with_front
        self.records: list[Record] = []
        self.headline = ""
        self.progress: Progress | None = None

    def opened(self, headline: str, records: Sequence[Record] = ()) -> None:
        """Starts the live display."""
        self.headline, self.records = headline, list(records)
        self.live.start()
        self.live.update(Text(f"{self.headline}\nstarting workers ..."))

    def show(self, progress: Progress) -> None:
        """Draws the display anew."""
        for note in progress.notes:
            self.note(note)
        for record in progress.finished:
            if record.score.latency_unsteady and not record.feasible:
                self.note(record_line(record, self.costs).strip())
        self.records += progress.finished
        self.progress = progress
        parts = [Text(self.headline), _budget(progress), _running(progress), self._front()]
        self.live.update(Group(*parts))

    def note(self, text: str) -> None:
        """Prints it above the display."""
        self.live.console.print(Text(f"note: {text}"))

    def close(self) -> None:
        """Leaves what was reached on the screen, without what was under way."""
        parts: list[RenderableType] = [Text(self.headline)]
        if self.progress is not None:
            parts += [_budget(self.progress), self._front()]
        self.live.update(Group(*parts))
        self.live.stop()

    def _front(self) -> RenderableType:
        if not self.with_front:
            return Text()
        members = sorted(front(self.records), key=lambda record: (record.values or ())[1:])
        if not members:
            return Text("the first candidate is under way", style="dim")
        shown = _thinned(members)
        title = "Pareto front so far"
        if len(shown) < len(members):
            title += f", {len(shown)} of its {len(members)} networks"
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for name in ("error", *self.costs):
            table.add_column(METRICS[name].short, justify="right")
        table.add_column("network")
        for record in shown:
            figures = zip(("error", *self.costs), record.values or (), strict=True)
            table.add_row(*(format_value(n, v) for n, v in figures), record.job.arch.describe())
        return table


def _thinned(members: list[Record]) -> list[Record]:
    """At most MOST_SHOWN, evenly over the front, both ends included."""
    if len(members) <= MOST_SHOWN:
        return members
    chosen = np.linspace(0, len(members) - 1, MOST_SHOWN).round().astype(int)
    return [members[i] for i in chosen]


def _budget(progress: Progress) -> RenderableType:
    share = progress.done / progress.trials
    told = f"{progress.done}/{progress.trials} trainings  {duration(progress.seconds)}"
    if progress.time is not None:
        share = max(share, progress.seconds / progress.time)
        told += f" of at most {duration(progress.time)}"
    row = Table.grid(padding=(0, 2))
    row.add_row(ProgressBar(total=1, completed=min(1, share), width=30), told)
    return row


def _running(progress: Progress) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for running in progress.running:
        epochs = f"epoch {min(int(running.epochs) + 1, running.job.rung)}/{running.job.rung}"
        table.add_row("training", running.job.arch.describe(), epochs, duration(running.seconds))
    return table
