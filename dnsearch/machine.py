"""This machine, this boot of it, and which of its processes live: whose a file is that was left."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def host() -> str:
    """The name of this machine."""
    return platform.node()


@functools.cache
def boot() -> str:
    """What tells this boot of the machine from all others, for all containers on it; empty where
    the system has no such thing."""
    try:
        return _BOOT.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def lives(process: int) -> bool:
    """Whether there is a process of this number here; True where that cannot be asked."""
    if os.name != "posix":  # elsewhere signal 0 ends it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def mark() -> str:
    """This process, in a few characters that a file's name may have: machine, boot and number."""
    return f"{_here()}-{os.getpid()}"


def is_gone(told: str) -> bool:
    """Whether the process that had this ``mark`` is known to have ended: one of this boot of this
    machine that lives no more. Of others nothing is known."""
    here, _, process = told.partition("-")
    return here == _here() and process.isdecimal() and not lives(int(process))


def _here() -> str:
    return hashlib.sha256(f"{host()} {boot()}".encode("utf-8", "replace")).hexdigest()[:8]
