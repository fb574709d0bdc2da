"""Networks, and fronts of whole runs, side by side: the tables and sentences that the terminal and
the page of `dnsearch compare` show alike."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dnsearch.analysis.comparison import SIGNIFICANT, Difference
from dnsearch.analysis.metrics import METRICS, MISSING, format_value, short_number
from dnsearch.report.parts import Cell, Row, Table
from dnsearch.search.compared import COST_NAMES
from dnsearch.text import counted, listed, sentence

if TYPE_CHECKING:
    from dnsearch.search.compared import Compared, Measured, PredictedError, Tested
    from dnsearch.search.compared import Row as Network
    from dnsearch.search.fronts import Front, Fronts, Group

LETTERS = string.ascii_uppercase
"""By which the networks of a comparison are called."""

MOST_LEADS = 6
"""Ranges of cost that are told; of more only how many there are."""

SURE = 0.95
"""The probability from which on one of two is said to be the better."""


class Titled(NamedTuple):
    """A table of figures with what it is of; ``caption`` stands beneath it."""

    title: str
    table: Table
    caption: str = ""


def network_tables(found: Compared, measured: Measured | None = None) -> list[Titled]:
    """Of networks: what they cost, what was ``measured`` here, and the errors to expect."""
    tables = [_costs(found)]
    if measured is not None:
        tables.append(_measured(found, measured))
    if any(row.predicted or row.tested for row in found.rows):
        tables.append(_errors(found))
    return tables


def _costs(found: Compared) -> Titled:
    shapes = {row.subject.shape for row in found.rows}
    inputs = "each network's own input"
    if len(shapes) == 1:
        inputs = f"input {'x'.join(map(str, shapes.pop()))}"
    title = f"cost: {inputs}; training memory of {counted(found.batch_size, 'image')}"
    rows = [
        Row(letter, [_cost(name, row, first=letter == LETTERS[0]) for name in COST_NAMES])
        for letter, row in zip(LETTERS, found.rows, strict=False)
    ]
    return Titled(title, Table(["", *(METRICS[name].short for name in COST_NAMES)], rows))


def _cost(name: str, row: Network, first: bool) -> Cell:
    value = getattr(row.cost, name)
    # short_number's prefixes would read as units behind a ratio
    amount = format_value(name, value) if name == "train_bytes" else short_number(value)
    return Cell(amount, [] if first else [_ratio(row.ratios[name])])


def _ratio(ratio: float) -> str:
    return f"x{ratio:.3g}" if ratio < 1000 else f"x{ratio:,.0f}"


def _measured(found: Compared, measured: Measured) -> Titled:
    threads = f", {counted(measured.threads, 'thread')}" if measured.device == "cpu" else ""
    first, most = measured.latencies[0].ms, measured.peaks[0]
    rows = []
    for place, (latency, peak) in enumerate(zip(measured.latencies, measured.peaks, strict=True)):
        slower = [_ratio(latency.ms / first)] if place else []
        larger = [_ratio(peak / most)] if place and most and peak is not None else []
        spread = f"± {latency.spread_ms / 2:.2g} ms{' noisy' if latency.unsteady else ''}"
        cells = [
            Cell(format_value("latency_ms", latency.ms), slower),
            Cell(spread),
            Cell(format_value("train_bytes", peak), larger),
        ]
        rows.append(Row(LETTERS[place], cells))
    return Titled(
        f"measured here, {measured.device}{threads}, fp32: latency of 1 image by torch's modules; "
        f"peak memory of a training step of {counted(found.batch_size, 'image')}",
        Table(["", "latency", "spread", "peak memory"], rows),
    )


def _errors(found: Compared) -> Titled:
    lengths = {length for length in found.epochs if length is not None}
    after = f" after {counted(lengths.pop(), 'epoch')}" if len(lengths) == 1 else ""
    title = "test error"
    if found.first is not None:
        title = f"predicted {found.error_name}{after} (90 % on new images)"
    first = LETTERS[found.first or 0]
    tests = list(dict.fromkeys(_how(row.tested) for row in found.rows if row.tested))
    rows = []
    for letter, row in zip(LETTERS, found.rows, strict=False):
        tested = MISSING if row.tested is None else format_value("error", row.tested.error)
        which = [f"({tests.index(_how(row.tested)) + 1})"] if row.tested and len(tests) > 1 else []
        cells = [_predicted(row.predicted), *_differs(row.difference), Cell(tested, which)]
        rows.append(Row(letter, cells))
    marks = [f"({place}) " if len(tests) > 1 else "" for place in range(1, len(tests) + 1)]
    told = [f"{mark}{how}" for mark, how in zip(marks, tests, strict=True)]
    columns = ["", "predicted", f"points more than {first}", f"better than {first}", "test error"]
    caption = f"test error: {'; '.join(told)}" if told else ""
    return Titled(title, Table(columns, rows), caption)


def _predicted(predicted: PredictedError | None) -> Cell:
    """With its interval on new images."""
    if predicted is None:
        return Cell(MISSING)
    ends = f"({100 * predicted.new_low:.1f} to {100 * predicted.new_high:.1f})"
    return Cell(format_value("error", predicted.error), [ends])


def _how(tested: Tested | None) -> str:
    if tested is None:
        return ""
    seeds, length = counted(tested.seeds, "seed"), counted(tested.epochs, "epoch")
    return f"{seeds} of {length}, by {tested.by}"


def _differs(found: Difference | None) -> tuple[Cell, Cell]:
    if found is None:
        return Cell(""), Cell("")
    text = f"{100 * found.median:+.2f}"
    if math.isnan(found.low):
        return Cell(text), Cell("unknown")
    ends = f"({100 * found.low:+.2f} to {100 * found.high:+.2f})"
    return Cell(text, [ends]), Cell(chance(found.smaller))


def chance(probability: float) -> str:
    """A probability in percent; of so many draws no more is known than this."""
    if math.isnan(probability):
        return "unknown"
    if probability > 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{100 * probability:.0f} %"


def front_tables(found: Fronts) -> list[Titled]:
    """Of fronts: their hypervolumes, and the least error within costs."""
    return [_volumes(found), _levels(found)]


def _volumes(found: Fronts) -> Titled:
    costs = listed([METRICS[name].short for name in found.costs])
    point = ", ".join(format_value(name, value) for name, value in found.reference.items())
    first = found.fronts[0].run
    columns = ["", "networks", "hypervolume", "90 % interval", f"more than {first}", "larger"]
    return Titled(
        f"fronts: predicted {found.error_name} and {costs} ({found.axis} axis), hypervolume up to "
        f"{point}",
        Table(columns, [Row(front.run, _volume(front)) for front in found.fronts]),
    )


def _volume(front: Front) -> list[Cell]:
    ends = MISSING if math.isnan(front.low) else f"{front.low:.4f} to {front.high:.4f}"
    cells, found = [str(len(front.members)), f"{front.volume:.4f}", ends], front.difference
    if found is None:
        return [*map(Cell, cells), Cell(""), Cell("")]
    known = not math.isnan(found.low)
    more = Cell(f"{found.median:+.4f}", [f"({_volume_ends(found)})"] if known else [])
    return [*map(Cell, cells), more, Cell(chance(1 - found.smaller))]


def _volume_ends(found: Difference) -> str:
    return f"{found.low:+.4f} to {found.high:+.4f}"


def _levels(found: Fronts) -> Titled:
    rows = []
    for level in found.levels:
        cells = [
            Cell(format_value("error", error), [f"({chance(probability)})"])
            for error, probability in zip(level.errors, level.probability, strict=True)
        ]
        rows.append(Row(format_value(found.costs[0], level.bound), cells))
    return Titled(
        "least predicted error within a cost, and the probability that it is the least",
        Table(["", *(front.run for front in found.fronts)], rows),
    )


def front_lines(found: Fronts, pictured: bool = False) -> list[str]:
    """In which range of cost which front is better, and whether that is more than noise; what
    several runs of one study attain only where it is not ``pictured``."""
    lines = _lead_lines(found, pictured)
    for group in found.groups:
        if len(group.runs) > 1:
            lines.append(_spread(group))
            lines += [] if pictured else _attained(group, found)
        if group.test is not None and len(group.runs) + len(found.groups[0].runs) > 2:
            indent = "" if pictured else "  "
            lines.append(f"{indent}{_tested(group, found.groups[0])}")
    if _is_one_seed_each(found):
        lines.append(
            "one seed of each study: how much another seed of the search would change is not known "
            "(search.seed, with another --name, tells)"
        )
    return lines


def _is_one_seed_each(found: Fronts) -> bool:
    """Whether no study has runs of several seeds, which alone tell how much a seed changes."""
    return all(len(group.runs) == 1 for group in found.groups)


def _lead_lines(found: Fronts, pictured: bool) -> list[str]:
    cost, lines = found.costs[0], []
    for lead in found.leads:
        if lead.run is None:
            continue
        low = format_value(cost, lead.low)
        to = "on" if math.isinf(lead.high) else f"to {format_value(cost, lead.high)}"
        lines.append(f"{found.fronts[lead.run].run} has the least predicted error from {low} {to}")
    if len(lines) > MOST_LEADS:
        where = "the picture shows" if pictured else "--json says"
        lines = [f"the least predicted error changes hands {len(lines) - 1} times; {where} where"]
    return lines


def _spread(group: Group) -> str:
    """How much the hypervolumes of one study's runs differ."""
    return (
        f"{listed(group.runs)} are one study with {len(group.runs)} seeds: hypervolume "
        f"{group.mean:.4f}, standard deviation {group.sd:.4f}"
    )


def _attained(group: Group, found: Fronts) -> list[str]:
    return [
        "  error that one, half and all of them reach within",
        *(
            f"  {format_value(found.costs[0], level.bound):>12}: {_three(group, place)}"
            for place, level in enumerate(found.levels)
        ),
    ]


def _three(group: Group, place: int) -> str:
    errors = (line[place] for line in (group.best, group.median, group.worst))
    return ", ".join(format_value("error", error) for error in errors)


def _tested(group: Group, first: Group) -> str:
    """Whether two studies' hypervolumes differ by more than their seeds do."""
    assert group.test
    ours, theirs = len(group.runs), len(first.runs)
    by = group.mean - first.mean
    told = f"hypervolume {by:+.4f} against {listed(first.runs)}, permutation test p = "
    told += f"{group.test.p:.3f}"
    if not group.test.can_tell:
        return (
            f"{told}: {theirs} and {counted(ours, 'run')} cannot tell a difference from noise (the "
            f"least p they can give is {group.test.least:.2f}; 4 and 4 can)"
        )
    more = "more" if group.test.p <= SIGNIFICANT else "no more"
    return f"{told}: {more} than the noise of the seeds"


def verdicts(found: Compared, fronts: Fronts | str | None) -> list[str]:
    """What the comparison comes to, a sentence for each run or network but the first; whole runs
    come first, or the studies that they are of where one has several."""
    told = []
    if fronts is not None and not isinstance(fronts, str):
        told = _front_verdicts(fronts)
    return [*told, *(_verdict(place, found) for place in range(1, len(found.rows)))]


def _front_verdicts(found: Fronts) -> list[str]:
    first, *others = found.groups
    if _is_one_seed_each(found):
        return [_front_verdict(front, found.fronts[0].run) for front in found.fronts[1:]]
    if not others:
        return [f"{_spread(first)}."]
    return [f"{listed(other.runs)}: {_tested(other, first)}." for other in others]


def _front_verdict(front: Front, first: str) -> str:
    found = front.difference
    assert found is not None
    by = f"hypervolume {found.median:+.4f}"
    if math.isnan(found.low):
        return f"{front.run} against {first}: {by}; how sure that is is not known."
    larger = f"{front.run}'s is larger with a probability of {chance(1 - found.smaller)}"
    told = f"{by} ({_volume_ends(found)}); {larger}"
    if found.smaller >= SURE or found.smaller <= 1 - SURE:
        better, worse = (first, front.run) if found.smaller > 0.5 else (front.run, first)
        return f"{better} has the better front than {worse}: {front.run} against {first}, {told}."
    return f"Whether {front.run} or {first} has the better front is not known: {told}."


def _verdict(place: int, found: Compared) -> str:
    """A network against the first, by cost and, where both errors are predicted, by error."""
    row, letter = found.rows[place], LETTERS[place]
    if row.subject.arch.key == found.rows[0].subject.arch.key:
        return f"{letter} is the same network as A."
    parts = [
        f"{row.ratios[name]:.3g} times the {METRICS[name].short}" for name in ("macs", "params")
    ]
    told = f"{letter}, {row.subject.name}, costs {listed(parts)} of A"
    other, differs = LETTERS[found.first or 0], row.difference
    if differs is None:
        return sentence(told)
    points = f"{abs(100 * differs.median):.2f} points {'more' if differs.median > 0 else 'less'}"
    told += f" and is predicted to have {points} error than {other}"
    if math.isnan(differs.low):
        return f"{told}; how sure that is is not known."
    told += f" ({100 * differs.low:+.2f} to {100 * differs.high:+.2f})"
    if differs.smaller >= SURE:
        return f"{told}: {letter} is better with a probability of {chance(differs.smaller)}."
    if differs.smaller <= 1 - SURE:
        return f"{told}: {other} is better with a probability of {chance(1 - differs.smaller)}."
    return (
        f"{told}: which is better is not known ({letter} with a probability of "
        f"{chance(differs.smaller)})."
    )


def names(found: Compared) -> list[str]:
    """Of each network its letter, what was typed, and its shape."""
    rows: Sequence[Network] = found.rows
    lines = []
    for letter, row in zip(LETTERS, rows, strict=False):
        subject = row.subject
        told = "" if subject.label == subject.name else f"{subject.label}: "
        lines.append(f"{letter}  {told}{subject.name} ({subject.arch.key})")
    return lines
