"""Setting up a process to train on one device, and questions about that device."""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch

from dnsearch.config import TrainingConfig

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def set_up(device: str, threads: int) -> None:
    """Prepares this process to train on ``device`` with so many CPU threads, and to give the same
    results for the same seed. Changes settings of the whole process."""
    torch.set_num_threads(threads)
    keep_pages()
    torch.backends.cudnn.deterministic = True  # the same seed gives the same results
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may vary
    if device.startswith("cuda"):
        torch.cuda.set_device(device)  # timers, pinning and bf16 queries mean the current device


def keep_pages() -> None:
    """Makes glibc keep freed memory: every training step asks for the same amounts again, and new
    pages would take a tenth of its time. Does nothing with another C library."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def uses_bf16(recipe: TrainingConfig, device: torch.device | str) -> bool:
    """Whether training runs in bf16: if asked for, or with ``auto`` on a GPU that supports it."""
    if recipe.precision != "auto":
        return recipe.precision == "bf16"
    device = torch.device(device)
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def release_memory(device: torch.device) -> None:
    """Gives memory that torch caches back to the GPU, for other processes."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether this is lack of memory, for which allocations on the CPU and CUDA's libraries raise
    plain RuntimeErrors (torch 2.13)."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    signs = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    return any(sign in str(error) for sign in signs)
