"""Random changes to batches of training images, on the device that holds them.

All draws come from the generator passed in, which must be of that device, and no step asks the
device for a value: a recorded step (``training.captured``) repeats them with other draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dnsearch.config import Crop
from dnsearch.errors import ConfigError

SHARES, RATIOS = (0.08, 1.0), (3 / 4, 4 / 3)
"""Of a resized crop: of the image's area, and width by height; torchvision's."""

TRIES = 10
"""Crops that are drawn of an image, for one that fits into it."""

LUMINANCE = 0.2989, 0.587, 0.114
"""Of red, green and blue (ITU-R BT.601, as torchvision has it)."""


class Part(NamedTuple):
    """The images of a batch that one process has, of ``all`` that there are: in each of ``parts``
    of the batch those of its ``rank``, where ``processes`` share them."""

    all: int
    rank: int = 0
    processes: int = 1
    parts: int = 1

    def of(self, drawn: Tensor) -> Tensor:
        """Its rows of what was drawn for all images, (all, ...)."""
        if self.processes == 1:
            return drawn
        return drawn.unflatten(0, (self.parts, self.processes, -1))[:, self.rank].flatten(0, 1)


@dataclass(frozen=True)
class Augment:
    """The augmentation of training images; the fields are those of ``[training]``.

    flip: mirror half of the images. shift: move by up to this many pixels each way, filling with
    black. cutout: side in pixels of a square set to the mean pixel (DeVries and Taylor 2017,
    arXiv:1708.04552); 0 is off. crop: ``resized`` takes a random part in place of the shift
    (Szegedy et al. 2015, arXiv:1409.4842). jitter: brightness, contrast and saturation are changed
    by factors of 1 - jitter to 1 + jitter; 0 is off. Raises ConfigError on a negative number of
    pixels.
    """

    flip: bool = False
    shift: int = 0
    cutout: int = 0
    crop: Crop = "shift"
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for field in ("shift", "cutout"):
            if getattr(self, field) < 0:
                raise ConfigError(field, "must be 0 or more pixels", getattr(self, field))

    def move(self, images: Tensor, generator: Generator, part: Part) -> Tensor:
        """Images (n, c, h, w), not yet normalised, mirrored, and shifted or cropped at random;
        black is 0. What was cropped and resized is float32.

        part: which ones of a batch they are, for all of which is drawn.
        """
        count, channels, height, width = images.shape
        if self.crop == "resized":
            return self._crop(images, generator, part)
        if not self.flip and not self.shift:
            return images
        padded = F.pad(images, (self.shift,) * 4).flatten(2)  # (n, c, pixels)
        rows = _offsets(part, height, self.shift, generator)  # (n, h) of the padded image
        columns = _offsets(part, width, self.shift, generator)  # (n, w)
        columns = self._mirrored(columns, generator, part)
        pixels = rows[:, :, None] * (width + 2 * self.shift) + columns[:, None, :]
        chosen = pixels.view(count, 1, -1).expand(-1, channels, -1)  # (n, c, h * w)
        return padded.gather(2, chosen).view(images.shape)

    def _crop(self, images: Tensor, generator: Generator, part: Part) -> Tensor:
        height, width = images.shape[-2:]
        crops = part.of(random_crops(part.all, height, width, generator))
        top, left, tall, wide = crops.T
        rows = _between(top, tall, height)
        columns = self._mirrored(_between(left, wide, width), generator, part)
        return resampled(images.float(), rows, columns)

    def _mirrored(self, columns: Tensor, generator: Generator, part: Part) -> Tensor:
        """The columns (n, w) that images are made of, in reverse for half of the images."""
        if not self.flip:
            return columns
        drawn = torch.rand((part.all, 1), generator=generator, device=columns.device)
        return torch.where(part.of(drawn) < 0.5, columns.flip(1), columns)

    def colour(self, images: Tensor, generator: Generator, part: Part) -> Tensor:
        """Images (n, c, h, w), 0 to 255, with brightness, contrast and saturation changed, in an
        order and by factors of each image's own; float32 where there is anything to do. part: as
        for ``move``."""
        if not self.jitter:
            return images
        drawn = torch.rand((part.all, 2, 3), generator=generator, device=images.device)
        factors, places = part.of(drawn).unbind(1)  # (n, 3) each
        return jittered(images.float(), 1 + self.jitter * (2 * factors - 1), places.argsort(1))

    def blank(self, images: Tensor, generator: Generator, part: Part) -> Tensor:
        """Normalised images (n, c, h, w), each with a square set to 0, in place. The centre of the
        square is a random pixel, so some of it may lie outside. part: as for ``move``."""
        if not self.cutout:
            return images
        height, width = images.shape[-2:]
        rows = _stripe(part, height, self.cutout, generator)
        columns = _stripe(part, width, self.cutout, generator)
        kept = ~(rows[:, None, :, None] & columns[:, None, None, :])  # (n, 1, h, w)
        return images.mul_(kept)


def random_crops(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """Rectangles within an image of this size: top, left, height and width in pixels, (count, 4)
    float32. Drawn as torchvision's RandomResizedCrop draws them."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        return low + (high - low) * drawn

    area = height * width * uniform(*SHARES, count, TRIES)
    ratio = uniform(math.log(RATIOS[0]), math.log(RATIOS[1]), count, TRIES).exp()
    tall, wide = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = (tall >= 1) & (tall <= height) & (wide >= 1) & (wide <= width)
    # Where none fits: the middle, as much of it as the ratios allow.
    last = min(height, round(width / RATIOS[0])), min(width, round(height * RATIOS[1]))
    tall, wide = (
        F.pad(each, (0, 1), value=end) for each, end in zip((tall, wide), last, strict=True)
    )
    first = F.pad(fits.int(), (0, 1), value=1).argmax(1, keepdim=True)  # (n, 1)
    tall, wide = (each.gather(1, first)[:, 0] for each in (tall, wide))
    room = torch.stack([height - tall, width - wide])  # (2, n)
    at = (uniform(0, 1, 2, count) * (room + 1)).floor().minimum(room)  # rounding may reach the end
    at = torch.where(first[:, 0] == TRIES, (room / 2).floor(), at)
    return torch.stack([*at, tall, wide], 1)


def _between(start: Tensor, length: Tensor, size: int) -> Tensor:
    """``size`` positions, evenly over this many pixels from ``start`` (n,) each: (n, size). None is
    beyond the middle of the outer pixels, as images are resized that have no others."""
    steps = (torch.arange(size, device=start.device) + 0.5) / size
    inside = (length[:, None] * steps - 0.5).clamp(min=0).minimum(length[:, None] - 1)
    return start[:, None] + inside


def resampled(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (n, c, h, w) float at these rows (n, h) and columns (n, w), which may lie between
    pixels: the values there by linear interpolation, (n, c, h, w)."""
    height, width = images.shape[-2:]
    x = ((2 * columns + 1) / width - 1)[:, None, :].expand(-1, height, -1)
    y = ((2 * rows + 1) / height - 1)[:, :, None].expand(-1, -1, width)
    return F.grid_sample(images, torch.stack([x, y], 3), padding_mode="border", align_corners=False)


def jittered(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Images (n, c, h, w), 0 to 255, with three changes by ``factors`` (n, 3), brightness, contrast
    and saturation, in this ``order`` (n, 3) of them. Each is torchvision's: what is between the
    image and black, its mean grey, or itself in grey, or beyond."""
    for change in order.T:  # (n,)
        grey = _grey(images)
        which = change.view(-1, 1, 1, 1)
        other = torch.where(which == 1, grey.mean((2, 3), keepdim=True), grey)
        other = other.masked_fill(which == 0, 0.0)
        factor = factors.gather(1, change[:, None]).view(-1, 1, 1, 1)
        images = (other + factor * (images - other)).clamp(0, 255)
    return images


def _grey(images: Tensor) -> Tensor:
    """Images (n, c, h, w) without their colours, (n, 1, h, w)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.split(1, 1)
    return LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue


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
