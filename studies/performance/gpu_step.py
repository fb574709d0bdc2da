"""Training steps and candidates an hour on a GPU: torchvision's eager DenseNet against dnsearch's.

    python studies/performance/gpu_step.py

bf16 autocast, channels-last. Times are medians of CUDA events, taken in turns; memory is the peak
of torch's allocator over one step. The roofline is the larger of MACs at the matrix units' rate and
of the least traffic at the memory's rate, both measured here, not taken from a data sheet. Without
a GPU it says so and writes nothing.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from cpu_step import cifar
from measure import Record, torchvision_densenet
from torch import nn

from dnsearch.arch import ArchConfig, DenseNet, preset
from dnsearch.arch.kernels import Kernels
from dnsearch.config import load_study
from dnsearch.cost.formula import cost_of
from dnsearch.data import prepare
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators.base import Job
from dnsearch.search.session import local_workers
from dnsearch.training.device import set_up

ROUNDS = 15
KERNELS: tuple[Kernels, ...] = ("reference", "portable", "triton")
CASES = {  # network, side of its images, batch
    "densenet121, 224x224": (preset("densenet121"), 224, 256),
    "k=12 (16,16,16), 32x32": (
        ArchConfig(12, (16, 16, 16), 24, stem="cifar", num_classes=10),
        32,
        512,
    ),
}
DEMANDED = {
    "densenet121, 224x224": "step at most .60, memory at most .35",
    "k=12 (16,16,16), 32x32": "step at most .33 (three times the images a second)",
}
PACKED = (1, 2, 4, 8)
"""Workers that share the GPU."""


def main() -> None:
    """Measures and prints."""
    if not torch.cuda.is_available():
        sys.exit("not run: torch sees no GPU on this machine")
    device = torch.device("cuda:0")
    set_up("cuda:0", 1)  # as dnsearch's workers are
    say = Record("gpu_step", "python studies/performance/gpu_step.py")
    say(torch.cuda.get_device_name(device))
    macs_a_second, bytes_a_second = rates(device)
    say(f"{macs_a_second / 1e12:.0f} TMAC/s in bf16, {bytes_a_second / 1e12:.2f} TB/s, as measured")
    densenet = torchvision_densenet()
    for name, (config, side, batch) in CASES.items():
        say()
        say(f"{name}, batch {batch}; demanded of the best: {DEMANDED[name]}")
        say(f"{'':<14}{'ms':>9}{'ratio':>7}{'images/s':>10}{'peak GB':>9}{'ratio':>7}{'roof':>7}")
        images = torch.randn(batch, 3, side, side, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(config.num_classes, (batch,), device=device)
        theirs = cifar(densenet, config)
        models: dict[str, nn.Module] = {
            "torchvision": theirs.to(device).to(memory_format=torch.channels_last)  # pyright: ignore
        }
        for kernels in KERNELS:
            model = DenseNet(config)
            model.load_state_dict(theirs.state_dict())
            models[kernels] = model.use_kernels(kernels, device, bf16=True)
        steps = {n: stepper(m, images, labels) for n, m in models.items()}
        milliseconds = timed(steps)
        memory = {n: peak(step, device) for n, step in steps.items()}
        cost = cost_of(config, side, side, batch, 2)
        traffic = 3 * (cost.train_bytes - 16 * cost.params)  # what is kept: written, read twice
        roof = 1e3 * max(3 * batch * cost.macs / macs_a_second, traffic / bytes_a_second)
        for n, ms in milliseconds.items():
            say(
                f"{n:<14}{ms:>9.2f}{ms / milliseconds['torchvision']:>7.2f}"
                f"{batch / ms * 1e3:>10,.0f}{memory[n] / 1e9:>9.2f}"
                f"{memory[n] / memory['torchvision']:>7.2f}{roof / ms:>7.2f}"
            )
    say()
    say("the quickstart's networks, candidates an hour on one GPU")
    for kernels, workers in itertools.product(KERNELS, PACKED):
        say(f"  {kernels:<10} {workers} workers   {packed(kernels, workers):>8,.0f}")
    say.write()


def rates(device: torch.device) -> tuple[float, float]:
    """Multiply-adds a second of a large bf16 product, bytes a second of a large copy."""
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    source = torch.empty(2**30, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    ms = timed({"product": lambda: a @ a, "copy": lambda: target.copy_(source)})
    return 8192**3 / ms["product"] * 1e3, 2 * source.numel() / ms["copy"] * 1e3


def stepper(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """Forward, loss and backward."""
    model.train()

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(images)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        model.zero_grad()

    return step


def timed(things: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each, in turns, after three rounds to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in things}
    for turn in range(ROUNDS + 3):
        for name, thing in things.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            thing()
            end.record()
            torch.cuda.synchronize()
            if turn >= 3:
                taken[name].append(start.elapsed_time(end))
    return {name: statistics.median(values) for name, values in taken.items()}


def peak(step: Callable[[], object], device: torch.device) -> int:
    """Bytes that a step takes at most beyond what was allocated before it."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(device) - before


def packed(kernels: Kernels, workers: int, count: int = 48) -> float:
    """Candidates an hour with so many worker processes on one GPU; start-up aside."""
    study = load_study(Path(__file__).parents[1] / "quickstart.toml")
    recipe = study.training.model_copy(update={"kernels": kernels})
    study = study.model_copy(update={"training": recipe})
    data = prepare(study.data)
    arch = ArchConfig(12, (4, 4, 4), 24, 4, stem="cifar", in_channels=1, num_classes=10)
    rung = study.training.rungs[-1]
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(("cuda:0",) * workers, 1)
        with local_workers(study, data, RunDir(Path(folder)), plan) as evaluator:
            jobs = [Job(i, arch, rung, i) for i in range(count + workers)]
            finished = 0
            started = 0.0
            while finished < count + workers:
                while jobs and len(evaluator.running()) < evaluator.capacity:
                    evaluator.submit(jobs.pop())
                finished += len(evaluator.completed(1.0))
                if not started and finished >= workers:  # all have started
                    started, warm = time.perf_counter(), finished
            return (finished - warm) / (time.perf_counter() - started) * 3600


if __name__ == "__main__":
    main()
