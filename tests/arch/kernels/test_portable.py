import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.kernels import portable
from dnsearch.cost.device import saved_bytes

BOTTLENECK = {"growth_rate": 5, "block_config": (2, 3, 2), "num_init_features": 7, "bn_size": 2}
PLAIN = BOTTLENECK | {"bn_size": 0}
CIFAR = {"stem": "cifar"}
GROWING = {"growth_rate": (2, 5, 9), "bn_size": (0, 3, 1)}
NARROW = {"transition": "narrow"}


def make(dtype=torch.float64, **fields) -> DenseNet:
    """A network whose norms are not at their start."""
    torch.manual_seed(0)
    model = DenseNet(ArchConfig(**BOTTLENECK | {"num_classes": 4} | fields)).to(dtype)
    for norm in norms(model):
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return model


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def draw(*shape: int, dtype=torch.float64) -> Tensor:
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return images.contiguous(memory_format=torch.channels_last)


def outcome(model: DenseNet, images: Tensor, kernels: str, steps: int = 1) -> dict[str, Tensor]:
    """All that training steps with these kernels give; the model itself stays as it is."""
    model, images = copy.deepcopy(model), images.clone().requires_grad_()
    model.kernels = kernels
    torch.manual_seed(2)  # dropout draws the same
    for _ in range(steps):
        logits = model(images)
        logits.square().sum().backward()
    gradients = {f"d {name}": p.grad for name, p in model.named_parameters() if p.requires_grad}
    return {"logits": logits, "d images": images.grad} | gradients | dict(model.named_buffers())


def assert_equal(model: DenseNet, images: Tensor, steps: int = 1) -> None:
    expected = outcome(model, images, "reference", steps)
    found = outcome(model, images, "portable", steps)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        (BOTTLENECK, (3, 3, 37, 29)),
        (PLAIN, (3, 3, 37, 29)),
        (BOTTLENECK | CIFAR, (2, 3, 13, 10)),
        (PLAIN | CIFAR, (2, 3, 13, 10)),
        (BOTTLENECK | {"drop_rate": 0.3}, (2, 3, 32, 32)),
        (PLAIN | CIFAR | {"drop_rate": 0.3}, (2, 3, 9, 9)),
        (BOTTLENECK | {"compression": 1.0}, (1, 3, 37, 29)),
        (PLAIN | CIFAR | {"compression": 1.0}, (1, 3, 11, 7)),
        (BOTTLENECK | CIFAR | {"block_config": (1,), "in_channels": 1}, (2, 1, 5, 5)),
        (PLAIN | {"growth_rate": 1, "num_init_features": 1}, (2, 3, 24, 24)),
        (GROWING, (3, 3, 37, 29)),
        (GROWING | CIFAR | {"bn_size": 0}, (2, 3, 9, 10)),
        (NARROW | CIFAR, (2, 3, 5, 7)),
        (NARROW | {"drop_rate": 0.3}, (2, 3, 13, 10)),
        (GROWING | CIFAR | {"transition": ("pool", "narrow")}, (2, 3, 13, 10)),
        (GROWING | {"transition": ("narrow", "pool"), "bn_size": (1, 0, 2)}, (2, 3, 24, 37)),
    ],
)
def test_equals_the_reference_in_float64(fields, shape, training):
    """Outputs, gradients of weights and images, running statistics."""
    assert_equal(make(**fields).train(training), draw(*shape))


def test_norms_with_settings_of_their_own():
    model = make()
    for number, norm in enumerate(norms(model)):
        norm.momentum = (0.1, None, 0.7)[number % 3]
        norm.eps = (1e-5, 1e-1)[number % 2]
        norm.train(number % 4 != 0)
        norm.track_running_stats = number % 3 != 1
        if number % 9 == 1:  # as BatchNorm2d(track_running_stats=False) has them
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    assert_equal(model, draw(3, 3, 32, 32), steps=3)


def test_maps_that_are_not_channels_last():
    assert_equal(make(), draw(2, 3, 33, 40).contiguous())


def test_frozen_parameters_get_no_gradient():
    model = make()
    for number, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(number % 3 != 0)
    assert_equal(model, draw(2, 3, 32, 32))
    model.requires_grad_(False)
    assert_equal(model, draw(2, 3, 32, 32))


@pytest.mark.parametrize("bn_size", [0, 2, (0, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(bn_size, training):
    tiny = {"growth_rate": 2, "block_config": (2, 1), "num_init_features": 2, "in_channels": 1}
    if isinstance(bn_size, tuple):
        tiny |= NARROW | {"growth_rate": (1, 3)}
    model = make(**CIFAR | tiny, bn_size=bn_size, num_classes=2).train(training)
    model.kernels = "portable"
    names, parameters = zip(*model.named_parameters(), strict=True)

    def logits(images: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), images)

    inputs = draw(2, 1, 4, 5).requires_grad_(), *parameters
    assert torch.autograd.gradcheck(logits, inputs, fast_mode=True)  # in random directions


def error(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The relative distance, a mean over all tensors."""
    real = {name: tensor for name, tensor in exact.items() if tensor.is_floating_point()}
    distances = [(found[name] - tensor).norm() / tensor.norm() for name, tensor in real.items()]
    return float(torch.stack(distances).mean().detach())


def test_fp32_is_as_near_to_float64_as_torchvision(torchvision):
    theirs = torchvision.DenseNet(5, (2, 3, 2), 7, 2, num_classes=4)
    ours = make(torch.float32)
    theirs.load_state_dict(ours.state_dict())
    images = draw(4, 3, 64, 64, dtype=torch.float32)
    exact = outcome(copy.deepcopy(ours).double(), images.double(), "reference")
    bound = error(outcome(theirs, images, "torchvision"), exact)
    assert 0 < error(outcome(ours, images, "portable"), exact) < 1.5 * bound


def test_what_comes_back_stays_as_it_is():
    """Where a map is one pixel nothing is pooled, and the gradient is not copied on the way."""
    model, images = make(**CIFAR, block_config=(1, 1)), draw(3, 3, 2, 2)
    model.kernels = "portable"
    features = model.pooled_features(images)
    grad = torch.ones_like(features)
    torch.autograd.grad(features, list(model.features.parameters()), grad)
    assert (grad == 1).all()


@pytest.mark.parametrize("bn_size", [0, 2, (0, 2, 1)])
def test_autocast_is_as_near_to_float64_as_the_reference(bn_size):
    model = make(torch.float32, bn_size=bn_size)
    images = draw(4, 3, 64, 64, dtype=torch.float32)
    exact = outcome(copy.deepcopy(model).double(), images.double(), "reference")
    with torch.autocast("cpu", torch.bfloat16):
        found = {name: outcome(model, images, name) for name in ("reference", "portable")}
    types = [{k: v.dtype for k, v in tensors.items()} for tensors in found.values()]
    assert types[0] == types[1]
    assert error(found["portable"], exact) < 1.1 * error(found["reference"], exact)


@pytest.mark.parametrize("fields", [{}, PLAIN, GROWING | NARROW])
def test_inference_keeps_nothing_and_gives_the_same(fields):
    model = make(**fields).eval()
    images = draw(2, 3, 37, 29)
    expected = model(images)
    model.kernels = "portable"
    with torch.no_grad():
        found = model(images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    with torch.inference_mode():
        torch.testing.assert_close(model(images), expected, rtol=1e-10, atol=1e-10)
    assert not found.requires_grad


def test_training_mode_without_gradients_moves_the_running_statistics():
    found, expected = make(), make()
    found.kernels = "portable"
    with torch.no_grad():
        logits = [model(draw(2, 3, 32, 32)) for model in (found, expected)]
    torch.testing.assert_close(*logits, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("bn_size", "most"), [(0, 0.06), (4, 0.17)])
def test_saved_bytes(bn_size, most):
    config = ArchConfig(12, (16, 16, 16), 24, bn_size, stem="cifar", num_classes=10)
    model, images = DenseNet(config), draw(2, 3, 32, 32, dtype=torch.float32)
    reference = saved_bytes(model, images)
    model.kernels = "portable"
    assert saved_bytes(model, images) < most * reference


def test_the_backward_pass_leaves_what_was_kept():
    model = make()
    model.kernels = "portable"
    loss = model(draw(2, 3, 32, 32)).square().sum()
    first, second = (
        torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for _ in range(2)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_second_derivatives_are_refused():
    model, images = make(), draw(2, 3, 32, 32).requires_grad_()
    model.kernels = "portable"
    with pytest.raises(RuntimeError, match="need the model's kernels to be 'reference'"):
        torch.autograd.grad(model(images).sum(), images, create_graph=True)


@pytest.mark.parametrize("training", [True, False])
def test_nan_comes_through(training):
    model, images = make().train(training), draw(2, 3, 32, 32)
    model.kernels = "portable"
    images[0, 0, 0, 0] = torch.nan
    assert model(images)[0].isnan().all()


def test_one_value_a_channel_is_torchs_error():
    images = draw(1, 3, 16, 16)  # a single pixel is left in the last block
    messages = []
    for kernels in ("reference", "portable"):
        model = make()
        model.kernels = kernels
        with pytest.raises(ValueError, match="Expected more than 1 value per channel") as caught:
            model(images)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_group_norm_falls_back():
    model = DenseNet(ArchConfig(**BOTTLENECK, norm="group"))
    images = torch.randn(2, 3, 32, 32)
    assert not portable.supports(model, images)
    expected = model(images)
    model.kernels = "portable"
    torch.testing.assert_close(model(images), expected, rtol=0, atol=0)


def test_no_images_fall_back():
    model = make()
    model.kernels = "portable"
    assert model(draw(0, 3, 32, 32)).shape == (0, 4)


def test_weights_and_copies_are_those_of_any_network():
    model = make().eval()
    images = draw(2, 3, 32, 32)
    expected = model(images)
    model.kernels = "portable"
    model(images).sum().backward()
    other = make()
    other.load_state_dict(model.state_dict())
    model.load_state_dict(other.state_dict())
    for twin in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.kernels == "portable"
        torch.testing.assert_close(twin(images), expected, rtol=1e-10, atol=1e-10)
