"""Shared by all tests: one thread a process, and the real torchvision as the reference."""

from __future__ import annotations

import os
import warnings

# OpenBLAS reads it when NumPy is imported. Its threads spin, so that two of them are many times
# slower than one on cores that other processes use as well.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch

from tests.fakes import Search

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def torchvision():
    """torchvision's models; its C extension need not load beside a CPU build of torch."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor a) -> Tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("torchvision")
    yield module.models.densenet
    library._destroy()


@pytest.fixture
def make_search(tmp_path):
    """A search of invented trainings in a folder of its own; see ``tests.fakes.Search``."""

    def make(name="run", **options) -> Search:
        return Search(tmp_path / name, **options)

    return make
