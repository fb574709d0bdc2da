"""Pictures that Pillow reads and does not write, byte by byte: with 16 bits a channel and colours,
and with less than 8."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np


def write_deep(folder: Path, white: int = 65535) -> dict[str, Path]:
    """One of each kind, 8x8, of values up to ``white``, by name."""
    pixels = np.random.default_rng(0).integers(0, white + 1, (8, 8, 4), np.uint16)
    colours = pixels[..., :3]
    kinds: Mapping[str, Callable[[], bytes]] = {
        "colour.png": lambda: _png(colours, 2),
        "clear.png": lambda: _png(pixels, 6),
        "grey-clear.png": lambda: _png(pixels[..., :2], 4),
        "little.tif": lambda: _tiff(colours, "<"),
        "big.tif": lambda: _tiff(colours, ">"),
        "clear.tif": lambda: _tiff(pixels, "<"),
        "packed.tif": lambda: _tiff(colours, "<", packed=True),
        "planes.tif": lambda: _tiff(colours, "<", planes=True),
        "colour.ppm": lambda: b"P6 8 8 %d\n" % white + colours.astype(">u2").tobytes(),
        "plain.ppm": lambda: b"P3 8 8 %d\n" % white + " ".join(map(str, colours.flat)).encode(),
    }
    folder.mkdir(exist_ok=True)
    for name, content in kinds.items():
        (folder / name).write_bytes(content())
    return {name: folder / name for name in kinds}


def write_shallow(folder: Path) -> dict[str, Path]:
    """Of less than 8 bits a channel, 2x1, by name: a BMP has 16 a pixel, red, then green."""
    bmp = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    bmp += struct.pack("<IIIHH", 0xF800, 0x7E0, 0x1F, 0xF800, 0x7E0)
    kinds = {
        "colour.bmp": struct.pack("<2sIHHI", b"BM", 14 + len(bmp), 0, 0, 66) + bmp,
        "two.pbm": b"P1 2 1 1 0",
        "four.pgm": b"P2 2 1 3 3 1",
    }
    folder.mkdir(exist_ok=True)
    for name, content in kinds.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in kinds}


def _png(pixels: np.ndarray, colour: int) -> bytes:
    """``colour``: PNG's number of the kind of channels."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    written = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _tiff(pixels: np.ndarray, order: str, packed: bool = False, planes: bool = False) -> bytes:
    """``order``: of bytes; ``packed``: compressed; ``planes``: a strip for each channel."""
    height, width, channels = pixels.shape
    ordered = pixels.astype(f"{order}u2")
    strips = [ordered[..., i].tobytes() for i in range(channels)] if planes else [ordered.tobytes()]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    tags = {
        256: [width],
        257: [height],
        258: [16] * channels,
        259: [8 if packed else 1],
        262: [2],  # RGB
        273: [0] * len(strips),  # where the strips are, put in below
        277: [channels],
        278: [height],
        279: list(map(len, strips)),
        284: [2 if planes else 1],
        **({338: [2]} if channels == 4 else {}),  # alpha
    }
    beyond = 8 + 2 + 12 * len(tags) + 4  # where values lie that are too long for their tag
    start = beyond + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[273] = [start + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries, long = b"", b""
    for tag, values in tags.items():
        held = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            long, held = long + held, struct.pack(f"{order}I", beyond + len(long))
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + held
    magic = b"II" if order == "<" else b"MM"
    header = magic + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return header + entries + bytes(4) + long + b"".join(strips)
