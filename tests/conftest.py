"""Shared by all tests: one thread a process, and the real torchvision as the reference."""

from __future__ import annotations

import os
import signal
import warnings

# Read when NumPy and torch are imported. Threads that spin while they wait make two of them many
# times slower than one on cores that other processes use as well.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, as torch.compile does too

from tests.fakes import Search

torch.set_num_threads(1)

# Jobs in the background and nohup begin with signals ignored, and so do their children; tests send
# themselves and their children such signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)


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
