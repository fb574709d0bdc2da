"""``studies/planted_faults.py`` can still plant each of its faults."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "studies" / "planted_faults.py"
SPEC = importlib.util.spec_from_file_location("planted_faults", FILE)
assert SPEC is not None
assert SPEC.loader is not None
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)


@pytest.mark.parametrize("fault", MODULE.FAULTS, ids=lambda fault: fault.name)
def test_every_fault_changes_one_place_of_code_that_is_there(fault):
    assert MODULE.plantable(fault)
    if fault.file.endswith(".py"):
        text = (MODULE.ROOT / fault.file).read_text("utf-8").replace(fault.old, fault.new)
        compile(text, fault.file, "exec")
    files, _, _ = fault.tests.partition(" -k ")
    assert all((MODULE.ROOT / name).exists() for name in files.split())
