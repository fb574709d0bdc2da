import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ks_2samp

from dnsearch.data import Augment, DeviceData, LabelledImages, PreparedData
from dnsearch.data.augment import Part, _between, jittered, random_crops, resampled
from dnsearch.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=64, channels=3, height=7, width=9):
    """Random bytes, all above 0, so that black is the padding's alone."""
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator(1))


def whole(change, images, generator):
    """What a change makes of a batch that one process has as a whole."""
    return change(images, generator, Part(len(images)))


def variants(image, shift, flip):
    """Every picture that padding, slicing and mirroring can make of one image."""
    _, height, width = image.shape
    padded = F.pad(image, (shift,) * 4)
    crops = [
        padded[:, top : top + height, left : left + width]
        for top in range(2 * shift + 1)
        for left in range(2 * shift + 1)
    ]
    return crops + [crop.flip(2) for crop in crops] if flip else crops


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shift", "flip"), [(0, True), (2, False), (2, True)])
def test_every_image_is_a_shifted_crop(channels, shift, flip):
    images = pictures(channels=channels)
    moved = whole(Augment(flip=flip, shift=shift).move, images, generator())
    assert moved.dtype == torch.uint8
    for before, after in zip(images, moved, strict=True):
        assert any(torch.equal(after, variant) for variant in variants(before, shift, flip))


def test_every_variant_occurs_equally_often():
    image = pictures(1)
    moved = whole(Augment(flip=True, shift=1).move, image.expand(9000, -1, -1, -1), generator())
    counts = [(moved == variant).flatten(1).all(1).sum() for variant in variants(image[0], 1, True)]
    assert sum(counts) == 9000
    np.testing.assert_allclose(counts, 500, atol=5 * 500**0.5)


def test_images_move_independently():
    image = pictures(1).expand(50, -1, -1, -1)
    moved = whole(Augment(shift=2).move, image, generator())
    assert len(moved.flatten(1).unique(dim=0)) > 10


def test_nothing_to_do_changes_nothing():
    images = pictures()
    state = generator()
    assert whole(Augment().move, images, state) is images
    assert torch.equal(state.get_state(), generator().get_state())


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cutout_blanks_a_square(side):
    blanked = whole(Augment(cutout=side).blank, torch.ones(200, 3, 8, 8), generator())
    assert set(blanked.unique().tolist()) <= {0.0, 1.0}
    holes = blanked == 0
    assert torch.equal(holes[:, 0], holes[:, 1])
    for hole in holes[:, 0]:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None, :])  # a full rectangle
        for line in (rows, columns):
            filled = line.nonzero().flatten().tolist()
            assert filled == list(range(filled[0], filled[-1] + 1))
            assert (side + 1) // 2 <= len(filled) <= side  # less than the side only at an edge
    assert holes[:, 0].flatten(1).sum(1).max() == side * side


def test_cutout_may_cover_everything():
    assert not whole(Augment(cutout=16).blank, torch.ones(9, 3, 8, 8), generator()).any()


def test_cutout_reaches_every_pixel():
    blanked = whole(Augment(cutout=2).blank, torch.ones(2000, 1, 6, 6), generator())
    assert (blanked == 0).any(0).all()


def test_the_generator_decides():
    augment = Augment(flip=True, shift=2, cutout=3)
    first, again, other = (whole(augment.move, pictures(), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("field", ["shift", "cutout"])
def test_negative_sizes(field):
    with pytest.raises(ConfigError, match=f"{field} must be 0 or more pixels, got -1"):
        Augment(**{field: -1})


@pytest.fixture(scope="session")
def transforms(torchvision):
    """torchvision's transforms, the reference."""
    from torchvision.transforms import v2

    return v2


@pytest.mark.parametrize("part", [(0, 0, 7, 9), (2, 3, 4, 5), (6, 8, 1, 1), (1, 0, 5, 9)])
def test_a_part_is_resized_as_by_torchvision(transforms, part):
    images = pictures(4).float()
    top, left, height, width = (torch.full((4,), float(each)) for each in part)
    ours = resampled(images, _between(top, height, 7), _between(left, width, 9))
    theirs = transforms.functional.resized_crop(images, *part, size=[7, 9], antialias=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (20, 60), (60, 20), (4, 3)])
def test_parts_are_drawn_as_by_torchvision(transforms, size):
    """The same distributions of place and size, also where few crops fit into the image."""
    count, image = 4000, torch.zeros(1, *size)
    crop = transforms.RandomResizedCrop(size)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = [crop.make_params([image]) for _ in range(count)]
    ours = random_crops(count, *size, generator()).T.double().numpy()
    top, left, height, width = ours
    for name, each in zip(("top", "left", "height", "width"), ours, strict=True):
        assert ks_2samp(each, [params[name] for params in drawn]).pvalue > 1e-3, name
    ratios = [params["width"] / params["height"] for params in drawn]
    assert ks_2samp(width / height, ratios).pvalue > 1e-3
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= size[0]
    assert (left + width).max() <= size[1]
    assert min(height.min(), width.min()) >= 1


def test_where_no_part_fits_it_is_the_middle(transforms):
    image = torch.zeros(1, 2, 90)  # a ratio of 45: 8 % of it are a square of 3.8 pixels
    crop = transforms.RandomResizedCrop((2, 90)).make_params([image])
    middle = [crop[name] for name in ("top", "left", "height", "width")]
    assert random_crops(5, 2, 90, generator()).tolist() == [middle] * 5
    middle = [crop[name] for name in ("left", "top", "width", "height")]
    assert random_crops(5, 90, 2, generator()).tolist() == [middle] * 5


def test_resized_parts_are_mirrored_too_and_take_the_place_of_the_shift():
    image = pictures(1).expand(400, -1, -1, -1)
    plain = whole(Augment(crop="resized").move, image, generator())
    both = whole(Augment(crop="resized", flip=True, shift=3).move, image, generator())
    same = (both == plain).flatten(1).all(1)
    torch.testing.assert_close(both, torch.where(same.view(-1, 1, 1, 1), plain, plain.flip(3)),
                               rtol=1e-5, atol=1e-3)  # fmt: skip
    assert 150 < same.sum() < 250
    assert both.min() >= 1  # no black from the shift's padding


ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_as_by_torchvision(transforms, channels):
    """In every order, with factors of each image's own."""
    images = pictures(6, channels).float()
    factors = 1 + 0.8 * (2 * torch.rand(6, 3, generator=generator(2)) - 1)
    ours = jittered(images, factors, torch.tensor(ORDERS))
    change = transforms.functional
    changes = change.adjust_brightness, change.adjust_contrast, change.adjust_saturation
    for image, own, factor, order in zip(images, ours, factors, ORDERS, strict=True):
        theirs = image / 255
        for which in order:
            theirs = changes[which](theirs, float(factor[which]))
        torch.testing.assert_close(own / 255, theirs, rtol=1e-4, atol=1e-4)


def test_factors_are_even_and_orders_equally_frequent(monkeypatch):
    seen = []
    monkeypatch.setattr("dnsearch.data.augment.jittered", lambda *given: seen.append(given))
    whole(Augment(jitter=0.3).colour, pictures(6000, 1, 1, 1), generator())
    ((_, factors, orders),) = seen
    for each in factors.T:
        assert ks_2samp(each, np.linspace(0.7, 1.3, 6000)).pvalue > 1e-3
    counts = [(orders == torch.tensor(order)).all(1).sum() for order in ORDERS]
    np.testing.assert_allclose(counts, 1000, atol=5 * 1000**0.5)


def test_without_jitter_colours_stay():
    images = pictures()
    assert whole(Augment().colour, images, generator()) is images


def test_a_batch_is_cropped_then_coloured_then_normalised(prepared_colours):
    """What a training is given of images that are all of one colour: that colour, changed."""
    data, mean, std = prepared_colours
    augment = Augment(crop="resized", jitter=0.5)
    images = torch.full((8, 3, 6, 6), 100, dtype=torch.uint8)
    batch = data.prepared(images, generator(), augment) * std + mean  # 0 to 255
    for image in batch:
        assert len(image.flatten(1).round(decimals=2).unique(dim=1).T) == 1
    brightness = batch[:, 0, 0, 0] / 100  # neither of the others changes grey of one shade
    assert 0.5 <= brightness.min() < 0.9
    assert 1.1 < brightness.max() <= 1.5
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def prepared_colours():
    """Colour images on the CPU, their mean and std, 0 to 255."""
    part = LabelledImages(np.zeros((4, 3, 6, 6), np.uint8), np.arange(4) % 2)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    data = DeviceData(PreparedData("c", ("a", "b"), part, part, mean, std, "0" * 16, False))
    return data, *(255 * torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
