"""All GPU studies one after the other, each within its time; tables in reports/gpu.

    python studies/gpu/all.py [--cifar FOLDER] [NAME ...]

Names: tests, sanitizer, works, tiles, step, compile, candidates, kernels. A study that runs out of
its time leaves the table that it has. Exit code 1 if one fails.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TESTS = ["tests/arch/kernels/test_triton.py", "tests/training/test_captured.py"]
SANITIZER = ["compute-sanitizer", "--target-processes", "all", "--error-exitcode", "1"]
SANITIZED = "portable_ones or references or large_mean"
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]


def main() -> None:
    """Runs those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", default="../shared/data/cifar10", help="folder of CIFAR-10")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    python = sys.executable
    studies: dict[str, tuple[int, list[str]]] = {  # seconds, command
        "tests": (120, [python, *PYTEST, "-n", "4", *TESTS]),
        "sanitizer": (180, [*SANITIZER, python, *PYTEST, TESTS[0], "-k", SANITIZED]),
        "works": (240, [python, str(HERE / "works.py"), options.cifar]),
        "tiles": (120, [python, str(HERE / "tiles.py")]),
        "step": (150, [python, str(HERE / "step.py")]),
        "compile": (500, [python, str(HERE / "step.py"), "--compile"]),
        "candidates": (240, [python, str(HERE / "candidates.py"), "--streams"]),
        "kernels": (90, [python, str(HERE / "kernels.py")]),
    }
    failed = []
    for name in options.names or studies:
        seconds, command = studies[name]
        started = time.perf_counter()
        try:
            code = subprocess.run(command, timeout=seconds, check=False).returncode
        except subprocess.TimeoutExpired:
            code = -1
        print(
            f"== {name}: exit code {code} after {time.perf_counter() - started:.0f} s", flush=True
        )
        if code:
            failed.append(name)
    sys.exit(f"not whole: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
