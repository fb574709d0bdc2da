"""Pages that open offline: style, scripts and plotly.js are inside, nothing is loaded from
elsewhere, and a Content-Security-Policy sees to it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from dnsearch import __version__
from dnsearch.report.style import COLOURS, CONFIG
from dnsearch.report.words import WORDS
from dnsearch.text import capitalised

_TEMPLATES = files("dnsearch.report") / "templates"

SCRIPTS = (
    "elements",
    "reloading",
    "selection",
    "table",
    "page",
    "drawing",
    "networks",
    "comparison",
    "parallel",
    "figures",
)
"""The files of ``templates/`` that are a page's script, in this order, within one function."""


def render_template(template: str, under_way: str = "", **content: Any) -> str:
    """The whole page from a template that extends ``base.html.j2``; all text is escaped.

    under_way: how far that is which the page tells of, where it goes on.
    """
    data, script = Packed(), _script()
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "unbroken": _unbroken,
        "plot": data.plot,
        "figure": data.figure,
        "anchor": anchor,
        "linked": _linked,
        "capitalised": capitalised,
    }
    return environment.get_template(template).render(
        style=Markup(_source("report.css")),
        script=Markup(script),
        policy=_policy(script, get_plotlyjs()),
        packed=data,
        version=__version__,
        written=datetime.now(UTC),
        under_way=under_way,
        **content,
    )


class Packed:
    """What the scripts of a page read, gathered while it is rendered. It stands in the page
    compressed, which takes a page of 2,000 candidates from 11 MB to less than 6."""

    def __init__(self) -> None:
        self.figures: list[Any] = []
        self._numbers: dict[int, int] = {}

    def figure(self, figure: go.Figure) -> int:
        """The number by which the page's script finds this figure."""
        if id(figure) not in self._numbers:
            self._numbers[id(figure)] = len(self.figures)
            self.figures.append(json.loads(str(figure.to_json())))
        return self._numbers[id(figure)]

    def plot(self, figure: go.Figure, title: str) -> Markup:
        """The element in which the figure is drawn."""
        return Markup(
            '<div class="plot" role="img" aria-label="{}" data-figure="{}"></div>'
        ).format(title, self.figure(figure))

    def data(self, **more: Any) -> Markup:
        """The figures and ``more``, for the script element called ``data``."""
        values = {"figures": self.figures, "config": CONFIG, "colours": COLOURS, **more}
        return packed(json.dumps(values, separators=(",", ":"), allow_nan=False))

    @property
    def plotly(self) -> Markup:
        """plotly.js, for the script element of this name; empty on a page without figures."""
        return _plotly() if self.figures else Markup("")


@cache
def _plotly() -> Markup:
    return packed(get_plotlyjs())


def packed(text: str) -> Markup:
    """The text compressed, in base64; ``unpacked`` reads it."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii"))


def unpacked(text: str) -> str:
    """What was ``packed``."""
    return gzip.decompress(base64.b64decode(text)).decode()


def _script() -> str:
    """The page's own script: all of ``SCRIPTS`` in one function, so that nothing is global."""
    parts = "\n".join(_source(f"{name}.js") for name in SCRIPTS)
    return f"(async () => {{\n{parts}}})();\n"


def _policy(*scripts: str) -> str:
    """The Content-Security-Policy of a page that runs these scripts and loads nothing.

    Styles may stand anywhere, as plotly.js writes them; it draws a picture to be saved as an image.
    """
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in scripts]
    allowed = " ".join(f"'sha256-{each.decode('ascii')}'" for each in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _unbroken(text: str) -> Markup:
    """The text, escaped, with depths such as 6-12-24 and figures in percent kept on one line."""
    kept = re.sub(r"\d+(-\d+)+", r'<span class="unbroken">\g<0></span>', str(escape(text)))
    return Markup(re.sub(r"(?<=\d) %", "\u00a0%", kept))


def anchor(term: str) -> str:
    """The id of a term in the glossary."""
    return "word-" + re.sub(r"[^a-z]+", "-", term.lower()).strip("-")


def _linked(text: str) -> Markup:
    """The text, escaped, with the first use of each term of the glossary as a link to it."""
    seen: set[str] = set()

    def link(found: re.Match[str]) -> str:
        term = _TERMS[found[0]]
        if term in seen:
            return found[0]
        seen.add(term)
        return f'<a class="term" href="#{anchor(term)}">{found[0]}</a>'

    return Markup(_TERM.sub(link, str(_unbroken(text))))


def _terms() -> dict[str, str]:
    """What may stand in a text for each term: its parts, such as ``bn_size`` of ``bn, bn_size``."""
    parts = {part: term for term in WORDS for part in (term, *term.split(", ")) if len(part) > 3}
    return {part: term for part, term in parts.items() if part not in ("network", "least error")}


_TERMS = _terms() | {
    "predicted": "predicted error",
    "seed": "training run",
    "seeds": "training run",
}
_TERM = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(map(re.escape, _TERMS), key=len)[::-1])})(?![\w-])"
)
