"""Batches of a prepared data set, as tensors on the device that trains."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from dnsearch.config import Keep
from dnsearch.data.ahead import ahead
from dnsearch.data.augment import Augment, Part
from dnsearch.data.dataset import LabelledImages, PreparedData
from dnsearch.data.keeping import chosen
from dnsearch.data.split import draw
from dnsearch.errors import ConfigError


class _Placed(NamedTuple):
    """images: (m, c, h, w) uint8, on the device, or mapped in host memory and then read ``ahead``
    where that pays; rows: (n,), which of them are meant, None for all; labels: (n,) on the
    device."""

    images: Tensor | np.ndarray
    rows: Tensor | None
    labels: Tensor


class DeviceData:
    """Training and validation images, as uint8, on the device or on the way to it.

    ``keep`` says where: ``device`` copies them all there. Otherwise they stay in the file that all
    processes map: with ``memory`` a CPU takes each batch from there as it is needed, with ``disk``,
    and on a GPU always, batches are made ``ahead``. ``auto`` chooses (``data.keeping``). The
    batches are the same in any case. ``limit`` is the number of images given to ``limited``; None
    means all. ``rank``: of this one among the ``processes`` that share each batch (``shared``).
    Raises ConfigError where there is no such way to keep them here.
    """

    def __init__(
        self, data: PreparedData, device: torch.device | str = "cpu", keep: Keep = "auto"
    ) -> None:
        self.device = torch.device(device)
        self.keep = chosen(keep, data, [str(self.device)], free_gpu_bytes).where
        on_device = self.keep == "device"
        self._train, self._validation = (
            self._place(part, on_device) for part in (data.train, data.validation)
        )
        self.limit: int | None = None
        self.rank, self.processes = 0, 1
        self._seen: Tensor | None = None
        statistics = torch.tensor([data.mean, data.std], device=self.device) * 255
        self._mean, self._std = statistics.view(2, 1, -1, 1, 1)

    def limited(self, images: int, rng: np.random.Generator) -> DeviceData:
        """The same data with only this many training images, each class in proportion.

        They are repeated to an epoch of the same length, so that training on fewer images takes as
        many steps. The tensors are shared. Raises ConfigError where there are not so many images.
        """
        labels = self._train.labels
        if not 1 <= images <= len(labels):
            rule = f"must be 1 to {len(labels)}, the training images there are"
            raise ConfigError("images", rule, images)
        seen = np.flatnonzero(draw(labels.cpu().numpy(), images, rng))
        other = copy.copy(self)
        other.limit = images
        other._seen = torch.from_numpy(np.resize(seen, len(labels))).to(self.device)
        return other

    def shared(self, rank: int, processes: int) -> DeviceData:
        """The same data for one of several processes: its rows of each part of a batch, in the
        order of ranks, and of the validation images. What is drawn is what one process would draw.

        Parts must have a multiple of ``processes`` images. The tensors are shared.
        """
        other = copy.copy(self)
        other.rank, other.processes = rank, processes
        return other

    @property
    def pixels(self) -> int:
        """Of each image."""
        return math.prod(self._validation.images.shape[-2:])

    def class_counts(self, classes: int) -> Tensor:
        """Training images of each class in an epoch, (classes,) int64, repeated ones included."""
        labels = self._train.labels
        labels = labels if self._seen is None else labels[self._seen]
        return torch.from_numpy(np.bincount(labels.cpu().numpy(), minlength=classes)).to(labels)

    def steps(self, batch_size: int) -> int:
        """How many batches an epoch of training has.

        Raises ConfigError on a batch_size of 1: a batch norm cannot learn from a single image.
        """
        if batch_size < 2:
            raise ConfigError("training.batch_size", "must be at least 2", batch_size)
        return max(1, len(self._train.labels) // batch_size)

    def batches(
        self, batch_size: int, generator: Generator, augment: Augment | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch in random order: images (n, c, h, w) float32 normalised, labels (n,) int64.

        An incomplete last batch is dropped, unless it is the only one. All random draws are from
        ``generator``, which must be of this device.
        """
        for images, labels in self.drawn(batch_size, generator):
            yield self.prepared(images, generator, augment or Augment()), labels

    def drawn(
        self, batch_size: int, generator: Generator, first: int = 0, parts: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As ``batches``, with images that are still uint8; ``prepared`` does the rest.

        The order is drawn now, not with the first batch; batches before ``first`` are left out.
        ``parts``: those of a batch, each of which is shared by the processes that there are.
        """
        order = torch.randperm(len(self._train.labels), generator=generator, device=self.device)
        order = order if self._seen is None else self._seen[order]
        used = order[first * batch_size : self.steps(batch_size) * batch_size]
        if self.processes > 1 and len(used):
            every = parts * len(used) // batch_size
            used = Part(len(used), self.rank, self.processes, every).of(used)
        return self._of(self._train, used, batch_size // self.processes)

    def prepared(
        self, images: Tensor, generator: Generator, augment: Augment, parts: int = 1
    ) -> Tensor:
        """Drawn images, augmented and normalised: (n, c, h, w) uint8 -> float32. ``parts``: as for
        ``drawn``."""
        part = Part(self.processes * len(images), self.rank, self.processes, parts)
        moved = augment.move(images, generator, part)
        batch = self._normalise(augment.colour(moved, generator, part))
        return _channels_last(augment.blank(batch, generator, part))

    def validation_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All validation images once, in order, without augmentation; else as ``batches``."""
        rows = torch.arange(len(self._validation.labels), device=self.device)
        own = rows.tensor_split(self.processes)[self.rank]
        return self._in_order(self._validation, own, batch_size)

    def batches_of(self, part: LabelledImages, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """These images, which stay in host memory, in batches like ``validation_batches``."""
        own = torch.arange(len(part), device=self.device)
        return self._in_order(self._place(part, on_device=False), own, batch_size)

    def _in_order(
        self, part: _Placed, own: Tensor, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self._of(part, own, batch_size):
            yield _channels_last(self._normalise(images)), labels

    def _of(self, part: _Placed, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images, still uint8, and labels of the part in this order (n,), on the device."""
        if not len(order):  # torch would split nothing into one batch of nothing
            return iter(())
        labels = part.labels[order].split(batch_size)
        return zip(self._images(part, order, batch_size), labels, strict=True)

    def _images(self, part: _Placed, order: Tensor, batch_size: int) -> Iterator[Tensor]:
        rows = order if part.rows is None else part.rows[order]
        if isinstance(part.images, Tensor):
            return (part.images.index_select(0, some) for some in rows.split(batch_size))
        picks = [some.numpy() for some in rows.cpu().split(batch_size)]
        return ahead(part.images, picks, self.device, self.keep == "disk")

    def _place(self, part: LabelledImages, on_device: bool) -> _Placed:
        labels = torch.from_numpy(part.labels).to(self.device)
        if on_device:
            images = torch.empty((len(part), *part.shape), dtype=torch.uint8, device=self.device)
            start = 0
            for chunk in part.chunks():
                images[start : start + len(chunk)] = torch.from_numpy(chunk)
                start += len(chunk)
            return _Placed(images, None, labels)
        rows = None if part.rows is None else torch.from_numpy(part.rows).to(self.device)
        if self.keep == "memory" and self.device.type == "cpu":
            return _Placed(torch.from_numpy(part.pixels), rows, labels)
        return _Placed(part.pixels, rows, labels)

    def _normalise(self, images: Tensor) -> Tensor:
        return images.float().sub_(self._mean).div_(self._std)


def _channels_last(images: Tensor) -> Tensor:
    """The last step for a batch: the steps before take up to three times as long in this layout."""
    return images.contiguous(memory_format=torch.channels_last)


def free_gpu_bytes(device: str) -> int:
    """Memory of a GPU that is free now."""
    free, _ = torch.cuda.mem_get_info(device)
    return free
