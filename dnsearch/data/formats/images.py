"""From pictures to arrays, by Pillow: decode, resize, stack."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from dnsearch.errors import DataError

GREY_MODES = ("1", "L", "LA", "La")
EIGHT_BIT_MODES = (*GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


class Encoded(NamedTuple):
    """A picture that is not decoded yet: a file or bytes. ``name`` is for error messages."""

    name: str
    data: Path | bytes


def decode(picture: Encoded, size: int | None) -> np.ndarray:
    """The picture as (h, w, 1) or (h, w, 3) uint8, upright, without alpha channel; with a size,
    its largest centred square, resized to that.

    Raises DataError naming the picture if Pillow cannot read it or it has more than 8 bits.
    """
    file = io.BytesIO(picture.data) if isinstance(picture.data, bytes) else picture.data
    try:
        with Image.open(file) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise DataError(
                    f"{picture.name}: must have 8 bits a channel, got Pillow mode {image.mode!r}; "
                    "convert it to grey or RGB"
                )
            mode = "L" if image.mode in GREY_MODES else "RGB"
            upright = ImageOps.exif_transpose(image).convert(mode)
            return _to_array(upright if size is None else _fit(upright, size))
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise DataError(f"{picture.name}: must be a readable image: {reason}") from None


def read_pictures(pictures: Iterable[Encoded], size: int | None) -> np.ndarray:
    """The pictures as (n, h, w, c); if any is RGB all are, the grey ones with equal channels.

    Raises DataError as ``decode`` does, and where their sizes differ.
    """
    arrays: list[np.ndarray] = []
    for picture in pictures:  # in one thread: a pool was slower for all sizes tried
        array = decode(picture, size)
        if arrays and array.shape[:2] != arrays[0].shape[:2]:
            raise DataError(
                f"{picture.name}: images must be of one size, got {_size(array)} beside "
                f"{_size(arrays[0])}; set data.image_size to resize them"
            )
        arrays.append(array)
    return _stack(arrays)


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    channels = max(array.shape[2] for array in arrays)
    stacked = np.empty((len(arrays), *arrays[0].shape[:2], channels), np.uint8)
    for index, array in enumerate(arrays):
        stacked[index] = array  # a grey image broadcasts over the channels
    return stacked


def resize_all(images: np.ndarray, size: int | None) -> np.ndarray:
    """Images (n, h, w, c) resized to (n, size, size, c); as they are if size is None."""
    if size is None or images.shape[1:3] == (size, size):
        return images
    resized = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for index, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        resized[index] = _to_array(_fit(picture, size))
    return resized


def _fit(image: Image.Image, size: int) -> Image.Image:
    """The largest centred square of the image, resized.

    Bilinear, because it is good both ways: when shrinking, Pillow widens the filter so that nothing
    aliases; when enlarging it is smooth, where a box filter would show blocks.
    """
    return ImageOps.fit(image, (size, size), method=Image.Resampling.BILINEAR)


def _to_array(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array[..., np.newaxis] if array.ndim == 2 else array


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
