"""Files of ours: written whole or not at all, and read only as they were written.

JSON that dnsearch writes ends with ``schema``, the number of its layout, and ``checksum``, the
SHA-256 of all else. Who changes such a file on purpose removes both; older files have none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import secrets
import select
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dnsearch import machine
from dnsearch.errors import DamagedError, RunError, cannot_write
from dnsearch.text import as_unicode

ASIDE = ".unfinished"
"""How the name of what is being written ends. What a killed process leaves under such a name is
removed by the next one that writes the same file or folder, or locks the run it is in."""

ABANDONED_SECONDS = 86_400.0
"""After which what a process of another machine, or before a restart, was writing counts as left by
a killed one: nothing else can be known of it."""

SCHEMA = 1
"""Of our JSON files: raised when what older versions read in them comes to mean something else."""

MOST_BYTES = 256 * 2**20
"""Of a JSON file, and of a study's."""

MANIFEST = "manifest.json"
"""Lists the files beside it with their SHA-256."""

STORAGES = "study.db", "storage.json"
"""A folder with one of these files holds a search; the second tells of a ``postgres.Place``."""

PIPE_SECONDS = 10.0
"""For which nothing may come out of a pipe that is read."""

_SCHEMA, _CHECKSUM = "schema", "checksum"


def make_folder(path: Path) -> None:
    """Makes a folder and those above it where they are missing. Raises OSError.

    ``Path.mkdir`` calls itself for each of those above, and so fails on a thousand of them.
    """
    missing = itertools.takewhile(lambda folder: not folder.is_dir(), (path, *path.parents))
    for folder in reversed([*missing]):
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path to write to; at the end the file is synced and renamed to ``path``, or, where
    that ``is_stream``, copied into it. After an exception it is removed, and ``path`` stays as it
    was.

    Raises RunError naming the file where it cannot be written, MachineError on a full disk.
    """
    streams = is_stream(path)
    aside = (
        Path(tempfile.gettempdir(), f"{secrets.token_hex(8)}{ASIDE}") if streams else _aside(path)
    )
    try:
        make_folder(path.parent)
        remove_abandoned(path)
        yield aside
        if streams:
            with aside.open("rb") as written, _opened_stream(path) as stream:
                shutil.copyfileobj(written, stream)
            return
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _opened_stream(path: Path) -> BinaryIO:
    """A stream to write to. One that is open already goes on where it is: opened again, a file that
    a shell has put behind /dev/stdout would be written over from its start."""
    name = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}.get(str(path), str(path))
    if known := re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", name):
        return os.fdopen(os.dup(int(known[1])), "wb")
    return path.open("wb")


def is_stream(path: Path) -> bool:
    """Whether what is written here goes on to somewhere else, as with a pipe, /dev/stdout or
    /dev/null, which must not be replaced by a file."""
    with contextlib.suppress(OSError):  # there is nothing yet, or no such name can be
        if not (is_regular(path) or path.is_dir()):
            return True
    folder = Path(os.path.abspath(path)).parent
    return folder in (Path("/dev"), Path("/dev/fd")) or folder.is_relative_to("/proc")


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which at the end is renamed to ``path``, in the place of an
    empty folder or of none. After an exception it is removed. Raises OSError."""
    path = Path(os.path.abspath(path))  # '.' has no name
    with folder_aside(path) as aside:
        yield aside
        if path.is_dir():
            path.rmdir()
        aside.replace(path)


@contextlib.contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, removed at the end if it is there still. Raises OSError."""
    aside = _aside(path)
    try:
        make_folder(path.parent)
        remove_abandoned(path)
        aside.mkdir()
        yield aside
    finally:
        remove(aside)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{machine.mark()}-{secrets.token_hex(2)}{ASIDE}")


def remove_abandoned(path: Path) -> None:
    """Removes what processes that were killed have left beside ``path`` while they wrote it."""
    before = f".{path.name}."
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(before) and entry.name.endswith(ASIDE):
                _remove_if_abandoned(Path(entry.path))


def remove_all_abandoned(folder: Path) -> None:
    """Removes what processes that were killed have left anywhere in a folder."""
    with contextlib.suppress(OSError):  # what is being written may go meanwhile
        for aside in folder.rglob(f".*{ASIDE}"):
            _remove_if_abandoned(aside)


def _remove_if_abandoned(aside: Path) -> None:
    told = aside.name.removesuffix(ASIDE).rpartition("-")[0].rpartition(".")[2]
    with contextlib.suppress(OSError):  # it may be written by now
        if machine.is_gone(told) or _is_old(aside):
            remove(aside)


def remove(path: Path) -> None:
    """Removes a file or a folder as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > ABANDONED_SECONDS


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all. Raises RunError."""
    with atomic(path) as aside:
        aside.write_text(as_unicode(text), encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes an object as indented JSON, with schema and checksum, whole or not at all. Raises
    RunError."""
    told = json.loads(as_unicode(json.dumps({**value, _SCHEMA: SCHEMA}, ensure_ascii=False)))
    text = json.dumps(told | {_CHECKSUM: checksum(told)}, indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


def read_bytes(path: Path) -> bytes:
    """The content of a file of at most ``MOST_BYTES``, which may be a pipe, such as /dev/stdin.

    Raises OSError, also where it is larger or has no end, and where nobody writes into the pipe
    within ``PIPE_SECONDS``.
    """
    with open(path, "rb", opener=_opened) as file:
        content = file.read(MOST_BYTES + 1) if is_regular(file.fileno()) else _piped(file.fileno())
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"must have at most {MOST_BYTES >> 20} MB", str(path))
    return content


def _opened(path: str, flags: int) -> int:
    """Opens a file without waiting for somebody to write into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _piped(file: int) -> bytes:
    """All that comes out of a pipe that is opened without waiting: it is at its end, too, as long
    as nobody has begun to write."""
    content, began = bytearray(), False
    while len(content) <= MOST_BYTES:
        try:
            part = os.read(file, 2**20)
        except BlockingIOError:
            part = None
        content += part or b""
        if part == b"" and (content or began):
            break
        if not part:
            began = bool(select.select([file], [], [], PIPE_SECONDS)[0])
            if not began:
                reason = f"nothing was written into this pipe for {PIPE_SECONDS:g} s"
                raise OSError(errno.ETIMEDOUT, reason)
    return bytes(content)


def is_regular(file: Path | int) -> bool:
    """Whether a file, by its path or its descriptor, has a beginning and an end: no pipe, device or
    folder, of which reading might wait for ever. Raises OSError."""
    return stat.S_ISREG(os.stat(file).st_mode)


def require_regular(path: Path) -> None:
    """Raises OSError where a file is none that ``is_regular``, or is missing."""
    if not is_regular(path):
        raise OSError(errno.EINVAL, "is no regular file", str(path))


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """The object in a JSON file, which has at least these keys, without schema and checksum.

    Raises RunError naming the file where it is missing, damaged, of a newer version, or lacks a
    key.
    """
    try:
        value = json.loads(read_bytes(path).decode("utf-8"))
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DamagedError(f"{path}: {error.strerror}") from None
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: must be valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DamagedError(f"{path}: must be a JSON object, got {type(value).__name__}")
    _require_as_written(path, value)
    for key in needed:
        if key not in value:
            raise DamagedError(f"{path}: must have the key {key!r}; was the file changed?")
    return value


def _require_as_written(path: Path, value: dict[str, Any]) -> None:
    """Takes schema and checksum out of what was read; older files have neither."""
    if not {_SCHEMA, _CHECKSUM} & value.keys():
        return
    if value.pop(_CHECKSUM, None) != checksum(value):
        raise DamagedError(
            f"{path}: was changed or damaged, as its checksum tells; restore it from a copy, or "
            f"remove its {_SCHEMA!r} and {_CHECKSUM!r} if you changed it on purpose"
        )
    schema = value.pop(_SCHEMA, SCHEMA)
    if schema > SCHEMA:
        raise RunError(
            f"{path}: was written by a newer dnsearch (schema {schema}, this one knows {SCHEMA}); "
            "update dnsearch"
        )


def checksum(value: Any) -> str:
    """The SHA-256 of a value that JSON can hold, whatever its layout and the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_as_listed(path: Path) -> None:
    """Raises DamagedError where the manifest beside a file lists it with another SHA-256; a file
    without one is taken as it is. Raises OSError where it cannot be read."""
    manifest = path.with_name(MANIFEST)
    if not manifest.is_file():
        return
    try:
        files = read_json(manifest).get("files")
    except DamagedError:
        if b"dnsearch" not in manifest.read_bytes():
            return  # somebody else's
        raise
    listed = files.get(path.name) if isinstance(files, dict) else None
    if isinstance(listed, dict) and listed.get("sha256", "") not in ("", sha256(path)):
        raise DamagedError(
            f"{path}: was changed or damaged, as {manifest.name} beside it tells; restore it from "
            "a copy, or remove the manifest if you changed it on purpose"
        )


def require_sound_zip(path: Path) -> None:
    """Raises ValueError where a ZIP archive, as torch and NumPy write them, holds a part that does
    not match its CRC-32, which torch itself does not look at."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ValueError(f"{damaged} does not match its CRC-32")


def require_ours(path: Path, sign: str) -> None:
    """Raises RunError where a file about to be replaced does not have this sign in its first 4 kB,
    so that it is somebody's own."""
    try:
        with path.open("rb") as file:
            ours = sign.encode() in file.read(4096)
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(path, error) from None
    if not ours:
        raise RunError(
            f"{path}: is not dnsearch's and would be overwritten; move it, or choose another name "
            "or folder"
        )
