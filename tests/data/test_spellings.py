"""Splits under whatever names they have, in every format; what is not understood is named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brute import read
from PIL import Image

from dnsearch.config import DataConfig
from dnsearch.data import prepare
from dnsearch.data.formats import open_source
from dnsearch.data.formats.spellings import split_called, split_within, unused
from dnsearch.errors import DataError

PICTURES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train Train TRAINING training_set trainset TrainImages tr train-images", "train"),
        ("val Valid VALIDATION dev Dev eval valid_set ValSet validation_data", "validation"),
        ("test TEST Testing test_set testset tst t10k", "test"),
        ("cat trainer tests2 latest my_train_stuff data set contest validity", None),
    ],
)
def test_names(names, split):
    assert {name: split_called(name) for name in names.split()} == dict.fromkeys(
        names.split(), split
    )


def test_a_word_within_a_name():
    assert split_within("valid-00000-of-00001-3c4d") == "validation"
    assert split_within("cifar10_Test_0") == "test"
    assert split_within("train_and_test") is None
    assert split_within("latest-0") is None


def test_many_names_are_counted():
    assert unused("file", []) == ()
    names = unused("file", map(str, range(8)))
    assert names == ("not used: file 0, 1, 2, 3, 4 and 3 more",)


@pytest.fixture
def folders(tmp_path, random):
    """(*paths): two pictures in each of these folders."""

    def make(*paths):
        for path in paths:
            (tmp_path / path).mkdir(parents=True, exist_ok=True)
            for i in range(2):
                pixels = random.integers(0, 256, (5, 5), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / path / f"{i}.png")
        return DataConfig(format="folder", path=tmp_path)

    return make


def in_each(*splits):
    return [f"{split}/{name}" for split in splits for name in ("cat", "dog")]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "dev", "TEST"),
        ("Training", "Valid", "Testing"),
        ("training_set", "val_set", "test_set"),
        ("TRAIN", "eval", "tst"),
        ("data/train", "data/valid", "data/test"),  # as archives unpack
        ("train/train", "val/val", "test/test"),
    ],
)
def test_folders(folders, train, validation, test):
    source = open_source(folders(*in_each(train, validation, test)))
    counts = {split: len(files) for split, files in source.files.items()}
    assert counts == {"train": 4, "validation": 4, "test": 4}
    assert read(source, "train", None).classes == ("cat", "dog")


def test_a_folder_of_classes_with_a_test_split_among_them(folders):
    source = open_source(folders("cat", "dog", "test/cat", "test/dog"))
    assert {split: len(files) for split, files in source.files.items()} == {"train": 4, "test": 4}
    assert read(source, "train", None).classes == ("cat", "dog")


def test_a_class_may_be_called_test(folders):
    source = open_source(folders("test", "trial"))
    assert list(source.files) == ["train"]
    assert read(source, "train", None).classes == ("test", "trial")


def test_folders_that_are_not_understood_are_named(folders, tmp_path):
    config = folders(*in_each("train", "holdback"), "test")
    (tmp_path / "labels.csv").write_text("")
    assert prepare(config).notes == (
        "no test split: test/ has no pictures in sub-folders of classes",
        "not used: folder holdback/",
        "1 file skipped: 1 .csv",
    )


@pytest.fixture
def tables(tmp_path, encoded, random):
    """(*names): a table of six pictures in each of these files."""

    def make(*names):
        for name in names:
            pictures = [
                {"bytes": encoded(random.integers(0, 256, (5, 5), dtype=np.uint8)), "path": None}
                for _ in range(6)
            ]
            columns = {"image": pa.array(pictures, PICTURES), "label": [0, 1] * 3}
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), tmp_path / name)
        return DataConfig(format="parquet", path=tmp_path)

    return make


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train-00000-of-00001-1a2b", "valid-00000-of-00001-3c4d", "test-0"),
        ("Train", "dev", "TEST"),
        ("training_0", "validation_0", "testing_0"),
        ("train/0000", "validation/0000", "test/0000"),
        ("data/train-0", "data/eval-0", "data/test-0"),
        ("default/train/0000", "default/validation/0000", "default/test/0000"),
    ],
)
def test_tables(tables, train, validation, test):
    source = open_source(tables(*(f"{name}.parquet" for name in (train, validation, test))))
    counts = {split: len(files) for split, files in source.files.items()}
    assert counts == {"train": 1, "validation": 1, "test": 1}
    assert source.notes == ()


def test_tables_without_a_split_are_for_training_and_others_are_named(tables, tmp_path):
    config = tables("0000.parquet", "0001.parquet")
    (tmp_path / "README.md").write_text("")
    assert open_source(config).notes == (
        "no split in the names of files, so all are for training: 0000.parquet and 0001.parquet",
        "not used: file README.md",
    )
    source = open_source(tables("train-0.parquet"))
    assert len(source.files["train"]) == 1
    assert source.notes == ("not used: file 0000.parquet, 0001.parquet and README.md",)


@pytest.mark.parametrize("pair", [("x", "y"), ("images", "labels"), ("data", "targets")])
@pytest.mark.parametrize("words", [("train", "valid", "test"), ("TR", "DEV", "TST")])
@pytest.mark.parametrize("way", ["{0}_{1}", "{1}_{0}", "{1}{0}"])
def test_arrays(npz_file, labelled, pair, words, way):
    arrays = {}
    for count, split in zip((40, 16, 8), words, strict=True):
        parts = labelled(count)
        arrays |= {way.format(p, split): a for p, a in zip(pair, parts, strict=True)}
    source = open_source(DataConfig(format="npz", path=npz_file(**arrays)))
    counts = {split: len(read(source, split, None).labels) for split in source.files}
    assert counts == {"train": 40, "validation": 16, "test": 8}
    assert source.notes == ()


def test_arrays_that_are_not_understood_are_named(npz_file, labelled):
    images, labels = labelled()
    path = npz_file(X_train=images, y_train=labels, X_test=images, names=np.array(["a"]))
    notes = open_source(DataConfig(format="npz", path=path)).notes
    assert notes == ("not used: array in toy.npz X_test and names",)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (lambda n: np.array(["b", "a", "c", "a"])[n], ("a", "b", "c")),
        (lambda n: np.array([b"b", b"a", b"c", b"a"])[n], ("a", "b", "c")),
        (lambda n: n % 2 == 0, ("false", "true")),
        (lambda n: n.astype(float), ("0", "1", "2", "3")),
    ],
)
def test_labels_of_any_type(npz_file, labelled, labels, expected):
    images, numbers = labelled()
    data = prepare(DataConfig(format="npz", path=npz_file(images=images, labels=labels(numbers))))
    assert data.classes == expected


def test_without_training_the_known_names_are_told(tmp_path, folders):
    folders("test/cat", "val/cat")
    with pytest.raises(DataError, match=r"must hold a training split, has test and val"):
        prepare(DataConfig(format="folder", path=tmp_path))
