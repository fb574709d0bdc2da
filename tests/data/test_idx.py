import gzip
import lzma

import numpy as np
import pytest
from brute import read

from dnsearch.config import DataConfig
from dnsearch.data.formats import open_source
from dnsearch.data.formats.idx import read_idx
from dnsearch.errors import DataError

PACKERS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


@pytest.fixture
def mnist(tmp_path, idx_file, labelled):
    """A folder with both splits, and the training arrays it holds."""
    images, labels = labelled(side=5)
    for prefix, count in (("train", 40), ("t10k", 8)):
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx_file(images[:count]))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_file(labels[:count]))
    return tmp_path, images, labels


def source_of(folder, kind="mnist"):
    return open_source(DataConfig(format=kind, path=folder))


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("dot", ["-", "."])
def test_reads_every_spelling(tmp_path, idx_file, labelled, suffix, dot):
    images, labels = labelled()
    for part, array in ((f"images{dot}idx3", images), (f"labels{dot}idx1", labels)):
        content = PACKERS[suffix](idx_file(array))
        (tmp_path / f"train-{part}-ubyte{suffix}").write_bytes(content)
    split = read(source_of(tmp_path), "train", None)
    np.testing.assert_array_equal(split.images[..., 0], images)
    np.testing.assert_array_equal(split.labels, labels)


def test_class_names_are_the_format_s(mnist):
    folder, *_ = mnist
    assert read(source_of(folder), "test", None).classes == tuple("0123456789")
    assert read(source_of(folder, "fashion-mnist"), "test", None).classes[9] == "Ankle boot"


def test_resizing_averages_pixels(tmp_path, idx_file):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_file(np.full((2, 8, 8), 200)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_file(np.array([0, 1])))
    images = read(source_of(tmp_path), "train", 4).images
    assert images.shape == (2, 4, 4, 1)
    assert (images == 200).all()


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="must hold train-images-idx3-ubyte or that as"):
        source_of(tmp_path)


def test_missing_labels(mnist):
    (mnist[0] / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="must hold t10k-labels-idx1-ubyte"):
        source_of(mnist[0])


def test_wrong_magic(mnist):
    path = mnist[0] / "train-images-idx3-ubyte"
    path.write_bytes((mnist[0] / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DataError, match=r"train-images.*magic number 2051 .*got 2049"):
        read_idx(path, 3)


def test_empty_file(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(DataError, match="empty: must be IDX"):
        read_idx(tmp_path / "empty", 1)


def test_cut_short(mnist):
    path = mnist[0] / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"must hold 1000 bytes of \(40, 5, 5\).*got 999"):
        read_idx(path, 3)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_truncated_archive(tmp_path, idx_file, labelled, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(PACKERS[suffix](idx_file(labelled()[0]))[:-20])
    with pytest.raises(DataError, match=r"file\.(gz|xz): must be a readable, whole file"):
        read_idx(path, 3)


def test_not_an_archive(tmp_path):
    (tmp_path / "file.gz").write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"file\.gz: must be a readable"):
        read_idx(tmp_path / "file.gz", 3)


def test_counts_must_match(mnist, idx_file):
    (mnist[0] / "train-labels-idx1-ubyte").write_bytes(idx_file(np.zeros(39)))
    with pytest.raises(DataError, match=r"train-images.*got 40 images and 39 labels"):
        read(source_of(mnist[0]), "train", None)


@pytest.fixture
def emnist(tmp_path, idx_file, labelled):
    """A folder with two of EMNIST's collections; letters are labelled from 1."""
    for name, first in (("letters", 1), ("digits", 0)):
        for split, count in (("train", 40), ("test", 8)):
            images, labels = labelled(count)
            for part, array in (("images-idx3", images), ("labels-idx1", labels + first)):
                content = gzip.compress(idx_file(array))
                (tmp_path / f"emnist-{name}-{split}-{part}-ubyte.gz").write_bytes(content)
    return tmp_path


def test_emnist_s_own_names(emnist):
    with pytest.raises(DataError, match="must hold one collection, has emnist-digits and emnist-l"):
        source_of(emnist)
    source = source_of(emnist / "emnist-letters-test-labels-idx1-ubyte.gz")
    assert sorted(source.files) == ["test", "train"]
    assert set(read(source, "train", None).labels.tolist()) == {1, 2, 3, 4}
    for path in emnist.glob("emnist-digits-*"):
        path.unlink()
    assert len(read(source_of(emnist), "test", None).labels) == 8


def test_other_files_are_named(mnist):
    folder, *_ = mnist
    (folder / "holdback-images-idx3-ubyte").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"")
    assert source_of(folder).notes == ("not used: file holdback-images-idx3-ubyte",)
