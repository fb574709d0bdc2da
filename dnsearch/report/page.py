"""Writes a run's report: ``report.html``, ``candidates.csv`` and ``summary.json``."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import COSTS, Basis, Candidate
from dnsearch.analysis.metrics import (
    METRICS,
    error_ends,
    error_label,
    format_error,
    format_value,
)
from dnsearch.config import to_toml
from dnsearch.confirm.findings import Confirmed
from dnsearch.confirm.record import confirmed_record
from dnsearch.data import had_test
from dnsearch.errors import DnsearchError
from dnsearch.files import require_ours, write_json, write_text
from dnsearch.report.answer import (
    answer,
    export_command,
    kinds_of_failure,
    not_counted,
    split_batches,
    sure,
)
from dnsearch.report.certificate import section as confirmed_section
from dnsearch.report.choices import choices_section
from dnsearch.report.classes import class_section
from dnsearch.report.columns import COLUMNS, row_of
from dnsearch.report.details import details
from dnsearch.report.digest import Digest, digest
from dnsearch.report.headline import headline
from dnsearch.report.html import render_template
from dnsearch.report.parts import error_interval
from dnsearch.report.pictures import pictures
from dnsearch.report.scaling import section as scaling_section
from dnsearch.report.style import LOOKS
from dnsearch.report.summary import plain, summary
from dnsearch.report.table import candidate_table
from dnsearch.report.words import WORDS
from dnsearch.rundir import PAGE_SIGN
from dnsearch.text import as_cell, counted

if TYPE_CHECKING:
    from dnsearch.scaling.study import Scaling
    from dnsearch.search.answers import Change
    from dnsearch.search.results import Results


class Card(NamedTuple):
    """A recommended network; ``error`` is followed by what it is."""

    labels: list[str]
    colour: str
    name: str
    key: str
    error: str
    what: str
    figures: list[tuple[str, str]]
    command: str


def write_report(
    results: Results,
    folder: Path,
    confirmed: Confirmed | None = None,
    scaling: Scaling | str | None = None,
    change: Change | None = None,
    under_way: str = "",
) -> Path:
    """Writes the three files into ``folder``, made if need be, and returns the page's path.

    change: how the answer differs from an earlier one. confirmed: what ``dnsearch confirm`` found.
    scaling: what ``dnsearch scale`` found, or why that cannot be told. under_way: how far the run
    is, where it goes on, which the page then says. Each file is replaced whole,
    so a reader never sees half of one. Raises RunError where that fails.
    """
    page = folder / "report.html"
    require_ours(page, PAGE_SIGN)
    found = digest(results, change)
    record = plain(confirmed_record(confirmed)) if confirmed else None
    write_json(folder / "summary.json", summary(found) | {"confirmed": record})
    write_text(folder / "candidates.csv", candidates_csv(found))
    write_text(page, render(found, confirmed, scaling, under_way))
    return page


def candidates_csv(digest: Digest) -> str:
    """The networks, and the training runs that did not finish, by ``COLUMNS``, with ``front``;
    curves as JSON text."""
    rows = [
        row_of(candidate) | {"front": candidate in digest.on_front} for candidate in digest.networks
    ]
    for row in rows:
        row |= {name: json.dumps(row[name]) for name in ("class_errors", "curve", "zero_cost")}
        row |= {name: as_cell(text) for name, text in row.items() if isinstance(text, str)}
    table = pd.DataFrame(rows, columns=[*COLUMNS, "front"])
    return table.to_csv(index=False, lineterminator="\n")


def render(
    digest: Digest,
    confirmed: Confirmed | None = None,
    scaling: Scaling | str | None = None,
    under_way: str = "",
) -> str:
    """The whole page as HTML."""
    content = _content(digest, confirmed, scaling)
    template, larger = "report.html.j2", content["scaling"]
    if larger and digest.results.study.search.sampler == "scaling":
        template, content = "scaling_report.html.j2", content | {"larger": larger, "scaling": None}
    return render_template(template, under_way=under_way, **content)


def _content(
    digest: Digest, confirmed: Confirmed | None, scaling: Scaling | str | None
) -> dict[str, Any]:
    results, can_test = digest.results, _can_test(digest)
    return {
        "kind": "report",
        "name": results.name,
        "answer": answer(digest),
        "headline": headline(digest, confirmed, can_test),
        "facts": _facts(digest),
        "cards": _cards(digest, confirmed),
        "trust": _trust(digest, confirmed, can_test),
        "confirmed": confirmed_section(confirmed) if confirmed else None,
        "scaling": scaling_section(scaling) if scaling else None,
        "classes": class_section(digest, confirmed),
        "failures": kinds_of_failure(
            each.failure for each in digest.candidates if each.failure.strip()
        ),
        "pictures": pictures(digest),
        "choices": choices_section(digest),
        "table": candidate_table(digest, confirmed),
        "networks": details(digest, confirmed),
        "class_names": [str(name) for name in results.data["classes"]],
        "words": WORDS,
        "settings": to_toml(results.study),
        "about": {"Data": _pairs(results.data), "Environment": _pairs(results.environment)},
    }


def _facts(digest: Digest) -> list[str]:
    return [
        f"{counted(len(digest.finished), 'candidate')} trained",
        counted(len(digest.candidates), "training run"),
        *not_counted(digest),
        *split_batches(digest),
        str(digest.results.data["name"]),
    ]


CARDS = (picks.LEAST_ERROR, picks.AS_GOOD)
"""The picks that are shown at large; the others are marks in the picture."""


def _cards(digest: Digest, confirmed: Confirmed | None) -> list[Card]:
    cards = []
    for pick in CARDS:
        if (candidate := digest.picks.get(pick)) is None:
            continue
        told = dict.fromkeys((*digest.costs, *COSTS, "depth", "seconds"))
        known = [(n, candidate.figure(n)) for n in told if math.isfinite(candidate.figure(n))]
        predicted = "predicted " if candidate.is_predicted else ""
        cards.append(
            Card(
                labels=[LOOKS[n].label for n, each in digest.picks.items() if each is candidate],
                colour=LOOKS[pick].colour,
                name=candidate.name,
                key=candidate.key,
                error=format_value("error", candidate.predicted_error),
                what=f"{predicted}{digest.error_name}",
                figures=_estimate(candidate, digest)
                + _tested(candidate, confirmed)
                + [_labelled(name, value) for name, value in known],
                command=export_command(digest.results.typed, pick),
            )
        )
    return cards


def _estimate(candidate: Candidate, digest: Digest) -> list[tuple[str, str]]:
    """The intervals of the error, what it was measured to be, how sure its place on the front is,
    and the baseline."""
    found = [("on new images", error_ends(candidate.new_low, candidate.new_high))]
    if candidate.is_predicted:
        own = error_ends(candidate.predicted_low, candidate.predicted_high)
        found += [
            (f"on these {digest.images:,} images", own),
            (f"measured {candidate.error_name}", format_error(candidate.error, candidate.error_se)),
            ("on the front", sure(candidate.front_probability).removeprefix("with ")),
        ]
    return [*found, (digest.baseline.words, format_value("error", digest.baseline.error))]


def _tested(candidate: Candidate, confirmed: Confirmed | None) -> list[tuple[str, str]]:
    """What fresh seeds and the test images said."""
    network = confirmed.network(candidate.key) if confirmed else None
    if confirmed is None or network is None or not network.test.is_known:
        return []
    return [(error_label(confirmed.error, "test"), error_interval(network.test))]


def _labelled(name: str, value: float) -> tuple[str, str]:
    """Label and value, the unit left out where the label is the unit: MACs, 3.2 M."""
    short = METRICS[name].short
    return short, format_value(name, value).removesuffix(short).rstrip()


def _trust(digest: Digest, confirmed: Confirmed | None, can_test: bool) -> list[str]:
    """How much the errors can be trusted, in plain sentences."""
    best = digest.answer
    if best is None:
        return []
    images, epochs = digest.results.validation_images, format_value("rung", best.rung)
    most = max(network.seeds for network in digest.finished)
    often = "once, with one seed" if most == 1 else f"up to {most} times, with a seed each"
    return [
        _measured(digest, images),
        f"In the search each network was trained {often}, for a short time ({epochs}): longer "
        "training lowers all errors and may change their order, and so would another seed.",
        "The least of many measured errors is biased low, because it decided which network is "
        "taken (selection bias).",
        *_predicted(digest),
        *_unseen(digest, confirmed, can_test),
    ]


def _measured(digest: Digest, images: int) -> str:
    """What the errors are, and what their ± is of."""
    counts, kind = digest.results.class_images, digest.results.study.objectives.error
    told = f"In the search errors are measured on {images:,} validation images"
    if kind == "balanced" and counts is not None:
        there = counts[counts > 0]
        return (
            f"{told} and are the mean of the errors of {counted(len(there), 'class', 'classes')}, "
            f"the smallest with {counted(int(there.min()), 'image')}; the ± is the standard error "
            "of these counts alone."
        )
    what = " and count those whose class is not among the five likeliest" if kind == "top5" else ""
    return f"{told}{what}; the ± is the binomial standard error of that count alone."


def _unseen(digest: Digest, confirmed: Confirmed | None, can_test: bool) -> list[str]:
    if confirmed is not None:
        return ["The results with fresh seeds on the test images are below."]
    if not can_test:
        return []
    return [
        "The test images have not been used: dnsearch confirm "
        f"{shlex.quote(digest.results.typed)} trains some of these networks again with fresh seeds "
        "and measures them there."
    ]


def _can_test(digest: Digest) -> bool:
    """Whether there are test images, as far as can be known here."""
    with contextlib.suppress(DnsearchError):  # the images may lie elsewhere by now
        return had_test(digest.results.data, digest.results.study.data)
    return False


def _predicted(digest: Digest) -> list[str]:
    """What predicted errors are, and what their two intervals hold."""
    assert digest.answer
    if not digest.answer.is_predicted:
        return [
            "With so few networks trained, predicted errors are the measured ones; the interval "
            "holds the choice of images, not the seed."
        ]
    evidence = "training runs"
    if digest.answer.basis is Basis.CONFIRMED:
        evidence += ", those of dnsearch confirm among them,"
    known = "" if digest.going_on is None else "; by how much is said with the answer"
    return [
        f"Predicted errors correct for most of that: a model of all {evidence} together predicts "
        "each network's error averaged over seeds. Of the two 90 % intervals that on these "
        f"images holds for the {digest.images:,} {digest.measured_on} images alone, on which "
        "networks are compared; that on new images adds that others would have been drawn. "
        f"Networks that were not trained may be better still{known}."
    ]


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _plain(value)) for name, value in values.items()]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
