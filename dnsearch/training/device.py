"""A process made ready for training on one device, and what torch says of that device."""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch

from dnsearch.config import TrainingConfig

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def set_up(device: str, threads: int) -> None:
    """Makes ``device`` this process's own, with ``threads`` on the CPU and repeatable results."""
    torch.set_num_threads(threads)
    keep_pages()
    torch.backends.cudnn.deterministic = True  # same seed, same figures
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may vary
    if device.startswith("cuda"):
        torch.cuda.set_device(device)  # timers, pinning and bf16 queries mean the current device


def keep_pages() -> None:
    """Lets glibc keep what is freed: every step asks for the same memory again, and fresh pages
    cost a tenth of its time."""
    with contextlib.suppress(OSError, AttributeError):  # another libc has its own ways
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def uses_bf16(recipe: TrainingConfig, device: torch.device | str) -> bool:
    """Whether training runs in bf16: asked for, or ``auto`` on a GPU that has it itself."""
    if recipe.precision != "auto":
        return recipe.precision == "bf16"
    device = torch.device(device)
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def release_memory(device: torch.device) -> None:
    """Gives cached memory back to the device, for whoever shares it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """CPU allocations and CUDA's libraries fail with plain RuntimeErrors (torch 2.13)."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    signs = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    return any(sign in str(error) for sign in signs)
