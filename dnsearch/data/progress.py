"""How far decoding is, for whoever wants to show it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Decoding:
    """Some images of a data set are being decoded.

    what: the data set and its split. done, total: images. seconds: since it began. shape: channels,
    height and width of a decoded one.
    """

    what: str
    done: int
    total: int
    seconds: float
    shape: tuple[int, int, int]

    @property
    def left(self) -> float | None:
        """Seconds that are left; None where that is not known yet."""
        return None if not self.done else self.seconds / self.done * (self.total - self.done)


Watch = Callable[[Decoding], None]
_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextlib.contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Within it, ``watch`` is told of all decoding: at its start, after some images, at its end."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def tell(decoding: Decoding) -> None:
    """Tells whoever watches."""
    if (watch := _watch.get()) is not None:
        watch(decoding)
