"""``dnsearch --version``: what a report of a fault must say."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from dnsearch import __version__


def lines() -> Iterator[str]:
    """Versions, then where networks would train and with which kernels; imports torch."""
    yield f"dnsearch, version {__version__}"
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that cannot be loaded
        yield f"torch cannot be imported: {error}"
        return
    optuna = metadata.version("optuna")
    system = f"{platform.system()} {platform.machine()}"
    yield (
        f"torch {torch.__version__}, Optuna {optuna}, Python {platform.python_version()}, {system}"
    )
    from dnsearch.cost.device import visible_gpus
    from dnsearch.machine import cpu_cores

    gpus = visible_gpus()
    for gpu in gpus:
        yield f"device: {gpu}, {torch.cuda.get_device_name(gpu)}"
    if not gpus:
        yield f"device: cpu, {cpu_cores()} cores, {torch.get_num_threads()} threads of torch"
    yield f"kernels: {_on_gpu(gpus[0]) if gpus else _on_cpu()}"


def _on_gpu(gpu: str) -> str:
    import torch

    from dnsearch.arch.kernels import triton

    if triton.available(torch.device(gpu)):
        return "triton in bf16, portable in fp32"
    return "portable (no Triton)"


def _on_cpu() -> str:
    from dnsearch.arch.kernels.build import is_built
    from dnsearch.errors import KernelError

    try:
        built = is_built()
    except KernelError as error:
        return f"portable ({error})"
    return "cpu (C++, compiled)" if built else "cpu (C++, compiled at the first training)"
