"""Batches that threads make ready from the cache's file."""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnsearch.arrays import load_mapped
from dnsearch.config import DataConfig
from dnsearch.data import DeviceData, prepare
from dnsearch.data.ahead import AHEAD, ahead
from dnsearch.data.pixels import IMAGES
from dnsearch.errors import MachineError

CPU = torch.device("cpu")
ahead_module = sys.modules["dnsearch.data.ahead"]


needs_advice = pytest.mark.skipif(
    not hasattr(os, "posix_fadvise"), reason="the system cannot be told what is read next"
)


@pytest.fixture
def file(tmp_path, random):
    """Holds images (40, 3, 5, 4)."""
    np.save(tmp_path / "x.npy", random.integers(0, 256, (40, 3, 5, 4), dtype=np.uint8))
    return tmp_path / "x.npy"


@pytest.fixture
def images(file):
    """Of the first two channels of three, mapped: (40, 2, 5, 4)."""
    return load_mapped(file)[:, :2]


@pytest.mark.parametrize("from_disk", [False, True])
def test_batches_are_the_rows_picked(images, random, from_disk):
    picks = [random.integers(0, 40, size) for size in (7, 1, 40, 0, 3, 9, 9, 9, 9)]
    batches = list(ahead(images, picks, CPU, from_disk))
    assert len(batches) == len(picks)
    for rows, batch in zip(picks, batches, strict=True):
        np.testing.assert_array_equal(batch.numpy(), np.array(images)[rows])


@pytest.mark.parametrize(("room", "most"), [(1 << 26, AHEAD), (99, 2), (79, 1), (9, 1)])
def test_no_more_is_made_ready_than_asked_for(images, monkeypatch, room, most):
    """In number and in bytes; an image has 40."""
    monkeypatch.setattr(ahead_module, "BYTES_AHEAD", room)
    taken = []
    picks = (taken.append(i) or np.array([i]) for i in range(40))
    batches = ahead(images, picks, CPU, from_disk=True)
    for count in range(1, 10):
        next(batches)
        assert len(taken) == count + most
    assert [each.name for each in threading.enumerate() if each.name.startswith("images")]
    batches.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("images")]


def test_rows_that_are_not_there_are_a_fault_of_ours(images):
    with pytest.raises(AssertionError):
        list(ahead(images, [np.array([40])], CPU, from_disk=False))


@needs_advice
def test_a_file_that_is_cut_off_meanwhile_is_told(images, file):
    """By the thread that reads it; a mapped one would end the process."""
    batches = ahead(images, [np.array([0, 39])] * 9, CPU, from_disk=True)
    next(batches)
    os.truncate(file, file.stat().st_size - 41)
    with pytest.raises(MachineError, match="decoded images were cut off in the cache while they"):
        list(batches)


@needs_advice
def test_all_of_a_batch_is_asked_for_before_it_is_read(images, file, monkeypatch):
    """What the system is told to read next are the images themselves."""
    content, told = file.read_bytes(), []

    def note(_, start, length, how):
        told.append((start, length) if how == os.POSIX_FADV_WILLNEED else how)

    def read(file, length, start):
        told.append("read")
        return pread(file, length, start)

    pread = os.pread
    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr(os, "pread", read)
    rows = np.array([5, 9, 6, 31, 5, 7])
    list(ahead(images, [rows], CPU, from_disk=True))
    assert told[0] == os.POSIX_FADV_RANDOM
    assert told[7:] == ["read"] * 6
    found = [content[start : start + length] for start, length in told[1:7]]
    assert found == [image.tobytes() for image in np.array(images)[rows]]


@pytest.mark.parametrize("instead", [None, bytes(4096)])
def test_a_file_that_is_gone_or_another_by_now_is_read_as_it_was(images, file, instead):
    """The cache makes room by removing files, and other processes may make them anew."""
    wanted = np.array(images)
    file.unlink()
    if instead is not None:
        file.write_bytes(instead)
    (batch,) = ahead(images, [np.arange(40)], CPU, from_disk=True)
    np.testing.assert_array_equal(batch.numpy(), wanted)


def resident(file: Path) -> int:
    """Bytes of a mapped file that this process holds."""
    text = Path("/proc/self/smaps").read_text()
    found = re.findall(rf"{re.escape(str(file))}\n.*?^Rss: +(\d+) kB", text, re.S | re.M)
    return 1024 * sum(map(int, found))


@needs_advice
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what is mapped")
def test_an_epoch_from_disk_does_not_pile_up_in_memory(tmp_path):
    shape = (1500, 3, 64, 64)  # 18 MB
    np.save(tmp_path / "x.npy", np.ones(shape, np.uint8))
    held = {}
    for from_disk in (False, True):
        images = load_mapped(tmp_path / "x.npy")
        picks = np.random.default_rng(0).permutation(1500).reshape(-1, 25)
        for _ in ahead(images, picks, CPU, from_disk):
            pass
        held[from_disk] = resident(tmp_path / "x.npy")
        del images
    assert held[False] > 17e6
    assert held[True] < 1e6


@pytest.fixture
def pictures(tmp_path, random):
    """40 of two classes, which are to be read from disk."""
    for index in range(40):
        place = tmp_path / "pictures" / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(place / f"{index}.png")
    return DataConfig(format="folder", path=tmp_path / "pictures", keep="disk")


def epoch_of(data):
    return torch.cat([x for x, _ in data.batches(8, torch.Generator().manual_seed(0))])


def test_an_epoch_is_the_same_when_another_process_has_remade_the_cache(pictures, tmp_path):
    """It was made room from, then made again for a study that takes fewer of the images."""
    data = DeviceData(prepare(pictures, tmp_path / "c"), keep="disk")
    wanted = epoch_of(data)
    shutil.rmtree(tmp_path / "c")
    prepare(pictures.model_copy(update={"train_images": 8}), tmp_path / "c")
    assert torch.equal(epoch_of(data), wanted)


def test_a_damaged_file_is_found_before_it_is_read_from(pictures, tmp_path):
    cache = tmp_path / "c"

    def epoch():
        return epoch_of(DeviceData(prepare(pictures, cache), keep="disk"))

    wanted = epoch()
    (file,) = (cache / "pixels").glob(f"*/{IMAGES}")
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[-len(damaged) // 3] ^= 1
    for content in (bytes(damaged), whole[:-1], b""):
        file.write_bytes(content)
        assert torch.equal(epoch(), wanted)
        assert file.read_bytes() == whole
