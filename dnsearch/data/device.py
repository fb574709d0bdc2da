"""Batches of a prepared data set as tensors on the device that trains."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from dnsearch.data.augment import Augment
from dnsearch.data.dataset import LabelledImages, PreparedData
from dnsearch.data.split import draw
from dnsearch.errors import ConfigError

FREE_SHARE = 0.4  # of a GPU's free memory that images may take; the rest is for training


class DeviceData:
    """Training and validation images, kept as uint8 on the device where they fit.

    Where they do not, ``resident`` is false: they stay in host memory, where processes share the
    cache's pages, and each batch is pinned and moved on its own. Batches are the same either way.
    ``limit``: see ``limited``; None for all images.
    """

    def __init__(self, data: PreparedData, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        sets = (data.train, data.validation)
        self.resident = fits(sum(part.images.nbytes for part in sets), self.device)
        self._train, self._validation = (self._place(part) for part in sets)
        self.limit: int | None = None
        self._seen: Tensor | None = None
        statistics = torch.tensor([data.mean, data.std], device=self.device) * 255
        self._mean, self._std = statistics.view(2, 1, -1, 1, 1)

    def limited(self, images: int, rng: np.random.Generator) -> DeviceData:
        """The same with only this many training images, of each class its share.

        They are repeated until an epoch is as long as before: of a training on fewer images only
        the images differ, not its number of steps. The tensors are shared.
        """
        labels = self._train[1]
        if not 1 <= images <= len(labels):
            rule = f"must be 1 to {len(labels)}, the training images there are"
            raise ConfigError("images", rule, images)
        seen = np.flatnonzero(draw(labels.cpu().numpy(), images, rng))
        other = copy.copy(self)
        other.limit = images
        other._seen = torch.from_numpy(np.resize(seen, len(labels))).to(self.device)
        return other

    def steps(self, batch_size: int) -> int:
        """Batches of one epoch of training.

        Raises ConfigError on a batch_size of 1: batch norm can learn nothing from one image.
        """
        if batch_size < 2:
            raise ConfigError("training.batch_size", "must be at least 2", batch_size)
        return max(1, len(self._train[1]) // batch_size)

    def batches(
        self, batch_size: int, generator: Generator, augment: Augment | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in random order: images (n, c, h, w) float32 normalised, labels (n,) int64.

        An incomplete last batch is dropped, unless it is the only one. Every random draw is from
        ``generator``, which must be of this device.
        """
        images, labels = self._train
        augment = augment or Augment()
        order = torch.randperm(len(labels), generator=generator, device=self.device)
        for step in range(self.steps(batch_size)):
            rows = order[step * batch_size : (step + 1) * batch_size]
            rows = rows if self._seen is None else self._seen[rows]
            batch = augment.move(self._pick(images, rows), generator)
            batch = augment.blank(self._normalise(batch), generator)
            yield _channels_last(batch), labels[rows]

    def validation_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every validation image once, in order, as ``batches`` gives them but for the changes."""
        return self._in_order(*self._validation, batch_size)

    def batches_of(self, part: LabelledImages, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """These images, which stay in host memory, as ``validation_batches`` gives its own."""
        labels = torch.from_numpy(part.labels).to(self.device)
        return self._in_order(torch.from_numpy(part.images), labels, batch_size)

    def _in_order(
        self, images: Tensor, labels: Tensor, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.arange(len(labels), device=self.device).split(batch_size):
            yield _channels_last(self._normalise(self._pick(images, rows))), labels[rows]

    def _place(self, part: LabelledImages) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(part.images)
        labels = torch.from_numpy(part.labels).to(self.device)
        return (images.to(self.device) if self.resident else images), labels

    def _pick(self, images: Tensor, rows: Tensor) -> Tensor:
        """These images on the device, still uint8."""
        if images.device.type == self.device.type:
            return images.index_select(0, rows)
        batch = images.index_select(0, rows.cpu())
        if self.device.type == "cuda":
            batch = batch.pin_memory()  # only pinned memory moves beside computation
        return batch.to(self.device, non_blocking=True)

    def _normalise(self, images: Tensor) -> Tensor:
        return images.float().sub_(self._mean).div_(self._std)


def _channels_last(images: Tensor) -> Tensor:
    """The last step of a batch: the others cost up to three times as much in this order."""
    return images.contiguous(memory_format=torch.channels_last)


def fits(image_bytes: int, device: torch.device) -> bool:
    """Whether this many bytes of images may lie on the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return image_bytes <= FREE_SHARE * free
