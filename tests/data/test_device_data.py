from dataclasses import replace

import numpy as np
import pytest
import torch

from dnsearch.arrays import load_mapped
from dnsearch.data import Augment, DeviceData, LabelledImages, PreparedData
from dnsearch.errors import ConfigError


def prepared(train=50, validation=23, channels=3):
    """Random images; the label of each is its number."""
    random = np.random.default_rng(0)

    def part(count):
        images = random.integers(0, 256, (count, channels, 5, 4), dtype=np.uint8)
        return LabelledImages(images, np.arange(count))

    mean, std = (0.2, 0.4, 0.6)[:channels], (0.1, 0.2, 0.3)[:channels]
    return PreparedData("toy", ("a", "b"), part(train), part(validation), mean, std, "f", False)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def reference(data, part, rows):
    """Normalised as a textbook has it, in NumPy."""
    mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (data.mean, data.std))
    return (part.images[rows] / 255 - mean) / std


@pytest.fixture(params=["memory", "disk"])
def placed(request, tmp_path):
    """(prepared data) -> its DeviceData, the images mapped from files."""

    def place(data):
        return DeviceData(mapped(data, tmp_path), keep=request.param)

    return place


def mapped(data, folder):
    """With images as the cache has them: mapped, in another order, among others, of which there
    may be more channels."""

    def part(name):
        images = getattr(data, name).images
        order = np.random.default_rng(7).permutation(2 * len(images))[: len(images)]
        pixels = np.full((2 * len(images), 3, *images.shape[2:]), 99, np.uint8)
        pixels[order, : images.shape[1]] = images
        np.save(folder / f"{name}.npy", pixels)
        there = load_mapped(folder / f"{name}.npy")
        labels = getattr(data, name).labels
        return LabelledImages(there[:, : images.shape[1]], labels, order)

    return replace(data, train=part("train"), validation=part("validation"))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_epoch(channels, placed):
    data = prepared(channels=channels)
    batches = list(placed(data).batches(16, generator()))
    labels = torch.cat([labels for _, labels in batches])
    assert [len(labels) for _, labels in batches] == [16, 16, 16]
    assert len(labels.unique()) == 48
    assert labels.tolist() != sorted(labels.tolist())
    for images, rows in batches:
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_allclose(images, reference(data, data.train, rows), atol=1e-5)


def test_validation_is_whole_and_in_order(placed):
    data = prepared()
    batches = list(placed(data).validation_batches(10))
    assert [len(labels) for _, labels in batches] == [10, 10, 3]
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(23))
    images = torch.cat([images for images, _ in batches])
    np.testing.assert_allclose(images, reference(data, data.validation, slice(None)), atol=1e-5)


def test_other_images_come_as_those_of_validation_do(placed):
    data = prepared()
    there = placed(data)
    pairs = zip(there.batches_of(data.validation, 10), there.validation_batches(10), strict=True)
    for (images, labels), (same_images, same_labels) in pairs:
        assert torch.equal(images, same_images)
        assert torch.equal(labels, same_labels)


def test_where_images_lie_changes_nothing(placed):
    augment = Augment(flip=True, shift=1, cutout=2)
    for first in (0, 2, 3):
        epochs = [
            [
                (there.prepared(images, own, augment), labels)
                for images, labels in there.drawn(16, own, first)
            ]
            for there in (DeviceData(prepared()), placed(prepared()))
            for own in [generator()]
        ]
        assert len(epochs[0]) == 3 - first
        for (images, labels), (other_images, other_labels) in zip(*epochs, strict=True):
            assert torch.equal(images, other_images)
            assert torch.equal(labels, other_labels)


def test_padding_is_black_and_cutout_is_the_mean():
    data = prepared()
    black = [-mean / std for mean, std in zip(data.mean, data.std, strict=True)]
    (images, _), *_ = DeviceData(data).batches(32, generator(), Augment(shift=5))
    corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]  # nearly all are padding
    shares = [
        (corners[:, c] - value).abs().lt(1e-5).float().mean() for c, value in enumerate(black)
    ]
    assert min(shares) > 0.5
    (images, _), *_ = DeviceData(data).batches(32, generator(), Augment(cutout=2))
    assert (images == 0).flatten(2).any(2).all()


def test_the_generator_decides():
    data = DeviceData(prepared())
    augment = Augment(flip=True, shift=1)
    first, again, other = (
        torch.cat([images for images, _ in data.batches(16, generator(seed), augment)])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("train", "sizes"), [(2, [2]), (15, [15]), (16, [16]), (17, [16])])
def test_last_batch(train, sizes):
    data = DeviceData(prepared(train=train))
    assert [len(labels) for _, labels in data.batches(16, generator())] == sizes
    assert data.steps(16) == len(sizes)


def test_batches_of_one():
    with pytest.raises(ConfigError, match=r"training\.batch_size must be at least 2, got 1"):
        next(DeviceData(prepared()).batches(1, generator()))


def test_batches_leave_the_data_alone():
    data = prepared()
    before = data.train.images.copy()
    list(DeviceData(data).batches(16, generator(), Augment(True, 2, 3)))
    np.testing.assert_array_equal(data.train.images, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("keep", ["memory", "disk", "device"])
def test_on_cuda(tmp_path, keep):
    data, augment = prepared(), Augment(flip=True, shift=1, cutout=2)
    there = DeviceData(mapped(data, tmp_path), "cuda", keep)
    state = torch.Generator("cuda").manual_seed(0)
    images, labels = next(there.batches(16, state, augment))
    assert images.device.type == labels.device.type == "cuda"
    plain, rows = next(there.batches(16, state))
    (other, _), (validation, _) = (
        next(batches)
        for batches in (there.batches_of(data.validation, 23), there.validation_batches(23))
    )
    assert torch.equal(other, validation)
    expected = reference(data, data.train, rows.cpu())
    np.testing.assert_allclose(plain.cpu(), expected, atol=1e-5)


def test_fewer_images_are_repeated_to_epochs_of_the_same_length(placed):
    data = prepared(train=48)
    data.train.labels[:] = np.arange(48) % 4
    own = {
        image.tobytes(): label for image, label in zip(data.train.images, range(48), strict=True)
    }
    whole = placed(data)
    part = whole.limited(12, np.random.default_rng(1))
    again = whole.limited(12, np.random.default_rng(2))
    assert part.steps(16) == whole.steps(16) == 3

    def seen(device_data):
        batches = list(device_data.batches(16, generator()))
        pixels = torch.cat([images for images, _ in batches]).numpy() * 255
        shape = np.reshape(data.std, (1, -1, 1, 1)), np.reshape(data.mean, (1, -1, 1, 1))
        raw = np.round(pixels * shape[0] + shape[1] * 255).astype(np.uint8)
        return [own[image.tobytes()] for image in raw], torch.cat([rows for _, rows in batches])

    images, labels = seen(part)
    counts = np.bincount(images, minlength=48)
    assert sorted(counts[counts > 0]) == [4] * 12  # of 48 places
    assert np.bincount(np.flatnonzero(counts) % 4).tolist() == [3] * 4  # of each class its share
    assert labels.tolist() == [image % 4 for image in images]
    assert set(seen(again)[0]) != set(images)
    assert len(set(seen(whole)[0])) == 48
    assert len(list(part.validation_batches(10))) == 3
    for images in (0, 49):
        with pytest.raises(ConfigError, match="must be 1 to 48, the training images there are"):
            whole.limited(images, np.random.default_rng(0))
