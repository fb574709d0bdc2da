"""From pictures to arrays, by Pillow: decode, resize."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageFile, ImageOps

from dnsearch.config import Fit
from dnsearch.errors import DataError, MachineError, cannot_read
from dnsearch.files import require_regular
from dnsearch.machine import free_memory

GREY_MODES = ("1", "L", "LA", "La")
EIGHT_BIT_MODES = (*GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
MOST_LISTED = 10
"""Bad pictures that a message names; a file has them all."""

ROOM = 128 << 20
"""Bytes that pictures may take that are decoded at the same time; a larger one is decoded alone."""

ONE_OF_MANY = 1 << 20
"""Smaller pictures need not ask for room."""

Image.MAX_IMAGE_PIXELS = None
"""Pillow warns of pictures with many pixels, and refuses those with more, for servers that are sent
any. Those of a data set are the user's own: what bounds them is memory, see ``_Room``."""

DRAFT = 2
"""With ``Options.draft`` a JPEG is decoded at this many times the side that is wanted, at least."""


class Encoded(NamedTuple):
    """A picture that is not decoded yet: a file or bytes. ``name`` is for error messages."""

    name: str
    data: Path | bytes | None


class Options(NamedTuple):
    """How pictures are read: the side that they are resized to, the colour behind transparent parts
    and beside padded pictures (CSS), whether large JPEGs are decoded at a fraction of their size
    before that, and how what is not square is made so (``data.fit``)."""

    size: int | None = None
    background: str = "white"
    draft: bool = False
    fit: Fit = "crop"


class Decoded(NamedTuple):
    """A picture as (h, w, 1) or (h, w, 3) uint8, and whether something was behind it or after."""

    pixels: np.ndarray
    transparent: bool = False
    animated: bool = False


class BadPictures(DataError):
    """Pictures that cannot be read; ``reasons`` has a line for each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


def decode(picture: Encoded, options: Options = Options()) -> Decoded:  # noqa: B008 (immutable)
    """The picture, upright, without alpha channel; with a size, fitted into a square of that side.
    Transparent parts show the background, on grey pictures as grey.

    Raises DataError naming the picture if Pillow cannot read it or it has more than 8 bits, and
    MachineError if there is no memory for it or the machine is at fault.
    """
    needed = 0
    try:
        with _opened(picture) as image:
            _require_eight_bits(picture.name, image)
            mode = "L" if image.mode in GREY_MODES else "RGB"
            animated = bool(getattr(image, "is_animated", False))
            if options.draft and options.size is not None:
                _shrink_jpeg(image, DRAFT * options.size, options.fit)
            needed = 4 * image.width * image.height  # Pillow has four bytes a pixel of colour
            with _room.taken(needed):
                ImageOps.exif_transpose(image, in_place=True)
                opaque, transparent = _laid(image, options.background)
                flat = opaque if opaque.mode == mode else opaque.convert(mode)
                fitted = flat if options.size is None else _squared(flat, options.size, options)
                return Decoded(_to_array(fitted), transparent, animated)
    except (DataError, MachineError):
        raise
    except MemoryError:
        raise MachineError(
            f"{picture.name}: there is no memory to decode it, which takes about "
            f"{max(1, needed // 10**6)} MB; free some, or make the picture smaller or remove it"
        ) from None
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        raise DataError(f"{picture.name}: must be a readable image: {error}") from None


def has_colour(picture: Encoded) -> bool:
    """Whether ``decode`` would give three channels, by its header; False where that cannot be
    read. Raises MachineError."""
    try:
        with _opened(picture) as image:
            _require_eight_bits(picture.name, image)
            return image.mode not in GREY_MODES
    except MachineError:
        raise
    except Exception:  # ``decode`` says what is wrong with it, if it is wanted
        return False


def _require_eight_bits(name: str, image: ImageFile.ImageFile) -> None:
    if image.mode not in EIGHT_BIT_MODES:
        raise DataError(
            f"{name}: must have 8 bits a channel, got Pillow mode {image.mode!r}; "
            "convert it to grey or RGB"
        )
    if (bits := _bits(image)) > 8:
        raise DataError(f"{name}: must have 8 bits a channel, got {bits}; convert it to 8 bits")


def _bits(image: ImageFile.ImageFile) -> int:
    """Bits a channel in the file, 8 where they are fewer. Pillow drops those of colours that are
    more, without a word, and its mode does not tell."""
    found = [8, *getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, ())]
    for codec, _, _, settings in image.tile:
        if SIXTEEN_BITS.search(f"{codec} {settings}"):
            found.append(16)
        if codec.startswith("ppm") and isinstance(settings, tuple):
            found.append(settings[1].bit_length())  # the value of white
    return max(found)


BITS_PER_SAMPLE = 258
"""TIFF's tag."""

SIXTEEN_BITS = re.compile(";16[BLN]|SGI16")
"""In Pillow's name for the pixels of a file, such as ``RGB;16B``; ``BGR;16`` has 16 a pixel."""


def size_of(picture: Encoded) -> tuple[int, int] | None:
    """(h, w) of a picture, upright, by its header; None where that cannot be read. Raises
    MachineError."""
    try:
        with _opened(picture) as image:
            turned = image.getexif().get(ORIENTATION, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except MachineError:
        raise
    except Exception:  # ``decode`` says what is wrong with it, if it is wanted
        return None


ORIENTATION = 0x0112
"""EXIF's tag; from 5 on width and height are exchanged."""


@contextlib.contextmanager
def _opened(picture: Encoded) -> Iterator[ImageFile.ImageFile]:
    """The picture, of which only the header is read yet. Raises DataError or MachineError where it
    cannot be read, then or later."""
    if picture.data is None:
        raise DataError(f"{picture.name}: must hold the picture's bytes; a path is not followed")
    try:
        if isinstance(picture.data, Path):
            require_regular(picture.data)
        held = io.BytesIO(picture.data) if isinstance(picture.data, bytes) else picture.data
        with Image.open(held) as image:
            yield image
    except OSError as error:
        reason = error.strerror or str(error)
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else reason
        rule = f"must be a readable image: {reason}"
        raise cannot_read(picture.name, error, rule) from None


def _shrink_jpeg(image: Image.Image, side: int, fit: Fit) -> None:
    """Has a JPEG decoded at 1/2, 1/4 or 1/8, as long as its shorter side is at least this long; its
    longer side where all of it is shown without distortion."""
    decides = max(image.size) if fit == "pad" else min(image.size)
    if image.format == "JPEG" and decides >= 2 * side:
        width, height = (max(1, extent * side // decides) for extent in image.size)
        image.draft(None, (width, height))


class _Room:
    """Memory for pictures that threads decode at the same time."""

    def __init__(self, total: int) -> None:
        self.total, self.used = total, 0
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Waits until there is room for so many bytes, or nobody else has any. Raises MemoryError
        where they are more than all room, and more than is free: the system would end the process
        that takes them."""
        if needed < ONE_OF_MANY:
            yield
            return
        with self.changed:
            self.changed.wait_for(lambda: not self.used or self.used + needed <= self.total)
            self.used += needed
        try:
            if needed > self.total and (free := free_memory()) is not None and needed > free:
                raise MemoryError
            yield
        finally:
            with self.changed:
                self.used -= needed
                self.changed.notify_all()


_room = _Room(ROOM)


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


def resize_all(images: np.ndarray, options: Options) -> np.ndarray:
    """Images (n, h, w, c) fitted into (n, size, size, c); as they are where there is no size."""
    size = options.size
    if size is None or images.shape[1:3] == (size, size):
        return images
    resized = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for index, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        resized[index] = _to_array(_squared(picture, size, options))
    return resized


def _squared(image: Image.Image, size: int, options: Options) -> Image.Image:
    return fitted(image, (size, size), options.fit, options.background)


def fitted(image: Image.Image, size: tuple[int, int], fit: Fit, background: str) -> Image.Image:
    """A grey or RGB image at this width and height: its largest centred part of these proportions
    (crop), all of it with the background beside it (pad), or all of it, distorted (squash).

    Bilinear, because it is good both ways: when shrinking, Pillow widens the filter so that nothing
    aliases; when enlarging it is smooth, where a box filter would show blocks.
    """
    method = Image.Resampling.BILINEAR
    if fit == "squash":
        return image.resize(size, method)
    if fit == "pad":
        colour = ImageColor.getcolor(background, image.mode)
        return ImageOps.pad(image, size, method, colour)
    return ImageOps.fit(image, size, method)


def _to_array(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array[..., np.newaxis] if array.ndim == 2 else array
