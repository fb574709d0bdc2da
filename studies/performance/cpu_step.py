"""A training step and inference of torchvision's DenseNet and of dnsearch's kernels, on the CPU.

    python studies/performance/cpu_step.py [THREADS]

Ratios to the real torchvision as it comes (torch's own layout, NCHW), all taken in turns in one
process; fp32. A step is forward, loss and backward, without the optimiser, which is the same for
all. Saved bytes are what autograd keeps between the passes. At the end torchvision and cpu once
more with malloc told to keep its pages, as it is in dnsearch's workers.
"""

from __future__ import annotations

import copy
import sys

import torch
from measure import Record, paired, torchvision_network
from torch import nn

from dnsearch.arch import ArchConfig, DenseNet, preset
from dnsearch.cost.device import saved_bytes
from dnsearch.cost.formula import cost_of
from dnsearch.machine import cpu_cores
from dnsearch.training.device import keep_pages

ROUNDS = 9
CPU = torch.device("cpu")

CASES = {  # network, side of its images, batch, most of torchvision's step and inference time
    "k=12 (16,16,16), 32x32": (ArchConfig(12, (16, 16, 16), 24), 32, 32, 0.60, 0.60),
    "k=24 (6,12,24,16), 32x32": (ArchConfig(24, (6, 12, 24, 16), 48), 32, 32, 0.70, 0.60),
    "densenet121, 224x224": (preset("densenet121"), 224, 8, 0.75, 0.75),
}
MOST_SAVED = 0.32


def main(threads: int) -> None:
    """Measures and prints."""
    torch.set_num_threads(threads)
    say = Record(f"cpu_step-{threads}", f"python studies/performance/cpu_step.py {threads}")
    before = {}
    for name, (config, side, batch, *demanded) in CASES.items():
        models, images, labels = prepared(config, side, batch)
        say(f"{name}, batch {batch}, {threads} threads; times are ratios to torchvision's")
        say(f"{'':<14}{'step':>7}{'inference':>11}{'saved':>8}")
        kept = {n: saved_bytes(m.train(), images) for n, m in models.items()}
        step = paired({n: stepper(m, images, labels) for n, m in models.items()}, ROUNDS)
        inference = paired({n: inferrer(m, images) for n, m in models.items()}, ROUNDS)
        before[name] = step
        ratios = {
            kind: [times[kind] / times["torchvision"] for times in (step, inference, kept)]
            for kind in models
        }
        for kind, (of_step, of_inference, of_bytes) in ratios.items():
            say(f"{kind:<14}{of_step:>7.2f}{of_inference:>11.2f}{of_bytes:>8.2f}")
        demanded.append(MOST_SAVED)
        met = all(ours <= most for ours, most in zip(ratios["cpu"], demanded, strict=True))
        say(
            f"{'demanded':<14}{demanded[0]:>7.2f}{demanded[1]:>11.2f}{MOST_SAVED:>8.2f}  of cpu: "
            f"{'met' if met else 'not met'}"
        )
        say(
            f"torchvision: {step['torchvision'] * 1e3:.0f} ms a step, "
            f"{inference['torchvision'] * 1e3:.0f} ms inference, "
            f"{kept['torchvision'] / 1e6:.0f} MB saved"
        )
        size = cost_of(models["cpu"].config, side, side, batch)
        formula = size.train_bytes - 16 * size.params
        say(f"cost formula: {formula / kept['cpu']:.3f} of the bytes that cpu saves")
        say()
    keep_pages()
    say("the same step with malloc told to keep its pages, as in dnsearch's workers")
    for name, (config, side, batch, *_) in CASES.items():
        models, images, labels = prepared(config, side, batch)
        both = {n: stepper(models[n].train(), images, labels) for n in ("torchvision", "cpu")}
        step = paired(both, ROUNDS)
        say(
            f"{name:<26} cpu {step['cpu'] / step['torchvision']:.2f} of torchvision; "
            f"of its own time some minutes before {step['cpu'] / before[name]['cpu']:.2f}"
        )
    say.write()


def prepared(config: ArchConfig, side: int, batch: int):
    """torchvision's network and ours of the same weights, images and labels."""
    if side < 224:
        config = config.replace(stem="cifar", num_classes=10)
    theirs = torchvision_network(config)
    nhwc = copy.deepcopy(theirs).to(memory_format=torch.channels_last)  # pyright: ignore
    models: dict[str, nn.Module] = {"torchvision": theirs, "its NHWC": nhwc}
    for kernels in ("reference", "portable", "cpu"):
        model = DenseNet(config)
        model.load_state_dict(theirs.state_dict())
        models[kernels] = model.use_kernels(kernels, CPU)
    labels = torch.randint(config.num_classes, (batch,))
    return models, torch.randn(batch, 3, side, side), labels


def stepper(model: nn.Module, images: torch.Tensor, labels: torch.Tensor):
    """Forward, loss and backward."""

    def step() -> None:
        model.train()
        nn.functional.cross_entropy(model(images), labels).backward()
        model.zero_grad()

    return step


def inferrer(model: nn.Module, images: torch.Tensor):
    """A forward pass as validation does it."""
    model = copy.deepcopy(model).eval()

    @torch.no_grad()
    def infer() -> None:
        model(images)

    return infer


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else cpu_cores())
