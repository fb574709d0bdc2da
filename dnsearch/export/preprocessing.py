"""From a picture to what a network is shown: the same steps as before its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dnsearch.data.formats.images import Decoded, Encoded, Options, decode
from dnsearch.errors import CheckpointError, RunError
from dnsearch.files import read_json, require_as_listed, write_json

PREPROCESSING_FILE = "preprocessing.json"

_STEPS = {
    "resize": "largest centred square, to this size with Pillow's BILINEAR filter",
    "normalise": "(pixels / 255 - mean) / std, by channel",
}
"""What a reader of the file has to do; only for people."""


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a network are prepared.

    shape: channels, height, width. mean, std: of each channel, on a scale from 0 to 1. classes: in
    the order of the logits. background: the colour (CSS) behind transparent parts.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    background: str = "white"

    @classmethod
    def of(cls, data: Mapping[str, Any], background: str) -> Preprocessing:
        """Of the images that ``data`` (``data.json``) describes, read with this background."""
        channels, height, width = data["shape"]
        classes = tuple(map(str, data["classes"]))
        mean, std = tuple(data["mean"]), tuple(data["std"])
        return cls((channels, height, width), mean, std, classes, background)

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """What ``write`` wrote there. Raises CheckpointError naming the file and what it lacks."""
        path = folder / PREPROCESSING_FILE
        try:
            held = read_json(path)
            require_as_listed(path)
            return cls.of(held, held.get("background", cls.background))
        except RunError as error:
            raise CheckpointError(str(error)) from None
        except KeyError as error:
            raise CheckpointError(f"{path}: must have the key {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: must be as dnsearch wrote it: {error}") from None

    def write(self, folder: Path) -> None:
        """Writes ``preprocessing.json``. Raises RunError."""
        write_json(folder / PREPROCESSING_FILE, asdict(self) | _STEPS)

    def image(self, path: Path) -> Tensor:
        """The picture in a file as the network is shown it: (c, h, w) float32.

        Of another size, its largest centred part of the network's proportions is resized. Colour
        becomes grey, or grey colour, where the network has the other. Raises DataError.
        """
        channels, height, width = self.shape
        decoded = decode(Encoded(str(path), path), Options(background=self.background))
        picture = _picture(decoded).convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(picture, (width, height), method=Image.Resampling.BILINEAR)
        pixels = np.array(fitted).reshape(height, width, channels)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std


def _picture(decoded: Decoded) -> Image.Image:
    pixels = decoded.pixels
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
