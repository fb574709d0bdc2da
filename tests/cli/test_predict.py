"""``dnsearch predict``: what is told of pictures, and of what is none."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnsearch.arch import ArchConfig, load_network
from dnsearch.export.bundle import write_bundle
from dnsearch.export.predictor import PICTURES_AT_ONCE, Predictor
from dnsearch.export.preprocessing import Preprocessing
from tests.export.networks import network

CLASSES = ("rose", "lily, white", "tulip", "tülle")
ARCH = ArchConfig(4, (1, 1), 8, 2, stem="cifar", num_classes=4)
IMAGES = Preprocessing((3, 8, 8), (0.5,) * 3, (0.25,) * 3, CLASSES)


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "best"
    write_bundle(folder, network(ARCH), IMAGES, "# A network\n")
    return folder


@pytest.fixture(autouse=True)
def _pictures(dnsearch, export) -> None:
    """An export and pictures of exactly its size in the present folder."""
    shutil.copytree(export, "best")
    Path("photos/more").mkdir(parents=True)
    for place, name in enumerate(("b.png", "a.bmp", "more/c.png")):
        Image.fromarray(pixels(place)).save(f"photos/{name}")
    Path("photos/notes.txt").write_text("no picture")


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


def by_hand(seed: int) -> np.ndarray:
    """The probabilities of a picture, (classes,), from its pixels."""
    images = (torch.tensor(pixels(seed)).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    with torch.inference_mode():
        return load_network("best")(images).softmax(1)[0].numpy()


def line(picture: str, seed: int) -> str:
    shares = by_hand(seed)
    best = sorted(range(4), key=lambda i: -shares[i])[:3]
    return f"{picture}: {', '.join(f'{CLASSES[i]} {100 * shares[i]:.1f} %' for i in best)}\n"


def test_classes_and_probabilities(dnsearch):
    code, out, err = dnsearch("predict", "best", "photos/b.png", "photos/more/c.png")
    assert (code, err) == (0, "")
    assert out == line("photos/b.png", 0) + line("photos/more/c.png", 2)


def test_a_folder_is_its_pictures(dnsearch):
    code, out, err = dnsearch("predict", "best", "photos")
    assert (code, err) == (0, "")
    named = (("photos/a.bmp", 1), ("photos/b.png", 0), ("photos/more/c.png", 2))
    assert out == "".join(line(*each) for each in named)


def test_csv(dnsearch):
    assert dnsearch("predict", "best", "photos", "--csv", "found.csv") == (
        0,
        "3 pictures in found.csv\n",
        "",
    )
    with open("found.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "class", "probability", *(f"p({c})" for c in CLASSES)]
    assert [row["image"] for row in rows] == ["photos/a.bmp", "photos/b.png", "photos/more/c.png"]
    for row, seed in zip(rows, (1, 0, 2), strict=True):
        shares = by_hand(seed)
        assert row["class"] == CLASSES[shares.argmax()]
        assert float(row["probability"]) == pytest.approx(shares.max(), rel=1e-4)
        found = [float(row[f"p({name})"]) for name in CLASSES]
        np.testing.assert_allclose(found, shares, rtol=1e-4, atol=1e-9)


def test_every_class_has_its_probability_also_where_some_have_the_same_name(dnsearch):
    """As in exports of earlier versions."""
    names = ("crane", "lily", "crane", "rose")
    write_bundle(Path("older"), network(ARCH), replace(IMAGES, classes=names), "# A network\n")
    told = json.loads(dnsearch("predict", "older", "photos/b.png", "--json").out)
    distinct = ["crane (0)", "lily", "crane (2)", "rose"]
    assert list(told["probabilities"]) == distinct
    np.testing.assert_allclose(list(told["probabilities"].values()), by_hand(0), rtol=1e-4)
    assert told["class"] == distinct[by_hand(0).argmax()]


@pytest.mark.parametrize("table", [(), ("--csv", "found.csv")])
def test_what_cannot_be_read_is_told_and_the_others_go_on(dnsearch, table):
    Path("photos/broken.png").write_bytes(Path("photos/b.png").read_bytes()[:60])
    code, out, err = dnsearch("predict", "best", "none.png", "photos", *table)
    assert code == 1
    assert [re.sub(r": .*", "", each) for each in err.splitlines()] == ["dnsearch"] * 2
    assert "dnsearch: none.png: must be a readable image: No such file or directory\n" in err
    assert "dnsearch: photos/broken.png: must be a readable image: " in err
    if table:
        assert out == "3 pictures in found.csv\n"
        assert Path("found.csv").read_text(encoding="utf-8").count("\n") == 4
    else:
        assert out == line("photos/a.bmp", 1) + line("photos/b.png", 0) + line(
            "photos/more/c.png", 2
        )


def test_none_can_be_read(dnsearch):
    code, out, err = dnsearch("predict", "best", "none.png")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1


def test_many_pictures_are_in_order(dnsearch):
    """More than are read at once, with one that cannot be read among them."""
    names = ["none.png", *["photos/b.png", "photos/a.bmp"] * (PICTURES_AT_ONCE // 2 + 1)]
    code, out, _ = dnsearch("predict", "best", *names)
    assert code == 1
    assert [told.split(":")[0] for told in out.splitlines()] == names[1:]
    assert out.splitlines(keepends=True)[-1] == line("photos/a.bmp", 1)


def test_a_network_of_a_search(dnsearch, trained):
    """By its pick, and the answer by the run's name alone, as the export of it says."""
    shutil.copytree(trained.path, "reports/small")
    assert dnsearch("export", "small", "--to", "out").code == 0
    told = dnsearch("predict", "out", "photos")
    assert told.code == 0
    assert told == dnsearch("predict", "small", "photos")
    assert told == dnsearch("predict", "reports/small:least-error", "photos")


@pytest.mark.parametrize(
    ("typed", "query"),
    [("small", "least-error"), ("small:knee", "knee"), ("reports/small:macs<=1e9", "macs<=1e9")],
)
def test_a_run_alone_is_its_answer(dnsearch, trained, monkeypatch, typed, query):
    shutil.copytree(trained.path, "reports/small")
    asked = []

    def of_run(cls, results, run, query):
        asked.append((results.name, run.name, query))
        return cls.of_folder(Path("best"))

    monkeypatch.setattr(Predictor, "of_run", classmethod(of_run))
    assert dnsearch("predict", typed, "photos").code == 0
    assert asked == [("small", "small", query)]


def test_the_folder_of_a_training(dnsearch):
    Path("reports/net").mkdir(parents=True)
    Path("best").rename("reports/net/network")
    told = dnsearch("predict", "reports/net", "photos")
    assert told.code == 0
    assert told == dnsearch("predict", "reports/net/network", "photos")
    assert told == dnsearch("predict", "net", "photos")


def test_weights_that_are_gone(refused, trained):
    shutil.copytree(trained.path, "reports/small")
    shutil.rmtree("reports/small/checkpoints")
    told = refused("predict", "small", "photos/b.png")
    assert re.fullmatch(
        r"reports/small: the weights of (\w+) were not kept; `dnsearch train small:\1` trains it "
        r"in full \(20 epochs in about .*\)",
        told,
    )


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["best"], r"missing argument 'IMAGE...' \(see dnsearch predict --help\)"),
        (["bets", "photos"], r"there is no run 'bets'; there are no runs in reports/ yet"),
        (["x" * 300, "photos"], r"there is no run 'x+'; there are no runs in reports/ yet"),
        (["bets:knee", "photos"], r"there is no run 'bets'; there are no runs in reports/ yet"),
        (["photos", "photos"], r"photos/config.json: cannot be read: No such file or directory"),
        (["best", "empty"], r"empty: must hold pictures \(.bmp, .*\), has none"),
        (["best", "photos", "--csv", "best/README.md/x"], r"best/README.md/x: cannot be written.*"),
    ],
)
def test_refused(refused, typed, told):
    Path("empty").mkdir()
    assert re.fullmatch(told, refused("predict", *typed))


def test_a_folder_that_lacks_the_preprocessing(refused):
    Path("best/preprocessing.json").unlink()
    told = refused("predict", "best", "photos")
    assert told == "best/preprocessing.json: cannot be read: No such file or directory"
