"""Seeds are the same for ever: every recorded result follows from them."""

from __future__ import annotations

from dnsearch.seeds import derived_seed, epoch_seed, weights_seed


def test_seeds_are_the_first_32_bits_of_sha256():
    """As `printf 7,3 | sha256sum` gives them."""
    assert weights_seed(0) == 0x5FECEB66
    assert weights_seed(7) == 0x7902699B
    assert epoch_seed(0, 0) == 0x73348214
    assert epoch_seed(7, 3) == 0x9CA29A28
    assert derived_seed(7, 3) == epoch_seed(7, 3)


def test_weights_and_epochs_share_no_stream():
    seeds = range(40)
    found = [weights_seed(s) for s in seeds] + [epoch_seed(s, e) for s in seeds for e in range(40)]
    assert len(set(found)) == len(found)
