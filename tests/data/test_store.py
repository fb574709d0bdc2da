import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dnsearch.config import DataConfig, parse_study
from dnsearch.data import check_test, had_test, has_test, prepare, prepare_test, store
from dnsearch.errors import ConfigError, DataError


def config(path, **settings):
    return DataConfig(format="npz", path=path, **settings)


@pytest.fixture
def toy(npz_file, labelled):
    """(**settings) -> the settings of an archive with 40 training and 8 test images."""
    images, labels = labelled()
    test_images, test_labels = labelled(8)
    path = npz_file(x_train=images, y_train=labels, x_test=test_images, y_test=test_labels)
    return lambda **settings: config(path, **settings)


def test_splits_and_describes(toy):
    data = prepare(toy(validation=0.25))
    assert data.name == "toy.npz (npz)"
    assert data.shape == (1, 6, 6)
    assert data.num_classes == 4
    assert data.classes == ("0", "1", "2", "3")
    assert data.counts == {"train": 30, "validation": 10}
    assert data.train.labels.dtype == np.int64
    described = json.loads(json.dumps(data.describe()))
    assert described["images"] == {"train": 30, "validation": 10}
    assert described["class_counts"] == {"train": [7, 7, 8, 8], "validation": [3, 3, 2, 2]}
    assert described["fingerprint"] == data.fingerprint
    assert described["test_split"] is True


def test_statistics_are_of_the_training_images(npz_file, labelled):
    images, labels = labelled(channels=3)
    data = prepare(config(npz_file(x_train=images, y_train=labels), train_images=16))
    pixels = data.train.images / 255
    np.testing.assert_allclose(data.mean, pixels.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std((0, 2, 3)), rtol=1e-12)
    assert data.counts == {"train": 16, "validation": 8}


def test_constant_images_have_a_usable_std(npz_file):
    images = np.zeros((8, 2, 2, 3), np.uint8)
    images[..., 0] = np.arange(8)[:, None, None]  # the other channels are constant
    path = npz_file(x_train=images, y_train=np.arange(8) % 2)
    assert prepare(config(path)).std[1:] == (1 / 255, 1 / 255)


def test_images_that_are_all_alike_teach_nothing(npz_file):
    path = npz_file(x_train=np.full((8, 2, 2), 9, np.uint8), y_train=np.arange(8) % 2)
    with pytest.raises(DataError, match="train: images must differ, but all 8 are alike"):
        prepare(config(path))


def test_own_validation_split_is_used(npz_file, labelled):
    images, labels = labelled()
    held, held_labels = labelled(6)
    path = npz_file(x_train=images, y_train=labels, x_val=held, y_val=held_labels)
    data = prepare(config(path))
    np.testing.assert_array_equal(data.train.images[:, 0], images)
    np.testing.assert_array_equal(data.validation.images[:, 0], held)


def test_labels_become_positions(npz_file, labelled):
    images, labels = labelled()
    path = npz_file(x_train=images, y_train=labels * 10 - 5, x_test=images, y_test=labels * 10 - 5)
    data = prepare(config(path))
    assert data.classes == ("-5", "5", "15", "25")
    assert set(data.train.labels) == {0, 1, 2, 3}
    np.testing.assert_array_equal(prepare_test(config(path)).labels, labels)


def test_image_size_resizes_every_split(toy):
    data = prepare(toy(image_size=3))
    assert data.validation.images.shape == (8, 1, 3, 3)
    assert prepare_test(toy(image_size=3)).images.shape == (8, 1, 3, 3)


def test_the_cache_gives_the_same(toy, tmp_path):
    fresh, cached = prepare(toy(), tmp_path / "c"), prepare(toy(), tmp_path / "c")
    assert fresh.describe() == cached.describe()
    np.testing.assert_array_equal(fresh.train.images, cached.train.images)
    assert len(list((tmp_path / "c" / "data").iterdir())) == 1


def test_without_a_cache_all_is_the_same(toy, tmp_path):
    (tmp_path / "file").write_text("no folder")
    data = prepare(toy(), tmp_path / "file")
    assert data.describe() == prepare(toy()).describe()
    assert len(prepare_test(toy(), tmp_path / "file")) == 8


def test_fingerprint_tells_data_apart(toy):
    variants = [toy(), toy(seed=1), toy(validation=0.5), toy(train_images=8), toy(image_size=5)]
    assert len({prepare(variant).fingerprint for variant in variants}) == 5


def test_a_changed_file_is_read_again(npz_file, labelled):
    images, labels = labelled()
    before = prepare(config(npz_file(x_train=images, y_train=labels)))
    after = prepare(config(npz_file(x_train=255 - images, y_train=labels)))
    assert before.fingerprint != after.fingerprint


def test_prepare_never_reads_the_test_split(toy):
    path = toy().path
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("x_test.npy").header_offset
    content = bytearray(path.read_bytes())
    content[start : start + 100] = bytes(100)
    path.write_bytes(bytes(content))
    assert prepare(toy()).counts == {"train": 32, "validation": 8}
    with pytest.raises(DataError, match="array 'x_test' must be readable"):
        prepare_test(toy())


def test_prepare_never_opens_a_test_file(tmp_path, idx_file, labelled):
    images, labels = labelled()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_file(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_file(labels))
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (tmp_path / name).write_bytes(b"corrupt")
    settings = DataConfig(format="mnist", path=tmp_path)
    data = prepare(settings)
    assert data.classes == ("0", "1", "2", "3")
    assert data.notes == (
        "4 of 10 classes occur in the training images; 4, 5, 6, 7, 8, 9 have none",
    )
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte"):
        prepare_test(settings)


def test_no_test_split(npz_file, labelled):
    images, labels = labelled()
    with pytest.raises(DataError, match=r"toy\.npz \(npz\): must have a test split, has train"):
        prepare_test(config(npz_file(x_train=images, y_train=labels)))


def test_a_test_split_that_comes_later_is_seen(tmp_path, idx_file):
    """The decoded images are in the cache by then; they are the same, and so is what names them."""
    settings = DataConfig(format="mnist", path=tmp_path)
    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    parts = {"images-idx3": images, "labels-idx1": np.arange(20) % 10}
    for name, part in parts.items():
        (tmp_path / f"train-{name}-ubyte").write_bytes(idx_file(part))
    before = prepare(settings)
    for name, part in parts.items():
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(idx_file(part))
    after = prepare(settings)
    assert (before.test_split, after.test_split) == (False, True)
    assert before.fingerprint == after.fingerprint


def test_what_was_recorded_of_the_test_split_needs_no_images(toy, tmp_path):
    gone = config(tmp_path / "gone.npz")
    assert had_test({"test_split": True}, gone) is True
    assert had_test({"test_split": False}, gone) is False
    assert had_test({}, toy()) is True  # of before it was recorded
    with pytest.raises(DataError, match=r"must be a file or folder that exists, got .*gone\.npz"):
        had_test({}, gone)


@pytest.mark.parametrize("kind", ["mnist", "fashion-mnist", "cifar10", "parquet", "folder", "npz"])
def test_path_is_needed(kind):
    with pytest.raises(ConfigError, match=rf"data\.path must be set for format '{kind}'"):
        prepare(DataConfig(format=kind))


def test_path_is_not_wanted(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.path must not be set for format 'fashion-mnist-"):
        prepare(DataConfig(path=tmp_path))


def test_path_must_exist(tmp_path):
    with pytest.raises(DataError, match=r"data\.path must be a file or folder that exists, got"):
        prepare(config(tmp_path / "nowhere"))


def test_forbidden_folder(tmp_path, monkeypatch):
    def forbid(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a").mkdir()
    monkeypatch.setattr(Path, "iterdir", forbid)
    with pytest.raises(DataError, match="must be readable: Permission denied"):
        prepare(DataConfig(format="folder", path=tmp_path))


def test_one_class(npz_file, labelled):
    images, labels = labelled()
    with pytest.raises(DataError, match="must have at least 2 classes, got 0"):
        prepare(config(npz_file(x_train=images, y_train=labels * 0)))


def test_class_too_small_to_split(npz_file, labelled):
    images, labels = labelled()
    labels[0] = 9
    message = "train: every class must have at least 2 images to be split, class '9' has 1"
    with pytest.raises(DataError, match=message):
        prepare(config(npz_file(x_train=images, y_train=labels)))


def test_label_out_of_range(tmp_path, idx_file, labelled):
    images, labels = labelled()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_file(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_file(labels + 9))
    with pytest.raises(
        DataError, match="fashion-mnist, train: labels must be among 0 to 9, got 10"
    ):
        prepare(DataConfig(format="fashion-mnist", path=tmp_path))
    letters = prepare(DataConfig(format="mnist", path=tmp_path))  # as EMNIST's, under other names
    assert letters.classes == ("9", "10", "11", "12")


@pytest.mark.parametrize("split", ["val", "test"])
def test_label_unknown_to_training(npz_file, labelled, split):
    images, labels = labelled()
    arrays = {f"x_{split}": images, f"y_{split}": labels + 1}
    path = npz_file(x_train=images, y_train=labels, **arrays)
    with pytest.raises(DataError, match="labels must be among 0 to 3, got 4"):
        (prepare if split == "val" else prepare_test)(config(path))


def test_too_many_training_images_wanted(toy):
    with pytest.raises(ConfigError, match=r"data\.train_images must be between 4 .*32 .*got 33"):
        prepare(toy(train_images=33))


def test_validation_images_are_a_part_of_those_held_out(toy):
    whole, part = prepare(toy()), prepare(toy(validation_images=4))
    assert part.counts == {"train": whole.counts["train"], "validation": 4}
    assert part.class_counts["validation"] == [1, 1, 1, 1]
    assert rows(part.train) == rows(whole.train)
    assert set(rows(part.validation)) < set(rows(whole.validation))
    assert part.fingerprint != whole.fingerprint


def rows(part):
    """The images of a part, each as bytes."""
    return [image.tobytes() for image in part.images]


@pytest.mark.parametrize("own_validation", [False, True])
def test_test_images_may_be_held_out(npz_file, labelled, own_validation):
    images, labels = labelled(200)
    held, held_labels = labelled(20)
    more = {"x_val": held, "y_val": held_labels} if own_validation else {}
    path = npz_file(x_train=images, y_train=labels, **more)
    settings = config(path, test=0.15, validation=0.25)
    assert has_test(settings)
    data, test = prepare(settings), prepare_test(settings)
    assert data.test_split
    assert len(test) == 30
    assert np.bincount(test.labels).tolist() == [8, 8, 7, 7]
    assert data.counts == {
        "train": 170 if own_validation else 120,
        "validation": 20 * own_validation or 50,
    }
    seen = {*rows(data.train), *rows(data.validation)}
    assert not seen & set(rows(test))
    everything = sorted(image.tobytes() for image in images)
    parts = [data.train, test, *([] if own_validation else [data.validation])]
    assert sorted(row for part in parts for row in rows(part)) == everything
    own = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert [own[row] for row in rows(test)] == test.labels.tolist()


def test_the_seed_decides_which_are_held_out(npz_file, labelled):
    images, labels = labelled(200)
    path = npz_file(x_train=images, y_train=labels)
    first, again, other = (rows(prepare_test(config(path, test=0.1, seed=s))) for s in (1, 1, 2))
    assert first == again != other


def test_a_test_split_of_its_own_goes_before_a_share(toy):
    assert prepare(toy(test=0.5)).fingerprint == prepare(toy()).fingerprint
    assert len(prepare_test(toy(test=0.5))) == 8


def test_shares_must_leave_something(npz_file, labelled):
    with pytest.raises(ConfigError, match=r"data\.test must leave training images"):
        parse_study("[data]\nvalidation = 0.6\ntest = 0.4")
    images, labels = labelled(8)
    with pytest.raises(DataError, match="at least 3 images to be split, class '0' has 2"):
        prepare(config(npz_file(x_train=images, y_train=labels), test=0.2))


def test_splits_are_those_of_earlier_versions(npz_file):
    """A run that goes on must see the images that it began with."""
    random = np.random.RandomState(0)  # whose stream never changes
    images = random.randint(0, 256, (40, 4, 4)).astype(np.uint8)
    data = prepare(config(npz_file(x_train=images, y_train=np.arange(40) % 4)))
    assert data.fingerprint == "d82e261058d0a7f5"


def test_images_that_are_in_two_splits_are_counted(npz_file, labelled):
    images, labels = labelled()
    held, tests = images[:5].copy(), images[:8].copy()
    held[4] = 0
    path = npz_file(
        x_train=images, y_train=labels, x_val=held, y_val=[0, 1, 2, 0, 0], x_test=tests,
        y_test=labels[:8],
    )  # fmt: skip
    assert prepare(config(path)).notes == (
        "4 validation images (80.0 %) are among the training images, pixel for pixel, "
        "1 with another label",
    )
    assert check_test(config(path)).notes == (
        "8 test images (100.0 %) are among the training images, pixel for pixel",
    )


def test_labels_changed_under_the_same_size_and_time_are_seen(npz_file, labelled):
    images, labels = labelled()
    path = npz_file(x_train=images, y_train=labels)
    before, stat = prepare(config(path)), path.stat()
    npz_file(x_train=images, y_train=3 - labels)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    after = prepare(config(path))
    assert (after.fingerprint, after.train.labels[0]) != (
        before.fingerprint,
        before.train.labels[0],
    )


def test_without_a_home_all_goes_on_and_it_is_said(toy, monkeypatch, caplog):
    expected = prepare(toy())

    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DNSEARCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    store.say_no_cache.cache_clear()
    data = prepare(toy())
    assert data.fingerprint == expected.fingerprint
    assert len(prepare_test(toy())) == 8
    assert caplog.text.count("set DNSEARCH_CACHE") == 1
