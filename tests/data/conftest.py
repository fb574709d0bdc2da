"""Small data sets on disk, written without the code under test."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def idx_file():
    """(array) -> the bytes of its IDX file."""

    def content(array):
        header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
        sizes = b"".join(struct.pack(">I", size) for size in array.shape)
        return header + sizes + array.astype(np.uint8).tobytes()

    return content


@pytest.fixture
def labelled(random):
    """(count, classes, channels, side) -> images (n, h, w[, 3]) and labels that take turns."""

    def make(count=40, classes=4, channels=1, side=6):
        shape = (count, side, side, 3) if channels == 3 else (count, side, side)
        images = random.integers(0, 256, shape, dtype=np.uint8)
        return images, np.arange(count) % classes

    return make


@pytest.fixture
def npz_file(tmp_path):
    """(**arrays) -> the path of an archive of them."""

    def write(**arrays):
        path = tmp_path / "toy.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def encoded():
    """(array, format) -> the bytes of a picture."""

    def encode(array, kind="PNG"):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, kind)
        return buffer.getvalue()

    return encode
