import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsearch.data.assemble import hold_out, subset
from dnsearch.data.split import apportion, draw
from dnsearch.errors import ConfigError

class_sizes = st.lists(st.integers(2, 60), min_size=2, max_size=8).map(np.array)


def of_sizes(sizes):
    """Labels with so many of each class in mixed order, behind one that is of no use; and the rows
    of those that are."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.concatenate([[-1], labels]), np.arange(1, len(labels) + 1)


@given(class_sizes, st.floats(0.01, 0.99))
def test_apportion_gives_every_class_its_share(sizes, share):
    total = round(share * sizes.sum())
    seats = apportion(sizes, total)
    assert seats.sum() == total
    assert (np.abs(seats - sizes * total / sizes.sum()) < 1).all()


def test_apportion_as_in_the_textbook():
    # https://en.wikipedia.org/wiki/Quota_method, Hamilton: remainders .70 and .10 of these win
    votes = np.array([47_000, 16_000, 15_800, 12_000, 6_100, 3_100])
    assert apportion(votes, 10).tolist() == [5, 2, 1, 1, 1, 0]


@given(class_sizes, st.floats(0.01, 0.99), st.integers(0, 5))
def test_hold_out_is_a_stratified_partition(sizes, share, seed):
    labels, rows = of_sizes(sizes)
    total = round(share * len(rows))
    train, held = hold_out(labels, rows, total, np.random.default_rng(seed))
    assert sorted([*train, *held]) == rows.tolist()
    counts = np.bincount(labels[held], minlength=len(sizes))
    exact = sizes * round(share * sizes.sum()) / sizes.sum()
    assert (np.abs(counts - exact) <= 1).all()
    assert (counts >= 1).all()
    assert (counts < sizes).all()


def test_the_seed_decides():
    data = of_sizes([50, 50])
    first, again, other = (
        hold_out(*data, 30, np.random.default_rng(seed))[1].tolist() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@given(class_sizes, st.data())
def test_subset_is_stratified(sizes, data):
    wanted = data.draw(st.integers(len(sizes), sizes.sum()))
    rng = np.random.default_rng(0)
    labels, rows = of_sizes(sizes)
    chosen = subset(labels, rows, "data.train_images", wanted, rng)
    counts = np.bincount(labels[chosen], minlength=len(sizes))
    assert (np.abs(counts - sizes * wanted / sizes.sum()) <= 1).all()
    assert (counts >= 1).all()
    assert len(set(chosen.tolist())) == len(chosen)


def test_balanced_subset_is_exact():
    mask = draw(np.arange(100) % 10, 30, np.random.default_rng(0))
    assert np.bincount((np.arange(100) % 10)[mask]).tolist() == [3] * 10


@pytest.mark.parametrize("wanted", [2, 31])
def test_impossible_subset(wanted):
    message = rf"data\.train_images must be between 3 .* and 30 .*got {wanted}"
    with pytest.raises(ConfigError, match=message):
        subset(*of_sizes([10] * 3), "data.train_images", wanted, np.random.default_rng(0))
