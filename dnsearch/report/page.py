"""Writes a run's report: ``report.html``, ``candidates.csv`` and ``summary.json``."""

from __future__ import annotations

import contextlib
import json
import math
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dnsearch.analysis.frames import Candidate, records, texts
from dnsearch.analysis.metrics import METRICS, format_error, format_value
from dnsearch.config import to_toml
from dnsearch.confirm.findings import Confirmed, confirmed, confirmed_record
from dnsearch.data import had_test
from dnsearch.errors import DnsearchError, RunError
from dnsearch.report.certificate import section
from dnsearch.report.certificate_figures import error_interval
from dnsearch.report.digest import (
    FIGURES,
    Digest,
    answer,
    digest,
    error_of,
    export_command,
    summary,
    sure,
    sureness_of,
)
from dnsearch.report.html import render_template
from dnsearch.report.pictures import pictures
from dnsearch.report.scaling import section as forecast_section
from dnsearch.report.style import LOOKS
from dnsearch.report.table import table
from dnsearch.rundir import RunDir, write_json, write_text

if TYPE_CHECKING:
    from dnsearch.scaling.study import Scaling
    from dnsearch.search.results import Results


class Card(NamedTuple):
    """A recommended network; one that wins in several ways has one card. ``error`` is followed by
    what it is."""

    labels: list[str]
    colour: str
    name: str
    key: str
    error: str
    what: str
    figures: list[tuple[str, str]]
    command: str


def write_report(results: Results, folder: Path, scaling: Scaling | None = None) -> Path:
    """Writes the three files into ``folder``, made if need be, and returns the page's path.

    ``scaling``: what the run, maybe with others, says of larger networks; by default what it says
    alone, where that was asked for. Each file is replaced whole, so a reader never sees half of
    one. Raises RunError where that fails.
    """
    found = digest(results)
    checked = confirmed(found)
    record = confirmed_record(checked) if checked else None
    write_json(folder / "summary.json", summary(found) | {"confirmed": record})
    write_text(folder / "candidates.csv", candidates_csv(found))
    page = folder / "report.html"
    write_text(page, render(found, checked, scaling or _own_scaling(results, folder)))
    return page


def candidates_csv(digest: Digest) -> str:
    """All candidates with their columns and ``front``; curves as JSON text."""
    rows = digest.candidates.drop(columns="error_se")
    told = {name: [json.dumps(value) for value in rows[name]] for name in ("curve", "zero_cost")}
    rows = rows.assign(**told)
    return rows.to_csv(index=False, lineterminator="\n")


def _own_scaling(results: Results, folder: Path) -> Scaling | None:
    """Of a run that was made for it or that ``dnsearch scale`` was asked about, as it was asked."""
    asked: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        asked = json.loads((folder / "scaling.json").read_text(encoding="utf-8"))
    if not asked and results.study.search.sampler != "scaling":
        return None
    from dnsearch.scaling.study import TIMES, study_scaling
    from dnsearch.search.results import read_results

    try:
        others = [
            read_results(RunDir.find(name, folder.parent), beliefs=True)
            for name in asked.get("runs", ())[1:]
        ]
        times = [each["times"] for each in asked.get("next", ())] or TIMES
        return study_scaling([results, *others], asked.get("cost", "macs"), times)
    except RunError:  # there is too little of it yet, or another run is gone
        return None


def render(
    digest: Digest, confirmed: Confirmed | None = None, scaling: Scaling | None = None
) -> str:
    """The whole page as HTML."""
    return render_template("report.html.j2", **_content(digest, confirmed, scaling))


def _content(
    digest: Digest, confirmed: Confirmed | None, scaling: Scaling | None
) -> dict[str, Any]:
    results = digest.results
    checked = section(confirmed) if confirmed else None
    return {
        "kind": "report",
        "name": results.name,
        "answer": f"{answer(digest)} Confirmed with fresh seeds: {checked.answer}"
        if checked
        else answer(digest),
        "facts": _facts(digest),
        "cards": _cards(digest, confirmed),
        "trust": _trust(digest, confirmed),
        "confirmed": checked,
        "scaling": forecast_section(scaling) if scaling else None,
        "failures": _failures(digest),
        "pictures": pictures(digest),
        "table": table(digest),
        "settings": to_toml(results.study),
        "about": {"Data": _pairs(results.data), "Environment": _pairs(results.environment)},
    }


def _facts(digest: Digest) -> list[str]:
    counts = digest.counts
    facts = [f"{counts['finished']} of {counts['candidates']} candidates finished"]
    if counts["screened"]:
        facts.append(f"{counts['screened']} stopped at a lower rung")
    if counts["partial"]:
        facts.append(f"{counts['partial']} on part of the images")
    if counts["failed"]:
        facts.append(f"{counts['failed']} failed")
    if counts["unfit"]:
        facts.append(f"{counts['unfit']} over a measured limit")
    facts.append(f"{format_value('finished_after', digest.results.seconds)} of search")
    facts.append(f"{format_value('train_macs', digest.train_macs)} of training")
    facts.append(str(digest.results.data["name"]))
    return facts


def _cards(digest: Digest, confirmed: Confirmed | None) -> list[Card]:
    tested = {row["key"]: row for row in records(confirmed.candidates)} if confirmed else {}
    grouped: dict[int, list[str]] = {}
    for name, row in digest.picks.items():
        grouped.setdefault(row["number"], []).append(name)
    cards = []
    for first, *others in grouped.values():
        row = digest.picks[first]
        error, percent, what = error_of(row).partition(" %")
        told = dict.fromkeys((*digest.costs, *FIGURES, "depth", "seconds"))
        cards.append(
            Card(
                labels=[LOOKS[name].label for name in (first, *others)],
                colour=LOOKS[first].colour,
                name=row["name"],
                key=row["key"],
                error=error + percent,
                what=what,
                figures=_estimate(row)
                + _tested(tested.get(row["key"]))
                + [_labelled(n, row[n]) for n in told if math.isfinite(row[n])],
                command=export_command(digest.results.name, first),
            )
        )
    return cards


def _estimate(row: Candidate) -> list[tuple[str, str]]:
    """What was measured where the error told is another, and how sure its place on the front is."""
    if not math.isfinite(row["believed_error"]):
        return []
    return [
        ("measured", format_error(row["error"], row["error_se"])),
        ("on the front", sure(row["front_probability"]).removeprefix("with ")),
    ]


def _tested(row: Candidate | None) -> list[tuple[str, str]]:
    """What fresh seeds and the test images said."""
    if row is None or not math.isfinite(row["test_mean"]):
        return []
    return [("test error", error_interval(row))]


def _labelled(name: str, value: float) -> tuple[str, str]:
    """Label and value, the unit left out where the label is the unit: MACs, 3.2 M."""
    short = METRICS[name].short
    return short, format_value(name, value).removesuffix(short).rstrip()


def _trust(digest: Digest, confirmed: Confirmed | None) -> list[str]:
    """What the errors are worth, in plain sentences."""
    if not digest.picks:
        return []
    knee, images = digest.picks["knee"], digest.validation_images
    epochs, spread = format_value("rung", knee["rung"]), 100 * float(knee["error_se"])
    most = Counter(texts(digest.finished, "key")).most_common(1)[0][1]
    often = "once, with one seed" if most == 1 else f"up to {most} times, with a seed each"
    return [
        f"Errors are measured on {images:,} validation images; the ± is the binomial standard "
        "error of that count alone.",
        f"Each candidate was trained {often}, for a short time ({epochs}): longer training lowers "
        "all errors and may change their order, and another seed would move each.",
        f"So take networks whose errors differ by less than two standard errors, about "
        f"{2 * spread:.1f} points near the knee, as equally good, and prefer the cheaper one.",
        "The front is of measured errors, and who is on it was chosen by them: they flatter.",
        *_pooled(digest),
        *_unseen(digest, confirmed),
    ]


def _unseen(digest: Digest, confirmed: Confirmed | None) -> list[str]:
    if confirmed is not None:
        return ["What fresh seeds and the test images say stands below."]
    tests = False
    with contextlib.suppress(DnsearchError):  # the images may lie elsewhere by now
        tests = had_test(digest.results.data, digest.results.study.data)
    if not tests:
        return []
    return [
        "The test images have not been used: dnsearch confirm "
        f"{shlex.quote(digest.results.name)} trains some of these networks again with fresh seeds "
        "and measures them there."
    ]


def _pooled(digest: Digest) -> list[str]:
    """What the surrogate makes of all trainings together."""
    how_sure = sureness_of(digest)
    if not how_sure:
        return []
    return [
        "The expected errors take most of that back: they are what all trainings together say of a "
        "network's error on these images in the mean over seeds, with a 90 % interval, given how "
        "alike networks of like shape and size score; by them the recommended ones are chosen. "
        f"{digest.picks['least-error']['name']} is {how_sure}; networks that were not "
        "trained may be better still.",
    ]


def _failures(digest: Digest) -> list[tuple[int, str]]:
    """Reasons with their counts, the most frequent first."""
    reasons = Counter(reason for reason in texts(digest.candidates, "failure") if reason.strip())
    return [(count, reason) for reason, count in reasons.most_common()]


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _plain(value)) for name, value in values.items()]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
