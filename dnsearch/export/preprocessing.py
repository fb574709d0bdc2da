"""From a picture to what a network is shown: the same steps as before its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dnsearch.config import DataConfig, Fit
from dnsearch.data.classes import told_apart
from dnsearch.data.formats.images import Decoded, Encoded, Options, decode, fitted
from dnsearch.errors import CheckpointError, RunError
from dnsearch.files import read_json, require_as_listed, write_json

PREPROCESSING_FILE = "preprocessing.json"

FITS: Mapping[Fit, str] = MappingProxyType(
    {
        "crop": "the largest centred part of these proportions, resized",
        "pad": "resized as a whole, with the background beside it",
        "squash": "resized as a whole, distorted to these proportions",
    }
)
"""What becomes of a picture of other proportions, in words."""


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a network are prepared.

    shape: channels, height, width. mean, std: of each channel, on a scale from 0 to 1. classes: in
    the order of the logits. background: the colour (CSS) behind transparent parts and beside padded
    pictures. fit: how a picture of other proportions gets those of ``shape``.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    background: str = "white"
    fit: Fit = "crop"

    @classmethod
    def of(cls, data: Mapping[str, Any], source: DataConfig) -> Preprocessing:
        """Of the images that ``data`` (``data.json``) describes, read by these settings."""
        return cls._of(data, source.background, source.fit)

    @classmethod
    def _of(cls, data: Mapping[str, Any], background: str, fit: Fit) -> Preprocessing:
        channels, height, width = data["shape"]
        classes = told_apart(tuple(map(str, data["classes"])))  # earlier versions wrote equal ones
        mean, std = tuple(data["mean"]), tuple(data["std"])
        return cls((channels, height, width), mean, std, classes, background, fit)

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """What ``write`` wrote there. Raises CheckpointError naming the file and what it lacks."""
        path = folder / PREPROCESSING_FILE
        try:
            held = read_json(path)
            require_as_listed(path)
            fit = held.get("fit", cls.fit)
            if fit not in get_args(Fit):
                raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, got {fit!r}")
            return cls._of(held, held.get("background", cls.background), fit)
        except RunError as error:
            raise CheckpointError(str(error)) from None
        except KeyError as error:
            raise CheckpointError(f"{path}: must have the key {error}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: must be as dnsearch wrote it: {error}") from None

    def write(self, folder: Path) -> None:
        """Writes ``preprocessing.json``. Raises RunError."""
        steps = {  # what a reader of the file has to do; only for people
            "resize": f"{FITS[self.fit]}, with Pillow's BILINEAR filter",
            "normalise": "(pixels / 255 - mean) / std, by channel",
        }
        write_json(folder / PREPROCESSING_FILE, asdict(self) | steps)

    def image(self, path: Path) -> Tensor:
        """The picture in a file as the network is shown it: (c, h, w) float32.

        Of another size, it is fitted as the training images were. Colour becomes grey, or grey
        colour, where the network has the other. Raises DataError and MachineError.
        """
        channels, height, width = self.shape
        decoded = decode(Encoded(str(path), path), Options(background=self.background))
        picture = _picture(decoded)
        if channels == 1:
            picture = picture.convert("L")
        picture = fitted(picture, (width, height), self.fit, self.background)
        if channels == 3:  # after fitting: a grey picture is padded with grey, as in training
            picture = picture.convert("RGB")
        pixels = np.array(picture).reshape(height, width, channels)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std


def _picture(decoded: Decoded) -> Image.Image:
    pixels = decoded.pixels
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
