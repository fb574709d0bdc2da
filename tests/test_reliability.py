"""The quick part of studies/reliability/mutations.py and fuzz.py, with fixed seeds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "studies" / "reliability"


@pytest.fixture(scope="module")
def scripts():
    """(name) -> the script as a module; they import one another by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module
    for name in ("shared", "mutations", "fuzz"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def prepared(scripts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    scripts("mutations").prepare(folder)
    return folder


KINDS = {
    "study.db": 40, "study.toml": 20, "data.json": 20, "environment.json": 20, "summary.json": 20,
    "answers.json": 20, "scaling.json": 20, "checkpoint": 20, "weights.pth": 20,
    "model.safetensors": 10, "config.json": 10, "preprocessing.json": 10, "manifest.json": 20,
    "bench table": 20, "predictions.npz": 20, "confusion.npy": 40,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "count"), KINDS.items())
def test_a_damaged_file_is_found_or_reads_as_before(scripts, prepared, kind, count):
    mutations = scripts("mutations")
    assert set(KINDS) == set(mutations.KINDS)
    found, wrong = mutations.mutate(kind, prepared, count, seed=1)
    assert wrong == []
    assert found["detected"] + found["harmless"] == count
    assert found["detected"] > count / 4


FUZZED = ["study files", "IDX", "CIFAR pickles", "parquet", "images", "npz", "checkpoints"]


@pytest.mark.parametrize("kind", FUZZED)
def test_a_file_handed_over_is_read_or_refused_in_a_line(scripts, kind):
    fuzz = scripts("fuzz")
    found, wrong = fuzz.fuzz(kind, 60, seed=1, watch=fuzz.Watch())
    assert wrong == []
    assert found["refused"] > 0


def test_code_that_a_file_runs_is_seen(scripts, tmp_path):
    fuzz, file = scripts("fuzz"), tmp_path / "a.pkl"
    file.write_bytes(fuzz.pickle.dumps(fuzz.RunsCode()))
    told = fuzz.outcome(lambda path: fuzz.pickle.loads(path.read_bytes()), file, fuzz.Watch())
    assert told.startswith("code run: ['os.system'")
