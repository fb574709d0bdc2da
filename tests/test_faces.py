"""What a user imports comes from a few packages, which import nothing heavy before it is needed."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

LIGHT = (
    "arch", "config", "confirm", "cost", "data",
    "replay", "report", "scaling", "search", "training",
)  # fmt: skip
FACES = (*LIGHT, "export")
HEAVY = ("torch", "fvcore", "optuna", "pandas", "plotly", "pyarrow")


@pytest.mark.parametrize("face", FACES)
def test_all_names_are_there_with_a_docstring(face):
    package = importlib.import_module(f"dnsearch.{face}")
    assert package.__doc__
    for name in package.__all__:
        found = getattr(package, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert found.__doc__, name
            assert found.__module__.startswith(f"dnsearch.{face}"), name


@pytest.mark.parametrize("face", FACES)
def test_other_names_are_not(face):
    package = importlib.import_module(f"dnsearch.{face}")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_nothing_heavy_is_imported():
    lines = ["import sys", *(f"import dnsearch.{face}" for face in LIGHT)]
    lines.append(f"print(*{set(HEAVY)} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
