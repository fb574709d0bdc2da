import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brute import read
from PIL import Image

from dnsearch.config import DataConfig
from dnsearch.data import prepare, prepare_test
from dnsearch.data.formats import open_source
from dnsearch.errors import DataError

CIFAR = Path(__file__).parents[3] / "shared" / "data" / "cifar10"
PICTURES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def table(labelled, encoded):
    """A table of 40 grey pictures in 4 classes, and its arrays."""
    images, labels = labelled()
    rows = [{"bytes": encoded(image), "path": None} for image in images]
    columns = {"picture": pa.array(rows, PICTURES), "label": pa.array(labels)}
    return pa.table(columns), images, labels


def source_of(path):
    return open_source(DataConfig(format="parquet", path=path))


def test_reads_a_file(tmp_path, table):
    content, images, labels = table
    pq.write_table(content, tmp_path / "all.parquet", row_group_size=7)
    source = source_of(tmp_path / "all.parquet")
    split = read(source, "train", None)
    np.testing.assert_array_equal(split.images[..., 0], images)
    np.testing.assert_array_equal(split.labels, labels)
    assert list(source.files) == ["train"]
    assert split.classes is None


def test_splits_are_told_by_file_name(tmp_path, table):
    content, _, labels = table
    parts = {"train-0-of-2": (0, 10), "train-1-of-2": (10, 20), "validation-0": (30, 6)}
    for name, (start, count) in (parts | {"test-0": (0, 4)}).items():
        pq.write_table(content.slice(start, count), tmp_path / f"{name}.parquet")
    source = source_of(tmp_path)
    np.testing.assert_array_equal(read(source, "train", None).labels, labels[:30])
    np.testing.assert_array_equal(read(source, "validation", None).labels, labels[30:36])
    assert len(read(source, "test", None).labels) == 4


def test_class_names_from_metadata(tmp_path, table):
    feature = {"names": ["ant", "bee", "cat", "dog"], "_type": "ClassLabel"}
    metadata = json.dumps({"info": {"features": {"label": feature}}})
    content = table[0].replace_schema_metadata({"huggingface": metadata})
    pq.write_table(content, tmp_path / "train-0.parquet")
    assert read(source_of(tmp_path), "train", None).classes == ("ant", "bee", "cat", "dog")


def test_one_label_column_of_several(tmp_path, table):
    content = table[0].append_column("coarse", pa.array([7] * 40))
    pq.write_table(content, tmp_path / "train-0.parquet")
    np.testing.assert_array_equal(read(source_of(tmp_path), "train", None).labels, table[2])


def write(path, **columns):
    pq.write_table(pa.table(columns), path)
    return source_of(path)


def test_unknown_columns(tmp_path):
    source = write(tmp_path / "x.parquet", text=pa.array(["a"]), a=pa.array([1]), b=pa.array([2]))
    with pytest.raises(
        DataError, match=r"must have one column of pictures.*has text: string, a: int64"
    ):
        read(source, "train", None)


def test_no_training_files(tmp_path):
    with pytest.raises(DataError, match=r"must hold files named train-\*\.parquet"):
        source_of(tmp_path)


def test_not_parquet(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"x\.parquet: must be a readable Parquet file"):
        read(source_of(tmp_path / "x.parquet"), "train", None)


def test_damaged_pages(tmp_path, table):
    path = tmp_path / "x.parquet"
    pq.write_table(table[0], path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"x\.parquet: must be a readable Parquet file"):
        read(source_of(path), "train", None)


def test_a_column_whose_name_is_no_utf_8(tmp_path, table):
    path = tmp_path / "x.parquet"
    pq.write_table(table[0].rename_columns(["image", "labél"]), path)
    path.write_bytes(path.read_bytes().replace("labél".encode(), b"lab\xf0\x28l"))
    with pytest.raises(DataError, match=r"x\.parquet: must be a readable Parquet file"):
        read(source_of(path), "train", None)


def test_no_rows(tmp_path, table):
    pq.write_table(table[0].slice(0, 0), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: must hold images, has no rows"):
        read(source_of(tmp_path / "x.parquet"), "train", None)


@pytest.mark.parametrize(
    ("row", "label", "message"),
    [
        ({"bytes": b"no image", "path": None}, 1, "row 1: must be a readable image: not an image"),
        ({"bytes": None, "path": "a.png"}, 1, "row 1: must hold the picture's bytes"),
        (None, 1, "row 1: must hold the picture's bytes"),
        (
            {"bytes": b"", "path": None},
            None,
            "column 'label' must have a label in every row, 1 have none",
        ),
    ],
)
def test_bad_row(tmp_path, encoded, row, label, message):
    good = {"bytes": encoded(np.zeros((2, 2), np.uint8)), "path": None}
    columns = {"image": pa.array([good, row], PICTURES), "label": pa.array([0, label], pa.int64())}
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "x.parquet", **columns), "train", None)


@pytest.mark.skipif(not CIFAR.is_dir(), reason="no CIFAR-10 beside the project")
def test_reads_cifar10(tmp_path):
    file = next(CIFAR.glob("test-*.parquet"))
    (tmp_path / "train-0.parquet").symlink_to(file)  # the smaller file, to be quick
    (tmp_path / "test-0.parquet").symlink_to(file)
    config = DataConfig(format="parquet", path=tmp_path, validation=0.1, train_images=1000)
    data, test = prepare(config), prepare_test(config)
    assert data.shape == (3, 32, 32)
    assert data.counts == {"train": 1000, "validation": 1000}
    assert np.bincount(data.train.labels).tolist() == [100] * 10
    rows = pq.read_table(file).slice(123, 1).to_pylist()
    picture = np.asarray(Image.open(io.BytesIO(rows[0]["img"]["bytes"])).convert("RGB"))
    np.testing.assert_array_equal(test.images[123], picture.transpose(2, 0, 1))
    assert test.labels[123] == rows[0]["label"]
