"""What containers say of CPUs and memory, from files as Linux and Docker write them."""

from __future__ import annotations

import os

import pytest

from dnsearch import machine
from dnsearch.machine import cpu_cores, free_memory


@pytest.fixture(autouse=True)
def _eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.fixture
def root(tmp_path):
    """(**files): the root of a file system with these, whose names are paths."""

    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return make


CGROUP, GROUPS = "proc/self/cgroup", "sys/fs/cgroup"
V1 = "5:cpu,cpuacct:/docker/3c4d\n4:memory:/docker/3c4d\n1:name=systemd:/docker/3c4d\n"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "max 100000\n"}, 8),
        ({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "200000 100000\n"}, 2),
        ({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "150000 100000\n"}, 2),
        ({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "20000 100000\n"}, 1),
        ({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "9900000 100000\n"}, 8),
        ({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "nonsense\n"}, 8),
        # the own group's limit, and that of one above
        ({CGROUP: "0::/a/b\n", f"{GROUPS}/a/b/cpu.max": "300000 100000"}, 3),
        ({CGROUP: "0::/a/b\n", f"{GROUPS}/a/cpu.max": "300000 100000"}, 3),
        (
            {
                CGROUP: "0::/a/b\n",
                f"{GROUPS}/a/b/cpu.max": "max 100000",
                f"{GROUPS}/a/cpu.max": "400000 100000",
                f"{GROUPS}/cpu.max": "500000 100000",
            },
            4,
        ),
        # another's is nothing to this process
        ({CGROUP: "0::/a\n", f"{GROUPS}/c/cpu.max": "100000 100000"}, 8),
        # version 1, as seen from within a container and from outside
        (
            {
                CGROUP: V1,
                f"{GROUPS}/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                f"{GROUPS}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                CGROUP: V1,
                f"{GROUPS}/cpu/docker/3c4d/cpu.cfs_quota_us": "100000\n",
                f"{GROUPS}/cpu/docker/3c4d/cpu.cfs_period_us": "50000\n",
            },
            2,
        ),
        (
            {
                CGROUP: V1,
                f"{GROUPS}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{GROUPS}/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_cores_are_those_of_the_quota(root, files, cores):
    assert cpu_cores(root(files)) == cores


def test_cores_are_those_the_process_is_bound_to(root, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert cpu_cores(root({CGROUP: "0::/\n", f"{GROUPS}/cpu.max": "400000 100000\n"})) == 2


def test_here_it_finds_something():
    assert 1 <= cpu_cores() <= 8
    free = free_memory()
    assert free is None or free > 0


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4 kB\n"}, 4096),
        (
            {
                "proc/meminfo": "MemAvailable: 4000 kB\n",
                CGROUP: "0::/\n",
                f"{GROUPS}/memory.max": "1000000\n",
                f"{GROUPS}/memory.current": "900000\n",
                f"{GROUPS}/memory.stat": "anon 300000\ninactive_file 500000\n",
            },
            600_000,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4000 kB\n",
                CGROUP: V1,
                f"{GROUPS}/memory/memory.limit_in_bytes": "1000000\n",
                f"{GROUPS}/memory/memory.usage_in_bytes": "900000\n",
            },
            100_000,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 4000 kB\n",
                CGROUP: "0::/\n",
                f"{GROUPS}/memory.max": "max\n",
                f"{GROUPS}/memory.current": "900000\n",
            },
            4_096_000,
        ),
    ],
)
def test_free_memory_is_that_of_the_container(root, files, free):
    assert free_memory(root(files)) == free


def test_the_planner_asks_it(monkeypatch):
    from dnsearch.config import SearchConfig
    from dnsearch.search import devices

    assert devices.cpu_cores is machine.cpu_cores
    monkeypatch.setattr(devices, "cpu_cores", lambda: 3)
    assert len(devices.plan_workers(SearchConfig(device="cpu")).devices) == 3
