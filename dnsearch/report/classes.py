"""The report's section "Errors by class": what each recommended network gets wrong, and takes for
what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Candidate
from dnsearch.analysis.metrics import MISSING
from dnsearch.analysis.trust import Interval, wilson_interval
from dnsearch.arrays import Floats, Ints
from dnsearch.confirm.findings import Confirmed
from dnsearch.report.confusion import confusion_figure
from dnsearch.report.digest import Digest
from dnsearch.report.parts import Cell, Picture, Row, Table, interval_cell
from dnsearch.report.style import LOOKS
from dnsearch.text import agreeing, counted, listed

WORST = 20
"""Classes that the table shows of those that have more."""

DRAWN = 20
"""The most classes whose confusion matrix is drawn."""

BESIDE = 12
"""The most classes whose table and confusion matrix fit beside each other."""

FREQUENT = 10
"""Confusions that are listed where the matrix is not drawn."""


class NetworkClasses(NamedTuple):
    """One network by class: ``picks`` say what it is recommended for. ``picture`` is of its
    confusion matrix, or ``confusions`` lists the most frequent; neither where it is unknown.
    ``wide``: whether they need the page's width."""

    picks: str
    name: str
    key: str
    classes: Table
    picture: Picture | None
    confusions: Table | None
    wide: bool = False


class ClassSection(NamedTuple):
    """What ``classes.html.j2`` shows: how to read it, then the networks, the first one opened."""

    reading: str
    networks: list[NetworkClasses]


def class_section(digest: Digest, confirmed: Confirmed | None = None) -> ClassSection | None:
    """Of the recommended networks whose errors by class are known; None where none is. Where none
    is recommended, of the one of least error, whose classes may tell why."""
    images = digest.results.class_images
    labels: dict[Candidate, list[str]] = {}
    for pick, candidate in digest.picks.items():
        labels.setdefault(candidate, []).append(LOOKS[pick].label)
    if not labels and digest.finished:
        least = min(digest.finished, key=lambda each: each.predicted_error)
        labels[least] = ["least error, not recommended"]
    known = {each: picks for each, picks in labels.items() if each.class_errors is not None}
    if images is None or not known:
        return None
    names = [str(name) for name in digest.results.data["classes"]]
    return ClassSection(
        _reading(digest, confirmed),
        [
            _network(place, each, listed(picks), names, images, digest, confirmed)
            for place, (each, picks) in enumerate(known.items())
        ],
    )


def _reading(digest: Digest, confirmed: Confirmed | None) -> str:
    wrong = "whose class is not among the five likeliest"
    if digest.results.study.objectives.error != "top5":
        wrong = "taken for another class"
    said = (
        f"'Wrong' counts the validation images {wrong} in one training of the network; the small "
        "print is the 95 % interval that so few images allow (Wilson 1927), and another seed may "
        "change the order of the classes as well."
    )
    if confirmed is not None and any(network.class_errors for network in confirmed.networks):
        length = counted(confirmed.epochs, "epoch")
        said += f" Test errors are those of the fresh seeds, after {length}."
    return said


def _network(
    place: int,
    candidate: Candidate,
    picks: str,
    names: Sequence[str],
    images: Ints,
    digest: Digest,
    confirmed: Confirmed | None,
) -> NetworkClasses:
    confusion = digest.results.confusion(candidate)
    if confusion is not None and confusion.shape != (len(names), len(names)):
        confusion = None  # of other data
    there = np.flatnonzero(images)
    drawn = confusion is not None and len(there) <= DRAWN
    return NetworkClasses(
        picks=picks,
        name=candidate.name,
        key=candidate.key,
        classes=_classes(candidate, names, images, confusion, _test_shares(candidate, confirmed)),
        picture=_picture(place, names, confusion) if confusion is not None and drawn else None,
        confusions=_frequent(names, confusion) if confusion is not None and not drawn else None,
        wide=len(there) > BESIDE,
    )


def _test_shares(candidate: Candidate, confirmed: Confirmed | None) -> Floats | None:
    """The share of each class's test images that fresh seeds got wrong, (classes,); NaN where
    there is no image, None where it is unknown."""
    network = confirmed.network(candidate.key) if confirmed else None
    if confirmed is None or network is None or not network.class_errors:
        return None
    images = np.array(confirmed.class_images, dtype=np.float64)
    images[images == 0] = np.nan
    return np.mean(network.class_errors, axis=0) / images


def _classes(
    candidate: Candidate,
    names: Sequence[str],
    images: Ints,
    confusion: np.ndarray | None,
    tested: Floats | None,
) -> Table:
    """The worst class first; of equally bad ones that with the more images."""
    wrong = np.array(candidate.class_errors)
    there = np.flatnonzero(images)
    order = there[np.lexsort([-images[there], -wrong[there] / images[there]])]
    columns = ["class", "images", "wrong", "error"]
    columns += ["mostly taken for"] if confusion is not None else []
    columns += ["test error"] if tested is not None else []
    rows = []
    for place in map(int, order[:WORST]):
        share = wilson_interval(int(wrong[place]), int(images[place]))
        cells = [Cell(f"{images[place]:,}"), Cell(f"{wrong[place]:,}"), _percent(share)]
        if confusion is not None:
            cells.append(Cell(_most(confusion[place], place, names)))
        if tested is not None:
            cells.append(Cell(f"{100 * tested[place]:.1f} %" if tested[place] >= 0 else MISSING))
        rows.append(Row(names[place], cells))
    return Table(columns, rows, _left_out(len(order), len(names)))


def _percent(share: Interval) -> Cell:
    return interval_cell(share.scaled(100), ".1f", " %")


def _most(taken: np.ndarray, own: int, names: Sequence[str]) -> str:
    """The class that images of class ``own`` were most often taken for, such as ``dog (12)``."""
    others = taken.copy()
    others[own] = 0
    most = int(others.argmax())
    return f"{names[most]} ({others[most]:,})" if others[most] else ""


def _left_out(there: int, classes: int) -> str:
    notes = []
    if there > WORST:
        notes.append(
            f"The {WORST} worst of {there:,} classes; all are in candidates.csv and summary.json."
        )
    if there < classes:
        missing = counted(classes - there, "class", "classes")
        has = agreeing(classes - there, "has", "have")
        notes.append(f"{missing} {has} no validation image.")
    return " ".join(notes)


def _picture(place: int, names: Sequence[str], confusion: np.ndarray) -> Picture:
    return Picture(
        anchor=f"confusion-{place}",
        title="Confusion matrix",
        reading="Each row is a class and its images, each column what they were taken for; the "
        "stronger the colour, the larger the share of the row. Images on the diagonal are right.",
        figure=confusion_figure(names, confusion),
        note="",
    )


def _frequent(names: Sequence[str], confusion: np.ndarray) -> Table:
    images = confusion.sum(axis=1)
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:FREQUENT]
    pairs = [divmod(int(place), len(names)) for place in order]
    rows = [
        Row(
            names[a],
            [Cell(names[b]), Cell(f"{mistakes[a, b]:,}"), _share(mistakes[a, b], images[a])],
        )
        for a, b in pairs
        if mistakes[a, b]
    ]
    note = f"The {len(rows)} most frequent mistakes." if rows else "No image was taken for another."
    return Table(["class", "taken for", "images", "of its class"], rows, note)


def _share(part: int, whole: int) -> Cell:
    return Cell(f"{100 * part / whole:.0f} %")
