"""How pictures that are not square become square: ``data.fit``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from dnsearch.config import DataConfig, parse_study
from dnsearch.data import prepare
from dnsearch.data.cache import cache_key
from dnsearch.data.formats import Options, images
from dnsearch.data.formats.images import Encoded, decode, resize_all
from dnsearch.errors import ConfigError

BACKGROUND = (32, 64, 192)
BILINEAR = Image.Resampling.BILINEAR
SHAPES = [(20, 9), (9, 20), (7, 7), (31, 30), (5, 3), (40, 1), (8, 16), (16, 8)]
"""Widths and heights."""


def noise(random, width, height, channels):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return random.integers(0, 256, shape, dtype=np.uint8)


def by_hand(picture, side, fit):
    """What ``fit`` means, from Pillow's resize alone."""
    width, height = picture.size
    if fit == "squash":
        return picture.resize((side, side), BILINEAR)
    if fit == "crop":
        short = min(width, height)
        left, top = (width - short) / 2, (height - short) / 2
        return picture.resize((side, side), BILINEAR, box=(left, top, left + short, top + short))
    scale = side / max(width, height)
    inner = round(width * scale), round(height * scale)
    behind = Image.new("RGB", (side, side), BACKGROUND).convert(picture.mode)
    if min(inner):
        corner = round((side - inner[0]) / 2), round((side - inner[1]) / 2)
        behind.paste(picture.resize(inner, BILINEAR), corner)
    return behind


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_and_arrays_are_fitted_as_by_hand(random, tmp_path, fit, size, channels):
    array = noise(random, *size, channels)
    picture = Image.fromarray(array)
    picture.save(tmp_path / "x.png")
    wanted = np.asarray(by_hand(picture, 8, fit))
    options = Options(8, "rgb(32, 64, 192)", fit=fit)
    found = decode(Encoded("x", tmp_path / "x.png"), options).pixels
    np.testing.assert_array_equal(found.squeeze(), wanted)
    stack = resize_all(array.reshape(1, *array.shape[:2], channels), options)
    np.testing.assert_array_equal(stack[0].squeeze(), wanted)


def test_a_turned_picture_is_fitted_upright(random, tmp_path):
    picture = Image.fromarray(noise(random, 20, 9, 3))
    exif = picture.getexif()
    exif[images.ORIENTATION] = 6
    picture.save(tmp_path / "x.png", exif=exif)
    options = Options(8, "#2040c0", fit="pad")
    found = decode(Encoded("x", tmp_path / "x.png"), options).pixels
    upright = by_hand(picture.transpose(Image.Transpose.ROTATE_270), 8, "pad")
    np.testing.assert_array_equal(found, upright)


@pytest.mark.parametrize(
    ("fit", "size", "decoded"),
    [
        ("crop", (500, 250), (250, 125)),
        ("pad", (500, 250), (125, 63)),
        ("squash", (500, 250), (250, 125)),
        ("pad", (100, 120), (100, 120)),
    ],
)
def test_drafts_have_twice_the_pixels_that_are_shown(random, tmp_path, fit, size, decoded):
    Image.fromarray(noise(random, *size, 3)).save(tmp_path / "x.jpg")
    with Image.open(tmp_path / "x.jpg") as picture:
        images._shrink_jpeg(picture, images.DRAFT * 32, fit)
        picture.load()
        assert picture.size == decoded


@pytest.fixture
def wide(random, tmp_path):
    """A folder of pictures of 20x9 pixels, which a square cuts."""
    for index in range(20):
        place = tmp_path / "pictures" / "ab"[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(random, 20, 9, 3)).save(place / f"{index}.png")
    return DataConfig(format="folder", path=tmp_path / "pictures", image_size=8)


def test_each_way_has_images_and_a_fingerprint_of_its_own(wide, tmp_path):
    ways = {
        fit: prepare(wide.model_copy(update={"fit": fit}), tmp_path / "c")
        for fit in ("crop", "pad", "squash")
    }
    assert len({data.fingerprint for data in ways.values()}) == 3
    assert len(list((tmp_path / "c" / "pixels").glob("[!.]*"))) == 3
    again = prepare(wide.model_copy(update={"fit": "pad"}), tmp_path / "c")
    assert again.fingerprint == ways["pad"].fingerprint
    white = ways["pad"].train.images[:, :, [0, 1, 6, 7]]
    assert (white == 255).all()


def test_the_default_leaves_names_in_the_cache_as_they_were(wide, tmp_path, monkeypatch):
    """Before there were ``fit`` and ``keep``, the settings were these."""
    asked = []

    def noted(settings, files, labels=bytes):
        asked.append(json.loads(json.dumps(settings)))
        return cache_key(settings, files, labels)

    monkeypatch.setattr("dnsearch.data.store.cache_key", noted)
    for keep in ("auto", "disk"):
        prepare(wide.model_copy(update={"keep": keep}), tmp_path / "c")
    before = ["format", "image_size", "label", "image", "background", "skip_bad", "draft"]
    before += ["validation", "test", "train_images", "validation_images", "seed"]
    studies = [key[1] for key in asked if len(key) > 1 and isinstance(key[1], dict)]
    assert [list(each) for each in studies] == [before] * 2
    pixels = [key[0] for key in asked if key and isinstance(key[0], list)]
    (first, *others) = [each for each in pixels if "folder" in each]
    assert first[1:] == ["train", "folder", None, 8, "white", False, None]
    assert all(each == first for each in others)
    asked.clear()
    prepare(wide.model_copy(update={"fit": "squash"}), tmp_path / "c")
    assert any("squash" in str(key) for key in asked)


def test_other_words_are_refused():
    with pytest.raises(ConfigError, match=r"data.fit must be 'crop', 'pad' or 'squash'.*'stretch'"):
        parse_study('[data]\nfit = "stretch"')
