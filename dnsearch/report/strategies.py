"""Replayed search strategies in words; the page and the terminal both say it with these."""

from __future__ import annotations

import math

from dnsearch.analysis.metrics import format_value
from dnsearch.analysis.pareto import Axis
from dnsearch.replay.comparison import LEVEL, Comparison
from dnsearch.replay.evaluator import Machine
from dnsearch.replay.measures import Bounded, Needed
from dnsearch.text import counted

OVER = "more than "
"""In front of a lower bound."""

_GOAL = f"{100 * LEVEL:.0f} % of the best hypervolume"


def verdict(comparison: Comparison, axis: Axis) -> str:
    """The median compute with which every strategy reaches ``LEVEL`` on this axis, the baseline
    first."""
    if comparison.is_empty:
        return "No replay trained anything."
    first, *others = sorted(comparison.samplers, key=lambda name: name != comparison.baseline)
    needed = comparison.needed[first, axis, LEVEL]
    text = f"With cost on a {axis} axis, {first} "
    if math.isfinite(needed.median):
        text += f"reaches {_GOAL} with {amount(needed)} full trainings of mean size"
        text += "" if needed.reached == needed.replays else f" ({reached(needed)})"
    else:
        text += f"needs {amount(needed)} full trainings of mean size for {_GOAL} "
        text += f"({reached(needed)})"
    rest = [f"{name} needs {_against(comparison, name, axis)}" for name in others]
    return f"{text}; {', '.join(rest)}." if rest else f"{text}."


def _against(comparison: Comparison, sampler: str, axis: Axis) -> str:
    """Such as ``41 (13 times as many)`` or ``more than 100 (more than 32 times as many, ...)``."""
    needed = comparison.needed[sampler, axis, LEVEL]
    factor = ratio(comparison, sampler, axis)
    notes = [f"{factor} times as many"] if factor else []
    notes += [] if needed.reached == needed.replays else [reached(needed)]
    return f"{amount(needed)} ({', '.join(notes)})" if notes else amount(needed)


def amount(needed: Needed, over: str = OVER, metric: str = "trainings") -> str:
    """A median in full trainings, ``3.1``, or its lower bound, ``more than 9``; or in the unit of
    another ``metric``."""
    return _written(needed.compute, over, metric)


def ratio(
    comparison: Comparison, sampler: str, axis: Axis, level: float = LEVEL, over: str = OVER
) -> str:
    """How many times the baseline's compute, ``13`` or ``more than 13``; empty where nothing is
    known, and for a lower bound below 1, which would say nothing."""
    times = comparison.times(sampler, axis, level)
    if not math.isfinite(times.value) or not (times.exact or times.value > 1):
        return ""
    return _written(times, over)


def simulated(machine: Machine) -> str:
    """What a replay's time is that of: ``4 workers, with the time that proposals took``."""
    charged = "with the time that proposals took" if machine.charged else "proposals taking no time"
    return f"{counted(machine.workers, 'worker')}, {charged}"


def reached(needed: Needed) -> str:
    """``reached in 13 of 20``."""
    return f"reached in {needed.reached} of {needed.replays}"


def _written(figure: Bounded, over: str, metric: str = "trainings") -> str:
    if figure.exact:
        return format_value(metric, figure.value)
    return over + format_value(metric, rounded_down(figure.value))


def rounded_down(value: float) -> float:
    """To a whole number or two digits, never up, so that a lower bound stays one."""
    if value <= 0:
        return 0.0
    step = min(1.0, 10.0 ** (math.floor(math.log10(value)) - 1))
    return math.floor(value / step) * step
