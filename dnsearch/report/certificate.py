"""The report's section "Confirmed on the test images": what training candidates again in full, with
fresh seeds, says of them and of the search's short trainings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dnsearch.analysis.metrics import METRICS, error_label, format_value
from dnsearch.confirm.certificate import Certificate, Signal, View
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork
from dnsearch.report import rates, verdict
from dnsearch.report.certificate_figures import (
    error_series,
    errors_figure,
    signal_series,
    signals_figure,
)
from dnsearch.report.parts import (
    Cell,
    Picture,
    Row,
    Table,
    error_notes,
    interval_cell,
    probability,
    share_cell,
)
from dnsearch.text import capitalised, counted


class Section(NamedTuple):
    """What ``certificate.html.j2`` shows."""

    answer: str
    notes: list[str]
    errors: Picture
    networks: Table
    verdict: list[str]
    signals: Picture
    figures: Table
    rates: rates.Section | None


def section(confirmed: Confirmed) -> Section:
    """The section's content: the template's ``confirmed``."""
    return Section(
        answer=verdict.answer(confirmed),
        notes=[verdict.method(confirmed), *map(verdict.note, confirmed.notes)],
        errors=_errors(confirmed),
        networks=_networks(confirmed),
        verdict=verdict.sentences(confirmed.certificate, confirmed.verdict),
        signals=_signals(confirmed.certificate),
        figures=_figures(confirmed.certificate),
        rates=rates.section(confirmed.rates) if confirmed.rates else None,
    )


def _errors(confirmed: Confirmed) -> Picture:
    series = error_series(confirmed)
    left_out = f"{counted(series.missing, 'network')} without a test error or this cost not drawn."
    note = left_out if series.missing else ""
    return Picture(
        anchor="confirmed-errors",
        title=f"{capitalised(error_label(confirmed.error, 'test'))} against "
        f"{METRICS[series.cost].label}",
        reading=f"Filled marks are means over the seeds with their intervals, after "
        f"{counted(confirmed.epochs, 'epoch')}, the dots beside them single training runs. Hollow "
        f"marks are the validation errors that the search had measured{_searched_for(confirmed)}. "
        "Both axes are logarithmic.",
        figure=errors_figure(series) if series.drawn else None,
        note=note if series.drawn else "No network has both a test error and this cost.",
    )


def _searched_for(confirmed: Confirmed) -> str:
    """How long the search trained, where its errors are known."""
    epochs = confirmed.searched_epochs
    return f", after {counted(epochs, 'epoch')}" if epochs else ""


def _networks(confirmed: Confirmed) -> Table:
    """The picture's figures as a table, the best first and those without a test error last."""
    best_first = confirmed.best_first
    others = [network for network in confirmed.networks if network not in best_first]
    return Table(
        columns=[
            "network",
            METRICS[confirmed.cost].short,
            error_label(confirmed.error, "test"),
            "seeds",
            error_label(confirmed.error),
            "predicted error",
            "on the front",
            "best",
        ],
        rows=[_network(network, confirmed.cost) for network in (*best_first, *others)],
        note=f"Validation error: measured by the search{_searched_for(confirmed)}. Predicted "
        "error: its mean over seeds, as the search predicts it. The last two columns are "
        "probabilities by the test errors, among these networks.",
    )


def _network(network: ConfirmedNetwork, cost: str) -> Row:
    test = network.test
    return Row(
        network.name,
        [
            Cell(_without_unit(cost, network.candidate.figure(cost))),
            Cell(format_value("error", test.value), error_notes(test)),
            Cell(str(network.seeds)),
            Cell(format_value("error", network.error)),
            Cell(format_value("error", network.predicted_error)),
            Cell(probability(network.front_probability)),
            Cell(probability(network.best_probability)),
        ],
        badge="front" if network.front else "",
    )


def _without_unit(cost: str, value: float) -> str:
    return format_value(cost, value).removesuffix(METRICS[cost].short).rstrip()


def _signals(certificate: Certificate) -> Picture:
    rows = certificate.rows
    matched = any(row.right(View.MATCHED).is_known for row in rows)
    note = "Intervals are of 95 %, over networks."
    if matched:
        note += (
            " At the same cost: when the trend of error in cost is taken away, so that nothing is "
            "won by knowing that larger is better."
        )
    drawn = matched or any(row.right(View.OVERALL).is_known for row in rows)
    return Picture(
        anchor="certificate",
        title="What short trainings were worth",
        reading="The share of pairs of networks that a signal ranks as full training with another "
        "seed does: 50 % is what tossing a coin gives. The last line is full training itself: what "
        "it misses is seed noise.",
        figure=signals_figure(signal_series(certificate)) if drawn else None,
        note=note if drawn else "Too few networks were confirmed to tell.",
    )


def _figures(certificate: Certificate) -> Table:
    k, count = certificate.k, counted(certificate.architectures, "network")
    return Table(
        columns=["signal", *_views("pairs"), *_views("τ"), *_views("ρ"), "regret", "precision"],
        rows=[
            Row(verdict.signal_label(row), list(_cells(row)), badge=str(row.kind))
            for row in certificate.rows
        ],
        note=f"{count}, {counted(certificate.pairs, 'pair')}, "
        f"{counted(certificate.seeds, 'seed')} of full training; no signal is compared with full "
        "training of its own seed. Small print: intervals of 95 %. Pairs: those ranked correctly. "
        "τ and ρ: Kendall's and Spearman's rank correlations. Regret in points: by how much the "
        f"best of the {k} that the signal ranks first misses the best of all; precision: the share "
        f"of these {k} among the truly first {k}. A dash: cannot be told, as for the cost itself "
        "at the same cost.",
    )


def _views(label: str) -> list[str]:
    return [f"{label}, same cost", f"{label}, all"]


def _cells(row: Signal) -> Iterator[Cell]:
    yield from (share_cell(row.pairs_right.matched), share_cell(row.pairs_right.overall))
    for agreement in (row.tau, row.rho):
        yield from (interval_cell(v, ".2f") for v in (agreement.matched, agreement.overall))
    yield interval_cell(row.regret.scaled(100), ".2f")
    yield share_cell(row.precision)
