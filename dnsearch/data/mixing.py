"""Batches whose images are mixed in pairs, and their labels with them: mixup and CutMix.

Each two neighbours in the batch, whose order is random, are mixed with each other, so processes
that share a batch need nothing of one another. What is drawn is a handful of numbers for the whole
batch, on the host, so that a recorded step can be given them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Number = float | Tensor


class Mix(NamedTuple):
    """How a batch is mixed: each image takes this ``share`` (0 to 1) of every pixel of the box from
    the other; the box is rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends
    excluded. Floats or tensors ()."""

    share: Number
    top: Number
    bottom: Number
    left: Number
    right: Number

    def applied(self, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Images (n, c, h, w) and labels (n,) -> mixed images, and the probability of each class
        that is to be learnt, (n, classes). An odd last image stays as it is."""
        height, width = images.shape[-2:]
        rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
        tall = (rows >= self.top) & (rows < self.bottom)
        wide = (columns >= self.left) & (columns < self.right)
        mask = (tall[:, None] & wide).to(images.dtype) * self.share  # (h, w)
        known = (labels[:, None] == torch.arange(classes, device=labels.device)).to(images.dtype)
        others = (torch.arange(len(images), device=images.device) ^ 1).clamp(max=len(images) - 1)
        return images.lerp(images[others], mask), known.lerp(known[others], mask.mean())


@dataclass(frozen=True)
class Mixing:
    """mixup (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899);
    the fields are those of ``[training]``.

    Each is alpha of the Beta(alpha, alpha) that the share of the other image is drawn from; 0 is
    off. With both, each batch has one of them, by the toss of a coin.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Mix:
        """How a batch of images of this size is mixed. As the papers do, CutMix's box is cut off at
        the image's edges, so the share is what is left of it."""
        cuts = self.cutmix > 0 and (not self.mixup or rng.random() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        share = float(rng.beta(alpha, alpha))
        if not cuts:
            return Mix(share, 0.0, float(height), 0.0, float(width))
        half = 0.5 * share**0.5
        row, column = int(rng.integers(height)), int(rng.integers(width))
        top, bottom = _ends(row, int(half * height), height)
        left, right = _ends(column, int(half * width), width)
        return Mix(1.0, top, bottom, left, right)


def _ends(centre: int, half: int, size: int) -> tuple[float, float]:
    return float(max(0, centre - half)), float(min(size, centre + half))
