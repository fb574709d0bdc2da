"""Mixed batches, against torchvision's and the papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from dnsearch.data.mixing import Mix, Mixing

CLASSES = 5


def batch(count=8, height=6, width=9):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((count, 3, height, width), generator=generator)
    return images, torch.randint(CLASSES, (count,), generator=generator)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_a_mixed_batch_is_torchvisions(torchvision, name):
    """Of two images, with the numbers that it drew: its share is of the image itself, ours of the
    other one."""
    from torchvision.transforms import v2

    images, labels = batch(2)
    theirs = getattr(v2, name)(num_classes=CLASSES)
    for seed in range(10):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            params = theirs.make_params([images])
        if name == "MixUp":
            mix = Mix(1 - params["lam"], 0, 6, 0, 9)
        else:
            left, top, right, bottom = params["box"]
            mix = Mix(1.0, top, bottom, left, right)
        params |= {"labels": labels, "batch_size": len(labels)}
        mixed, targets = mix.applied(images, labels, CLASSES)
        torch.testing.assert_close(mixed, theirs.transform(images, params))
        torch.testing.assert_close(targets, theirs.transform(labels, params))


def test_numbers_may_be_tensors():
    images, labels = batch()
    mix = Mix(0.7, 1.0, 4.0, 2.0, 5.0)
    on_device = Mix(*map(torch.tensor, mix))
    torch.testing.assert_close(
        on_device.applied(images, labels, CLASSES), mix.applied(images, labels, CLASSES)
    )


def test_each_image_keeps_its_own_classs_probability():
    images, labels = batch()
    _, targets = Mix(1.0, 0, 3, 0, 6).applied(images, labels, CLASSES)  # a third of the pixels
    for place, target in enumerate(targets):
        expected = np.zeros(CLASSES)
        expected[labels[place]] += 2 / 3
        expected[labels[place + 1 - 2 * (place % 2)]] += 1 / 3
        np.testing.assert_allclose(target, expected, rtol=1e-5)


def test_pairs_are_mixed_alone_and_the_last_of_an_odd_number_stays():
    images, labels = batch(5)
    mix = Mix(0.4, 0, 6, 2, 9)
    mixed, targets = mix.applied(images, labels, CLASSES)
    for start in (0, 2):
        pair = mix.applied(images[start : start + 2], labels[start : start + 2], CLASSES)
        torch.testing.assert_close((mixed[start : start + 2], targets[start : start + 2]), pair)
    torch.testing.assert_close(mixed[4], images[4])
    assert targets[4].argmax() == labels[4]
    assert targets[4].max() == 1


def test_the_layout_of_a_batch_stays():
    images, labels = batch()
    images = images.contiguous(memory_format=torch.channels_last)
    mixed, _ = Mix(0.5, 0, 6, 0, 9).applied(images, labels, CLASSES)
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixups_share_is_beta_distributed(alpha):
    rng = np.random.default_rng(0)
    drawn = [Mixing(mixup=alpha).draw(6, 9, rng) for _ in range(2000)]
    assert kstest([mix.share for mix in drawn], beta(alpha, alpha).cdf).pvalue > 1e-3
    assert {mix[1:] for mix in drawn} == {(0, 6, 0, 9)}


def test_cutmixs_boxes_are_as_large_as_drawn_and_cut_off_at_the_edges():
    """An alpha so large that the share is a half: sides of 70.7 % of the image's."""
    rng = np.random.default_rng(0)
    drawn = np.array([Mixing(cutmix=1e6).draw(100, 200, rng) for _ in range(2000)])
    share, top, bottom, left, right = drawn.T
    assert set(share) == {1}
    for low, high, size in ((top, bottom, 100), (left, right, 200)):
        half = int(0.5**1.5 * size)  # 35 and 70 pixels, drawn shares being within .2 %
        whole = (low > 0) & (high < size)
        assert set(high[whole] - low[whole]) <= {2 * half, 2 * half - 2}
        assert whole.mean() == pytest.approx(1 - 2 * half / size, abs=0.04)
        assert low.min() == 0
        assert high.max() == size
        assert ((high - low >= half - 1) & (high - low <= 2 * half)).all()


def test_cutmix_draws_boxes_as_torchvision(torchvision):
    from scipy.stats import ks_2samp
    from torchvision.transforms import v2

    rng, image = np.random.default_rng(0), torch.zeros(1, 3, 32, 48)
    ours = np.array([Mixing(cutmix=1.0).draw(32, 48, rng)[1:] for _ in range(3000)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = v2.CutMix(num_classes=CLASSES)
        boxes = np.array([theirs.make_params([image])["box"] for _ in range(3000)])
    for column, of_theirs in enumerate((1, 3, 0, 2)):  # left, top, right, bottom
        assert ks_2samp(ours[:, column], boxes[:, of_theirs]).pvalue > 1e-3


def test_with_both_each_batch_has_one():
    rng = np.random.default_rng(0)
    both = Mixing(mixup=0.4, cutmix=1.0)
    cut = [both.draw(32, 32, rng).share == 1.0 for _ in range(1000)]
    assert 0.44 < np.mean(cut) < 0.56
    assert both
    assert not Mixing()
