"""Lines that tell of training runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.live import Live

from dnsearch.arch import ArchConfig
from dnsearch.cli.progress import Screen, record_line
from dnsearch.search.engine import Progress
from dnsearch.search.evaluators.base import Job
from dnsearch.search.store import Record
from dnsearch.training.score import Score

ARCH = ArchConfig((4, 8), (1, 2), 8, 2, stem="cifar", in_channels=1, num_classes=10)
COSTS = ("latency_ms",)


def record(unsteady=False, feasible=True):
    score = Score(2, 0, 0.445, latency_ms=217.0, latency_unsteady=unsteady)
    return Record(Job(0, ARCH, 2, 0), score, (0.445, 217.0), feasible, 9.0)


@pytest.mark.parametrize(
    ("unsteady", "feasible", "end"),
    [
        (False, True, ARCH.describe()),
        (False, False, "  (over a limit)"),
        (True, True, "  (unsteady latency)"),
        (True, False, "  (over a limit, unsteady latency)"),
    ],
)
def test_a_line_says_what_is_doubtful_of_a_latency(unsteady, feasible, end):
    line = record_line(record(unsteady, feasible), COSTS)
    assert "44.50 %" in line
    assert "217 ms" in line
    assert line.endswith(end)


def test_a_screen_notes_what_a_doubtful_latency_bars():
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    screen = Screen(COSTS, Live(console=console), with_front=False)
    told = record(True, True), record(False, False), record(True, False)
    screen.show(Progress(told, (), 3, 9, 1.0, None, ()))
    notes = [line for line in console.file.getvalue().splitlines() if "note:" in line]
    assert len(notes) == 1
    assert "over a limit, unsteady latency" in notes[0]
