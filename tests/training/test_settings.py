"""Every setting of [training] against training written out by hand: one that the trainer ignores
gives other weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnsearch.arch import ArchConfig
from dnsearch.config import TrainingConfig
from dnsearch.data import Augment, DeviceData, PreparedData
from dnsearch.data.mixing import Mixing
from dnsearch.seeds import derived_seed
from dnsearch.training.initial import initial_network
from dnsearch.training.trainer import Trainer

ARCH = ArchConfig(3, (1, 1), 4, 2, drop_rate=0.2, stem="cifar", in_channels=1, num_classes=3)
SEED = 3
EPOCHS = 2
BASE = {
    "rungs": (EPOCHS,), "batch_size": 64, "learning_rate": 0.1, "momentum": 0.9,
    "weight_decay": 0.05, "warmup": 0.5, "decay": 0.3, "ema": 0.9, "label_smoothing": 0.0,
    "clip_norm": 0.0, "flip": False, "shift": 0, "cutout": 0, "crop": "shift", "jitter": 0.0,
    "mixup": 0.0, "cutmix": 0.0, "precision": "fp32",
    "kernels": "reference", "class_weights": "none", "out_of_memory": "split",
    "micro_batch": None,
}  # fmt: skip
CHANGES = {
    "rungs": (EPOCHS, 4), "batch_size": 48, "learning_rate": 0.2, "momentum": 0.0,
    "weight_decay": 0.0, "warmup": 1.5, "decay": 0.9, "ema": 0.0, "label_smoothing": 0.3,
    "clip_norm": 0.2, "flip": True, "shift": 2, "cutout": 3, "crop": "resized", "jitter": 0.4,
    "mixup": 0.7, "cutmix": 1.0, "precision": "bf16",
}  # fmt: skip


NEAR = 1e-4
"""A relative distance: rounding alone leaves 1e-5 and less, the least of the changes 4e-4."""


@dataclass
class Trained:
    """What two epochs lead to: weights, averaged weights, the mean loss of the last epoch."""

    weights: Tensor
    averaged: Tensor
    loss: float

    @classmethod
    def of(cls, weights: Iterable[Tensor], averaged: Iterable[Tensor], loss: float) -> Trained:
        return cls(_vector(weights), _vector(averaged), loss)

    def distance(self, other: Trained) -> float:
        """The largest relative distance of the three."""
        pairs = (self.weights, other.weights), (self.averaged, other.averaged)
        apart = [float((a - b).norm() / b.norm()) for a, b in pairs]
        return max(*apart, abs(self.loss / other.loss - 1))


def _vector(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def by_trainer(data: DeviceData, recipe: TrainingConfig) -> Trained:
    trainer = Trainer(ARCH, data, recipe, SEED)
    score = trainer.train(EPOCHS)
    averaged = trainer.averaged.model.parameters()
    return Trained.of(trainer.model.parameters(), averaged, score.train_loss)


class ByHand:
    """SGD with Nesterov momentum as Sutskever et al. 2013 have it, in loops over the weights."""

    def __init__(self, recipe: TrainingConfig) -> None:
        self.recipe = recipe
        self.model = initial_network(ARCH, SEED)
        self.model.to(memory_format=torch.channels_last)  # the order that dropout draws in
        layers = [m for m in self.model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        self.decayed = {id(layer.weight) for layer in layers}
        self.velocity = [torch.zeros_like(p) for p in self.model.parameters()]
        self.averaged = [p.detach().clone() for p in self.model.parameters()]
        self.steps = 0

    def train(self, data: DeviceData) -> Trained:
        self.data = data
        losses: list[float] = []
        for epoch in range(EPOCHS):
            losses = [self.step(*batch, rate) for batch, rate in self.epoch(data, epoch)]
        return Trained.of(self.model.parameters(), self.averaged, sum(losses) / len(losses))

    def epoch(self, data: DeviceData, epoch: int) -> Iterator[tuple[tuple[Tensor, Tensor], float]]:
        recipe = self.recipe
        generator = torch.Generator().manual_seed(derived_seed(SEED, epoch))
        augment = Augment(recipe.flip, recipe.shift, recipe.cutout, recipe.crop, recipe.jitter)
        steps = 192 // recipe.batch_size
        torch.manual_seed(derived_seed(SEED, epoch))  # of dropout
        for step, batch in enumerate(data.batches(recipe.batch_size, generator, augment)):
            yield batch, self.rate(epoch + (step + 1) / steps)
        assert step + 1 == steps

    def rate(self, epochs: float) -> float:
        """Up over the warm-up, down to 0 over the last share of the top rung."""
        recipe, top = self.recipe, self.recipe.rungs[-1]
        up = epochs / recipe.warmup
        down = (top - epochs) / (recipe.decay * top)
        return recipe.learning_rate * min(1, up, down)

    def step(self, images: Tensor, labels: Tensor, rate: float) -> float:
        images, others, kept = self.mixed(images, labels)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            logits = self.model(images)
        loss = kept * self.smoothed(logits.float(), labels)
        loss = loss + (1 - kept) * self.smoothed(logits.float(), others)
        weights = list(self.model.parameters())
        gradients = self.clipped(torch.autograd.grad(loss, weights))
        with torch.no_grad():
            for w, g, v in zip(weights, gradients, self.velocity, strict=True):
                g = g + (self.recipe.weight_decay * w if id(w) in self.decayed else 0)
                v.mul_(self.recipe.momentum).add_(g)
                w -= rate * (g + self.recipe.momentum * v)
        self.average()
        return loss.item()

    def mixed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, float]:
        """The images, each mixed with the other one of its pair, the labels of those, and how much
        of an image is its own."""
        mixing = Mixing(self.recipe.mixup, self.recipe.cutmix)
        if not mixing:
            return images, labels, 1.0
        height, width = images.shape[2:]
        rng = np.random.default_rng(derived_seed("mixing", SEED, self.steps + 1))
        share, *box = mixing.draw(height, width, rng)
        top, bottom, left, right = map(int, box)
        mixed = images.clone()
        pairs = [place + 1 - 2 * (place % 2) for place in range(len(images))]
        for place, other in enumerate(pairs):
            part = images[other, :, top:bottom, left:right]
            mixed[place, :, top:bottom, left:right] *= 1 - share
            mixed[place, :, top:bottom, left:right] += share * part
        taken = share * (bottom - top) * (right - left) / (height * width)
        others = torch.stack([labels[other] for other in pairs])
        return mixed, others, 1 - taken

    def smoothed(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with a share of the target spread evenly (Szegedy et al. 2016)."""
        share, classes = self.recipe.label_smoothing, ARCH.num_classes
        target = torch.full_like(logits, share / classes)
        target[range(len(labels)), labels] += 1 - share
        surprise = logits.exp().sum(1, keepdim=True).log() - logits
        counts = self.class_weights()
        return (target * counts * surprise).sum() / sum(counts[label] for label in labels)

    def class_weights(self) -> Tensor:
        """One over how often the training images show each class, 0 where they never do."""
        if self.recipe.class_weights == "none":
            return torch.ones(ARCH.num_classes)
        labels = self.data._train.labels.tolist()
        return torch.tensor([1 / labels.count(c) if c in labels else 0.0 for c in range(3)])

    def clipped(self, gradients: tuple[Tensor, ...]) -> list[Tensor]:
        """Scaled down to the largest norm allowed (Pascanu et al. 2013)."""
        norm = sum(float((g * g).sum()) for g in gradients) ** 0.5
        most = self.recipe.clip_norm
        return [g * (most / norm if 0 < most < norm else 1) for g in gradients]

    def average(self) -> None:
        self.steps += 1
        kept = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        for mine, theirs in zip(self.averaged, self.model.parameters(), strict=True):
            mine.mul_(kept).add_((1 - kept) * theirs.detach())


def by_hand(data: DeviceData, recipe: TrainingConfig) -> Trained:
    with torch.random.fork_rng():
        return ByHand(recipe).train(data)


@pytest.fixture(scope="module")
def base(data) -> Trained:
    return by_hand(data, TrainingConfig(**BASE))


def test_training_is_the_one_by_hand(data, base):
    assert by_trainer(data, TrainingConfig(**BASE)).distance(base) < NEAR


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_has_its_effect(data, base, name):
    recipe = TrainingConfig(**BASE | {name: CHANGES[name]})
    expected = by_hand(data, recipe)
    assert expected.distance(base) > 3 * NEAR
    assert by_trainer(data, recipe).distance(expected) < NEAR


@pytest.mark.parametrize("kernels", ["reference", "portable", "cpu"])
def test_the_kernels_are_those_asked_for(data, kernels):
    recipe = TrainingConfig(**BASE | {"kernels": kernels})
    assert Trainer(ARCH, data, recipe, SEED).model.kernels == kernels


def lopsided(prepared: PreparedData, labels: list[int]) -> DeviceData:
    """The images with these labels laid over the training images as they come."""
    train = replace(prepared.train, labels=np.resize(labels, 192))
    return DeviceData(replace(prepared, train=train))


@pytest.mark.parametrize("labels", [[0, 1, 1, 1, 2, 2], [0, 2, 2, 2]], ids=["rare", "missing"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_classes_count_by_their_weights(prepared, labels, smoothing, mixup):
    data = lopsided(prepared, labels)
    changes = {"class_weights": "balanced", "label_smoothing": smoothing, "mixup": mixup}
    recipe = TrainingConfig(**BASE | changes)
    expected = by_hand(data, recipe)
    assert by_trainer(data, recipe).distance(expected) < NEAR
    plain = recipe.model_copy(update={"class_weights": "none"})
    assert by_trainer(data, plain).distance(expected) > 3 * NEAR


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_torch_s_weighted_cross_entropy(prepared, smoothing):
    changes = {"class_weights": "balanced", "label_smoothing": smoothing, "kernels": "auto"}
    data = lopsided(prepared, [0, 1, 1, 1, 2, 2])
    trainer = Trainer(ARCH, data, TrainingConfig(**BASE | changes), SEED)
    drawn, labels = next(iter(data.drawn(64, torch.Generator().manual_seed(1))))
    images = data.prepared(drawn, torch.Generator(), Augment())
    torch.manual_seed(0)  # of dropout
    logits = trainer.model.train()(images).detach()
    weight = torch.tensor([6 / (3 * 1), 6 / (3 * 3), 6 / (3 * 2)])
    expected = F.cross_entropy(logits, labels, weight, label_smoothing=smoothing)
    torch.manual_seed(0)
    trainer.stepper()(drawn, labels, 0.1)
    assert float(trainer._total_loss) == pytest.approx(float(expected))


def test_the_validation_loss_knows_no_weights(prepared):
    data = lopsided(prepared, [0, 1, 1, 1, 2, 2])
    trainer = Trainer(ARCH, data, TrainingConfig(**BASE | {"class_weights": "balanced"}), SEED)
    images, labels = next(iter(data.validation_batches(1000)))
    with torch.no_grad():
        expected = F.cross_entropy(trainer.averaged.model(images), labels)
    assert trainer.evaluate().loss == pytest.approx(float(expected))


def test_a_part_of_the_images_has_weights_of_its_own(prepared):
    """Each class in proportion, and repeated: the whole epoch is counted."""
    part = lopsided(prepared, [0, 1, 1, 1, 2, 2]).limited(7, np.random.default_rng(0))
    batches = part.batches(192, torch.Generator())
    labels = next(iter(batches))[1]
    assert part.class_counts(4).tolist() == [int((labels == c).sum()) for c in range(4)]


def test_no_setting_is_left_out():
    others = {"kernels", "class_weights", "out_of_memory", "micro_batch"}  # have tests of their own
    assert {*CHANGES, *others} == BASE.keys() == TrainingConfig.model_fields.keys()
