"""Whether the order of networks holds at other learning rates: sentences and tables for page and
terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from dnsearch.analysis.confidence import LEVEL
from dnsearch.analysis.metrics import MISSING, error_label, format_value
from dnsearch.analysis.trust import Interval
from dnsearch.confirm.rate_findings import Difference, Flip, RateFindings, RateNetwork
from dnsearch.report.parts import Cell, Row, Table, error_notes, interval_cell
from dnsearch.text import agreeing, capitalised, counted, listed


class Section(NamedTuple):
    """What ``rates.html.j2`` shows."""

    sentences: list[str]
    method: str
    errors: Table
    differences: Table


def section(rates: RateFindings) -> Section:
    """The section's content: the template's ``confirmed.rates``."""
    return Section(sentences(rates), method(rates), _errors(rates), _differences(rates))


def sentences(rates: RateFindings) -> list[str]:
    """What was found, a statement each: of each pair, then at which rates networks are best."""
    said = [_pair(each, rates) for each in rates.differences]
    return [*said, *_best_rates(rates), *_doubts(rates)]


def method(rates: RateFindings) -> str:
    """What was trained, and how a network's best learning rate is taken."""
    least, most = rates.seeds
    seeds = counted(most, "seed") if least == most else f"{least} to {most} seeds"
    images = f"{rates.test_images:,} test images"
    return (
        f"{counted(len(rates.networks), 'network')} were trained for "
        f"{counted(rates.epochs, 'epoch')} with {seeds} at each of the learning rates "
        f"{listed(_told(rates))}, and measured on {images}. A network's best rate is that of the "
        "least validation error; its test error there is measured with each seed at the rate that "
        "the other seeds find best, so that picking one of several rates does not flatter. "
        f"Intervals are of {100 * LEVEL:.0f} %, over seeds."
    )


def _told(rates: RateFindings) -> list[str]:
    return [f"{rate:g}" for rate in rates.learning_rates]


def _pair(each: Difference, rates: RateFindings) -> str:
    """What becomes of the order of two networks."""
    error, usual = error_label(rates.error, "test"), each.at[each.usual]
    first, second, best = each.first.name, each.second.name, "at each network's best learning rate"
    then, before = (_ahead(each, difference, error) for difference in (each.tuned, usual))
    match each.flip:
        case Flip.MISSING:
            return (
                f"{first} and {second} cannot be compared {best}: training runs are missing or "
                "failed."
            )
        case Flip.SAME:
            said = (
                f"At each network's best learning rate the order is the same: {then} "
                f"({_points(usual)} at the study's rate). It is the shape, not the learning rate."
            )
        case Flip.FLIPS:
            said = (
                f"At each network's best learning rate the order flips: {then}, while at "
                f"the study's rate {before}. It was the learning rate, not the shape."
            )
        case Flip.EMERGES:
            said = (
                f"At each network's best learning rate {then}; at the study's rate the "
                f"seeds could not tell ({_points(usual)})."
            )
        case Flip.UNTOLD:
            lead = ""
            if usual.sign:
                lead = f" At the study's rate {before}, which may be the learning rate's doing."
            said = (
                f"The seeds cannot tell whether {first} or {second} has less {error} {best}: the "
                f"difference is {_points(each.tuned)}.{lead}"
            )
    return said + _flips_at(each, rates)


def _ahead(each: Difference, difference: Interval, error: str) -> str:
    """Which of the two has less error, and by how much."""
    first, second, lead = each.first.name, each.second.name, difference
    if difference.value < 0:
        first, second = second, first
        lead = Interval(-difference.value, -difference.high, -difference.low)
    return f"{first} has {_points(lead)} less {error} than {second}"


def _points(difference: Interval) -> str:
    """``0.43 points (0.21 to 0.60)``."""
    cell = interval_cell(difference.scaled(100), ".2f")
    return f"{cell.text} points" + "".join(f" ({note})" for note in cell.notes)


def _flips_at(each: Difference, rates: RateFindings) -> str:
    """At which rates, the same for both, the order is the opposite, with a space in front."""
    at = [_told(rates)[i] for i in each.flips_at]
    return f" With {listed(at)} for both the order is the opposite of the study's." if at else ""


def _best_rates(rates: RateFindings) -> list[str]:
    """The networks' best rates, and whether these are the end of what was tried."""
    known = [network for network in rates.networks if network.best is not None]
    if not known:
        return []
    told = listed([f"{rates.best(network):g} of {network.name}" for network in known])
    count = agreeing(len(known), "rate is", "rates are")
    said = [f"The best learning {count} {told}, by validation error."]
    for place, what in ((0, "smaller"), (len(rates.learning_rates) - 1, "larger")):
        names = [network.name for network in known if network.best == place]
        if names:
            said.append(f"A still {what} rate may be better for {listed(names)}.")
    return [" ".join(said)]


def _doubts(rates: RateFindings) -> list[str]:
    said = []
    if rates.failed:
        runs = counted(rates.failed, "training run")
        said.append(f"{runs} failed; a rate at which one did is nobody's best and is not compared.")
    if rates.seeds[1] == 1:
        said.append(
            "There is one seed of each, so the best rate is chosen by the training runs that are "
            "then measured, and shares their luck."
        )
    return said


def _errors(rates: RateFindings) -> Table:
    """Networks by learning rates."""
    columns = [f"at {told}" for told in _told(rates)]
    columns[rates.usual] += " (the study's)"
    return Table(
        columns=["network", "MACs", *columns, "best rate", "at its best rate"],
        rows=[_network(network, rates) for network in rates.networks],
        note=f"{capitalised(error_label(rates.error, 'test'))}s; below, the interval and the mean "
        "validation error, by which the best rate is chosen.",
    )


def _network(network: RateNetwork, rates: RateFindings) -> Row:
    best = rates.best(network)
    macs = format_value("macs", network.cost.macs).removesuffix("MACs").rstrip()
    each = zip(network.test, network.validation, network.test_errors, strict=True)
    return Row(
        network.name,
        [
            Cell(macs),
            *(_at(*at) for at in each),
            Cell(MISSING if math.isnan(best) else f"{best:g}"),
            Cell(format_value("error", network.tuned.value), error_notes(network.tuned)),
        ],
        badge=_badge(network),
    )


def _badge(network: RateNetwork) -> str:
    if network.reference is None:
        return ""
    return "published" if network.reference.published else "for comparison"


def _at(test: Interval, validation: float, errors: Sequence[float]) -> Cell:
    """A network at one rate."""
    failed = sum(map(math.isnan, errors))
    if failed:
        return Cell(MISSING, [f"{failed} of {len(errors)} failed"])
    if not test.is_known:
        return Cell(MISSING)
    notes = [*error_notes(test), f"validation {format_value('error', validation)}"]
    return Cell(format_value("error", test.value), notes)


def _differences(rates: RateFindings) -> Table:
    """Pairs of networks by learning rates."""
    return Table(
        columns=["network", "than", *(f"at {told}" for told in _told(rates)), "at the best rates"],
        rows=[
            Row(
                each.first.name,
                [
                    Cell(each.second.name),
                    *(interval_cell(d.scaled(100), ".2f") for d in (*each.at, each.tuned)),
                ],
            )
            for each in rates.differences
        ],
        note=f"By how many points the first network has less {error_label(rates.error, 'test')}, "
        "with intervals; where one holds 0, the seeds cannot tell.",
    )
