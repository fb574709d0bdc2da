"""Every public function, class, method and property says what it is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dnsearch

ROOT = Path(dnsearch.__file__).parent
NOT_YET = {"cli", "confirm", "replay", "report", "scaling", "search"}
"""Packages of which some still lack one."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Public definitions without a docstring; what stands inside functions is nobody's to call."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        if not (ast.get_docstring(node) or "").strip():
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{prefix}{node.name}.")


def modules() -> list[str]:
    found = (path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py")))
    return [str(path) for path in found if path.parts[0] not in NOT_YET]


@pytest.mark.parametrize("module", modules())
def test_public_names_have_docstrings(module):
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body, "the module itself"
    assert list(undocumented(tree.body)) == []


def test_what_is_found():
    text = "class A:\n  def b(self): 0\n  def _c(self): 0\ndef d():\n  'd'\n  def e(): 0"
    assert list(undocumented(ast.parse(text).body)) == ["A", "A.b"]
