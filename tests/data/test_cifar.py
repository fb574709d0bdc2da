import codecs
import io
import os
import pickle
import tarfile
from typing import ClassVar

import brute
import numpy as np
import pytest

from dnsearch.config import DataConfig
from dnsearch.data.formats import cifar, open_source
from dnsearch.data.formats.cifar import ArrayUnpickler
from dnsearch.errors import DataError

NAMES = [f"name {i}" for i in range(10)]


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as the published files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def python2_pickle(value):
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2, fix_imports=True).dump(value)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.fixture
def batches(random):
    """The files of a small CIFAR-10, as Python values with Python 2 strings."""

    def batch():
        pixels = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        return {b"data": pixels, b"labels": [i % 10 for i in range(20)]}

    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    meta = {b"label_names": [name.encode() for name in NAMES]}
    return {name: batch() for name in names} | {"batches.meta": meta}


@pytest.fixture
def folder(tmp_path, batches):
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for name, value in batches.items():
        (root / name).write_bytes(python2_pickle(value))
    return root


def read(path, split="train", kind="cifar10"):
    return brute.read(open_source(DataConfig(format=kind, path=path)), split)


def check(split, batches):
    pixels = np.concatenate([batches[f"data_batch_{i}"][b"data"] for i in range(1, 6)])
    assert split.images.shape == (100, 32, 32, 3)
    # a row is the red plane, then the green, then the blue
    np.testing.assert_array_equal(split.images[7, 3, 5], pixels[7, [101, 1125, 2149]])
    np.testing.assert_array_equal(split.images[..., 1].reshape(100, -1), pixels[:, 1024:2048])
    assert split.labels.tolist() == [i % 10 for i in range(20)] * 5
    assert split.classes == tuple(NAMES)


def test_reads_the_folder(folder, batches):
    check(read(folder), batches)
    check(read(folder.parent), batches)
    assert len(read(folder, "test").images) == 20


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_once_for_labels_and_pixels(folder, batches, packed, monkeypatch, tmp_path):
    """And again, with the same result, where pixels are asked for once more."""
    path, read_files, load = folder, [], cifar._load
    if packed:
        path = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, folder.name)

    def noting(where, content):
        read_files.append(where.name)
        return load(where, content)

    monkeypatch.setattr(cifar, "_load", noting)
    split = open_source(DataConfig(format="cifar10", path=path)).open("train")
    for times, rows in ((1, np.arange(100)), (2, np.array([3, 25, 26, 99]))):
        read = {int(row): np.array(image) for batch in split.batches(rows)
                for row, image in zip(batch.rows, batch.pictures, strict=True)}  # fmt: skip
        assert sorted(read) == rows.tolist()
        for row, image in read.items():
            plane = batches[f"data_batch_{row // 20 + 1}"][b"data"][row % 20]
            np.testing.assert_array_equal(image, plane.reshape(3, 32, 32).transpose(1, 2, 0))
        assert [read_files.count(f"data_batch_{i}") for i in range(1, 6)] == [times] * 5


def test_reads_the_archive(folder, batches):
    path = folder.parent / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    check(read(path), batches)
    assert len(read(path, "test").images) == 20


def test_reads_cifar100_with_python3_pickles(tmp_path, random):
    pixels = random.integers(0, 256, (4, 3072), dtype=np.uint8)
    train = {"data": pixels, "fine_labels": [0, 1, 1, 0], "coarse_labels": [0, 0, 0, 0]}
    (tmp_path / "train").write_bytes(pickle.dumps(train, protocol=4))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": ["a", "b"]}, protocol=4))
    split = read(tmp_path, kind="cifar100")
    assert split.labels.tolist() == [0, 1, 1, 0]
    assert split.classes == ("a", "b")
    assert "test" not in open_source(DataConfig(format="cifar100", path=tmp_path)).files


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("core", ["numpy._core", "numpy.core"])
@pytest.mark.parametrize("labels", [list, np.array])
def test_reads_every_protocol(folder, batches, protocol, core, labels):
    for name, batch in batches.items():
        value = {key.decode(): part for key, part in batch.items()}
        if "labels" in value:
            value["labels"] = labels(value["labels"])
        else:
            value["label_names"] = NAMES
        content = pickle.dumps(value, protocol=protocol)
        if core == "numpy.core" and protocol < 4:  # written as lines; later ones count letters
            content = content.replace(b"cnumpy._core.", b"cnumpy.core.")
        (folder / name).write_bytes(content)
    check(read(folder), batches)


def test_reads_arrays_in_other_orders_of_memory(folder, batches):
    for name, batch in batches.items():
        if b"data" in batch:
            value = {"data": np.asfortranarray(batch[b"data"]), "labels": batch[b"labels"]}
            (folder / name).write_bytes(pickle.dumps(value, protocol=5))
    check(read(folder), batches)


def test_knows_numpy_s_older_name_of_what_protocol_5_calls():
    before = ("numpy.core.numeric", "_frombuffer")
    array = ArrayUnpickler(io.BytesIO()).find_class(*before)(bytes(range(4)), np.uint8, (2, 2), "F")
    np.testing.assert_array_equal(array, [[0, 2], [1, 3]])


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


class Encoded:
    """Calls the one function that writes bytes, with a codec that does something else."""

    def __reduce__(self):
        return codecs.encode, ("payload", "rot13")


def test_refuses_other_encodings(folder):
    (folder / "batches.meta").write_bytes(pickle.dumps(Encoded()))
    with pytest.raises(DataError, match=r"batches\.meta: must hold NumPy arrays .*text as rot13"):
        read(folder)


class Attribute:
    """Reaches for a function by way of an allowed module."""

    def __reduce__(self):
        return np.load, ("anything",)


def test_refuses_to_run_code(folder, tmp_path):
    target = tmp_path / "made by the pickle"
    (folder / "data_batch_3").write_bytes(pickle.dumps(Malicious(str(target))))
    with pytest.raises(DataError, match=r"data_batch_3: must hold NumPy arrays .*mkdir"):
        read(folder)
    assert not target.exists()


def test_refuses_other_functions_of_numpy(folder):
    (folder / "batches.meta").write_bytes(pickle.dumps(Attribute()))
    with pytest.raises(DataError, match=r"batches\.meta: must hold NumPy arrays .*load"):
        read(folder)


def test_missing_batch(folder):
    (folder / "data_batch_2").unlink()
    with pytest.raises(DataError, match="must hold data_batch_2; no such file"):
        read(folder)


def test_archive_without_batches(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("readme"))
    with pytest.raises(DataError, match=r"cifar\.tar\.gz: must hold data_batch_1,"):
        read(path)


def test_damaged_archive(tmp_path):
    (tmp_path / "cifar.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"cifar\.tar\.gz: must be a readable folder or \.tar\.gz"):
        read(tmp_path / "cifar.tar.gz")


def test_damaged_pickle(folder):
    content = (folder / "data_batch_1").read_bytes()
    (folder / "data_batch_1").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="data_batch_1: must be a whole pickle"):
        read(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "must be a dictionary with 'data', of type ndarray"),
        (
            {"data": np.zeros((2, 3072), np.uint8)},
            "must be a dictionary with 'labels', of type list",
        ),
        (
            {"data": np.zeros((1, 9)), "labels": [1]},
            r"data must be of shape \(n, 3072\), got \(1, 9\)",
        ),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["a"]}, "labels must be whole numbers"),
        (
            {"data": np.zeros((2, 3072), np.uint8), "labels": [1]},
            "data_batch_4: .*got 2 images and 1 labels",
        ),
    ],
)
def test_malformed_batch(folder, content, message):
    (folder / "data_batch_4").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(DataError, match=message):
        read(folder)
