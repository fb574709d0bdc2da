"""Breaks the machine that dnsearch runs on, as $BROKEN says: Python imports this at its start, of
every process that has this folder on its PYTHONPATH. dnsearch itself knows nothing of it.

    torch       torch cannot be loaded
    exits       child processes end before they have begun
    hangs       child processes never begin
    assert:N    the first N trainings go well, all others end with a device-side assert
    memory:N    the first N go well, the others lack memory
    dies:N      the first N go well, the others kill their process
    clock       the time of day jumps by two days after three seconds
"""

import importlib.abc
import importlib.machinery
import os
import sys
import time

MODE, _, AFTER = os.environ.get("BROKEN", "").partition(":")
IS_CHILD = "--multiprocessing-fork" in sys.argv
COUNT = os.environ.get("BROKEN_COUNT", "")


class _NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            raise ImportError("libtorch_cpu.so: cannot open shared object file")


class _Trainer(importlib.abc.MetaPathFinder):
    """Has ``Trainer._run`` break when its module is imported."""

    def find_spec(self, name, path, target=None):
        if name != "dnsearch.training.trainer":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            run = module.Trainer._run
            module.Trainer._run = lambda self, *rest: _broken() or run(self, *rest)

        spec.loader.exec_module = exec_module
        return spec


def _broken():
    with open(COUNT, "a+") as file:  # across processes
        file.write("x")
        file.seek(0)
        if len(file.read()) <= int(AFTER):
            return
    if MODE == "dies":
        os.kill(os.getpid(), 9)
    if MODE == "memory":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 TB")
    raise RuntimeError("CUDA error: device-side assert triggered")


if MODE == "torch":
    sys.meta_path.insert(0, _NoTorch())
elif MODE == "exits" and IS_CHILD:
    os._exit(0)
elif MODE == "hangs" and IS_CHILD:
    time.sleep(3600)
elif MODE in ("assert", "memory", "dies"):
    sys.meta_path.insert(0, _Trainer())
elif MODE == "clock":
    _time, _started = time.time, time.monotonic()
    time.time = lambda: _time() + (172_800 if time.monotonic() - _started > 3 else 0)
