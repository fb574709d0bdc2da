"""A report's pictures as files of their own, for papers and slides; drawn by kaleido."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import plotly.io

from dnsearch.errors import ConfigError, DnsearchError, RunError, cannot_write, nearest
from dnsearch.files import atomic, folder_aside
from dnsearch.report.certificate import section as confirmed_section
from dnsearch.report.choices import choices_section
from dnsearch.report.pictures import pictures
from dnsearch.report.scaling import section as scaling_section
from dnsearch.report.style import FONT

if TYPE_CHECKING:
    from dnsearch.confirm.findings import Confirmed
    from dnsearch.report.digest import Digest
    from dnsearch.report.parts import Picture
    from dnsearch.scaling.study import Scaling

FORMATS = ("png", "svg", "pdf", "jpg", "webp")

WIDTH, SCALE = 900, 2
"""In pixels, and how many of them a pixel of a png takes."""

TEXT, GRID = "#1b1f24", "#e6e9ed"
"""As the page has them on a bright screen."""

TITLE_HEIGHT = 34


def checked_formats(text: str) -> list[str]:
    """The formats in a list joined by commas, each once.

    Raises ConfigError for one that is none of ``FORMATS``, and DnsearchError where kaleido is
    missing.
    """
    found = list(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    for each in found:
        if each not in FORMATS:
            raise ConfigError("--figures", "names no format", each, nearest(each, FORMATS))
    if importlib.util.find_spec("kaleido") is None:
        raise DnsearchError("--figures needs kaleido; install it with `pip install kaleido`")
    return found


def write_figures(
    digest: Digest,
    confirmed: Confirmed | None,
    scaling: Scaling | str | None,
    folder: Path,
    formats: Sequence[str],
) -> list[Path]:
    """Writes every picture of the report into the folder, a file a format; their paths.

    Raises RunError where one cannot be drawn, which takes a Chrome or Chromium, or written.
    """
    shown = {
        name: framed(figure, title)
        for picture in shown_pictures(digest, confirmed, scaling)
        for name, title, figure in _figures_of(picture)
    }
    paths = [folder / f"{name}.{kind}" for kind in formats for name in shown]
    if not paths:
        return []
    try:
        with folder_aside(folder) as aside:
            drawn = [aside / path.name for path in paths]
            _draw([figure for _ in formats for figure in shown.values()], drawn)
            for path, made in zip(paths, drawn, strict=True):
                with atomic(path) as place:
                    place.write_bytes(made.read_bytes())
    except OSError as error:
        raise cannot_write(folder, error) from None
    return paths


def _draw(figures: Sequence[go.Figure], files: Sequence[Path]) -> None:
    """All at once, since starting a browser takes longest."""
    heights: list[Any] = [figure["layout"]["height"] for figure in figures]
    try:
        plotly.io.write_images(
            list(figures),
            list(files),
            width=WIDTH,
            height=heights,
            scale=[_scale(file) for file in files],
        )
    except Exception as error:  # kaleido's and its browser's are of many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(
            f"the figures cannot be drawn: {reason[:200]}; kaleido needs Chrome or Chromium, "
            "BROWSER_PATH says where one is"
        ) from None


def _scale(file: Path) -> int:
    return 1 if file.suffix in (".svg", ".pdf") else SCALE


def shown_pictures(
    digest: Digest, confirmed: Confirmed | None, scaling: Scaling | str | None
) -> list[Picture]:
    """The pictures of a report, but for those of single classes."""
    found, choices = pictures(digest), choices_section(digest)
    found += [choices.picture] if choices else []
    if confirmed is not None:
        section = confirmed_section(confirmed)
        found += [section.errors, section.signals]
    return found + (scaling_section(scaling).pictures if scaling else [])


def _figures_of(picture: Picture) -> Iterator[tuple[str, str, go.Figure]]:
    """The name of a file, a title, and the figure; each choice is one of its own."""
    if picture.choices:
        for choice in picture.choices:
            title = f"{picture.title}: {choice.label}"
            yield f"{picture.anchor}-{choice.name}", title, choice.figure
    elif picture.figure is not None:
        yield picture.anchor, picture.title, picture.figure


def framed(figure: go.Figure, title: str = "") -> go.Figure:
    """A copy on white, in the colours that on a page are the style sheet's, with its title."""
    found = go.Figure(figure)
    found.update_layout(
        paper_bgcolor="white", plot_bgcolor="white", font={"family": FONT, "color": TEXT}
    )
    for trace in found.data:
        if trace.visible == "legendonly":  # a file has no legend to click
            trace.update(visible=False)
    found.update_xaxes(gridcolor=GRID)
    found.update_yaxes(gridcolor=GRID)
    if title:
        shape: Any = found["layout"]
        top, height = shape.margin.t or 0, shape.height or 450
        found.update_layout(
            title={"text": title, "x": 0.02, "y": 0.98, "yanchor": "top", "font": {"size": 17}},
            margin={"t": top + TITLE_HEIGHT},
            height=height + TITLE_HEIGHT,
        )
    return found
