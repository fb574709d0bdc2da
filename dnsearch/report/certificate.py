"""The report's section "Confirmed on the test images": what training candidates again in full, with
fresh seeds, says of them and of the search's short trainings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.frames import column, records
from dnsearch.analysis.metrics import METRICS, format_value
from dnsearch.analysis.trust import Agreement, binomial_standard_error
from dnsearch.confirm.certificate import Certificate, Signal, sentences
from dnsearch.confirm.findings import LEVEL, Confirmed
from dnsearch.report.certificate_figures import (
    Cell,
    between,
    cell,
    chance,
    error_interval,
    errors_figure,
    label_of,
    share_cell,
    signals_figure,
    tests_of,
)
from dnsearch.report.digest import sure
from dnsearch.report.parts import Picture

Floats = NDArray[np.float64]

_KINDS = {"proxy": "proxy", "baseline": "baseline", "ceiling": "ceiling"}


class Row(NamedTuple):
    name: str
    badge: str
    cells: list[Cell]


class Table(NamedTuple):
    """``columns`` are the headers; the first is that of the rows' names."""

    columns: list[str]
    rows: list[Row]
    note: str


class Section(NamedTuple):
    """What ``certificate.html.j2`` shows; what rests on a certificate is None without one."""

    answer: str
    notes: list[str]
    errors: Picture
    networks: Table
    verdict: list[str]
    signals: Picture | None
    figures: Table | None


def section(confirmed: Confirmed) -> Section:
    """The section's content: the template's ``confirmed``."""
    certificate = confirmed.certificate
    return Section(
        answer=_answer(confirmed),
        notes=[_how(confirmed), *confirmed.notes],
        errors=_errors(confirmed),
        networks=_networks(confirmed),
        verdict=sentences(certificate) if certificate else [],
        signals=_signals(certificate) if certificate else None,
        figures=_figures(certificate) if certificate else None,
    )


def _answer(confirmed: Confirmed) -> str:
    """The search's own pick first: it was not chosen by these errors."""
    known = [row for row in records(confirmed.candidates) if math.isfinite(row["test_mean"])]
    if not known:
        return "No test error has been measured yet."
    after = f"after {format_value('rung', confirmed.epochs)}"
    least = min(known, key=lambda row: row["test_mean"])
    flattered = f"{least['name']}, {error_interval(least)}; chosen by this, a little flattered"
    pick = next((row for row in known if row["key"] == confirmed.pick), None)
    if pick is None:
        return f"The least test error {after} has {flattered}."
    said = f"{pick['name']}, the search's least error, has a test error of {error_interval(pick)} "
    said += after
    judged = np.isfinite(column(confirmed.candidates, "best_probability")).sum()
    if judged > 1 and math.isfinite(pick["best_probability"]):
        said += f"; it is the best of {judged} networks {sure(pick['best_probability'])}"
        said += f", expected regret {100 * confirmed.regret:.2f} points"
    if least["key"] != pick["key"]:
        said += f". Less has {flattered}"
    return f"{said}."


def _how(confirmed: Confirmed) -> str:
    rows = confirmed.candidates
    seeds = [int(np.isfinite(tests_of(row)).sum()) for row in records(rows)]
    least, most = min(seeds, default=0), max(seeds, default=0)
    several = f"{most} seeds" if least == most else f"{least} to {most} seeds"
    return (
        f"{len(rows)} candidate{'s were' if len(rows) != 1 else ' was'} trained again from the "
        f"start for {format_value('rung', confirmed.epochs)} with "
        f"{'1 seed' if least == most == 1 else several} that the search had not used, and "
        f"measured on {confirmed.test_images:,} test images that it had not seen. Intervals of "
        f"errors are of {100 * LEVEL:.0f} %, of the mean over seeds on these images"
        f"{_images_luck(confirmed)}."
    )


def _images_luck(confirmed: Confirmed) -> str:
    """What the choice of test images adds to each interval, with 90 %."""
    errors = column(confirmed.candidates, "test_mean")
    errors = errors[np.isfinite(errors)]
    if not len(errors):
        return ""
    width = 164.5 * float(binomial_standard_error(np.median(errors), confirmed.test_images))
    return f"; other images would move all alike, by up to {width:.1f} points"


def _errors(confirmed: Confirmed) -> Picture:
    rows, cost = confirmed.candidates, confirmed.cost
    drawn = np.isfinite(column(rows, cost)) & np.isfinite(column(rows, "test_mean"))
    label = METRICS[cost].label
    missing = int((~drawn).sum())
    note = f"{missing} without a test error or this cost not drawn." if missing else ""
    return Picture(
        anchor="confirmed-errors",
        title=f"Test error against {label}",
        reading="Filled marks are means over the seeds with their interval, the dots beside them "
        "the single trainings, hollow marks what the search had measured on validation images with "
        "shorter training. Both axes are logarithmic.",
        figure=errors_figure(rows, cost, confirmed.test_images) if drawn.any() else None,
        note=note if drawn.any() else "No candidate has both a test error and this cost.",
    )


def _networks(confirmed: Confirmed) -> Table:
    """The picture's figures as a table, the best first."""
    cost = confirmed.cost
    rows = sorted(
        records(confirmed.candidates),
        key=lambda row: (not math.isfinite(row["test_mean"]), row["test_mean"]),
    )
    return Table(
        columns=[
            "network",
            METRICS[cost].short,
            "test error",
            "seeds",
            "in the search",
            "its estimate",
            "on the front",
            "best",
        ],
        rows=[
            Row(
                str(row["name"]),
                "front" if row["front"] else "",
                [
                    Cell(_without_unit(cost, row[cost])),
                    Cell(
                        format_value("error", row["test_mean"]),
                        between(row["test_low"], row["test_high"]),
                    ),
                    Cell(str(int(np.isfinite(tests_of(row)).sum()))),
                    Cell(format_value("error", row["error"])),
                    Cell(format_value("error", row["predicted_error"])),
                    Cell(chance(row["front_probability"])),
                    Cell(chance(row["best_probability"])),
                ],
            )
            for row in rows
        ],
        note="In the search: the validation error that it measured with shorter training, and its "
        "estimate of the mean over seeds. The last two columns are probabilities by the test "
        "errors, among these networks.",
    )


def _without_unit(cost: str, value: float) -> str:
    return format_value(cost, value).removesuffix(METRICS[cost].short).rstrip()


def _signals(certificate: Certificate) -> Picture:
    drawn = any(math.isfinite(v.value) for row in certificate.rows for v in row.tau)
    return Picture(
        anchor="certificate",
        title="What short trainings were worth",
        reading="The share of pairs of networks that a signal ranks as full training with another "
        "seed does. At 50 % one might as well toss a coin. The last line is full training itself: "
        "what it misses is the luck of the seeds.",
        figure=signals_figure(certificate) if drawn else None,
        note="Intervals are of 95 %, over networks. At the same cost is between what the trend of "
        "error in cost leaves over, so that nothing is won by knowing that larger is better."
        if drawn
        else "Too little was measured to rank anything by.",
    )


def _figures(certificate: Certificate) -> Table:
    k = certificate.k
    return Table(
        columns=[
            "signal",
            *_views("pairs"),
            *_views("τ"),
            *_views("ρ"),
            "regret",
            "precision",
        ],
        rows=[Row(label_of(row), _KINDS[row.kind], list(_cells(row))) for row in certificate.rows],
        note=f"{certificate.architectures} networks make {certificate.pairs:,} pairs; "
        f"{certificate.seeds} seed{'s' if certificate.seeds != 1 else ''} of full training, and "
        "no signal is compared with its own seed's. Small print: intervals of 95 %. "
        "τ and ρ: Kendall's and Spearman's rank correlations. Pairs: those ranked "
        "right. Regret in points: by "
        f"how much the best of the {k} that the signal ranks first misses the best of all; "
        f"precision: the share of these {k} among the truly first {k}. A dash: cannot be told; of "
        "the cost itself nothing is left at the same cost.",
    )


def _views(label: str) -> list[str]:
    return [f"{label}, same cost", f"{label}, all"]


def _cells(row: Signal) -> Iterator[Cell]:
    pairs, tau, rho = row.pairs_right, row.tau, row.rho
    yield from (share_cell(pairs.matched), share_cell(pairs.overall))
    for view in (tau, rho):
        yield from _correlations(view)
    yield cell(row.regret, ".2f")
    yield share_cell(row.precision)


def _correlations(view: Agreement) -> Iterator[Cell]:
    return (cell(interval, ".2f") for interval in (view.matched, view.overall))
