import pytest
import torch
from torch import nn

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.config import TrainingConfig
from dnsearch.training.recipe import (
    AveragedWeights,
    cross_entropy,
    learning_rate,
    make_optimiser,
)


def test_rate_warms_up_stays_and_falls_at_the_end_of_the_top_rung():
    recipe = TrainingConfig(rungs=(2, 10), learning_rate=0.4, warmup=2, decay=0.5)
    rates = [learning_rate(recipe, epochs) for epochs in (0, 1, 2, 3.5, 5, 7.5, 10)]
    assert rates == pytest.approx([0, 0.2, 0.4, 0.4, 0.4, 0.2, 0])


def test_rate_without_warm_up_and_decay_is_constant():
    recipe = TrainingConfig(rungs=(3,), learning_rate=0.1, warmup=0, decay=0)
    assert {learning_rate(recipe, epochs) for epochs in (0, 1.5, 3)} == {0.1}


def test_norms_and_biases_are_not_decayed():
    model = DenseNet(ArchConfig(4, (1, 1), 8, stem="cifar", num_classes=3))
    decayed, others = make_optimiser(model, TrainingConfig(weight_decay=0.1)).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0
    assert all(names[id(p)].endswith("weight") for p in decayed["params"])
    assert not any("norm" in names[id(p)] for p in decayed["params"])
    assert all("norm" in names[id(p)] or "bias" in names[id(p)] for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)


@pytest.mark.parametrize("given", [float, torch.tensor])
def test_averages_are_the_written_out_recursion(given):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    averaged = AveragedWeights(model, decay=0.5)
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    for step in range(1, 15):
        model(torch.randn(8, 2))  # moves the running statistics
        with torch.no_grad():
            model[0].weight.add_(torch.randn(3, 2))
        averaged.update(given(averaged.next_share()))
        decay = min(0.5, (1 + step) / (10 + step))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                expected[key] = decay * expected[key] + (1 - decay) * value
    averaged.copy_counters()
    expected["1.num_batches_tracked"] = torch.tensor(14)
    torch.testing.assert_close(dict(averaged.model.state_dict()), expected)


def test_no_averaging_follows_the_weights():
    model = nn.Linear(2, 2)
    averaged = AveragedWeights(model, decay=0)
    with torch.no_grad():
        model.weight.add_(1)
    averaged.update(averaged.next_share())
    torch.testing.assert_close(averaged.model.weight.detach(), model.weight.detach())


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 2.0, 1.0, 0.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_probabilities_of_one_class_each_are_labels(weight, smoothing):
    """By torch's own loss of labels."""
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    ours = cross_entropy(logits, torch.eye(4)[labels], weight, smoothing)
    theirs = nn.functional.cross_entropy(logits, labels, weight, label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_mixed_image_counts_as_its_classes_do(smoothing):
    """As each image would that stood there twice, a share of it with either label."""
    logits, weight = torch.randn(2, 3), torch.tensor([0.25, 2.0, 1.0])
    targets = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
    counts = [(0, 0, 7), (0, 1, 3), (1, 2, 10)]  # tenths: image, label, how often
    rows = [image for image, _, times in counts for _ in range(times)]
    labels = torch.tensor([label for _, label, times in counts for _ in range(times)])
    expected = nn.functional.cross_entropy(logits[rows], labels, weight, label_smoothing=smoothing)
    torch.testing.assert_close(cross_entropy(logits, targets, weight, smoothing), expected)
