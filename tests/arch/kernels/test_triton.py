"""On a GPU where there is one, else in Triton's interpreter (see conftest), which uses the CPU."""

import copy
import importlib.util
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dnsearch.arch import ArchConfig, DenseNet, kernels
from dnsearch.arch.kernels import portable, triton
from dnsearch.arch.kernels.operations import Gradient, Norm, Operations

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
HALF = torch.bfloat16 if GPU else torch.float16  # the interpreter's products of bf16 are wrong

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton comes with torch for CUDA"
)
needs_gpu = pytest.mark.skipif(not GPU, reason="needs a GPU")

SMALL = {"growth_rate": 5, "block_config": (2, 2), "num_init_features": 7, "bn_size": 4}


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Else convolutions in 32 bits round what they read, one way or the other."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def make(**fields) -> DenseNet:
    torch.manual_seed(0)
    model = DenseNet(ArchConfig(**SMALL | {"num_classes": 4} | fields))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.to(DEVICE, memory_format=torch.channels_last)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


class Case:
    """Arguments of operations, x with a stride, and the same in float64."""

    def __init__(self, pixels, channels, outputs, dtype=torch.float32, by_batch=True) -> None:
        x = (2 * draw(pixels, channels + 3) + 1).to(dtype)[:, :channels]
        scale, bias, mean, var = draw(4, channels, seed=2)
        self.x, self.norm = x, Norm(1 + scale, bias, mean, var.square() + 0.1, 1e-5, by_batch)
        self.weight = draw(outputs, channels, seed=3).to(dtype)
        self.dz = draw(pixels, outputs, seed=4).to(dtype)
        self.dy = draw(pixels, channels, seed=5).to(dtype)
        dx = draw(pixels, channels + 3, seed=6).to(dtype)[:, :channels]
        self.gradient = Gradient(dx, draw(2, channels + 3, seed=7)[:, :channels])

    def double(self) -> "Case":
        twin = copy.copy(self)
        twin.norm = Norm(*(t.double() for t in self.norm[:4]), *self.norm[4:])
        twin.gradient = Gradient(*(t.double() for t in self.gradient))
        for name in ("x", "weight", "dz", "dy"):
            setattr(twin, name, getattr(self, name).double())
        return twin

    def results(self, by: Operations) -> list[Tensor]:
        x, norm, gradient = self.x, self.norm, self.gradient
        y = by.normalise(x, norm)
        return [
            by.statistics(x),
            y.clone(),
            *by.product(x, norm, self.weight),
            by.folded(x, norm, self.weight, self.dz[0].contiguous()),
            *by.product_backward(self.dz, x, norm, self.weight, gradient),
            by.normalise_backward(self.dy.clone(), y.clone(), x, norm, gradient),
            *gradient,  # as both have left it
            by.whole(gradient, x, norm.mean),
            *by.norm_backward(self.dy.clone(), y, x.contiguous(), norm),
        ]

    def pooled(self, by: Operations, shape, window) -> list[Tensor]:
        gradient, sums = by.pool_backward(self.dz, self.x.contiguous(), self.norm, shape, window)
        return [by.pool(self.x, self.norm, shape, window), *gradient, sums]


def assert_near(found: list[Tensor], exact: list[Tensor], dtype: torch.dtype) -> None:
    for number, (one, other) in enumerate(zip(found, exact, strict=True)):
        assert one.shape == other.shape
        distance = (one - other).norm() / (other.norm() + 1)
        assert distance < (3e-6 if dtype == torch.float32 else 3e-3), number


@needs_triton
@pytest.mark.parametrize(
    ("shape", "dtype", "by_batch"),
    [  # pixels, channels, outputs: seldom whole tiles
        ((77, 5, 12), torch.float32, True),
        ((77, 5, 12), HALF, False),
        ((300, 70, 20), torch.float32, False),
        ((64, 32, 130), HALF, True),
        ((1, 1, 1), torch.float32, True),
    ],
)
def test_operations_are_the_portable_ones(shape, dtype, by_batch, monkeypatch):
    monkeypatch.setitem(triton._STRIP, "T", 2)  # so that there are several
    case = Case(*shape, dtype, by_batch)
    exact = case.double().results(Operations())
    assert_near(case.results(triton.FusedOperations()), exact, dtype)


@needs_triton
def test_the_variance_survives_a_large_mean(monkeypatch):
    monkeypatch.setitem(triton._STRIP, "T", 2)
    x = 300 + draw(500, 6)
    found = triton.FusedOperations().statistics(x)
    torch.testing.assert_close(found[1].double(), x.double().var(0, False), rtol=1e-5, atol=0)


@needs_triton
@pytest.mark.parametrize("window", [(1, 1), (2, 2), (5, 7)])
@pytest.mark.parametrize("channels", [3, 80])
def test_pooling_is_the_portable_one(window, channels):
    shape = 3, 5, 7
    windows = 3 * (5 // window[0]) * (7 // window[1])
    case = Case(3 * 5 * 7, channels, 1)
    case.dz = draw(windows, channels)
    exact = case.double().pooled(Operations(), shape, window)
    assert_near(case.pooled(triton.FusedOperations(), shape, window), exact, torch.float32)


def outcome(model: DenseNet, images: Tensor, kernels: str) -> dict[str, Tensor]:
    """All that a training step with these kernels gives; the model itself stays as it is."""
    model, images = copy.deepcopy(model), images.clone().requires_grad_()
    model.kernels = kernels
    logits = model(images)
    logits.float().square().mean().backward()
    gradients = {f"d {name}": p.grad for name, p in model.named_parameters()}
    return {"logits": logits, "d images": images.grad} | gradients | dict(model.named_buffers())


def error(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The relative distance, a mean over all tensors."""
    real = {name: tensor for name, tensor in exact.items() if tensor.is_floating_point()}
    distances = [(found[name] - tensor).norm() / tensor.norm() for name, tensor in real.items()]
    return float(torch.stack(distances).mean().detach())


def poisoned(operations, like: Tensor, pixels: int, channels: int) -> Tensor:
    """In place of ``empty``: NaN, and more of it past the last channel."""
    return like.new_full((pixels, triton._up(channels, triton._ROOM)), torch.nan)[:, :channels]


@needs_triton
@pytest.mark.parametrize(
    ("fields", "shape", "training"),
    [
        ({}, (2, 3, 37, 29), True),
        ({}, (2, 3, 33, 33), False),
        ({"bn_size": 0}, (2, 3, 37, 29), True),
        ({"stem": "cifar", "drop_rate": 0.2, "compression": 1.0}, (2, 3, 9, 8), True),
        ({"growth_rate": (3, 20), "bn_size": (0, 2)}, (2, 3, 37, 29), True),
        ({"growth_rate": (20, 3), "bn_size": (2, 0)}, (2, 3, 33, 33), False),
        ({"transition": "narrow", "stem": "cifar", "bn_size": (0, 3)}, (2, 3, 9, 7), True),
        ({"stem": "patch2"}, (2, 3, 17, 14), True),
        ({"transition": "narrow"}, (2, 3, 21, 17), False),
    ],
)
def test_a_step_is_the_references(fields, shape, training, monkeypatch):
    """A ReLU at 0 may fall the other way, hence a mean. Nothing depends on memory that was not
    written."""
    monkeypatch.setattr(triton.FusedOperations, "empty", poisoned)
    model = make(**fields).train(training)
    images = draw(*shape).contiguous(memory_format=torch.channels_last)
    assert triton.supports(model, images)
    torch.manual_seed(3)  # dropout draws the same
    found = outcome(model, images, "triton")
    torch.manual_seed(3)
    assert error(found, outcome(model, images, "reference")) < 1e-4


@needs_triton
def test_autocast_is_as_near_to_float64_as_the_reference():
    model, images = make(), draw(64 if GPU else 4, 3, 48, 48)  # of few, both are far from it
    exact = outcome(copy.deepcopy(model).double(), images.double(), "reference")
    with torch.autocast(DEVICE, HALF):
        found = {name: outcome(model, images, name) for name in ("reference", "triton")}
    assert error(found["triton"], exact) < 1.2 * error(found["reference"], exact)


@needs_triton
def test_inference():
    model, images = make().eval(), draw(2, 3, 37, 29)
    with torch.no_grad():
        expected = model(images)
        model.kernels = "triton"
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


@needs_triton
@pytest.mark.parametrize("training", [True, False])
def test_nan_comes_through(training):
    model, images = make(stem="cifar").train(training), draw(2, 3, 5, 5)
    model.kernels = "triton"
    images[0, 0, 0, 0] = torch.nan
    assert model(images)[0].isnan().all()


def test_what_it_leaves_to_others(monkeypatch):
    model, images = make(), draw(2, 3, 32, 32)
    assert not triton.supports(model.double(), images.double())
    assert not triton.supports(DenseNet(ArchConfig(norm="group")), images)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not triton.supports(model, images.cpu())
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not triton.supports(model, images)


@pytest.mark.parametrize(
    ("device", "bf16", "there", "expected"),
    [
        ("cuda", True, True, "triton"),
        ("cuda", True, False, "portable"),
        ("cuda", False, True, "portable"),
        ("cpu", True, True, "portable"),
    ],
)
def test_the_default_on_a_gpu(monkeypatch, device, bf16, there, expected):
    monkeypatch.setattr(triton, "available", lambda _: there)
    chosen, layout = kernels.choose("auto", ArchConfig(), torch.device(device), bf16)
    assert (chosen, layout) == (expected, torch.channels_last)


@needs_gpu
@needs_triton
def test_the_same_seed_gives_the_same_figures():
    model = make(growth_rate=32, num_init_features=64)
    images = draw(64, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cuda", torch.bfloat16), torch.backends.cudnn.flags(deterministic=True):
        steps = [outcome(model, images, "triton") for _ in range(2)]
    torch.testing.assert_close(*steps, rtol=0, atol=0)


@needs_gpu
@needs_triton
def test_a_step_can_be_captured():
    """No part of it waits for the host."""
    model, images = make(), draw(8, 3, 64, 64)
    model.kernels = "triton"
    expected = outcome(model, images, "triton")

    def step() -> Tensor:
        model.zero_grad()
        logits = model(images)
        logits.square().mean().backward()
        return logits

    state = copy.deepcopy(model.state_dict())
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    model.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = step()
    model.load_state_dict(state)
    graph.replay()
    found = {name: p.grad for name, p in model.named_parameters()}
    exact = {name: expected[f"d {name}"] for name in found}
    assert error(found | {"logits": logits}, exact | {"logits": expected["logits"]}) < 1e-4


@needs_triton
@pytest.mark.skipif(GPU, reason="the GPU has compiled them")
def test_kernels_compile_for_a_gpu(tmp_path):
    """The interpreter takes types that the compiler refuses."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    del environment["TRITON_INTERPRET"]
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "product_weight" in done.stdout


TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", float: "fp32", int: "i32"}


class Compiler:
    """Stands for the module of kernels: compiles what would be launched, each kind once."""

    def __init__(self) -> None:
        self.done: set[str] = set()

    def __getattr__(self, name: str):
        compile_it = partial(self.compile, name)
        return type("Kernel", (), {"__getitem__": lambda self, grid: compile_it})()

    def compile(self, name: str, *args, num_warps: int, **constants) -> None:
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource, compile

        from dnsearch.arch.kernels import fused

        kernel = getattr(fused, name)
        types = {}
        for argument, value in zip(kernel.arg_names, args, strict=False):
            if value is None or (isinstance(value, int) and value == 1):  # as a launch has them
                constants[argument] = value
            else:
                types[argument] = TYPES[getattr(value, "dtype", type(value))]
        kind = f"{name} {sorted(constants.keys() - {'P', 'C', 'K', 'T'})} {constants.get('ADD')}"
        if kind not in self.done:
            self.done.add(kind)
            places = {(kernel.arg_names.index(key),): value for key, value in constants.items()}
            source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), places)
            compile(source, GPUTarget("cuda", 90, 32), {"num_warps": num_warps})
            print(kind)


def compile_kernels() -> None:
    operations = triton.FusedOperations()
    operations.kernels = Compiler()
    model, images = make(stem="cifar"), draw(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        portable.run(model, images, operations).float().sum().backward()
        with torch.no_grad():
            portable.run(model.eval(), images, operations)


if __name__ == "__main__":
    compile_kernels()
