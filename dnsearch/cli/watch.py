"""The display of a training: a line that is updated, or without a terminal a line each epoch."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dnsearch.analysis.metrics import duration, error_label, format_value
from dnsearch.cost.formula import cost_of
from dnsearch.text import counted
from dnsearch.training.full import Opened, Silence, Watch
from dnsearch.training.score import CurvePoint


@contextlib.contextmanager
def make_watch(name: str, notes: Sequence[str], quiet: bool = False) -> Iterator[Watch]:
    """A display for this training, whose headline ends with the ``notes``; none if ``quiet``."""
    if quiet:
        yield Silence()
        return
    console = Console()
    if not console.is_terminal:
        yield Lines(name, notes, console)
        return
    screen = Screen(name, notes, console)
    try:
        yield screen
    finally:
        screen.live.stop()


def headline(name: str, opened: Opened, notes: Sequence[str]) -> str:
    """The network and the images, in a line each, then the notes."""
    training = opened.training
    arch, images = training.arch, training.images
    channels, height, width = images.shape
    cost = cost_of(arch, height, width, training.recipe.at_once)
    costs = ", ".join(format_value(n, getattr(cost, n)) for n in ("macs", "params"))
    count, where = len(opened.devices), opened.devices[0]
    if where == "cpu":
        several = f"{count} processes with " if count > 1 else ""
        where = f"{several}{counted(opened.threads, 'CPU thread')}{' each' if several else ''}"
    elif count > 1:
        where = f"{count} GPUs"
    done = opened.progress()
    place = "after" if done == round(done) else "in"
    again = f", continuing {place} epoch {math.ceil(done)}" if done else ""
    tests = "test images are used at the end" if opened.tested else "there are no test images"
    if images.test_split and not opened.tested:
        tests = "test images cannot be used"
    kind = f"; {error_label(training.error)}" if training.error != "top1" else ""
    return "\n".join(
        (
            f"{name}: {arch.describe()} ({arch.key}), {costs}; "
            f"{counted(training.epochs, 'epoch')} on {where}{again}",
            f"{images.name}: {images.counts['train']:,} training and "
            f"{images.counts['validation']:,} validation images, {channels}x{height}x{width}, "
            f"{images.num_classes} classes; {tests}{kind}",
            *(f"note: {note}" for note in (*notes, *opened.notes)),
        )
    )


class Pace:
    """The speed of this session, and the time that is left."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.epochs = opened, opened.training.epochs
        self.first, self.started = opened.progress(), time.monotonic()

    def tell(self) -> str:
        """Such as ``12.3 k images/s  2 min 10 s left``; empty before the first step."""
        seconds = time.monotonic() - self.started
        progress = self.opened.progress()
        done = progress - self.first
        if done <= 0:
            return ""
        rate = format_value("images_per_second", done * self.opened.images_an_epoch / seconds)
        left = (self.epochs - progress) * seconds / done
        return f"{rate}  {duration(left)} left" if left > 0 else rate


def point_text(point: CurvePoint) -> str:
    """An epoch's figures, such as ``loss 0.512  validation 14.20 %, loss 0.401``."""
    error = format_value("error", point.error)
    return f"loss {point.train_loss:.4f}  validation {error:>7}, loss {point.loss:.4f}"


class Lines:
    """A line for each epoch, for files, pipes and CI."""

    def __init__(self, name: str, notes: Sequence[str], console: Console) -> None:
        self.name, self.notes, self.console = name, notes, console
        self.pace: Pace | None = None

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def opened(self, opened: Opened) -> None:
        """Prints the headline."""
        self._print(headline(self.name, opened, self.notes))
        self.pace = Pace(opened)

    def epoch(self, point: CurvePoint) -> None:
        """Prints the epoch's line."""
        assert self.pace is not None
        of = f"{point.epoch:>4}/{self.pace.epochs}"
        self._print(f"{of}  {point_text(point)}  {self.pace.tell()}")


class Screen:
    """A progress bar, and the figures of the last epoch."""

    def __init__(self, name: str, notes: Sequence[str], console: Console) -> None:
        self.name, self.notes = name, notes
        self.pace: Pace | None = None
        self.last: CurvePoint | None = None
        self.live = Live(console=console, refresh_per_second=4, get_renderable=self._show)

    def opened(self, opened: Opened) -> None:
        """Prints the headline and starts the bar."""
        self.live.console.print(Text(headline(self.name, opened, self.notes)))
        self.pace = Pace(opened)
        self.live.start()

    def epoch(self, point: CurvePoint) -> None:
        """Shows these figures from now on."""
        self.last = point

    def _show(self) -> RenderableType:
        if self.pace is None:
            return Text()
        done, epochs = self.pace.opened.progress(), self.pace.epochs
        bar = ProgressBar(total=epochs, completed=done, width=20)
        row = Table.grid(padding=(0, 2))
        row.add_row(bar, f"epoch {min(int(done) + 1, epochs)}/{epochs}", self.pace.tell())
        if self.last is None:
            return row
        return Group(row, Text(f"after epoch {self.last.epoch}: {point_text(self.last)}"))
