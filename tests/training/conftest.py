from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dnsearch.arrays import load_mapped
from dnsearch.data import DeviceData, LabelledImages, PreparedData


def striped(count: int, seed: int) -> LabelledImages:
    """Grey 8x8 images with bright rows (class 0), columns (1) or neither (2) under noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 120, (count, 1, 8, 8))
    images[labels == 0, :, ::2] += 100
    images[labels == 1, :, :, ::2] += 100
    return LabelledImages(images.astype(np.uint8), labels.astype(np.int64))


def make_prepared() -> PreparedData:
    train, validation = striped(192, 0), striped(90, 1)
    names = ("rows", "columns", "neither")
    return PreparedData("stripes", names, train, validation, (0.35,), (0.25,), "0" * 16, False)


@pytest.fixture(scope="session")
def prepared() -> PreparedData:
    return make_prepared()


@pytest.fixture(scope="session")
def data(prepared) -> DeviceData:
    return DeviceData(prepared)


@pytest.fixture(scope="session")
def mapped():
    """(prepared, folder) -> the same images, mapped from files, in another order."""

    def place(prepared: PreparedData, folder: Path) -> PreparedData:
        def part(name: str) -> LabelledImages:
            held = getattr(prepared, name)
            order = np.random.default_rng(7).permutation(len(held))
            pixels = np.empty_like(held.images)
            pixels[order] = held.images
            np.save(folder / f"{name}.npy", pixels)
            return LabelledImages(load_mapped(folder / f"{name}.npy"), held.labels, order)

        return replace(prepared, train=part("train"), validation=part("validation"))

    return place
