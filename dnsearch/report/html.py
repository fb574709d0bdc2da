"""Pages that open offline: style, scripts and plotly.js are inside, nothing is loaded from
elsewhere."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from dnsearch import __version__
from dnsearch.report.style import CONFIG

_TEMPLATES = files("dnsearch.report") / "templates"


def render_template(template: str, **content: Any) -> str:
    """The whole page from a template that extends ``base.html.j2``; all text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"unbroken": _unbroken, "figure_json": _figure_json}
    return environment.get_template(template).render(
        style=Markup(_source("report.css")),
        script=Markup(_source("report.js")),
        plotly=Markup(get_plotlyjs()),
        config=Markup(json.dumps(CONFIG)),
        version=__version__,
        **content,
    )


def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _unbroken(text: str) -> Markup:
    """The text, escaped, with depths such as 6-12-24 kept on one line."""
    return Markup(re.sub(r"\d+(-\d+)+", r'<span class="unbroken">\g<0></span>', str(escape(text))))


def _figure_json(figure: go.Figure) -> Markup:
    """The figure for ``Plotly.newPlot``, safe inside a script element."""
    return Markup(str(figure.to_json()).replace("<", "\\u003c"))
