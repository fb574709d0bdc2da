import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dnsearch.data import Augment
from dnsearch.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=64, channels=3, height=7, width=9):
    """Random bytes, all above 0, so that black is the padding's alone."""
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator(1))


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
    moved = Augment(flip=flip, shift=shift).move(images, generator())
    assert moved.dtype == torch.uint8
    for before, after in zip(images, moved, strict=True):
        assert any(torch.equal(after, variant) for variant in variants(before, shift, flip))


def test_every_variant_occurs_equally_often():
    image = pictures(1)
    moved = Augment(flip=True, shift=1).move(image.expand(9000, -1, -1, -1), generator())
    counts = [(moved == variant).flatten(1).all(1).sum() for variant in variants(image[0], 1, True)]
    assert sum(counts) == 9000
    np.testing.assert_allclose(counts, 500, atol=5 * 500**0.5)


def test_images_move_independently():
    image = pictures(1).expand(50, -1, -1, -1)
    moved = Augment(shift=2).move(image, generator())
    assert len(moved.flatten(1).unique(dim=0)) > 10


def test_nothing_to_do_changes_nothing():
    images = pictures()
    state = generator()
    assert Augment().move(images, state) is images
    assert torch.equal(state.get_state(), generator().get_state())


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cutout_blanks_a_square(side):
    blanked = Augment(cutout=side).blank(torch.ones(200, 3, 8, 8), generator())
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
    assert not Augment(cutout=16).blank(torch.ones(9, 3, 8, 8), generator()).any()


def test_cutout_reaches_every_pixel():
    blanked = Augment(cutout=2).blank(torch.ones(2000, 1, 6, 6), generator())
    assert (blanked == 0).any(0).all()


def test_the_generator_decides():
    augment = Augment(flip=True, shift=2, cutout=3)
    first, again, other = (augment.move(pictures(), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("field", ["shift", "cutout"])
def test_negative_sizes(field):
    with pytest.raises(ConfigError, match=f"{field} must be 0 or more pixels, got -1"):
        Augment(**{field: -1})
