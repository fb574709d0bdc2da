"""Every script under studies/ finds what it imports: most are run once in months."""

import runpy
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[1] / "studies"
SCRIPTS = sorted(path for path in STUDIES.rglob("*.py") if path.name != "sitecustomize.py")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(STUDIES)))
def test_a_study_finds_what_it_imports(script, monkeypatch):
    in_package = (script.parent / "__init__.py").exists()
    monkeypatch.syspath_prepend(str(script.parents[1] if in_package else script.parent))
    before = set(sys.modules)
    try:
        runpy.run_path(str(script), run_name="study")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"dnsearch", *siblings(script)}:
            raise
        pytest.skip(f"{error.name} is not installed")
    finally:
        for name in set(sys.modules) - before:  # another folder may have one of the same name
            if str(STUDIES) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def siblings(script):
    """Modules that lie beside a script, or beside its package."""
    folders = script.parent, script.parents[1]
    return {path.stem for folder in folders for path in folder.glob("*.py")} - {script.stem}
