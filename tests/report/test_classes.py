"""Errors by class: the table, the confusion matrix, and what the error is called everywhere."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dnsearch.analysis.trust import wilson_interval
from dnsearch.config import StudyConfig
from dnsearch.report.classes import class_section
from dnsearch.report.confusion import confusion_figure
from dnsearch.report.digest import Digest, digest
from dnsearch.report.page import candidates_csv, render
from dnsearch.report.summary import summary
from dnsearch.search.results import Results
from tests.confirm.invented import confirmation

from . import synthetic
from .reader import Reader

IMAGES = [700, 200, 60, 30, 10, 0]
WRONG = (7, 20, 30, 3, 9, 0)
NAMES = ["cat", "dog", "<b>cow", "emu", "owl", "yak"]


def matrix(classes: int = 6) -> np.ndarray:
    """What is wrong is taken for the next class but one."""
    found = np.zeros((classes, classes), np.int32)
    for place, (images, wrong) in enumerate(zip(IMAGES, WRONG, strict=True)):
        found[place, place] = images - wrong
        found[place, (place + 2) % classes] += wrong
    return found


def results(classes: list[str] = NAMES, error: str = "top1", **changes) -> Results:
    """A run of one network with these classes; those after the sixth have 700 images each."""
    images = IMAGES + [700] * (len(classes) - 6)
    data = synthetic.DATA | {
        "classes": classes,
        "class_counts": {"train": images, "validation": images},
    }
    study = StudyConfig.model_validate({"objectives": {"error": error}})
    given = {"confusion": lambda _: matrix(len(classes))} | changes
    wrong = WRONG + (0,) * (len(classes) - 6)
    found = synthetic.results(1, data=data, study=study, **given)
    return synthetic.changed(found, 0, error=0.01, class_errors=wrong, error_kind=error)


def section(found: Results, confirmed=None):
    return class_section(digest(found), confirmed)


def test_the_worst_class_comes_first_with_its_interval():
    (network,) = section(results()).networks
    rows = [(row.name, *(cell.text for cell in row.cells)) for row in network.classes.rows]
    assert rows == [
        ("owl", "10", "9", "90.0 %", "cat (9)"),
        ("<b>cow", "60", "30", "50.0 %", "owl (30)"),
        ("dog", "200", "20", "10.0 %", "emu (20)"),
        ("emu", "30", "3", "10.0 %", "yak (3)"),
        ("cat", "700", "7", "1.0 %", "<b>cow (7)"),
    ]
    assert network.classes.rows[0].cells[2].notes == ["59.6 to 98.2 %"]
    assert network.classes.note == "1 class has no validation image."
    assert sorted(re.split(", | and ", network.picks)) == ["knee", "least cost", "least error"]


@pytest.mark.parametrize(
    ("wrong", "images", "low", "high"),
    [(0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_intervals_are_those_published(wrong, images, low, high):
    """The last from Newcombe 1998, table I; the others from Wilson's formula by hand."""
    found = wilson_interval(wrong, images)
    assert found == pytest.approx((wrong / images, low, high), abs=5e-5)


def test_of_no_image_nothing_is_known():
    assert not wilson_interval(0, 0).is_known


def test_the_picture_has_every_count_once():
    figure = confusion_figure(NAMES, matrix())
    texts = [np.array(part.text) for part in figure.data]
    told = np.where(texts[0] != "", texts[0], texts[1])
    there = np.where(matrix() > 0, matrix().astype(str), "")
    there[5, 5] = "0"
    assert told.tolist() == there.tolist()
    assert figure.layout.yaxis.autorange == "reversed"
    assert figure.layout.xaxis.ticktext[2] == "&lt;b&gt;cow"
    assert "9 of 10 images of owl were taken for cat (90 %)" in figure.data[0].hovertext[4]


def test_classes_that_neither_occur_nor_are_named_are_not_drawn():
    names = [*NAMES, "zebu", "gnu"]
    drawn = confusion_figure(names, np.pad(matrix(), (0, 2)))
    assert list(drawn.layout.xaxis.ticktext[-1:]) == ["yak"]


def test_of_many_classes_the_most_frequent_mistakes_are_listed():
    names = [f"class {n}" for n in range(30)]
    counts = {"train": [40] * 30, "validation": [40] * 30}
    data = synthetic.DATA | {"classes": names, "class_counts": counts}
    confusion = np.full((30, 30), 1, np.int32)
    confusion[3, 4], confusion[20, 3] = 9, 12
    wrong = tuple((confusion.sum(1) - confusion.diagonal()).tolist())
    found = synthetic.results(1, data=data, confusion=lambda _: confusion)
    (network,) = section(synthetic.changed(found, 0, class_errors=wrong)).networks
    assert network.picture is None
    assert len(network.confusions.rows) == 10
    first = [(row.name, *(cell.text for cell in row.cells)) for row in network.confusions.rows[:2]]
    assert first == [("class 20", "class 3", "12", "29 %"), ("class 3", "class 4", "9", "24 %")]
    assert len(network.classes.rows) == 20
    assert network.classes.note.startswith("The 20 worst of 30 classes; all are in candidates.csv")


def test_without_weights_the_table_stands_alone():
    (network,) = section(results(confusion=lambda _: None)).networks
    assert (network.picture, network.confusions) == (None, None)
    assert network.classes.columns == ["class", "images", "wrong", "error"]
    (other,) = section(results(confusion=lambda _: matrix()[:3, :3])).networks
    assert other.picture is None


def test_runs_that_did_not_count_have_no_section():
    found = synthetic.results(3)
    assert section(found) is None
    assert "Errors by class" not in Reader(render(digest(found))).text


def test_where_none_is_recommended_the_least_error_shows_why():
    """It names one class alone, which a page of no answer must be able to tell."""
    found = synthetic.changed(results(), 0, error=0.5, class_errors=(0, 200, 60, 30, 10, 0))
    told = digest(found)
    assert not told.picks
    (network,) = class_section(told).networks
    assert network.picks == "least error, not recommended"
    assert [row.cells[2].text for row in network.classes.rows] == ["100.0 %"] * 4 + ["0.0 %"]


def test_test_errors_of_fresh_seeds_stand_beside():
    found = results()
    key = digest(found).picks["knee"].key
    tests = confirmation(n=4)
    network = replace(
        tests.networks[0],
        candidate=found.measured[0],
        class_errors=((10, 0, 0, 0, 5, 0), (30, 0, 0, 0, 4, 0)),
    )
    told = replace(tests, networks=(network,), class_images=(100, 10, 10, 10, 10, 0))
    assert network.key == key
    shown = section(found, told)
    last = {row.name: row.cells[-1].text for row in shown.networks[0].classes.rows}
    assert last == {"owl": "45.0 %", "<b>cow": "0.0 %", "dog": "0.0 %", "emu": "0.0 %",
                    "cat": "20.0 %"}  # fmt: skip
    assert "Test errors are those of the fresh seeds" in shown.reading


def test_the_page_shows_it_escaped():
    page = Reader(render(digest(results())))
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert "Errors by class" in page.text
    assert "<b>cow" in page.text
    assert any(figure["data"][0]["type"] == "heatmap" for figure in page.figures)


def test_other_programs_read_the_same():
    found: Digest = digest(results(error="balanced"))
    table = pd.read_csv(io.StringIO(candidates_csv(found)))
    assert json.loads(table["class_errors"][0]) == list(WRONG)
    told = summary(found)
    assert told["error_kind"] == "balanced"
    assert told["picks"]["knee"]["class_errors"] == list(WRONG)
    old = digest(synthetic.results(1))
    assert pd.read_csv(io.StringIO(candidates_csv(old)), keep_default_na=False)["class_errors"][0] \
        == "null"  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("top1", "validation error"),
        ("balanced", "balanced validation error"),
        ("top5", "top-5 validation error"),
    ],
)
def test_the_error_is_called_what_it_is(kind, name):
    page = Reader(render(digest(results([*NAMES, "ant", "bee", "fly", "gnat"], error=kind))))
    titles = [
        figure["layout"].get("yaxis", {}).get("title", {}).get("text") for figure in page.figures
    ]
    assert titles[0] == name  # against cost
    assert name in titles[titles.index("hypervolume") :]  # over epochs
    assert f"{name.capitalize()} against" in page.text
    assert f"% {name}" in page.text
    told = "the smallest with 10 images" in page.text
    assert told == (kind == "balanced")
    assert ("binomial" in page.text) == (kind != "balanced")
