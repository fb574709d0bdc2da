"""What a person sees while images are decoded, where that takes more than a moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from dnsearch.analysis.metrics import duration
from dnsearch.data.progress import Decoding, watched
from dnsearch.text import counted

MOMENT = 1.0
"""Seconds after which it is told how long it will take; less is not worth a line."""

LINE_EVERY = 30.0
"""Seconds between two lines where there is no screen."""


@contextlib.contextmanager
def decoding_shown(quiet: bool = False) -> Iterator[None]:
    """Within it, decoding is shown on stderr: a bar on a terminal, lines elsewhere, nothing if
    ``quiet``."""
    if quiet:
        yield
        return
    console = Console(stderr=True)
    shown = Bar(console) if console.is_terminal else Lines(console)
    try:
        with watched(shown.tell):
            yield
    finally:
        shown.end()


def headline(now: Decoding) -> str:
    """What is decoded, such as ``decoding 40,000 images of birds (folder), train, to 3x64x64``."""
    shape = "x".join(map(str, now.shape))
    return f"decoding {counted(now.total, 'image')} of {now.what}, to {shape} ({_size(now)})"


def _size(now: Decoding) -> str:
    channels, height, width = now.shape
    size = now.total * channels * height * width
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, size // 10**6)} MB"


class Lines:
    """A line with an estimate, then one now and then: for files, pipes and CI."""

    def __init__(self, console: Console) -> None:
        self.console, self.next = console, MOMENT

    def tell(self, now: Decoding) -> None:
        """Prints a line, if it is time for one."""
        if not now.done:
            self.next = MOMENT
        if now.left is None or now.done == now.total or now.seconds < self.next:
            return
        if self.next == MOMENT:
            self._print(f"{headline(now)}: about {duration(now.seconds + now.left)}, once")
        else:
            self._print(f"decoded {now.done:,} of {now.total:,}, about {duration(now.left)} left")
        self.next = now.seconds + LINE_EVERY

    def end(self) -> None:
        """Nothing is left to be done."""

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


class Bar:
    """A line that is updated and goes away at the end."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, refresh_per_second=4, transient=True)

    def tell(self, now: Decoding) -> None:
        """Draws it anew."""
        if now.done == now.total:
            self.end()
        elif now.left is not None and now.seconds >= MOMENT:
            row = Table.grid(padding=(0, 2))
            bar = ProgressBar(total=now.total, completed=now.done, width=30)
            row.add_row(headline(now), bar, f"about {duration(now.left)} left")
            self.live.start()
            self.live.update(row)

    def end(self) -> None:
        """Takes it away."""
        self.live.stop()
