"""Compiles ``cpu.cpp`` for this machine's CPU, once, into the user's cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

from dnsearch.cachedir import cache_root
from dnsearch.errors import KernelError

SOURCE = Path(__file__).with_name("cpu.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC")


def compiler() -> list[str]:
    """The command that CXX names, or g++. Raises KernelError where there is none."""
    try:
        command = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    except ValueError as error:
        raise KernelError(f"CXX cannot be read: {error}") from None
    if shutil.which(command[0]) is None:
        raise KernelError(f"no C++ compiler {command[0]!r}; install one or set CXX")
    return command


def is_built() -> bool:
    """Whether ``build`` would find the library for ``float``. Raises KernelError where there is no
    compiler."""
    return _library_path("float").is_file()


def build(scalar: str = "float") -> Path:
    """The library for ``float`` or ``double``; compiled now, in some seconds, if it is not there.

    Raises KernelError where there is no compiler, it fails, or the cache cannot be written.
    """
    path = _library_path(scalar)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                _compile(scalar, path)
    except OSError as error:
        raise KernelError(f"{path.parent}: {error.strerror or error}") from None
    return path


def _library_path(scalar: str) -> Path:
    """Named by all that it depends on: source, flags, and what the compiler says about the CPU."""
    target = _run([*compiler(), "-march=native", "-dM", "-E", "-x", "c++", os.devnull])
    parts = (SOURCE.read_text(encoding="utf-8"), target, scalar, *FLAGS, *_openmp())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    try:
        return cache_root() / "kernels" / f"densenet-{digest}.so"
    except RuntimeError:  # there is no home
        raise KernelError("no folder for the compiled kernels; set DNSEARCH_CACHE") from None


def _compile(scalar: str, path: Path) -> None:
    made, aside = path.with_suffix(".o"), path.with_suffix(".new")
    _run([*compiler(), *FLAGS, f"-DSCALAR={scalar}", "-c", str(SOURCE), "-o", str(made)])
    _run([*compiler(), "-shared", str(made), *_openmp(), "-o", str(aside)])
    made.unlink()
    ctypes.CDLL(str(aside))  # one that cannot be loaded must not stay
    aside.replace(path)


def _openmp() -> list[str]:
    """Links torch's own OpenMP runtime where torch has one: two runtimes in one process compete for
    the cores. Code compiled by clang does not work with it."""
    if "clang" in compiler()[0]:
        return ["-fopenmp"]
    torch = importlib.util.find_spec("torch")
    for folder in torch.submodule_search_locations or () if torch else ():
        for path in sorted(Path(folder, "lib").glob("libgomp*.so*")):
            return [str(path), f"-Wl,-rpath,{path.parent}"]
    return ["-fopenmp"]


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line]
        raise KernelError(f"{command[0]}: {(lines or ['it failed'])[0][:200]}") from None
