"""Where a training step's time goes on a GPU, kernel by kernel.

    python studies/gpu/kernels.py [WORD]

For every case of step.py whose name holds WORD, and each of dnsearch's kernels: how many kernels a
step launches, and what the longest of them take together, by torch's profiler.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import torch
from card import Table
from step import CASES, images, stepper, ways
from torch.profiler import ProfilerActivity, profile

from dnsearch.training.captured import cuda_graph
from dnsearch.training.device import set_up

STEPS, SHOWN = 3, 14


def main(word: str) -> None:
    """Measures and prints."""
    set_up("cuda:0", 1)
    say = Table("kernels")
    for name, (config, side, batch, _) in CASES.items():
        if word not in name:
            continue
        data = images(config, side, batch)
        for label, make in ways(config, compiled=False).items():
            if label == "portable":
                continue
            step, _ = stepper(config, data, make, cuda_graph)
            with profile(activities=[ProfilerActivity.CUDA]) as seen:
                for _ in range(STEPS):
                    step()
                torch.cuda.synchronize()
            taken: dict[str, list[float]] = defaultdict(list)
            for event in seen.events():
                if event.device_type == torch.autograd.DeviceType.CUDA:
                    taken[event.name].append(event.device_time)
            whole = sum(map(sum, taken.values())) / STEPS
            count = sum(map(len, taken.values())) / STEPS
            say()
            say(f"{name}, batch {batch}, {label}: {whole / 1e3:.2f} ms in {count:.0f} kernels")
            say(f"{'share':>7}{'launches':>10}{'us each':>9}  kernel")
            for kernel, each in sorted(taken.items(), key=lambda item: -sum(item[1]))[:SHOWN]:
                share = sum(each) / STEPS / whole
                say(
                    f"{share:>7.1%}{len(each) / STEPS:>10.0f}{sum(each) / len(each):>9.1f}"
                    f"  {kernel[:100]}"
                )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
