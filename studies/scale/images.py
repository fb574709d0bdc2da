"""What many images take: time and memory of decoding and searching, how fast trainings are fed.

    python studies/scale/images.py [COUNT ...]

COUNT pictures of 64x64 in ten classes, JPEGs in a folder, are generated, decoded into a cache of
their own, and searched by two workers for one short epoch each, with data.keep as memory and as
disk. Then one small network is trained on one thread, fed in different ways in turn: from memory,
from disk, both also with the file out of the system's page cache, by a torch DataLoader with two
processes over the decoded file, and by one that decodes the JPEGs. Everything is removed again.
Writes reports/scale/images.txt. 200,000 images take 4 GB of disk.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dnsearch.arch import ArchConfig
from dnsearch.arrays import release
from dnsearch.config import DataConfig, TrainingConfig
from dnsearch.data import DeviceData, LabelledImages, PreparedData, prepare
from dnsearch.processes import result_of
from dnsearch.training.device import set_up
from dnsearch.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "reports" / "scale" / "images.txt"
COUNTS = 10_000, 50_000, 200_000
SIDE, CLASSES = 64, 10
ROUNDS, STEPS, WARM_UP = 3, 200, 5
RECIPE = TrainingConfig(rungs=(1,), batch_size=128)
NETWORK = ArchConfig(4, (1, 1), 8, 0, stem="patch4", in_channels=3, num_classes=CLASSES)
STUDY = """
[data]
format = "folder"
path = "{folder}"
validation = 0.1
keep = "{keep}"
[space]
growth_rate = [4]
block_config = [[1, 2], [1]]
bn_size = [0]
num_init_features = [8]
stem = ["patch4"]
[training]
rungs = [1]
[search]
sampler = "random"
trials = 2
workers = 2
device = "cpu"
"""
LABELS = {"VmHWM": "peak", "RssAnon": "own", "RssFile": "of files"}


def main(counts: Iterable[int]) -> None:
    """Measures, prints and writes."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    with RECORD.open("w", encoding="utf-8") as record:

        def tell(line: str) -> None:
            print(line, flush=True)
            print(line, file=record, flush=True)

        tell(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the start")
        for count in counts:
            with tempfile.TemporaryDirectory() as scratch:
                measured(count, Path(scratch), tell)


def measured(count: int, scratch: Path, tell) -> None:
    """All of one size."""
    folder, cache = scratch / "pictures", scratch / "cache"
    draw(folder, count)
    tell(f"\n{count:,} images of {SIDE}x{SIDE}, {3 * SIDE**2 * count / 1e9:.2f} GB decoded")
    for name in ("decoding", "the same again"):
        wall, cpu, peak = result_of(decoded, folder, cache)
        tell(f"{name:>26}  {wall:7.1f} s, {cpu:7.1f} s of CPU, peak {peak / 1e6:,.0f} MB")
    for keep in ("memory", "disk"):
        searched(keep, folder, cache, scratch, tell)
    rates = result_of(fed, folder, cache)
    base = statistics.median(rate for rate, _ in rates["memory"])
    for name, found in rates.items():
        rate = statistics.median(rate for rate, _ in found)
        shares = sorted(a / b for (a, _), (b, _) in zip(found, rates["memory"], strict=True))
        cpu = statistics.median(cpu for _, cpu in found)
        tell(
            f"{name:>26}  {rate:8,.0f} images/s, {rate / base:.2f} of memory's "
            f"({shares[0]:.2f} to {shares[-1]:.2f} by round), {cpu:.2f} s of CPU for 10,000 images"
        )


def draw(folder: Path, count: int) -> None:
    """Noise whose spectrum is that of photographs, moved about, with a stripe by class."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequency[0, 0] = 1
    plane = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, SIDE, SIDE))) / frequency**1.1).real
    plane = 255 * (plane - plane.min()) / np.ptp(plane)
    base = plane.transpose(1, 2, 0).astype(np.uint8)
    for name in range(CLASSES):
        (folder / f"class-{name}").mkdir(parents=True)
    for index in range(count):
        label = index % CLASSES
        pixels = np.roll(base, rng.integers(0, SIDE, 2).tolist(), (0, 1))
        pixels[6 * label : 6 * label + 4, :, label % 3] ^= 96
        pixels[-1, -4:, 0] = [index % 251, index // 251 % 251, index // 63001, 0]  # no two alike
        Image.fromarray(pixels).save(folder / f"class-{label}" / f"{index}.jpg", quality=90)


def images(folder: Path, cache: Path) -> PreparedData:
    """Decoded, as the search has them."""
    return prepare(DataConfig(format="folder", path=folder, validation=0.1), cache)


def decoded(folder: Path, cache: Path) -> tuple[float, float, int]:
    """Seconds, seconds of CPU, and peak memory in bytes above the start, mapped files included."""
    before, wall, cpu = status("self")["VmHWM"], time.perf_counter(), time.process_time()
    images(folder, cache)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return *spent, status("self")["VmHWM"] - before


def status(process: int | str) -> dict[str, int]:
    """Bytes of memory of a process, by Linux's names."""
    text = Path(f"/proc/{process}/status").read_text("ascii")
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return {name: 1024 * int(fields[name].split()[0]) for name in LABELS}


def searched(keep: str, folder: Path, cache: Path, scratch: Path, tell) -> None:
    """A search by two workers, and the most memory of each of its processes."""
    study = scratch / f"{keep}.toml"
    study.write_text(STUDY.format(folder=folder, keep=keep))
    command = [sys.executable, "-m", "dnsearch", "run", study, "--to", scratch / "runs", "--json"]
    surroundings = os.environ | {"DNSEARCH_CACHE": str(cache)}
    started = time.perf_counter()
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, text=True) as run:
        most: dict[int, dict[str, int]] = defaultdict(dict)
        done = threading.Event()
        watching = threading.Thread(target=watched, args=(run.pid, most, done))
        watching.start()
        printed, _ = run.communicate()
        done.set()
        watching.join()
    if run.returncode:
        sys.exit(f"{command}: exit code {run.returncode}")
    finished = json.loads(printed)["counts"]["finished"]
    wall = time.perf_counter() - started
    tell(f"{'search, keep = ' + keep:>26}  {wall:7.1f} s for {finished} trainings by two workers")
    coordinator = most.pop(run.pid)
    workers = sorted(most.values(), key=lambda each: -each["RssAnon"])[:2]  # not Python's tracker
    for name, each in [("coordinator", coordinator), *(("worker", each) for each in workers)]:
        told = ", ".join(f"{LABELS[what]} {each[what] / 1e6:,.0f} MB" for what in LABELS)
        tell(f"{name:>26}  {told}")


def watched(parent: int, most: dict[int, dict[str, int]], done: threading.Event) -> None:
    """Notes the most memory of a process and its children, five times a second."""
    while not done.wait(0.2):
        children = Path(f"/proc/{parent}/task/{parent}/children")
        try:
            for process in (parent, *map(int, children.read_text("ascii").split())):
                for name, value in status(process).items():
                    most[process][name] = max(value, most[process].get(name, 0))
        except (OSError, KeyError):  # one has just ended
            continue


class Decoded(Dataset):
    """The decoded file, image by image."""

    def __init__(self, part: LabelledImages) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = index if self.part.rows is None else self.part.rows[index]
        return torch.from_numpy(self.part.pixels[row]), int(self.part.labels[index])


class Pictures(Dataset):
    """A folder of pictures that are decoded whenever they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*/*.jpg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        file = self.files[index]
        pixels = np.array(Image.open(file)).transpose(2, 0, 1)
        return torch.from_numpy(pixels), int(file.parent.name.removeprefix("class-"))


def fed(folder: Path, cache: Path) -> dict[str, list[tuple[float, float]]]:
    """Images a second, and CPU seconds of 10,000 images, in each round, by way of feeding."""
    set_up("cpu", 1)
    prepared = images(folder, cache)
    trainer = Trainer(NETWORK, DeviceData(prepared), RECIPE, seed=0)
    step = trainer.stepper()
    trainer.model.train()
    held = {keep: DeviceData(prepared, keep=keep) for keep in ("memory", "disk")}
    own = [prepare(DataConfig(format="folder", path=folder, validation=0.1), cache) for _ in "ab"]
    held |= {
        f"{keep}, file not cached": DeviceData(data, keep=keep)
        for keep, data in zip(("memory", "disk"), own, strict=True)
    }
    sets = {
        "DataLoader, decoded file": Decoded(prepared.train),
        "DataLoader, JPEGs": Pictures(folder),
    }
    found = defaultdict(list)
    for turn in range(ROUNDS):
        for name, data in held.items():
            if name.endswith("not cached"):
                forget(cache, [*own, prepared])
            generator = torch.Generator().manual_seed(turn)
            found[name].append(timed(data.drawn(RECIPE.batch_size, generator), step))
        for name, data in sets.items():
            loader = DataLoader(data, RECIPE.batch_size, shuffle=True, num_workers=2)
            found[name].append(timed(iter(loader), step))
    return dict(found)


def timed(batches: Iterator[tuple[torch.Tensor, torch.Tensor]], step) -> tuple[float, float]:
    """Images a second of some steps behind the first, and CPU seconds of 10,000 images, those of
    child processes included, over all steps."""
    cpu = spent()
    for _, (pictures, labels) in zip(range(WARM_UP), batches, strict=False):
        step(pictures, labels, 0.1)
    started, done = time.perf_counter(), 0
    for _, (pictures, labels) in zip(range(STEPS), batches, strict=False):
        step(pictures, labels, 0.1)
        done += len(labels)
    wall = time.perf_counter() - started
    del batches  # a loader's processes end, and their time is counted
    return done / wall, (spent() - cpu) * 10_000 / (done + WARM_UP * RECIPE.batch_size)


def spent() -> float:
    """CPU seconds of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def forget(cache: Path, mapped: Iterable[PreparedData]) -> None:
    """Puts decoded images out of the page cache."""
    for data in mapped:
        release(data.train.pixels)
        release(data.validation.pixels)
    for file in cache.glob("pixels/*/images.npy"):
        uncached(file)


def uncached(file: Path) -> None:
    """Puts a file that nobody has mapped pages of out of the page cache."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def random_images(file: Path, count: int) -> None:
    """Random images in the cache's form."""
    array = np.lib.format.open_memmap(file, "w+", np.uint8, (count, 3, SIDE, SIDE))
    for start in range(0, count, 1000):
        rng = np.random.default_rng(start)
        array[start : start + 1000] = rng.integers(0, 256, (1000, 3, SIDE, SIDE), np.uint8)
    array.flush()


if __name__ == "__main__":
    main([int(each.replace(",", "")) for each in sys.argv[1:]] or COUNTS)
