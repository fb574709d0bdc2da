"""Pages that open offline: style, scripts and plotly.js are inside, nothing is loaded from
elsewhere."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from dnsearch import __version__
from dnsearch.report.style import CONFIG
from dnsearch.report.words import WORDS
from dnsearch.text import capitalised

_TEMPLATES = files("dnsearch.report") / "templates"


def render_template(template: str, under_way: str = "", **content: Any) -> str:
    """The whole page from a template that extends ``base.html.j2``; all text is escaped.

    under_way: how far that is which the page tells of, where it goes on.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "unbroken": _unbroken,
        "figure_json": _figure_json,
        "data_json": _data_json,
        "anchor": anchor,
        "linked": _linked,
        "capitalised": capitalised,
    }
    return environment.get_template(template).render(
        style=Markup(_source("report.css")),
        script=Markup(_source("report.js")),
        plotly=Markup(get_plotlyjs()),
        config=Markup(json.dumps(CONFIG)),
        version=__version__,
        written=datetime.now(UTC),
        under_way=under_way,
        **content,
    )


def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _unbroken(text: str) -> Markup:
    """The text, escaped, with depths such as 6-12-24 kept on one line."""
    return Markup(re.sub(r"\d+(-\d+)+", r'<span class="unbroken">\g<0></span>', str(escape(text))))


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


_TERMS = _terms() | {"expected": "predicted error", "seed": "training run", "seeds": "training run"}
_TERM = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(map(re.escape, _TERMS), key=len)[::-1])})(?![\w-])"
)


def _figure_json(figure: go.Figure) -> Markup:
    """The figure for ``Plotly.newPlot``, safe inside a script element."""
    return _in_script(str(figure.to_json()))


def _data_json(values: Any) -> Markup:
    """The values for ``JSON.parse``, safe inside a script element."""
    return _in_script(
        json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    )


def _in_script(text: str) -> Markup:
    return Markup(text.replace("<", "\\u003c"))
