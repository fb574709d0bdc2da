"""Zero-cost scores against closed forms, finite differences and explicit loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.presets import PRESETS
from dnsearch.config import TrainingConfig
from dnsearch.errors import ConfigError
from dnsearch.training.initial import initial_network
from dnsearch.training.trainer import Trainer
from dnsearch.training.zerocost import (
    SCORES,
    grad_norm,
    jacob_cov,
    naswot,
    one_batch,
    snip,
    synflow,
    zero_cost_scores,
)

ARCH = ArchConfig(3, (1, 2), 4, 2, stem="cifar", in_channels=1, num_classes=3)
ARCHS = {
    "plain": ARCH.replace(bn_size=0),
    "bottleneck": ARCH.replace(bn_size=4),
    "group norm": ARCH.replace(norm="group"),
    "imagenet stem": ARCH.replace(stem="imagenet"),
    "dropout": ARCH.replace(drop_rate=0.5),
    "blocks that differ": ARCH.replace(growth_rate=(3, 5), bn_size=(0, 2)),
    "narrow": ARCH.replace(transition="narrow"),
}
EACH = {
    "synflow": lambda model, images, labels: synflow(model, images),
    "naswot": lambda model, images, labels: naswot(model, images),
    "jacob_cov": lambda model, images, labels: jacob_cov(model, images),
    "snip": snip,
    "grad_norm": grad_norm,
}


class TwoLayers(nn.Module):
    """A convolution and a linear layer in doubles; one ReLU is a module and one a function."""

    def __init__(self, activation=F.relu):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3).double()
        self.norm = nn.BatchNorm2d(4).double()
        self.relu = nn.ReLU(inplace=True) if activation is F.relu else nn.Tanh()
        self.linear = nn.Linear(4 * 2 * 2, 3).double()
        self.activation = activation
        for parameter in self.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, images):
        maps = self.relu(self.norm(self.conv(images)))
        return self.activation(self.linear(maps.flatten(1)))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((6, 1, 4, 4), generator=generator, dtype=torch.float64)
    return images, torch.arange(6) % 3


def linear(*weights):
    """Linear layers with these weights, no biases, in doubles."""
    model = nn.Sequential()
    for rows in weights:
        layer = nn.Linear(len(rows[0]), len(rows), bias=False)
        layer.weight.data = torch.tensor(rows, dtype=torch.float64)
        model.append(layer)
    return model


def differences(value, tensor, step=1e-6):
    """The gradient of ``value()`` in every entry of the tensor, by central differences."""
    slopes = np.zeros(tensor.numel())
    flat = tensor.data.view(-1)
    for i in range(len(flat)):
        kept = flat[i].item()
        ends = []
        for moved in (kept + step, kept - step):
            flat[i] = moved
            ends.append(value().item())
        flat[i] = kept
        slopes[i] = (ends[0] - ends[1]) / (2 * step)
    return slopes


def test_synflow_by_hand():
    """|W1| 1 = (3, 7), |W2| (3, 7) = 17, and each of two layers has that much flow. In training
    the norm between them would raise: it sees one image."""
    model = linear([[1, -2], [3, 4]], [[-1, 2]])
    model.insert(1, nn.BatchNorm1d(2))
    assert synflow(model, torch.zeros(5, 2)) == pytest.approx(math.log(2 * 17))


@pytest.mark.parametrize(
    "name", ["plain", "bottleneck", "imagenet stem", "blocks that differ", "narrow"]
)
def test_synflow_is_what_each_layer_carries(name):
    """R is linear in the weights of one layer, so these carry what is lost without them; the norms
    are made to do nothing by their running statistics."""
    model = initial_network(ARCHS[name], 0)
    found = synflow(model, torch.zeros(2, 1, 8, 8))
    brute = model.double().eval()
    for parameter in brute.parameters():
        parameter.data.abs_()
    for norm in brute.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_var.fill_(1 - norm.eps)
    ones = torch.ones((1, 1, 8, 8), dtype=torch.float64)
    whole, carried = brute(ones).sum().item(), 0.0
    for layer in brute.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            kept = layer.weight.data
            layer.weight.data = torch.zeros_like(kept)
            carried += whole - brute(ones).sum().item()
            layer.weight.data = kept
    assert found == pytest.approx(math.log(carried), rel=1e-12)


def test_synflow_of_the_deepest_preset_is_finite():
    model = initial_network(PRESETS["densenet264"], 0)
    assert 300 < synflow(model, torch.zeros(1, 3, 32, 32)) < math.log(1e308)


def test_naswot_counts_the_units_that_two_images_agree_on(batch):
    images, _ = batch
    model = TwoLayers()
    maps = model.norm(model.conv(images)).detach()
    logits = model.linear(maps.relu().flatten(1)).detach()
    codes = np.hstack([maps.flatten(1).numpy() > 0, logits.numpy() > 0])
    kernel = np.zeros((6, 6))
    for i in range(6):
        for j in range(6):
            kernel[i, j] = codes.shape[1] - np.count_nonzero(codes[i] != codes[j])
    expected = math.log(np.linalg.det(kernel))
    assert naswot(model, images) == pytest.approx(expected, rel=1e-9)


def test_naswot_of_two_images_by_hand():
    """Codes 1 1 0 and 1 0 1 agree on one unit of three."""
    model = linear([[1, 1], [1, 0], [0, 1]]).append(nn.ReLU())
    images = torch.tensor([[2.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    assert naswot(model, images) == pytest.approx(math.log(3 * 3 - 1 * 1))


def test_jacob_cov_by_finite_differences(batch):
    images, _ = batch
    model = TwoLayers(torch.tanh)
    rows = differences(lambda: model(images).sum(), images).reshape(6, 16)
    eigenvalues = np.linalg.eigvals(np.corrcoef(rows)).real
    expected = -sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in eigenvalues)
    assert jacob_cov(model, images) == pytest.approx(expected, rel=1e-4)


def test_jacob_cov_of_a_linear_network_is_its_least():
    """All gradients are alike, so one eigenvalue is n and the others are 0."""
    images = torch.randn((4, 3), dtype=torch.float64)
    k = 1e-5
    expected = -(math.log(4 + k) + 1 / (4 + k)) - 3 * (math.log(k) + 1 / k)
    assert jacob_cov(linear([[1, 2, -4]]), images) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("score", [snip, grad_norm])
def test_gradients_by_finite_differences(batch, score):
    images, labels = batch
    model = TwoLayers()
    weights = [model.conv.weight, model.linear.weight]
    slopes = [differences(lambda: F.cross_entropy(model(images), labels), w) for w in weights]
    expected = {
        snip: sum(
            np.abs(w.detach().numpy().ravel() * g).sum()
            for w, g in zip(weights, slopes, strict=True)
        ),
        grad_norm: np.sqrt(sum((g**2).sum() for g in slopes)),
    }
    assert score(model, images, labels) == pytest.approx(expected[score], rel=1e-6)


def test_gradients_of_softmax_regression_by_hand():
    """The gradient is (softmax - one hot) image; at weights 0 both classes have one half."""
    image, label = torch.tensor([[3.0, 4.0]], dtype=torch.float64), torch.tensor([0])
    model = linear([[0, 0], [0, 0]])
    assert grad_norm(model, image, label) == pytest.approx(math.sqrt(2) * 2.5)
    assert snip(model, image, label) == 0.0  # a true 0: every weight is
    odds = linear([[math.log(3) / 3, 0], [0, 0]])  # softmax 3/4, 1/4
    assert snip(odds, image, label) == pytest.approx(math.log(3) / 3 * 3 / 4)


def test_what_is_not_finite_is_none(batch):
    images, labels = batch
    assert synflow(linear([[1e200]], [[1e200]]), torch.zeros(1, 1)) is None
    assert synflow(linear([[0.0]]), torch.zeros(1, 1)) is None
    assert naswot(TwoLayers(), images[[0, 1, 0]]) is None  # the same code twice
    assert naswot(TwoLayers(torch.tanh), images) is None  # no ReLU
    assert jacob_cov(linear([[0.0, 0.0]]), torch.ones(3, 2, dtype=torch.float64)) is None
    broken = TwoLayers()
    broken.linear.bias.data.fill_(math.nan)
    assert snip(broken, images, labels) is None
    assert grad_norm(broken, images, labels) is None


@pytest.mark.parametrize("name", EACH)
def test_the_network_is_left_as_it_was(batch, name):
    model = TwoLayers()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images, kept = batch[0], batch[0].clone()
    EACH[name](model, *batch)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(images, kept)
    assert not images.requires_grad


@pytest.mark.parametrize("arch", ARCHS.values(), ids=ARCHS)
def test_scores_of_densenets(data, arch):
    images, labels = one_batch(data)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (zero_cost_scores(arch, images, labels, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert tuple(one) == SCORES
    assert all(isinstance(score, float) and math.isfinite(score) for score in one.values())
    assert one == again
    assert all(one[name] != other[name] for name in SCORES)


def test_naswot_sees_every_relu_of_a_densenet(data):
    """Of one image the kernel is the number of its units: stem 4 channels at 8x8, bottlenecks of
    6, growth 3, a transition to 3, at 4x4 behind it."""
    images, _ = one_batch(data, 2)
    units = 4 * 64 + 6 * 64 + 7 * 64  # norm1, norm2, transition
    units += (3 + 6 + 6 + 6) * 16 + 9 * 16  # two layers, norm5
    assert naswot(initial_network(ARCH, 0).eval(), images[:1]) == pytest.approx(math.log(units))


def test_it_is_the_network_that_a_trainer_begins_with(data):
    trained = Trainer(ARCH, data, TrainingConfig(kernels="reference"), seed=7).model
    found = initial_network(ARCH, 7)
    assert isinstance(found, DenseNet)
    assert found.kernels == "reference"
    torch.testing.assert_close(found.state_dict(), trained.state_dict(), rtol=0, atol=0)
    images, labels = one_batch(data)
    expected = {name: score(found, images, labels) for name, score in EACH.items()}
    assert zero_cost_scores(ARCH, images, labels, 7) == expected


def test_the_batch_is_the_same_each_time_and_unchanged(data, prepared):
    images, labels = one_batch(data, 5)
    again = one_batch(data, 5)
    assert torch.equal(images, again[0])
    assert torch.equal(labels, again[1])
    pixels = (images * prepared.std[0] + prepared.mean[0]) * 255
    known = {
        image.tobytes(): label
        for image, label in zip(prepared.train.images, prepared.train.labels, strict=True)
    }
    found = [known[image.tobytes()] for image in pixels.round().to(torch.uint8).numpy()]
    assert found == labels.tolist()


def test_a_batch_has_no_more_images_than_there_are(data):
    assert len(one_batch(data, 500)[0]) == 192
    assert len(one_batch(data)[0]) == 64


def test_images_too_small_for_the_network():
    images, labels = torch.zeros(4, 1, 2, 2), torch.arange(4) % 3
    with pytest.raises(ConfigError, match="must be at least 5x5"):
        zero_cost_scores(ARCHS["imagenet stem"], images, labels, 0)
