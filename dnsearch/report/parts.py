"""What sections of a page are made of: pictures, and tables of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from dnsearch.analysis.metrics import MISSING, error_ends, format_value
from dnsearch.analysis.trust import Interval


class Choice(NamedTuple):
    """One of several figures that a reader may choose to see in a picture's place; ``name``, with
    the picture's anchor, is that of its file."""

    name: str
    label: str
    figure: go.Figure
    note: str


class Picture(NamedTuple):
    """A figure, how to read it, what it leaves out; with no figure, ``note`` says why.

    choices: figures that may be seen instead, the figure itself among them; ``choice`` says what
    they differ in. scales: whether its axes are logarithmic and may be made linear.
    """

    anchor: str
    title: str
    reading: str
    figure: go.Figure | None
    note: str
    choice: str = ""
    choices: Sequence[Choice] = ()
    scales: bool = False


class Cell(NamedTuple):
    """A figure as text, and in small print what goes with it, a line each."""

    text: str
    notes: Sequence[str] = ()


class Row(NamedTuple):
    """A line of a table: its name, maybe with a badge or in a colour of its own."""

    name: str
    cells: Sequence[Cell]
    badge: str = ""
    colour: str = ""


class Table(NamedTuple):
    """A table of figures; the first of ``columns`` is the header of the rows' names."""

    columns: Sequence[str]
    rows: Sequence[Row]
    note: str = ""


def interval_cell(interval: Interval, spec: str, unit: str = "") -> Cell:
    """A figure with its interval beneath, such as ``0.43`` and ``0.21 to 0.60``."""
    if not interval.is_known:
        return Cell(MISSING)
    value, low, high = (f"{_signed(f'{end:{spec}}')}{unit}" for end in interval)
    return Cell(value, [f"{low.removesuffix(unit)} to {high}"] if interval.has_ends else [])


def share_cell(interval: Interval) -> Cell:
    """A share (0 to 1) in percent with its interval beneath."""
    return interval_cell(interval.scaled(100), ".0f", " %")


def error_interval(interval: Interval) -> str:
    """An error (0 to 1) with its interval: ``12.60 % (12.30 to 12.90 %)``."""
    value = format_value("error", interval.value)
    notes = error_notes(interval)
    return f"{value} ({notes[0]})" if notes else value


def error_notes(interval: Interval) -> list[str]:
    """The interval of an error for small print; nothing where an end is unknown."""
    return [error_ends(interval.low, interval.high)] if interval.has_ends else []


def probability(value: float) -> str:
    """``0.93``, or a dash where it is unknown."""
    return f"{value:.2f}" if value == value else MISSING


def _signed(number: str) -> str:
    """With a true minus sign, but none before a rounded zero."""
    return number.replace("-", "−" if float(number) else "")
