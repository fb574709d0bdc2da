"""The C++ kernels against the plain modules in float64, and against torchvision in fp32."""

import copy
import ctypes
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.config import STEMS
from dnsearch.arch.kernels import build, cpu
from dnsearch.errors import ConfigError, KernelError

try:
    build.compiler()
except KernelError as error:
    pytest.skip(str(error), allow_module_level=True)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
SMALL = ArchConfig(5, (2, 3, 2), 7, 2, num_classes=6)


def twins(config, dtype=torch.float64, seed=0):
    """The same network with plain modules and with the kernels; norms far from the identity."""
    torch.manual_seed(seed)
    plain = DenseNet(config).to(dtype)
    for p in plain.parameters():
        if p.ndim == 1:
            nn.init.normal_(p, 0.3)
    fused = copy.deepcopy(plain)
    fused.kernels = "cpu"
    return plain, fused


def step(model, images, labels):
    """Loss, gradients and running statistics of one training step."""
    model.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    return loss.detach(), grads, dict(model.named_buffers())


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


CASES = {
    "bottleneck": SMALL,
    "plain": SMALL.replace(bn_size=0),
    "cifar": SMALL.replace(stem="cifar"),
    "plain cifar": SMALL.replace(stem="cifar", bn_size=0),
    "compression 1": SMALL.replace(stem="cifar", compression=1.0),
    "one block": SMALL.replace(stem="cifar", block_config=(3,)),
    "wide": SMALL.replace(growth_rate=20, bn_size=4, num_init_features=33, stem="cifar"),
    "patches": SMALL.replace(stem="patch2"),
    "grey": SMALL.replace(stem="cifar", in_channels=1),
    "growth rates": SMALL.replace(growth_rate=(3, 7, 13), stem="cifar"),
    "plain growth rates": SMALL.replace(growth_rate=(13, 7, 3), bn_size=0),
    "bottlenecks": SMALL.replace(growth_rate=(2, 5, 9), bn_size=(0, 3, 1), stem="cifar"),
    "first bottleneck alone": SMALL.replace(bn_size=(2, 0, 0)),
    "narrow": SMALL.replace(transition="narrow", stem="cifar"),
    "pool, then narrow": SMALL.replace(transition=("pool", "narrow"), bn_size=(0, 2, 4)),
    "narrow, then pool": SMALL.replace(
        growth_rate=(4, 8, 1), bn_size=(2, 0, 3), transition=("narrow", "pool"), compression=0.9
    ),
}


@pytest.mark.parametrize("shape", [(5, 32, 32), (2, 37, 29), (2, 50, 130)])
@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
def test_a_training_step_is_the_plain_modules(config, shape, threads):
    n, height, width = shape
    plain, fused = twins(config)
    images = torch.randn(n, config.in_channels, height, width, dtype=torch.float64)
    assert cpu.supports(fused, images)
    labels = torch.randint(config.num_classes, (n,))
    expected = step(plain, images, labels)
    torch.testing.assert_close(step(fused, images, labels), expected, **EXACT)
    plain.eval(), fused.eval()
    with torch.no_grad():
        torch.testing.assert_close(fused(images), plain(images), **EXACT)


def test_images_get_their_gradient():
    """Through the imagenet stem's modules; with the cifar stem the simpler ways are taken."""
    for config in (SMALL, SMALL.replace(stem="cifar")):
        grads = []
        for model in twins(config):
            torch.manual_seed(0)
            images = torch.randn(3, 3, 40, 40, dtype=torch.float64, requires_grad=True)
            model(images).square().sum().backward()
            grads.append(images.grad)
        torch.testing.assert_close(grads[1], grads[0], **EXACT)


def test_gradients_are_those_of_finite_differences():
    config = ArchConfig(2, (1, 2), 3, 1, stem="cifar", num_classes=2)
    _, fused = twins(config)
    images = torch.randn(3, 3, 5, 6, dtype=torch.float64)
    names, weights = zip(*fused.named_parameters(), strict=True)

    def loss(*values):
        return torch.func.functional_call(fused, dict(zip(names, values, strict=True)), images)

    assert torch.autograd.gradcheck(loss, weights)


@pytest.mark.parametrize("bn_size", [1, 4])
def test_fp32_is_as_near_to_float64_as_torchvision(torchvision, bn_size):
    """Medians: now and then a rounding turns a ReLU over, in anybody's arithmetic."""
    fields = {"growth_rate": 12, "block_config": (6, 6, 6), "num_init_features": 24}
    config = ArchConfig(**fields, bn_size=bn_size, num_classes=10)
    theirs = torchvision.DenseNet(**fields, bn_size=bn_size, num_classes=10)
    distances = []
    for seed in range(3):
        exact, fused = twins(config, torch.float32, seed)
        theirs.load_state_dict(fused.state_dict())
        images, labels = torch.randn(16, 3, 64, 64), torch.randint(10, (16,))
        _, truth, _ = step(exact.double(), images.double(), labels)
        for model in (theirs, fused):
            _, grads, _ = step(model, images, labels)
            distances.append(np.median([relative(grads[name], truth[name]) for name in truth]))
    of_theirs, of_ours = np.median(np.reshape(distances, (3, 2)), axis=0)
    assert of_ours <= 1.2 * of_theirs


def relative(found, truth):
    return float((found.double() - truth).norm() / truth.norm())


def test_what_it_cannot_do_is_done_by_the_simpler_ways():
    images = torch.randn(4, 3, 32, 32)
    for config in (SMALL.replace(norm="group"), SMALL.replace(drop_rate=1e-7)):
        plain, fused = twins(config, torch.float32)
        assert not cpu.supports(fused, images)
        torch.testing.assert_close(fused(images), plain(images), rtol=1e-3, atol=1e-3)
    _, fused = twins(SMALL, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert not cpu.supports(fused, images)
    assert not cpu.supports(fused.eval(), images)  # a way back through running statistics


def own_norms(model):
    """Settings that one set of kernels for the whole network cannot have."""
    model.features.denseblock1.denselayer2.norm1.eval()  # fine-tuning with frozen statistics


def other_epsilon(model):
    model.features.norm5.eps = 0.1


def cumulative_average(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None


def no_running_statistics(model):
    layer = model.features.denseblock1.denselayer1
    layer.norm1 = nn.BatchNorm2d(layer.norm1.num_features, track_running_stats=False)
    layer.norm1.to(model.classifier.weight.dtype)


def other_activation(model):
    model.features.denseblock2.denselayer1.relu1 = nn.SiLU()


def dropout_of_one_layer(model):
    model.features.denseblock1.denselayer1.drop_rate = 1.0


def pruned(model):
    prune.l1_unstructured(model.features.denseblock1.denselayer1.conv1, "weight", 0.5)


def parametrised(model):
    parametrizations.spectral_norm(model.features.denseblock1.denselayer1.conv2)


def hooked(model):
    model.features.transition1.register_forward_hook(lambda module, images, out: 2 * out)


def dilated(model):
    conv = model.features.denseblock2.denselayer1.conv2
    conv.dilation = conv.padding = (2, 2)


@pytest.mark.parametrize("kernels", ["cpu", "portable"])
@pytest.mark.parametrize(
    "change",
    [
        own_norms, other_epsilon, cumulative_average, no_running_statistics, other_activation,
        dropout_of_one_layer, pruned, parametrised, hooked, dilated,
    ],
)  # fmt: skip
def test_changed_models_are_run_as_they_are(change, kernels):
    plain, fused = twins(SMALL)
    fused.kernels = kernels
    images = torch.randn(4, 3, 40, 40, dtype=torch.float64)
    for model in (plain, fused):
        torch.manual_seed(3)
        change(model)
        model(images).square().sum().backward()
    torch.testing.assert_close(fused(images), plain(images), **EXACT)
    torch.testing.assert_close(dict(fused.named_buffers()), dict(plain.named_buffers()), **EXACT)
    for ours, theirs in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


@pytest.mark.parametrize("channels", [1, 4, 200])
def test_other_channels_are_torchs_error(channels):
    for stem in STEMS:
        _, fused = twins(SMALL.replace(stem=stem), torch.float32)
        with pytest.raises(RuntimeError, match="expected input"):
            fused(torch.randn(2, channels, 32, 32))


def test_weights_elsewhere_are_torchs_error():
    _, fused = twins(SMALL, torch.float32)
    assert not cpu.supports(fused.to("meta"), torch.randn(2, 3, 32, 32))


def test_going_back_twice_and_adding_up_gradients():
    plain, fused = twins(SMALL)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    for model in (plain, fused):
        loss = model(images).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        model(2 * images).sum().backward()
    for ours, theirs in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


def test_training_mode_without_autograd_updates_statistics_alone():
    plain, fused = twins(SMALL)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fused(images), plain(images), **EXACT)
    torch.testing.assert_close(fused.state_dict(), plain.state_dict(), **EXACT)


def test_a_traced_model_holds_the_modules():
    plain, fused = twins(SMALL, torch.float32)
    plain.eval(), fused.eval()
    with torch.no_grad():
        traced = torch.jit.trace(fused, torch.randn(2, 3, 32, 32))
        images = torch.randn(2, 3, 32, 32)
        torch.testing.assert_close(traced(images), plain(images), rtol=1e-4, atol=1e-4)


def test_sizes_beyond_32_bits_are_counted():
    _, fused = twins(SMALL.replace(stem="cifar"), torch.float32)
    network = cpu._network(fused, torch.randn(2, 3, 32, 32))
    few, many = (network.saved_size((n, 3, 32, 32)) for n in (1 << 10, 1 << 22))
    assert many == pytest.approx(few * 2**12, rel=0.001)
    assert many > 2**33


def test_too_little_memory_is_torchs_kind_of_error(tmp_path):
    """In a process of its own, whose address space ends just above what it has."""
    script = """
import resource, torch
from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.training.device import is_out_of_memory
model = DenseNet(ArchConfig(4, (3, 3), 8, 4, stem="cifar", num_classes=4))
model.kernels = "cpu"
model(torch.randn(2, 3, 32, 32)).sum().backward()
loss = model(torch.randn(256, 3, 32, 32)).sum()
pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + (10 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    loss.backward()
except RuntimeError as error:
    print("out of memory", is_out_of_memory(error))
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "out of memory True", done.stderr


def test_unknown_kernels_are_named():
    model, _ = twins(SMALL, torch.float32)
    model.kernels = "protable"
    with pytest.raises(
        ConfigError, match="kernels must name kernels, got 'protable'; did you mean"
    ):
        model(torch.randn(2, 3, 32, 32))


def test_a_lone_pixel_is_torchs_error():
    _, fused = twins(SMALL.replace(stem="cifar"), torch.float32)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fused(torch.randn(1, 3, 4, 4))
    with torch.no_grad():
        assert fused.eval()(torch.randn(1, 3, 4, 4)).shape == (1, 6)


def test_there_is_no_way_back_twice():
    _, fused = twins(SMALL)
    loss = fused(torch.randn(2, 3, 32, 32, dtype=torch.float64)).sum()
    weight = fused.get_parameter("features.denseblock1.denselayer1.conv1.weight")
    (grad,) = torch.autograd.grad(loss, weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_weights_changed_between_forward_and_backward_are_noticed():
    _, fused = twins(SMALL)
    loss = fused(torch.randn(2, 3, 32, 32, dtype=torch.float64)).sum()
    with torch.no_grad():
        fused.get_parameter("features.denseblock1.denselayer1.conv1.weight").add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_frozen_weights_get_no_gradient():
    plain, fused = twins(SMALL)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for model in (plain, fused):
        model.features[0].requires_grad_(False)
        model.features[1].requires_grad_(False)
        model.features.denseblock2.requires_grad_(False)
        model(images).sum().backward()
    for ours, theirs in zip(fused.parameters(), plain.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


def test_channels_last_weights_do():
    plain, fused = twins(SMALL)
    fused.to(memory_format=torch.channels_last)
    images, labels = torch.randn(3, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 1, 2])
    expected = step(plain, images, labels)
    found = step(fused, images.to(memory_format=torch.channels_last), labels)
    torch.testing.assert_close(found[1], expected[1], **EXACT)


def test_results_repeat_to_the_last_bit(threads):
    _, fused = twins(SMALL, torch.float32)
    images, labels = torch.randn(9, 3, 40, 40), torch.randint(6, (9,))
    first = copy.deepcopy(step(copy.deepcopy(fused), images, labels))
    torch.testing.assert_close(step(fused, images, labels), first, rtol=0, atol=0)


def test_nan_is_passed_on():
    """A training that diverges must be seen to."""
    _, fused = twins(SMALL, torch.float32)
    images = torch.randn(2, 3, 32, 32)
    images[0, 0, 3, 3] = torch.nan
    assert fused(images).isnan().all()
    assert fused(torch.randn(2, 3, 32, 32)).isfinite().all()  # and nothing lingers


def test_models_are_copied_and_pickled_with_their_kernels():
    _, fused = twins(SMALL, torch.float32)
    fused.eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = fused(images)
        for other in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused))):
            assert other.kernels == "cpu"
            torch.testing.assert_close(other(images), expected, rtol=0, atol=0)


def test_without_a_compiler_the_simpler_ways_are_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(KernelError, match="no C\\+\\+ compiler 'no-such-compiler'; install one"):
        build.build()
    cpu._library.cache_clear()
    try:
        _, fused = twins(SMALL, torch.float32)
        with pytest.warns(UserWarning, match="training without the C"):
            assert not cpu.supports(fused, torch.randn(2, 3, 32, 32))
        assert fused(torch.randn(2, 3, 32, 32)).shape == (2, 6)
    finally:
        cpu._library.cache_clear()


def test_building_once(monkeypatch, tmp_path):
    """Two at once, beside what a crash left; then it is there, and loads."""
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "FLAGS", tuple(f.replace("-O3", "-O0") for f in build.FLAGS))
    path = build._library_path("float")
    path.parent.mkdir(parents=True)
    path.with_suffix(".new").write_text("half")
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(build.build, ["float"] * 2)) == [path] * 2
    assert ctypes.CDLL(str(path)).forward
    assert not [p for p in path.parent.iterdir() if p.suffix in (".new", ".o")]
    monkeypatch.setattr(build, "_compile", None)  # nothing is compiled again
    assert build.build() == path


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CXX", "g++ '", "CXX cannot be read"),
        ("DNSEARCH_CACHE", "/dev/null", "/dev/null/kernels: Not a directory"),
    ],
)
def test_what_stands_in_the_way_is_named(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(KernelError, match=message):
        build.build()


def test_a_compiler_that_fails_is_named_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("DNSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "--no-such-flag"))
    command = build.compiler()[0]
    with pytest.raises(KernelError, match=f"{re.escape(command)}: .*no-such-flag"):
        build.build()
    assert not list(tmp_path.rglob("*.so"))
