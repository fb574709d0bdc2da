"""NVIDIA's Multi-Process Service, by which processes compute on a GPU at the same time.

Without it they take turns, and the small kernels of small networks leave most of a GPU idle.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
_FOLDERS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_DEFAULT = Path("/tmp/nvidia-mps")

# The daemon ends with its input, and so with this process, however that dies.
_SCRIPT = f'{CONTROL} -d && echo started || exit 1; cat; echo quit | {CONTROL}; rm -rf "$0"'


def available() -> bool:
    """Whether the service is installed; it comes with NVIDIA's driver."""
    return shutil.which(CONTROL) is not None


class Service:
    """The service for the processes started between ``start`` and ``stop``, whose environment it
    sets. Does nothing where no GPU has several of these workers, where it is not installed or does
    not start, and where the user or the cluster already runs one.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        shared = {device for device in devices if devices.count(device) > 1}
        own = any(name in os.environ for name in _FOLDERS) or _DEFAULT.exists()
        self.wanted = any(map(_is_gpu, shared)) and available() and not own
        self._daemon: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts the daemon, in a folder of its own."""
        if not self.wanted:
            return
        folder = tempfile.mkdtemp(prefix="dnsearch-mps-")  # short: paths of sockets have a limit
        os.environ.update(dict.fromkeys(_FOLDERS, folder))
        self._daemon = subprocess.Popen(
            ["sh", "-c", _SCRIPT, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the coordinator
        )
        assert self._daemon.stdout is not None
        if self._daemon.stdout.readline().strip() != "started":
            self.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def stop(self) -> None:
        """Ends the daemon; the workers must have ended."""
        if self._daemon is None:
            return
        self._daemon.communicate()
        self._daemon = None
        for name in _FOLDERS:
            os.environ.pop(name, None)


def _is_gpu(device: str) -> bool:
    return device.startswith("cuda")
