"""From pictures to arrays, by Pillow: decode, resize, stack."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageOps

from dnsearch.errors import DataError
from dnsearch.files import require_regular
from dnsearch.text import agreeing, counted

GREY_MODES = ("1", "L", "LA", "La")
EIGHT_BIT_MODES = (*GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
MOST_LISTED = 10
"""Bad pictures that a message names; a file has them all."""


class Encoded(NamedTuple):
    """A picture that is not decoded yet: a file or bytes. ``name`` is for error messages."""

    name: str
    data: Path | bytes | None


class Options(NamedTuple):
    """How pictures are read: the side that they are resized to, the colour behind transparent parts
    (CSS), and whether those that cannot be read are left out."""

    size: int | None = None
    background: str = "white"
    skip_bad: bool = False


class Decoded(NamedTuple):
    """A picture as (h, w, 1) or (h, w, 3) uint8, and whether something was behind it or after."""

    pixels: np.ndarray
    transparent: bool = False
    animated: bool = False


class Pictures(NamedTuple):
    """Pictures (n, h, w, c), which of those asked for they are, a mask, and what there is to say of
    them, in sentences."""

    images: np.ndarray
    kept: np.ndarray
    notes: tuple[str, ...]


class BadPictures(DataError):
    """Pictures that cannot be read; ``reasons`` has a line for each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


def decode(picture: Encoded, options: Options = Options()) -> Decoded:  # noqa: B008 (immutable)
    """The picture, upright, without alpha channel; with a size, its largest centred square, resized
    to that. Transparent parts show the background, on grey pictures as grey.

    Raises DataError naming the picture if Pillow cannot read it or it has more than 8 bits.
    """
    if picture.data is None:
        raise DataError(f"{picture.name}: must hold the picture's bytes; a path is not followed")
    file = io.BytesIO(picture.data) if isinstance(picture.data, bytes) else picture.data
    try:
        if isinstance(file, Path):
            require_regular(file)
        with Image.open(file) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise DataError(
                    f"{picture.name}: must have 8 bits a channel, got Pillow mode {image.mode!r}; "
                    "convert it to grey or RGB"
                )
            mode = "L" if image.mode in GREY_MODES else "RGB"
            animated = bool(getattr(image, "is_animated", False))
            upright = ImageOps.exif_transpose(image)
            opaque, transparent = _laid(upright, options.background)
            flat = opaque.convert(mode)
            fitted = flat if options.size is None else _fit(flat, options.size)
            return Decoded(_to_array(fitted), transparent, animated)
    except DataError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else reason
        raise DataError(f"{picture.name}: must be a readable image: {reason}") from None
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        raise DataError(f"{picture.name}: must be a readable image: {error}") from None


def _laid(image: Image.Image, background: str) -> tuple[Image.Image, bool]:
    """The picture on this colour, and whether any of it shows; opaque pixels stay as they are."""
    if not image.has_transparency_data:
        return image, False
    coloured = image.convert("RGBA")
    alpha = coloured.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return image, False
    behind = Image.new("RGB", image.size, ImageColor.getrgb(background)[:3])
    behind.paste(coloured, mask=alpha)
    return behind, True


def read_pictures(pictures: Iterable[Encoded], options: Options) -> Pictures:
    """The pictures in one array; if any is RGB all are, the grey ones with equal channels.

    All are read before an error is raised: BadPictures for those that cannot be (unless they are to
    be left out), DataError where their sizes differ, or none is left.
    """
    arrays: list[np.ndarray] = []
    names: list[str] = []
    bad: list[str] = []
    kept: list[bool] = []
    seen = Counter[str]()
    for picture in pictures:  # in one thread: a pool was slower for all sizes tried
        try:
            found = decode(picture, options)
        except DataError as error:
            bad.append(str(error))
            kept.append(False)
            continue
        arrays.append(found.pixels)
        names.append(picture.name)
        kept.append(True)
        seen.update(transparent=found.transparent, animated=found.animated)
    if bad and not (options.skip_bad and arrays):
        raise BadPictures(bad)
    _require_one_size(arrays, names)
    images = _stack(arrays)
    seen["grey"] = sum(array.shape[2] < images.shape[3] for array in arrays)
    return Pictures(images, np.array(kept), tuple(_notes(seen, bad, options)))


def _notes(seen: Counter[str], bad: Sequence[str], options: Options) -> Iterable[str]:
    if bad:
        first = "; ".join(bad[:MOST_LISTED])
        yield f"{counted(len(bad), 'bad picture')} left out (data.skip_bad): {first}" + (
            "; ..." if len(bad) > MOST_LISTED else ""
        )
    if count := seen["transparent"]:
        yield (
            f"{counted(count, 'picture')} with transparent parts laid on {options.background} "
            "(data.background)"
        )
    if count := seen["animated"]:
        yield f"{counted(count, 'picture')} with several frames: the first is used"
    if count := seen["grey"]:
        yield f"{counted(count, 'grey picture')} among colour ones made RGB"


def _require_one_size(arrays: Sequence[np.ndarray], names: Sequence[str]) -> None:
    sizes = Counter(array.shape[:2] for array in arrays)
    if len(sizes) < 2:
        return
    usual = sizes.most_common(1)[0][0]
    other = next(i for i, array in enumerate(arrays) if array.shape[:2] != usual)
    count = len(arrays) - sizes[usual]
    more = f" ({counted(count, 'picture')} {agreeing(count, 'is', 'are')} of another size)"
    raise DataError(
        f"{names[other]}: images must be of one size, got {_size(arrays[other])} beside "
        f"{usual[0]}x{usual[1]}{more}; set data.image_size to resize them"
    )


def _stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
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
