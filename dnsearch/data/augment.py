"""Random changes to batches of training images, on the device that holds them.

All draws come from the generator passed in, which must be of that device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dnsearch.errors import ConfigError


class Part(NamedTuple):
    """The images of a batch that one process has: ``own`` of them, from ``first`` on, of ``all``
    that there are."""

    first: int
    own: int
    all: int

    def of(self, drawn: Tensor) -> Tensor:
        """Its rows of what was drawn for all images, (all, ...)."""
        return drawn[self.first : self.first + self.own]


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

    def move(self, images: Tensor, generator: Generator, part: Part | None = None) -> Tensor:
        """Images (n, c, h, w), not yet normalised, mirrored and shifted at random; black is 0.

        part: which ones of a batch they are, for all of which is drawn; None is all.
        """
        if not self.flip and not self.shift:
            return images
        count, channels, height, width = images.shape
        part = part or Part(0, count, count)
        padded = F.pad(images, (self.shift,) * 4).flatten(2)  # (n, c, pixels)
        rows = _offsets(part, height, self.shift, generator)  # (n, h) of the padded image
        columns = _offsets(part, width, self.shift, generator)  # (n, w)
        if self.flip:
            drawn = torch.rand((part.all, 1), generator=generator, device=images.device)
            mirrored = part.of(drawn) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        pixels = rows[:, :, None] * (width + 2 * self.shift) + columns[:, None, :]
        chosen = pixels.view(count, 1, -1).expand(-1, channels, -1)  # (n, c, h * w)
        return padded.gather(2, chosen).view(images.shape)

    def blank(self, images: Tensor, generator: Generator, part: Part | None = None) -> Tensor:
        """Normalised images (n, c, h, w), each with a square set to 0, in place. The centre of the
        square is a random pixel, so part of it may lie outside. part: as for ``move``."""
        if not self.cutout:
            return images
        count, _, height, width = images.shape
        part = part or Part(0, count, count)
        rows = _stripe(part, height, self.cutout, generator)
        columns = _stripe(part, width, self.cutout, generator)
        kept = ~(rows[:, None, :, None] & columns[:, None, None, :])  # (n, 1, h, w)
        return images.mul_(kept)


def _offsets(part: Part, length: int, shift: int, generator: Generator) -> Tensor:
    """For each image ``length`` successive positions from a random start in 0..2*shift: (n, l)."""
    device = generator.device
    start = torch.randint(2 * shift + 1, (part.all, 1), generator=generator, device=device)
    return part.of(start) + torch.arange(length, device=device)


def _stripe(part: Part, length: int, side: int, generator: Generator) -> Tensor:
    """For each image a mask (n, l) of ``side`` positions about a random centre."""
    device = generator.device
    centre = torch.randint(length, (part.all, 1), generator=generator, device=device)
    start = part.of(centre) - side // 2
    position = torch.arange(length, device=device)
    return (position >= start) & (position < start + side)
