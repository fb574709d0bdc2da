"""The space and the batch size that `dnsearch init` writes: what has paid, for such images."""

from __future__ import annotations

from dnsearch.arch.space import TWICE_GROWTH
from dnsearch.config.study import SpaceConfig, TrainingConfig

CIFAR_SIDE = 64
"""The largest images, in pixels, that the cifar stem is meant for."""

FOUR_BLOCKS_SIDE = 24
"""From images of this side on a fourth block sees more than 2x2 pixels."""


USUAL_SIDE = 32
"""Where nothing is known of the images."""

STEPS = 8
"""Of an epoch, for which a smaller batch than the usual one is worth its time."""

LEAST_BATCH = 16
"""With fewer images, the statistics of batch norms say little; only where there are no more."""


def suited_batch_size(images: int) -> int:
    """For so many training images: the usual one, or a smaller power of two, at least 2."""
    usual: int = TrainingConfig().batch_size
    most = max(2, min(usual, max(LEAST_BATCH, images // STEPS), images))
    return 1 << (most.bit_length() - 1)


def suited_space(side: int = USUAL_SIDE) -> SpaceConfig:
    """Choices for images whose shorter side has so many pixels. They are many on purpose: whatever
    the limits, networks of every shape come close to them.

    Growth rates that rise from block to block and stems of patches are among them because they have
    less error at equal MACs (reports/proof, docs/log.md).
    """
    if side > CIFAR_SIDE:
        return SpaceConfig(
            growth_rate=(8, 12, 16, 24, 32, 48),
            growth_ratio=(1.0, 1.5, 2.0),
            block_config=(
                (1, 2, 3, 4, 6),
                (1, 2, 3, 4, 6, 8, 12),
                (2, 4, 6, 8, 12, 16, 24),
                (1, 2, 4, 6, 8, 16),
            ),
            num_init_features=(TWICE_GROWTH, 32, 64),
            stem=("imagenet", "patch4"),
        )
    last = ((1, 2, 3, 4, 6),) if side >= FOUR_BLOCKS_SIDE else ()
    return SpaceConfig(
        growth_rate=(3, 4, 6, 8, 12, 16, 24),
        growth_ratio=(1.0, 1.5, 2.0),
        block_config=((1, 2, 3, 4), (1, 2, 3, 4, 6), (1, 2, 3, 4, 6, 8, 12), *last),
        num_init_features=(TWICE_GROWTH, 16, 32),
        stem=("cifar", "patch2"),
    )
