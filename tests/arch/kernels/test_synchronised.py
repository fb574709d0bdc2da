"""Batch norms over processes that share a batch: gradients and statistics are those of one process.

The processes are threads here, which exchange tensors in memory, and run one at a time.
"""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.kernels import choose, synchronised, triton

PROCESSES, IMAGES = 3, 12
PLAIN = ArchConfig(4, (2, 2), 8, 0, stem="cifar", in_channels=2, num_classes=3)
NETWORKS = {
    "plain": PLAIN,
    "bottleneck": PLAIN.replace(bn_size=2),
    "stem with a norm": PLAIN.replace(bn_size=2, stem="imagenet"),
}


class Threads:
    """Stands in for torch.distributed."""

    def __init__(self) -> None:
        self.barrier, self.turn = threading.Barrier(PROCESSES, timeout=60), threading.Lock()
        self.held: list[Tensor] = [torch.empty(0)] * PROCESSES
        self.own = threading.local()

    def get_world_size(self) -> int:
        return PROCESSES

    def get_rank(self) -> int:
        return self.own.rank

    def _every(self, value: Tensor) -> list[Tensor]:
        self.held[self.own.rank] = value.clone()
        self._wait()
        every = [*self.held]
        self._wait()
        return every

    def _wait(self) -> None:
        self.turn.release()
        try:
            self.barrier.wait()
        finally:
            self.turn.acquire()

    def all_reduce(self, value: Tensor) -> None:
        value.copy_(torch.stack(self._every(value)).sum(0))

    def all_gather(self, into: list[Tensor], value: Tensor) -> None:
        for place, each in zip(into, self._every(value), strict=True):
            place.copy_(each)

    def run(self, work) -> list:
        """What the work returns for each rank."""
        found = [None] * PROCESSES

        def one(rank: int) -> None:
            self.own.rank = rank
            with self.turn:
                found[rank] = work(rank)

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(PROCESSES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


@pytest.fixture
def threads(monkeypatch):
    together = Threads()
    monkeypatch.setattr(synchronised, "distributed", together)
    return together


def model(config: ArchConfig, kernels, dtype: torch.dtype, shared: bool) -> DenseNet:
    torch.manual_seed(0)
    made = DenseNet(config).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.rand_like(parameter)
    return made.use_kernels(kernels, torch.device("cpu"), synchronised=shared).train()


def batch(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Images of which each process has others."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, 2, 16, 16, generator=generator, dtype=dtype)
    images *= 1 + torch.arange(IMAGES).view(-1, 1, 1, 1) / 4
    images += torch.arange(IMAGES).view(-1, 1, 1, 1) / 3
    return images.contiguous(memory_format=torch.channels_last), torch.arange(IMAGES) % 3


def learnt(network: DenseNet, images: Tensor, labels: Tensor) -> tuple[dict, dict]:
    F.cross_entropy(network(images), labels).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return gradients, dict(network.named_buffers())


def test_double_precision(threads):
    for name, config in NETWORKS.items():
        check(threads, config, "portable", torch.float64, 1e-9, name)


def test_fused(threads):
    pytest.importorskip("triton")
    assert triton.available(torch.device("cpu"))
    for name in ("plain", "bottleneck"):
        check(threads, NETWORKS[name], "triton", torch.float32, 1e-4, name)


def check(threads, config, kernels, dtype, tolerance, name) -> None:
    images, labels = batch(dtype)
    own = IMAGES // PROCESSES

    def work(rank: int):
        some = slice(rank * own, (rank + 1) * own)
        return learnt(model(config, kernels, dtype, True), images[some], labels[some])

    found = threads.run(work)
    # The reference's modules, in one process.
    gradients, buffers = learnt(model(config, "reference", dtype, False), images, labels)
    for key, expected in gradients.items():
        mean = torch.stack([each[0][key] for each in found]).mean(0)
        assert near(mean, expected, tolerance), f"{name}: {key}"
    for key, expected in buffers.items():
        for _, other in found:
            assert near(other[key].to(dtype), expected.to(dtype), tolerance), f"{name}: {key}"


def near(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


def test_modules_are_never_left_to_themselves(threads):
    threads.own.rank = 0
    network = model(PLAIN, "portable", torch.float64, True)
    network.features.norm5.register_forward_hook(lambda *_: None)  # which only modules call
    with pytest.raises(RuntimeError, match="modules do not synchronise their batch norms"):
        network(batch(torch.float64)[0])


@pytest.mark.parametrize("asked", ["auto", "reference", "cpu", "portable"])
def test_only_kernels_that_synchronise_are_chosen(asked):
    cpu = torch.device("cpu")
    assert choose(asked, PLAIN, cpu, synchronised=True) == ("portable", torch.channels_last)
