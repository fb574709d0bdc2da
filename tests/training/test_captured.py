"""A step that is recorded and replayed trains as the plain one: here by a tape of torch's
operations, which like a CUDA graph repeats them on the same tensors and sees nothing else."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from dnsearch.arch import ArchConfig
from dnsearch.config import TrainingConfig
from dnsearch.data import DeviceData
from dnsearch.training.captured import PLAIN_CALLS, Captured, cuda_graph
from dnsearch.training.trainer import Trainer

ARCH = ArchConfig(4, (1, 2), 8, 2, drop_rate=0.1, stem="cifar", in_channels=1, num_classes=3)
OPTIONS = {"clip_norm": 0.5, "class_weights": "balanced", "label_smoothing": 0.1, "ema": 0.98}
RECIPE = TrainingConfig(
    rungs=(3,), batch_size=32, flip=True, shift=1, cutout=2, kernels="reference", **OPTIONS
)


class Tape(TorchDispatchMode):
    """Records operations; ``replay`` runs them again on the tensors that they had."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        assert func is not torch.ops.aten._local_scalar_dense.default, "the host reads a tensor"
        # Detached, so that gradients which a step sets to None keep their places.
        self.calls.append(tree_map(_kept, (func, args, kwargs or {}, found)))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, before in self.calls:
            pairs = zip(tree_leaves(before), tree_leaves(func(*args, **kwargs)), strict=True)
            for place, value in pairs:
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


def _kept(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


def by_tape(work, generator):
    """Recorded by a run, which the first replay therefore leaves out."""
    tape = Tape()
    with tape:
        work()
    first = [True]

    def replay() -> None:
        if first:
            first.pop()
        else:
            tape.replay()

    return replay


def plainly(work, generator):
    return work


def trained(data, record, recipe=RECIPE, arch=ARCH, epochs=2):
    """The state after some epochs of steps recorded so."""
    trainer = Trainer(arch, data, recipe, seed=0)
    step = trainer.stepper(record)
    losses = [trainer._train_epoch(epoch, step) for epoch in range(epochs)]
    states = trainer.model.state_dict(), trainer.averaged.model.state_dict()
    return losses, [value for state in states for value in state.values()]


@pytest.fixture
def host_reads_rates(monkeypatch):
    """torch's fused SGD for the CPU reads a rate that is a tensor, which its kernel for CUDA does
    not: here it is plain Nesterov SGD in operations that a tape can hold."""

    @torch.no_grad()
    def step(optimiser):
        for group in optimiser.param_groups:
            for p in group["params"]:
                grad = p.grad + group["weight_decay"] * p
                state = optimiser.state[p].setdefault("buffer", torch.zeros_like(p))
                state.mul_(group["momentum"]).add_(grad)
                p.sub_(group["lr"] * (grad + group["momentum"] * state))

    monkeypatch.setattr(torch.optim.SGD, "step", step)


LONG = {"crop": "resized", "jitter": 0.4, "mixup": 0.5, "cutmix": 1.0}
"""What long trainings have beside."""


@pytest.mark.parametrize(
    "changed", [{}, {"micro_batch": 12}, LONG, LONG | {"micro_batch": 12}, {"mixup": 0.5}]
)
def test_replays_of_its_operations_train_as_the_step_itself(data, host_reads_rates, changed):
    recipe = RECIPE.model_copy(update=changed)
    one, other = (trained(data, record, recipe) for record in (by_tape, plainly))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_numbers_as_tensors_train_as_numbers(data):
    losses, state = trained(data, plainly)
    others, other = trained(data, None)
    assert losses == pytest.approx(others, rel=1e-5)
    torch.testing.assert_close(state, other, rtol=1e-4, atol=1e-5)


def test_every_call_brings_its_own_inputs():
    seen = []
    step = Captured(lambda *inputs: seen.append([*map(float, inputs)]), torch.Generator(), plainly)
    for call in range(PLAIN_CALLS + 3):
        step(torch.tensor(float(call)), call / 2)
    assert seen == [[call, call / 2] for call in range(PLAIN_CALLS + 3)]


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_gpu
@pytest.mark.parametrize("kernels", ["reference", "portable", "triton"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("keep", "beside"),
    [("device", {}), ("memory", {"micro_batch": 12}), ("device", LONG | {"micro_batch": 12})],
)
def test_a_graph_trains_as_the_plain_step(prepared, monkeypatch, kernels, precision, keep, beside):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    data = DeviceData(prepared, "cuda", keep)
    recipe = RECIPE.model_copy(update={"kernels": kernels, "precision": precision} | beside)
    one, other = (trained(data, record, recipe) for record in (cuda_graph, plainly))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
