"""Pictures are prepared as the training images were, by dnsearch and by ``network.py`` alike."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
import torch
from PIL import Image

from dnsearch.arch import ArchConfig
from dnsearch.config import DataConfig
from dnsearch.data import DeviceData, prepare
from dnsearch.errors import CheckpointError, DataError
from dnsearch.export.preprocessing import Preprocessing
from dnsearch.export.standalone import write_standalone
from dnsearch.files import read_json, write_json
from tests.deep import write_deep, write_shallow

BACKGROUND = "#2040c0"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def turned(picture: Image.Image) -> dict:
    """What tells a viewer to turn a picture by 90 degrees."""
    exif = picture.getexif()
    exif[0x0112] = 6
    return {"exif": exif}


def pictures(folder, grey: bool) -> None:
    """Of all kinds that Pillow reads with 8 bits a channel, in two classes."""
    folder.mkdir(parents=True)
    clear = Image.fromarray(noise(9, 13, 4))
    kinds = {
        "grey.png": Image.fromarray(noise(12, 20)),
        "grey-clear.png": clear.convert("LA"),
        "two.png": Image.fromarray(noise(11, 9)).convert("1"),
        "small.png": Image.fromarray(noise(5, 4)),
    }
    if not grey:
        kinds |= {
            "colour.png": Image.fromarray(noise(20, 14, 3)),
            "clear.png": clear,
            "palette.png": clear.convert("P"),
            "ink.jpg": Image.fromarray(noise(10, 16, 3)).convert("CMYK"),
            "exact.bmp": Image.fromarray(noise(8, 8, 3)),
            "frames.gif": Image.fromarray(noise(10, 12, 3)),
        }
    for name, picture in kinds.items():
        picture.save(folder / name)
    picture = Image.fromarray(noise(10, 16) if grey else noise(10, 16, 3))
    picture.save(folder / "turned.jpg", **turned(picture))


@pytest.fixture(params=["grey", "colour"])
def data(request, tmp_path):
    """Training images, and a validation split of pictures of all kinds."""
    for place in range(4):
        folder = tmp_path / "data" / "train" / "ab"[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = noise(10, 12, seed=place) if request.param == "grey" else noise(10, 12, 3)
        Image.fromarray(pixels + np.uint8(place)).save(folder / f"{place}.png")
    for name in "ab":
        pictures(tmp_path / "data" / "val" / name, request.param == "grey")
    return DataConfig(format="folder", path=tmp_path / "data", image_size=8, background=BACKGROUND)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_pictures_are_those_of_the_validation_split(data, tmp_path, fit):
    """The way to the training loop is another one: numpy, a cache, the device's normalisation."""
    data = data.model_copy(update={"fit": fit})
    prepared = prepare(data, tmp_path / "cache")
    ((wanted, _),) = DeviceData(prepared).validation_batches(100)
    images = Preprocessing.of(prepared.describe(), data)
    files = sorted((data.path / "val").glob("*/*"))
    assert len(files) == len(wanted) == (10 if images.shape[0] == 1 else 22)
    found = torch.stack([images.image(file) for file in files])
    torch.testing.assert_close(found, wanted.contiguous(), rtol=0, atol=1e-5)
    arch = ArchConfig(4, (1,), 8, stem="cifar", in_channels=images.shape[0], num_classes=2)
    write_standalone(arch, images, tmp_path)
    alone = runpy.run_path(str(tmp_path / "network.py"))["prepare"]
    torch.testing.assert_close(torch.stack([alone(f) for f in files]), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_and_size_may_be_others(channels, tmp_path):
    """Of a network of grey images colour is made grey; of any the middle is taken."""
    pixels = noise(8, 40, 3)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    images = Preprocessing((channels, 8, 6), (0.0,) * channels, (1.0,) * channels, ("a", "b"))
    found = images.image(tmp_path / "wide.png")
    middle = pixels[:, 17:23]
    if channels == 1:
        middle = np.asarray(Image.fromarray(middle).convert("L"))[..., None]
    np.testing.assert_allclose(255 * found.permute(1, 2, 0).numpy(), middle, atol=1e-3)
    arch = ArchConfig(4, (1,), 8, stem="cifar", in_channels=channels, num_classes=2)
    write_standalone(arch, images, tmp_path)
    alone = runpy.run_path(str(tmp_path / "network.py"))["prepare"](tmp_path / "wide.png")
    assert torch.equal(alone, found)


def test_more_than_eight_bits_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(noise(8, 8).astype(np.uint16) * 257).save(path)
    images = Preprocessing((1, 8, 8), (0.5,), (0.5,), ("a", "b"))
    with pytest.raises(DataError, match=r"deep.png: must have 8 bits a channel, got .*'I;16'"):
        images.image(path)
    write_standalone(ArchConfig(4, (1,), 8, stem="cifar", in_channels=1), images, tmp_path)
    with pytest.raises(ValueError, match=r"deep.png: must have 8 bits a channel, .* I;16"):
        runpy.run_path(str(tmp_path / "network.py"))["prepare"](path)


def test_colours_of_more_than_eight_bits_alone_are_refused(tmp_path):
    images = Preprocessing((3, 8, 8), (0.5,) * 3, (0.5,) * 3, ("a", "b"))
    write_standalone(ArchConfig(4, (1,), 8, stem="cifar", num_classes=2), images, tmp_path)
    alone = runpy.run_path(str(tmp_path / "network.py"))["prepare"]
    for name, path in write_deep(tmp_path).items():
        with pytest.raises(DataError, match=f"{name}: must have 8 bits a channel, got 16"):
            images.image(path)
        with pytest.raises(ValueError, match=f"{name}: must have 8 bits a channel, has 16"):
            alone(path)
    for path in write_shallow(tmp_path).values():
        assert torch.equal(alone(path), images.image(path))


def test_it_is_read_as_it_was_written(tmp_path):
    images = Preprocessing((3, 8, 6), (0.1, 0.2, 0.3), (1, 2, 3), ("a", "ü"), "#102030", "pad")
    images.write(tmp_path)
    assert Preprocessing.read(tmp_path) == images


def test_files_from_before_background_and_fit_were_kept_had_the_defaults(tmp_path):
    images = Preprocessing((1, 8, 8), (0.5,), (0.5,), ("a", "b"), "black", "squash")
    images.write(tmp_path)
    path = tmp_path / "preprocessing.json"
    held = read_json(path)
    del held["background"], held["fit"]
    write_json(path, held)
    found = Preprocessing.read(tmp_path)
    assert (found.background, found.fit) == ("white", "crop")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"shape": [1, 8, 8], "classes": [], "mean": [], "std": [], "fit": "cut"}',
            r".json: must be as dnsearch wrote it: fit must be one of crop, pad, squash, got 'cut'",
        ),
        (None, r"preprocessing.json: cannot be read: No such file"),
        ("{", r"preprocessing.json: must be valid JSON: "),
        ("[]", r"preprocessing.json: must be a JSON object, got list"),
        ('{"shape": [1, 8, 8]}', r"preprocessing.json: must have the key 'classes'"),
        ('{"shape": [8], "classes": [], "mean": [], "std": []}', r".json: must be as dnsearch"),
    ],
)
def test_damaged_files_are_one_line(text, told, tmp_path):
    if text is not None:
        (tmp_path / "preprocessing.json").write_text(text)
    with pytest.raises(CheckpointError, match=told):
        Preprocessing.read(tmp_path)
