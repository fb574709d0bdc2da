"""Pictures as they are found: nested, broken, transparent, of other kinds."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dnsearch.config import DataConfig, parse_study
from dnsearch.data import check_test, prepare
from dnsearch.data.formats import glance
from dnsearch.data.formats.images import Encoded, Options, decode
from dnsearch.errors import ConfigError, DataError, MachineError
from tests.deep import write_deep, write_shallow


@pytest.fixture
def draw(tmp_path, random):
    """(*files): a random picture of 6x6 pixels in each of these files."""

    def make(*files, mode="L"):
        for file in files:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(path)
        return DataConfig(format="folder", path=tmp_path)

    return make


def in_each(*names, classes=("cat", "dog")):
    return [f"{each}/{name}" for each in classes for name in names]


def total(data):
    return sum(data.counts.values())


def test_pictures_may_lie_at_any_depth(draw):
    config = draw(*in_each("0.png", "1.JPG", "2023/2.png", "2023/May/3.Tiff"))
    data = prepare(config)
    assert (total(data), data.classes, data.notes) == (8, ("cat", "dog"), ())


def test_what_is_not_used_is_counted_by_kind(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    for name in ("a.heic", "b.HEIC", "deep/c", "Thumbs.db", ".DS_Store", "deep/.hidden.png"):
        (tmp_path / "cat" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "cat" / name).write_bytes(b"x")
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    assert prepare(config).notes == ("3 files skipped: 2 .heic, 1 without extension",)


def test_every_class_without_pictures_is_named(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    for name in ("elk", "fox"):
        (tmp_path / name).mkdir()
    (tmp_path / "elk" / "a.heic").write_bytes(b"x")
    with pytest.raises(DataError, match="'elk' and 'fox' have none; fill or remove the folders"):
        prepare(config)


def test_links_are_followed_but_not_in_circles(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    (tmp_path / "owl").symlink_to(tmp_path / "cat")
    data = prepare(config)
    assert data.classes == ("cat", "dog", "owl")
    assert total(data) == 6


def spoil(folder: Path) -> list[Path]:
    """Twelve pictures that cannot be read, each in its own way."""
    bad = [folder / "dog" / f"{i}.png" for i in range(12)]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(bad[1].read_bytes()[:60])
    bad[2].unlink()
    bad[2].symlink_to(folder / "nowhere.png")
    Image.fromarray(np.zeros((6, 6), np.uint16)).save(bad[3])
    for each in bad[4:]:
        each.write_bytes(b"no picture")
    return bad


@pytest.fixture
def broken(draw, tmp_path):
    """The settings of a folder in which 12 of 28 pictures are bad, and those."""
    config = draw(*in_each(*(f"{i}.png" for i in range(14))))
    return config, spoil(tmp_path)


def test_all_bad_pictures_are_told_at_once(broken, tmp_path):
    config, bad = broken
    with pytest.raises(DataError) as refused:
        prepare(config, tmp_path / "cache")
    told = str(refused.value)
    assert told.startswith("12 pictures cannot be used: ")
    assert "data.skip_bad = true" in told
    assert "\n" not in told
    assert sum(str(each) in told for each in bad) == 10
    (listing,) = (tmp_path / "cache").glob("bad-pictures-*.txt")
    assert str(listing) in told
    lines = listing.read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == sorted(map(str, bad))
    assert any("No such file" in line for line in lines)


def test_bad_pictures_may_have_names_that_are_no_utf_8(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    for i in range(2):
        (tmp_path / "dog" / os.fsdecode(b"b\xff%d.png" % i)).write_bytes(b"no picture")
    with pytest.raises(DataError, match="2 pictures cannot be used: ") as refused:
        prepare(config, tmp_path / "cache")
    (listing,) = (tmp_path / "cache").glob("bad-pictures-*.txt")
    assert str(listing) in str(refused.value)
    names = [line.split(": ")[0] for line in listing.read_text("utf-8").splitlines()]
    assert names == [f"{tmp_path}/dog/b\N{REPLACEMENT CHARACTER}{i}.png" for i in range(2)]


def test_bad_pictures_are_told_where_they_cannot_be_listed(broken, tmp_path):
    config, _ = broken
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match=r"^12 pictures cannot be used: .*\(the others could not"):
        prepare(config, tmp_path / "cache")


def test_bad_pictures_are_left_out_when_asked_and_said(broken):
    config, bad = broken
    data = prepare(config.model_copy(update={"skip_bad": True}))
    assert total(data) == 28 - len(bad)
    assert data.describe()["notes"] == list(data.notes)
    (note,) = data.notes
    assert note.startswith("training images: 12 bad pictures left out (data.skip_bad): ")
    assert note.endswith("; ...")


def test_a_class_of_bad_pictures_alone_is_refused(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    for name in ("0.png", "1.png"):
        (tmp_path / "dog" / name).write_bytes(b"")
    with pytest.raises(DataError, match="'dog' has none"):
        prepare(config.model_copy(update={"skip_bad": True}))


def test_bad_rows_of_a_table_are_told_at_once(tmp_path, encoded, random):
    pictures = [encoded(random.integers(0, 256, (5, 5), dtype=np.uint8)) for _ in range(8)]
    pictures[2], pictures[5], pictures[7] = b"", None, b"no picture"
    pq.write_table(pa.table({"image": pictures, "label": ["a", "b"] * 4}), tmp_path / "x.parquet")
    config = DataConfig(format="parquet", path=tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"3 pictures cannot .* row 2: .* row 5: .* row 7: "):
        prepare(config)
    data = prepare(config.model_copy(update={"skip_bad": True}))
    assert np.sum(list(data.class_counts.values()), axis=0).tolist() == [3, 2]


def test_a_broken_test_picture_is_found_without_the_search_seeing_one(draw, tmp_path):
    config = draw(*in_each(*(f"{i}.png" for i in range(4)), classes=("train/a", "train/b")))
    draw(*in_each("0.png", classes=("test/a", "test/b")))
    before = prepare(config)
    assert check_test(config) == (None, 2, ())
    (tmp_path / "test" / "b" / "0.png").write_bytes(b"")
    assert prepare(config).fingerprint == before.fingerprint
    reason = check_test(config).reason
    assert reason is not None
    assert "0.png: must be a readable image: not an image" in reason
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "test" / "b" / "0.png")
    reason = check_test(config).reason
    assert reason is not None
    assert "images must be of one size, got 9x9 beside 6x6" in reason


def half_clear(mode: str) -> Image.Image:
    """A black picture of which only the left half can be seen."""
    alpha = np.zeros((4, 4), np.uint8)
    alpha[:, :2] = 255
    if mode in ("RGBA", "LA"):
        black = Image.new(mode[:-1], (4, 4))
        black.putalpha(Image.fromarray(alpha))
        return black
    palette = Image.fromarray(255 - alpha).convert("P")  # 0 is black and seen, 255 is not
    palette.putpalette([0] * 768)
    palette.info["transparency"] = 255
    return palette if mode == "P" else palette.convert("L")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
@pytest.mark.parametrize(("background", "grey"), [("white", 255), ("#404040", 64), ("black", 0)])
def test_what_cannot_be_seen_shows_the_background(tmp_path, mode, background, grey):
    path = tmp_path / "x.png"
    picture = half_clear(mode)
    if mode == "L":
        picture = Image.fromarray(np.array([[7, 7, 9, 9]] * 4, np.uint8))
        picture.save(path, transparency=9)
        seen = 7
    else:
        picture.save(path)
        seen = 0
    found = decode(Encoded("x", path), Options(background=background))
    assert found.transparent
    assert found.pixels.shape == (4, 4, 1 if mode in ("LA", "L") else 3)
    assert (found.pixels[:, :2] == seen).all()
    assert (found.pixels[:, 2:] == grey).all()


def test_half_transparent_is_mixed():
    picture = Image.new("RGBA", (1, 1), (200, 100, 0, 51))  # a fifth is seen
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    pixels = decode(Encoded("x", buffer.getvalue()), Options(background="white")).pixels
    np.testing.assert_allclose(pixels[0, 0], [244, 224, 204], atol=1)


def test_transparency_is_said_and_an_unknown_colour_refused(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"), mode="RGBA")
    assert prepare(config).notes == ()  # all are opaque
    half_clear("RGBA").resize((6, 6)).save(tmp_path / "cat" / "2.png")
    assert prepare(config).notes == (
        "training images: 1 picture with transparent parts laid on white (data.background)",
    )
    with pytest.raises(ConfigError, match=r"data\.background must be a colour such as 'white'"):
        parse_study('[data]\nbackground = "whitish"')


def test_of_several_frames_the_first_is_used_and_that_is_said(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    frames = [Image.new("L", (6, 6), grey) for grey in (10, 200)]
    frames[0].save(tmp_path / "cat" / "2.gif", save_all=True, append_images=frames[1:])
    data = prepare(config)
    assert "training images: 1 picture with several frames: the first is used" in data.notes
    assert (decode(Encoded("x", tmp_path / "cat" / "2.gif")).pixels == 10).all()


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=95)
    red, green, blue = decode(Encoded("x", tmp_path / "x.jpg")).pixels[0, 0].astype(int)
    assert red > 200
    assert max(green, blue) < 60


def test_sixteen_bits_a_channel_are_refused_also_in_colours(tmp_path):
    """Pillow opens them as RGB or RGBA, and drops the lower eight, of some the upper ones."""
    for name, path in write_deep(tmp_path).items():
        for data in (path, path.read_bytes()):
            with Image.open(path) as image:
                assert image.mode in ("RGB", "RGBA")
            with pytest.raises(DataError) as refused:
                decode(Encoded(name, data))
            told = f"{name}: must have 8 bits a channel, got 16; convert it to 8 bits"
            assert str(refused.value) == told


def test_dark_pictures_of_sixteen_bits_are_no_data_set(draw, tmp_path):
    """Such as of a camera of 12 bits, of whose values up to 4095 only those up to 15 were left."""
    config = draw(*in_each("0.png", "1.png", "2.png"))
    names = ("little.tif", "colour.ppm")
    told = []
    for name, path in write_deep(tmp_path / "deep", white=4095).items():
        if name in names:
            path.rename(tmp_path / "cat" / name)
            told.append(f"{name}: must have 8 bits a channel, got 1[26]")
        else:
            path.unlink()
    (tmp_path / "deep").rmdir()
    with pytest.raises(DataError, match="2 pictures cannot be used: .*" + ".*".join(told[::-1])):
        prepare(config)
    data = prepare(config.model_copy(update={"skip_bad": True}))
    assert (total(data), data.shape) == (6, (1, 6, 6))  # what was left out has colours


def test_pictures_of_few_bits_are_read(tmp_path):
    found = {
        name: decode(Encoded(name, path)).pixels[0].tolist()
        for name, path in write_shallow(tmp_path).items()
    }
    assert found == {
        "colour.bmp": [[255, 0, 0], [0, 255, 0]],
        "two.pbm": [[0], [255]],
        "four.pgm": [[255], [85]],
    }
    ramp = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8))
    ramp.putpalette([0, 0, 0, 9, 9, 9, 99, 99, 99, 255, 255, 255])
    for kind in ("PNG", "TIFF", "BMP"):
        buffer = io.BytesIO()
        ramp.save(buffer, kind)
        found = decode(Encoded("x", buffer.getvalue())).pixels
        assert found[..., 0].tolist() == [[0, 9], [99, 255]]


@pytest.fixture
def broken_disk():
    """A file on which reading is an input/output error, as of a sector that is gone."""
    file = Path("/proc/self/mem")
    if not file.exists():
        pytest.skip("no such file here")
    return file


def test_a_broken_disk_is_no_bad_picture(draw, tmp_path, broken_disk):
    """It is no news of the picture, and forgotten once the disk is mended."""
    config = draw(*in_each("0.png", "1.png", "2.png")).model_copy(update={"skip_bad": True})
    picture = tmp_path / "dog" / "1.png"
    picture.rename(tmp_path / "mended")
    picture.symlink_to(broken_disk)
    for settings in (config, config.model_copy(update={"skip_bad": False})):
        with pytest.raises(MachineError, match=r"1\.png: cannot be read: Input/output error"):
            prepare(settings)
    (tmp_path / "mended").replace(picture)
    data = prepare(config)
    assert (total(data), data.notes) == (6, ())


def test_a_broken_disk_makes_no_picture_grey(draw, tmp_path, broken_disk):
    """Also where it is not drawn: its header might be the only one of colour."""
    config = draw(*in_each(*(f"{i}.png" for i in range(9))))
    (tmp_path / "dog" / "9.png").symlink_to(broken_disk)
    told = r"9\.png: cannot be read: Input/output error"
    for seed in range(5):
        few = {"train_images": 2, "validation_images": 2, "seed": seed}
        with pytest.raises(MachineError, match=told):
            prepare(config.model_copy(update=few))
    with pytest.raises(MachineError, match=told):
        glance(config)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_picture_that_may_not_be_read(draw, tmp_path):
    config = draw(*in_each("0.png", "1.png"))
    (tmp_path / "cat" / "0.png").chmod(0)
    with pytest.raises(DataError, match=r"0\.png: must be a readable image: Permission denied"):
        prepare(config)
