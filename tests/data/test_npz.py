import numpy as np
import pytest
from brute import read

from dnsearch.config import DataConfig
from dnsearch.data.formats import open_source
from dnsearch.errors import DataError


def source_of(path):
    return open_source(DataConfig(format="npz", path=path))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("images_name", "labels_name", "split"),
    [
        ("x_train", "y_train", "train"),
        ("train_images", "train_labels", "train"),
        ("images", "labels", "train"),
        ("x_val", "y_val", "validation"),
        ("val_images", "val_labels", "validation"),
        ("x_test", "y_test", "test"),
        ("test_images", "test_labels", "test"),
    ],
)
def test_names(npz_file, labelled, channels, images_name, labels_name, split):
    images, labels = labelled(channels=channels)
    other = {} if split == "train" else {"images": images, "labels": labels}
    path = npz_file(**{images_name: images, labels_name: labels[:, np.newaxis]}, **other)
    found = read(source_of(path), split, None)
    np.testing.assert_array_equal(found.images, images.reshape(40, 6, 6, channels))
    np.testing.assert_array_equal(found.labels, labels)


def test_missing_names(npz_file, labelled):
    images, _ = labelled()
    with pytest.raises(DataError, match=r"toy\.npz: must hold x_train and y_train.*has pictures"):
        source_of(npz_file(pictures=images))


def test_not_an_archive(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"x\.npz: must be a readable \.npz file"):
        source_of(tmp_path / "x.npz")


def test_objects_are_refused(npz_file, labelled):
    images, _ = labelled()
    path = npz_file(x_train=images, y_train=np.array([print] * 40, dtype=object))
    with pytest.raises(DataError, match="array 'y_train' must be readable: Object arrays"):
        read(source_of(path), "train", None)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 2, 2)), np.zeros(4, int), r"images must be uint8 .*got float64 \(4, 2, 2\)"),
        (
            np.zeros((4, 2), np.uint8),
            np.zeros(4, int),
            r"images must be uint8 .*got uint8 \(4, 2\)",
        ),
        (np.array(7, np.uint8), np.zeros(4, int), r"images must be uint8 .*got uint8 \(\)"),
        (np.zeros((4, 2, 2, 4), np.uint8), np.zeros(4, int), "with 1 or 3 channels"),
        (np.zeros((4, 2, 2), np.uint8), np.full(4, 0.5), "labels must be whole numbers.*got 0.5"),
        (np.zeros((4, 2, 2), np.uint8), np.full(4, np.nan), "labels must be whole.*got nan"),
        (np.zeros((4, 2, 2), np.uint8), np.zeros((4, 2), int), r"labels must .*got int64 \(4, 2\)"),
        (np.zeros((4, 2, 2), np.uint8), np.zeros(3, int), "got 4 images and 3 labels"),
        (np.zeros((0, 2, 2), np.uint8), np.zeros(0, int), "must hold images"),
    ],
)
def test_malformed_arrays(npz_file, images, labels, message):
    with pytest.raises(DataError, match=message):
        read(source_of(npz_file(x_train=images, y_train=labels)), "train", None)
