"""Seeds made from seeds: all that is random follows from the seed of the study.

The parts of a seed say what its stream is for. In the training of a network with seed s:

    (s,)         its first weights (``weights_seed``)
    (s, epoch)   order of images, augmentation and dropout of an epoch (``epoch_seed``). Dropout has
                 a generator of its own, but with the same seed: on the CPU it draws the same
                 numbers as the order, and uses them for something else.
    ("mixing", s, step)  how the batch of a step, counted over all epochs, is mixed
                 (``mixing_seed``)

A NumPy generator seeded with s itself draws the images of a training on part of them; one seeded
with ``data.seed`` draws the validation images. Every recorded result follows from these streams, so
they stay as they are. The seed of a new purpose should begin with a word that names it, so that it
shares no stream with another.
"""

from __future__ import annotations

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A seed of 32 bits from whole numbers and words, the same on every machine; other parts give
    an unrelated one. A word names the purpose where two would otherwise share their parts."""
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def weights_seed(seed: int) -> int:
    """Of the first weights of a training with this seed."""
    return derived_seed(seed)


def epoch_seed(seed: int, epoch: int) -> int:
    """Of all that is random in an epoch (from 0) of a training with this seed."""
    return derived_seed(seed, epoch)


def mixing_seed(seed: int, step: int) -> int:
    """Of how the images of a step's batch are mixed, in a training with this seed."""
    return derived_seed("mixing", seed, step)
