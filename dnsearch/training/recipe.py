"""The training recipe: learning rate, optimiser, averaged weights.

The rate warms up, stays constant, and falls to 0 only at the end of the top rung. So training to a
lower rung is the beginning of a longer training, which can be continued without loss. Averaged
weights are scored, which makes up for the decay that lower rungs lack.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnsearch.arch.densenet import DenseNet
from dnsearch.config import TrainingConfig


def learning_rate(recipe: TrainingConfig, epochs_done: float) -> float:
    """The learning rate after this many epochs, with fractions for the steps within one."""
    top = recipe.rungs[-1]
    warm = 1.0 if recipe.warmup == 0 else min(1.0, epochs_done / recipe.warmup)
    falling = recipe.decay * top
    cool = 1.0 if falling == 0 else min(1.0, (top - epochs_done) / falling)
    return recipe.learning_rate * max(0.0, min(warm, cool))


def make_optimiser(model: nn.Module, recipe: TrainingConfig) -> torch.optim.SGD:
    """SGD with Nesterov momentum (Sutskever et al. 2013), without decay of norms and biases."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        fused=True,
    )


def class_weights(counts: Tensor) -> Tensor:
    """What an image of each class counts in the loss, (classes,) float32, from how many there are:
    n / (C n_c) with C classes that occur, so 1 in the mean over images; 0 for a class without."""
    weights = counts.sum() / (counts.count_nonzero() * counts)
    return weights.float().nan_to_num(posinf=0.0)


def cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None, smoothing: float
) -> Tensor:
    """The mean cross-entropy, a tensor (), of logits (n, classes) against labels (n,) or, for mixed
    images, probabilities of labels (n, classes). ``weight`` (classes,) is what an image of each
    class counts, ``smoothing`` the share of label smoothing.

    It equals ``F.cross_entropy`` but for probabilities with weights: torch divides their sum by the
    number of images, this function by what the images weigh, as torch does for labels.
    """
    if labels.ndim == 2 and weight is not None:
        smoothed = (1 - smoothing) * labels + smoothing / len(weight)
        return -((F.log_softmax(logits, 1) * smoothed) @ weight).sum() / (labels @ weight).sum()
    if weight is None or not smoothing:
        return F.cross_entropy(logits, labels, weight, label_smoothing=smoothing)
    # Written out, since torch's waits for the device where it has both (2.13).
    log_p = F.log_softmax(logits, 1)
    uniform = -(log_p @ weight).sum() / weight[labels].sum() / len(weight)
    return (1 - smoothing) * F.nll_loss(log_p, labels, weight) + smoothing * uniform


class AveragedWeights:
    """An exponential moving average of a model's weights and running statistics.

    ``model`` is the averaged copy, in eval mode. In the first steps t the decay is at most
    (1 + t) / (10 + t), so that the random initial weights are soon forgotten (as in TensorFlow's
    ExponentialMovingAverage).
    """

    def __init__(self, model: DenseNet, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._pairs = [
            (mine, theirs.detach())
            for mine, theirs in zip(
                self.model.state_dict().values(), model.state_dict().values(), strict=True
            )
        ]
        self._floats = [pair for pair in self._pairs if pair[0].is_floating_point()]

    def next_share(self) -> float:
        """The weight that the next ``update`` gives to the model's own values."""
        self.steps += 1
        return 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))

    @torch.no_grad()
    def update(self, share: float | Tensor) -> None:
        """Averages in the model's present weights; to be called after every step. A share that is
        a tensor () is not read by the host."""
        mine, theirs = map(list, zip(*self._floats, strict=True))
        if isinstance(share, Tensor):
            apart = torch._foreach_sub(theirs, mine)  # pyright: ignore
            torch._foreach_mul_(apart, share)  # pyright: ignore
            torch._foreach_add_(mine, apart)  # pyright: ignore
        else:
            torch._foreach_lerp_(mine, theirs, share)  # pyright: ignore

    @torch.no_grad()
    def copy_counters(self) -> None:
        """Copies what is not averaged, the counts of batches; only a saved file needs them."""
        for mine, theirs in self._pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)
