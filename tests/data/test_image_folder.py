import brute
import numpy as np
import pytest
from PIL import Image

from dnsearch.config import DataConfig
from dnsearch.data import prepare, prepare_test
from dnsearch.data.formats import open_source
from dnsearch.data.formats.images import Encoded, Options, decode, resize_all
from dnsearch.errors import DataError


@pytest.fixture
def draw_classes(random):
    """(root, counts, size, mode): that many random pictures in a sub-folder of each class."""

    def draw(root, counts, size=(6, 6), mode="L"):
        for name, count in counts.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / name / f"{index}.png")

    return draw


def config(path, **settings):
    return DataConfig(format="folder", path=path, **settings)


def read(path, split="train", size=None):
    return brute.read(open_source(config(path)), split, size)


def test_one_subfolder_a_class(tmp_path, draw_classes):
    draw_classes(tmp_path, {"dog": 2, "ant": 3})
    (tmp_path / "ant" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    split = read(tmp_path)
    assert split.classes == ("ant", "dog")
    assert split.labels.tolist() == [0, 0, 0, 1, 1]
    expected = np.asarray(Image.open(tmp_path / "dog" / "1.png"))
    np.testing.assert_array_equal(split.images[4, ..., 0], expected)


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_split_folders(tmp_path, draw_classes, validation):
    for name, count in (("train", 4), (validation, 2), ("test", 1)):
        draw_classes(tmp_path / name, {"a": count, "b": count})
    data = prepare(config(tmp_path))
    assert data.counts == {"train": 8, "validation": 4}
    assert len(prepare_test(config(tmp_path))) == 2


def test_a_class_may_be_called_train(tmp_path, draw_classes):
    draw_classes(tmp_path, {"train": 2, "tram": 2})
    assert read(tmp_path).classes == ("train", "tram")


def test_grey_among_colour_becomes_rgb(tmp_path, draw_classes):
    draw_classes(tmp_path, {"a": 1})
    draw_classes(tmp_path, {"b": 1}, mode="RGB")
    grey, colour = read(tmp_path).images
    expected = np.asarray(Image.open(tmp_path / "a" / "0.png"))
    np.testing.assert_array_equal(grey, np.stack([expected] * 3, axis=-1))
    np.testing.assert_array_equal(colour, np.asarray(Image.open(tmp_path / "b" / "0.png")))


def test_other_splits_follow_the_training_images(tmp_path, draw_classes):
    draw_classes(tmp_path / "train", {"a": 2, "b": 2}, mode="RGB")
    draw_classes(tmp_path / "val", {"a": 1, "b": 1}, mode="L")
    draw_classes(tmp_path / "test", {"a": 1}, mode="LA")
    assert prepare(config(tmp_path)).validation.images.shape == (2, 3, 6, 6)
    assert prepare_test(config(tmp_path)).images.shape == (1, 3, 6, 6)


def test_colour_after_grey_is_refused(tmp_path, draw_classes):
    draw_classes(tmp_path / "train", {"a": 2, "b": 2}, mode="L")
    draw_classes(tmp_path / "val", {"a": 1, "b": 1}, mode="RGB")
    with pytest.raises(DataError, match="validation: images must be grey like the training images"):
        prepare(config(tmp_path))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_modes(tmp_path, random, mode):
    pixels = random.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "x.tiff")
    array = decode(Encoded("x", tmp_path / "x.tiff")).pixels
    assert array.shape == (5, 4, 1 if mode in ("1", "L", "LA") else 3)
    if mode in ("RGB", "RGBA"):
        np.testing.assert_array_equal(array, pixels)


def test_photographs_stand_upright(tmp_path):
    pixels = np.zeros((2, 4), np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    array = decode(Encoded("x", tmp_path / "x.png")).pixels
    np.testing.assert_array_equal(array[..., 0], [[0, 255]] * 4)


def test_resizing_keeps_proportions(tmp_path):
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 255  # the middle square
    Image.fromarray(pixels).save(tmp_path / "x.png")
    array = decode(Encoded("x", tmp_path / "x.png"), Options(5)).pixels
    assert array.shape == (5, 5, 1)
    assert array.min() > 200  # only the filter reaches into the black


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (1, 32, 16))[..., np.newaxis]
    shrunk = resize_all(stripes, Options(8))[0, :, 1:-1, 0]
    assert np.abs(shrunk.astype(int) - 127).max() <= 16


def test_sizes_must_agree(tmp_path, draw_classes):
    draw_classes(tmp_path, {"a": 2})
    draw_classes(tmp_path, {"b": 2}, size=(6, 8))
    message = r"b.0\.png: images must be of one size, got 6x8 beside 6x6 \(2 pictures are of an.*\)"
    with pytest.raises(DataError, match=message):
        prepare(config(tmp_path))
    assert read(tmp_path, size=6).images.shape == (4, 6, 6, 1)


def test_splits_must_agree_in_size(tmp_path, draw_classes):
    draw_classes(tmp_path / "train", {"a": 2, "b": 2})
    draw_classes(tmp_path / "val", {"a": 2, "b": 2}, size=(7, 7))
    with pytest.raises(DataError, match=r"validation: images must be 6x6 .*got 7x7; set data\.im"):
        prepare(config(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_unreadable_picture(tmp_path, draw_classes, content):
    draw_classes(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "b" / "1.png").write_bytes(content)
    with pytest.raises(DataError, match=r"b.1\.png: must be a readable image"):
        read(tmp_path)


def test_truncated_picture(tmp_path, draw_classes):
    draw_classes(tmp_path, {"a": 2, "b": 2}, size=(40, 40))
    path = tmp_path / "a" / "0.png"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"a.0\.png: must be a readable image: image file is trunc"):
        read(tmp_path)


def test_sixteen_bits(tmp_path, draw_classes):
    draw_classes(tmp_path, {"a": 2, "b": 2})
    Image.fromarray(np.zeros((6, 6), np.uint16)).save(tmp_path / "b" / "1.png")
    with pytest.raises(DataError, match=r"b.1\.png: must have 8 bits a channel, got Pillow mode"):
        read(tmp_path)


def test_unknown_class(tmp_path, draw_classes):
    draw_classes(tmp_path / "train", {"a": 2, "b": 2})
    draw_classes(tmp_path / "val", {"a": 2, "c": 2})
    with pytest.raises(DataError, match=r"validation: labels must be among a and b, got 'c'"):
        prepare(config(tmp_path))


def test_class_without_pictures(tmp_path, draw_classes):
    draw_classes(tmp_path, {"a": 3, "b": 3, "c": 0})
    with pytest.raises(
        DataError, match="must have pictures that can be read, 'c' has none; fill or"
    ):
        prepare(config(tmp_path))


def test_no_classes(tmp_path):
    with pytest.raises(DataError, match="must hold one sub-folder a class, has none"):
        read(tmp_path)


def test_no_pictures(tmp_path, draw_classes):
    draw_classes(tmp_path, {"a": 0, "b": 0})
    with pytest.raises(DataError, match="must hold pictures in its sub-folders, has none"):
        read(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="x: must be a folder with one sub-folder a class"):
        read(tmp_path / "x")
