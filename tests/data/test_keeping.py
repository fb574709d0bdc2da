"""Where decoded images are kept: ``data.keep``."""

from __future__ import annotations

import numpy as np
import pytest

from dnsearch.data import LabelledImages, PreparedData, keeping
from dnsearch.errors import ConfigError, MachineError

SIZE = 3 * 5 * 4 * (50 + 30)
CPUS = ("cpu", "cpu")


@pytest.fixture(params=["mapped", "in memory"])
def data(request, tmp_path):
    return made(tmp_path, request.param == "mapped")


def made(folder, mapped):
    def part(count):
        images = np.zeros((count, 3, 5, 4), np.uint8)
        if mapped:
            np.save(folder / f"{count}.npy", images)
            images = np.load(folder / f"{count}.npy", mmap_mode="c")
        return LabelledImages(images[:, :3], np.zeros(count, np.int64))

    return PreparedData("toy", ("a",), part(50), part(30), (0,) * 3, (1,) * 3, "f", False)


def chosen(data, keep="auto", devices=CPUS, gpu=0, free=None, patch=None):
    patch.setattr(keeping, "free_memory", lambda: free)
    return keeping.chosen(keep, data, devices, lambda _: gpu)


@pytest.mark.parametrize(
    ("devices", "gpu", "free", "where"),
    [
        (CPUS, 0, 2 * SIZE, "memory"),
        (CPUS, 0, 2 * SIZE - 1, "disk"),
        (CPUS, 0, None, "memory"),
        (("cpu",), 0, 2 * SIZE - 1, "disk"),
        (("cuda:0",), 2.5 * SIZE, 0, "device"),
        (("cuda:0", "cuda:1"), 2.5 * SIZE, 0, "device"),
        (("cuda:0", "cuda:0"), 4.9 * SIZE, 2 * SIZE, "memory"),
        (("cuda:0", "cuda:0"), 5 * SIZE, 2 * SIZE, "device"),
        (("cuda:0",), 2.4 * SIZE, SIZE, "disk"),
    ],
)
def test_auto_goes_by_what_is_free(tmp_path, monkeypatch, devices, gpu, free, where):
    """Pages of a file are there once for all workers, copies on a GPU once for each."""
    found = chosen(made(tmp_path, True), "auto", devices, gpu, free, monkeypatch)
    assert (found.where, found.image_bytes) == (where, SIZE)


def test_images_that_are_in_no_file_are_in_the_memory_of_each_worker(tmp_path, monkeypatch):
    data = made(tmp_path, False)
    assert chosen(data, free=2 * SIZE, patch=monkeypatch).where == "memory"
    with pytest.raises(MachineError, match="each of 2 workers has its own: 0 MB of memory, and"):
        chosen(data, free=2 * SIZE - 1, patch=monkeypatch)
    assert chosen(data, devices=("cpu",), free=0, patch=monkeypatch).where == "memory"
    told = r"data\.keep needs decoded images in the cache, got 'disk'; set DNSEARCH_CACHE to"
    with pytest.raises(ConfigError, match=told):
        chosen(data, "disk", patch=monkeypatch)


def test_what_is_asked_for_is_done(data, monkeypatch):
    for keep, devices, where in [
        ("memory", CPUS, "memory"),
        ("memory", ("cuda",), "memory"),
        ("device", ("cuda",), "device"),
        ("device", CPUS, "memory"),
    ]:
        assert chosen(data, keep, devices, free=2 * SIZE, patch=monkeypatch).where == where


def test_a_worker_looks_itself_whether_others_use_its_gpu(tmp_path, monkeypatch):
    data = made(tmp_path, True)
    ours = chosen(data, "auto", ("cuda:0",), 9 * SIZE, 0, monkeypatch)
    assert (ours.where, ours.of_workers) == ("device", "auto")
    asked = chosen(data, "device", ("cuda:0",), 0, 0, monkeypatch)
    assert asked.of_workers == "device"
    assert chosen(data, free=SIZE, patch=monkeypatch).of_workers == "disk"


def test_it_is_told_where_it_matters():
    def notes(where, asked="auto", size=2_457_600_000):
        return keeping.Kept(where, asked, size, 4_000_000_000).notes()

    assert notes("memory", size=99_000_000) == ()
    assert notes("device", size=99_000_000) == ()
    assert notes("memory") == (
        "the decoded images, 2.5 GB, stay in memory, once for all workers (4.0 GB of memory are "
        'free); data.keep = "auto"',
    )
    assert notes("disk", size=99_000_000) == (
        "the decoded images, 99 MB, are read from the disk batch by batch, ahead of each step "
        '(4.0 GB of memory are free); data.keep = "auto"',
    )
    assert len(notes("memory", "memory", 1)) == 1
