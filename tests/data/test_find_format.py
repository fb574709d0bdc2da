"""The format of a data set, told by the names of its files."""

from __future__ import annotations

import pytest

from dnsearch.data.formats import READERS, SHIPPED, find_format
from dnsearch.errors import DataError

IDX = tuple(f"train-{part}-ubyte" for part in ("images-idx3", "labels-idx1"))
CIFAR10 = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
FOLDERS = {
    "parquet": ("data/train-00000-of-00001.parquet", "README.md"),
    "cifar10": tuple(f"cifar-10-batches-py/{name}" for name in CIFAR10),
    "cifar100": ("train", "test", "meta"),
    "mnist": IDX,
    "fashion-mnist": tuple(f"{name}.gz" for name in IDX),
    "folder": ("train/cat/1.png", "train/dog/1.jpg", "val/cat/2.png", "val/dog/2.png"),
}
FILES = {
    "parquet": "images.PARQUET",
    "cifar10": "cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python.tar.gz",
    "npz": "arrays.npz",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_of_a_folder(tmp_path, name):
    for file in FOLDERS[name]:
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_format(tmp_path / name) == name


@pytest.mark.parametrize("name", FILES)
def test_of_a_file(tmp_path, name, npz_file):
    path = tmp_path / FILES[name]
    path.touch()
    if name == "npz":
        path = npz_file(x_train=[[[0]]], y_train=[0])
    assert find_format(path) == name


def test_of_one_file_of_a_collection(tmp_path):
    for name in IDX:
        (tmp_path / name).touch()
    assert find_format(tmp_path / IDX[0]) == "mnist"


def test_every_format_can_be_found():
    assert {*FOLDERS, *FILES, SHIPPED} == {*READERS}


@pytest.mark.parametrize("there", [(), ("notes.txt",), ("train/notes.txt",)])
def test_none_is_an_error(tmp_path, there):
    for file in there:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(DataError, match=r"must be a data set of format .*, folder, npz; no such"):
        find_format(tmp_path)
    with pytest.raises(DataError, match="must be a file or folder that exists"):
        find_format(tmp_path / "absent")
