"""Shared by all tests: one thread a process, and the real torchvision as the reference."""

from __future__ import annotations

import os
import signal
import warnings
from unittest import mock

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
    """torchvision's models, without its C extension: that is built for one version and one kind of
    torch, and beside another it may end the process."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor a) -> Tensor")
    without = mock.patch.object(torch.ops, "load_library", side_effect=OSError)
    with warnings.catch_warnings(), without:
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
