"""Reads a page as a browser would: its elements, text and what its scripts are given."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from dnsearch.report.html import unpacked


class Reader(HTMLParser):
    """Collects a page's elements, what they refer to, its text, and the data of its scripts."""

    VOID = ("meta", "input", "img", "link", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self.open: list[str] = []
        self.script = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        references = [found[name] for name in ("src", "href", "data") if name in found]
        self.references += [each for each in references if not each.startswith("#")]
        self.handlers += [name for name in found if name.startswith("on")]
        self.ids += [found["id"]] if "id" in found else []
        self.script = found.get("id", "") if tag == "script" else ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            if self.script == "data":
                self.data = json.loads(unpacked(data))
        elif not self.open or self.open[-1] != "style":
            self.text += data.replace("\u00a0", " ")

    @property
    def figures(self) -> list[dict]:
        """All that may be drawn."""
        return self.data.get("figures", [])
