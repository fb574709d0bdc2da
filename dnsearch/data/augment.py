"""Random changes to batches of training images, on the device that holds them.

All draws come from the generator passed in, which must be of that device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dnsearch.errors import ConfigError


@dataclass(frozen=True)
class Augment:
    """The augmentation of training images; the fields are those of ``[training]``.

    flip: mirror half of the images. shift: move by up to this many pixels each way, filling with
    black. cutout: side in pixels of a square set to the mean pixel (DeVries and Taylor 2017,
    arXiv:1708.04552); 0 is off. Raises ConfigError on a negative number.
    """

    flip: bool = False
    shift: int = 0
    cutout: int = 0

    def __post_init__(self) -> None:
        for field in ("shift", "cutout"):
            if getattr(self, field) < 0:
                raise ConfigError(field, "must be 0 or more pixels", getattr(self, field))

    def move(self, images: Tensor, generator: Generator) -> Tensor:
        """Images (n, c, h, w), not yet normalised, mirrored and shifted at random; black is 0."""
        if not self.flip and not self.shift:
            return images
        count, channels, height, width = images.shape
        padded = F.pad(images, (self.shift,) * 4).flatten(2)  # (n, c, pixels)
        rows = _offsets(count, height, self.shift, generator)  # (n, h) of the padded image
        columns = _offsets(count, width, self.shift, generator)  # (n, w)
        if self.flip:
            mirrored = torch.rand((count, 1), generator=generator, device=images.device) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        pixels = rows[:, :, None] * (width + 2 * self.shift) + columns[:, None, :]
        chosen = pixels.view(count, 1, -1).expand(-1, channels, -1)  # (n, c, h * w)
        return padded.gather(2, chosen).view(images.shape)

    def blank(self, images: Tensor, generator: Generator) -> Tensor:
        """Normalised images (n, c, h, w), each with a square set to 0, in place. The centre of the
        square is a random pixel, so part of it may lie outside."""
        if not self.cutout:
            return images
        count, _, height, width = images.shape
        rows = _stripe(count, height, self.cutout, generator)
        columns = _stripe(count, width, self.cutout, generator)
        kept = ~(rows[:, None, :, None] & columns[:, None, None, :])  # (n, 1, h, w)
        return images.mul_(kept)


def _offsets(count: int, length: int, shift: int, generator: Generator) -> Tensor:
    """For each image ``length`` successive positions from a random start in 0..2*shift: (n, l)."""
    device = generator.device
    start = torch.randint(2 * shift + 1, (count, 1), generator=generator, device=device)
    return start + torch.arange(length, device=device)


def _stripe(count: int, length: int, side: int, generator: Generator) -> Tensor:
    """For each image a mask (n, l) of ``side`` positions about a random centre."""
    device = generator.device
    start = torch.randint(length, (count, 1), generator=generator, device=device) - side // 2
    position = torch.arange(length, device=device)
    return (position >= start) & (position < start + side)
