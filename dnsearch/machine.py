"""This machine: the CPUs and memory that a process may use, also within a container's limits; its
boot, and which of its processes live, which tells whose a file is that was left."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def cpu_cores(root: Path = ROOT) -> int:
    """How many cores this process may use: those it is bound to, or fewer where a container has a
    quota of CPU time (``docker run --cpus``). A quota of 1.5 cores counts as 2.

    root: of the file system, for tests.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [quota for group in _groups(root, "cpu") if (quota := _quota(group)) is not None]
    return max(1, min([bound or 1, *(math.ceil(quota) for quota in quotas)]))


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes of memory that are free, or can be freed at once, for this process; None where the
    system does not tell."""
    found = [_available(root)]
    for group in _groups(root, "memory"):
        limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
        used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            found.append(max(0, limit - used + _cached(group)))
    return min((free for free in found if free is not None), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups that may limit this: its own, and those above.

    Within a container the own group's path is that of outside, so the root's folder comes as well.
    """
    mounted = root / "sys" / "fs" / "cgroup"
    paths: dict[str, Path] = {}
    for line in _lines(root / "proc" / "self" / "cgroup"):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            paths[path] = mounted
        elif controller in controllers.split(","):
            paths[path] = next(
                (each for name in (controllers, controller) if (each := mounted / name).is_dir()),
                mounted / controller,
            )
    for path, top in (paths or {"/": mounted}).items():
        own = top / path.lstrip("/")
        yield from (group for group in (own, *own.parents) if group.is_relative_to(top))


def _quota(group: Path) -> float | None:
    """The cores that a control group may use; None where that is not limited."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _available(root: Path) -> int | None:
    for line in _lines(root / "proc" / "meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _cached(group: Path) -> int:
    """Of a group's memory, what holds files and can be dropped."""
    for line in _lines(group / "memory.stat"):
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none, such as ``max``."""
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


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
