"""``dnsearch report --figures``: the pictures as files."""

from __future__ import annotations

import importlib.util
import shutil
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dnsearch.errors import ConfigError, DnsearchError
from dnsearch.report import figure_files
from dnsearch.report.digest import digest
from dnsearch.report.figure_files import checked_formats, framed, shown_pictures, write_figures
from dnsearch.report.pictures import pictures
from tests.scaling.planted import good

from .conftest import STATES

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

draws = pytest.mark.skipif(
    importlib.util.find_spec("kaleido") is None or BROWSER is None,
    reason="needs kaleido and a browser",
)


@pytest.fixture(scope="module")
def found():
    return digest(STATES["usual"]())


@draws
def test_every_picture_is_a_file_in_every_format(found, tmp_path):
    paths = write_figures(found, None, None, tmp_path / "figures", ["png", "svg"])
    by_name = {
        name: (picture.title, figure)
        for picture in pictures(found)
        for name, figure in [
            *((f"{picture.anchor}-{each.name}", each.figure) for each in picture.choices),
            *([] if picture.choices else [(picture.anchor, picture.figure)]),
        ]
    }
    assert "front-macs" in by_name
    names = [f"{name}.{kind}" for kind in ("png", "svg") for name in by_name]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    for path in paths:
        title, figure = by_name[path.stem]
        if path.suffix == ".png":
            head = path.read_bytes()[:24]
            assert head[:8] == b"\x89PNG\r\n\x1a\n"
            width, height = struct.unpack(">II", head[16:24])
            assert (width, height) == (1800, 2 * (figure.layout.height + 34))
        else:
            text = "".join(ElementTree.parse(path).getroot().itertext())
            assert title in text


@draws
def test_what_cannot_be_drawn_leaves_nothing(found, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no browser\nhere")

    monkeypatch.setattr(figure_files.plotly.io, "write_images", broken)
    with pytest.raises(DnsearchError, match="cannot be drawn: no browser here; kaleido needs"):
        write_figures(found, None, None, tmp_path / "figures", ["png"])
    assert not (tmp_path / "figures").exists()


def test_pictures_of_scaling_are_among_them(found):
    anchors = [each.anchor for each in shown_pictures(found, None, good())]
    assert {"scaling-macs", "scaling-params", "front"} <= set(anchors)
    assert len(anchors) == len(set(anchors))


def test_a_framed_figure_leaves_the_pages_as_it_was(found):
    figure = pictures(found)[0].figure
    before = figure.to_json()
    assert framed(figure, "title").layout.paper_bgcolor == "white"
    assert figure.to_json() == before


def test_formats_are_checked_before_anything_is_written(monkeypatch):
    with pytest.raises(ConfigError, match="--figures names no format, got 'bmp'"):
        checked_formats("png,bmp")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DnsearchError, match="--figures needs kaleido; install it with `pip inst"):
        checked_formats("png")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert checked_formats("png, SVG,png") == ["png", "svg"]


def test_nothing_to_draw_writes_nothing(tmp_path):
    empty = digest(STATES["empty"]())
    assert write_figures(empty, None, None, tmp_path / "figures", ["png"]) == []
    assert list(Path(tmp_path).iterdir()) == []
