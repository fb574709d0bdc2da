"""Whether dnsearch's commands work on a GPU: quickstart and CIFAR-10, from the search to an export.

    python studies/gpu/works.py [CIFAR]

CIFAR is the folder with the data set's parquet files. Each line is a command as a user types it,
with its exit code, how long it took and the last line that it printed.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from card import Table

HERE = Path(__file__).parent
RUNS = Path("reports")
CIFAR = """
[data]
format = "parquet"
path = "{path}"
validation = 0.1

[space]
growth_rate = [8, 12, 16]
growth_ratio = [1, 1.5, 2]
block_config = [[1, 2, 4], [2, 4, 6], [2, 4, 6]]
bn_size = [0, 4]
stem = ["cifar", "patch2"]

[limits]
max_macs = 30e6

[training]
rungs = [1, 3]
precision = "{precision}"

[search]
trials = 4
workers = 1
"""


def main(cifar: Path) -> None:
    """Runs all and prints."""
    # A shell lets what it runs in the background ignore Ctrl-C, and so would our commands.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say = Table("works")
    say(f"{'command':<62}{'exit':>5}{'s':>7}  last line")

    def run(*words: object, interrupt: float | None = None, expected: int = 0) -> None:
        started = time.perf_counter()
        code, output = command(list(map(str, words)), interrupt)
        took = time.perf_counter() - started
        last = (output.strip().splitlines() or [""])[-1]
        mark = "" if code == expected else "  <-- WRONG"
        say(f"{' '.join(map(str, words))[:60]:<62}{code:>5}{took:>7.1f}  {last[:70]}{mark}")
        if mark:
            say(output[-2000:])

    for name in ("gpu-quickstart", "gpu-bf16", "gpu-fp32", "gpu-export", "gpu-trained", "gpu-none"):
        shutil.rmtree(RUNS / name, ignore_errors=True)

    def small() -> None:
        quickstart = ("run", "--name", "gpu-quickstart", "--device", "cuda:0")
        run(*quickstart, "--trials", 60, interrupt=20, expected=130)
        run(*quickstart, "--trials", 16)
        few = ("--top", 2, "--sample", 2, "--seeds", 2, "--epochs", 3)
        run("confirm", "gpu-quickstart", *few, "--device", "cuda:0")
        run("export", "gpu-quickstart", "--to", RUNS / "gpu-export")
        trained = ("--epochs", 5, "--device", "cuda:0", "--name", "gpu-trained")
        run("train", "gpu-quickstart", *trained)
        run("run", "--device", "cuda:7", "--name", "gpu-none", expected=2)

    def images(precision: str) -> None:
        study = RUNS / f"gpu-{precision}.toml"
        study.write_text(CIFAR.format(path=cifar.resolve(), precision=precision), encoding="utf-8")
        run("run", study)
        told = json.loads((RUNS / f"gpu-{precision}" / "environment.json").read_text())
        say(f"    on {told['devices']}")

    with ThreadPoolExecutor() as pool:
        done = [pool.submit(small), *(pool.submit(images, each) for each in ("bf16", "fp32"))]
    for each in done:
        each.result()


def command(words: list[str], interrupt: float | None) -> tuple[int, str]:
    """Exit code and output, of a command that gets Ctrl-C after some seconds if so wanted."""
    with subprocess.Popen(
        [sys.executable, "-m", "dnsearch", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=interrupt or 300)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
    return process.returncode, output


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/cifar10"))
