"""A study with another error than the usual, from the command to what is read of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from dnsearch.arch import DenseNet
from dnsearch.arch.checkpoint import load_weights
from dnsearch.config import DataConfig
from dnsearch.data import DeviceData, prepare
from dnsearch.rundir import RunDir
from dnsearch.search.results import read_results

STUDY = """
[data]
format = "npz"
path = "toy.npz"
[space]
growth_rate = [4]
block_config = [[1], [1]]
bn_size = [0]
[objectives]
error = "balanced"
[training]
rungs = [3]
batch_size = 16
learning_rate = 0.05
kernels = "reference"
class_weights = "balanced"
[search]
trials = 1
workers = 1
device = "cpu"
"""
COUNTS = (240, 60, 20)


def write_images() -> None:
    """Bright rows (class 0), columns (1) or neither (2) under noise, ever fewer of each."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        labels = rng.permutation(np.repeat([0, 1, 2], COUNTS))
        pixels = rng.integers(0, 200, (len(labels), 8, 8))
        pixels[labels == 0, ::2] += 40
        pixels[labels == 1, :, ::2] += 40
        arrays[f"x_{split}"], arrays[f"y_{split}"] = pixels.astype(np.uint8), labels
    np.savez("toy.npz", **arrays)


def answers(arch, weights: Path) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of the validation images by the weights on disk."""
    data = DeviceData(prepare(DataConfig(format="npz", path=Path("toy.npz").resolve())))
    images, labels = next(iter(data.validation_batches(1000)))
    model = DenseNet(arch)
    load_weights(model, weights)
    with torch.no_grad():
        return labels.numpy(), model.eval()(images).argmax(1).numpy()


def test_a_balanced_error_from_the_study_to_the_report(dnsearch):
    Path("small.toml").write_text(STUDY)
    write_images()
    ended = dnsearch("run", "small.toml")
    assert ended.code == 0
    assert "3 epochs each; balanced validation error" in ended.out
    run = RunDir(Path("reports/small"))
    found = read_results(run)
    (candidate,) = found.measured
    labels, guesses = answers(candidate.arch, run.checkpoint(candidate.key, candidate.seed))
    rates = [np.mean(guesses[labels == c] != c) for c in range(3)]
    assert candidate.error == np.mean(rates)
    assert candidate.top1_error == np.mean(labels != guesses) != candidate.error
    assert candidate.class_errors == tuple(np.sum(guesses[labels == c] != c) for c in range(3))
    spread = sum(p * (1 - p) / n for p, n in zip(rates, COUNTS, strict=True)) ** 0.5 / 3
    assert candidate.error_se == spread
    assert found.least_error == 0.5 / (3 * 240)
    matrix = found.confusion(candidate)
    assert matrix.tolist() == [
        [int(np.sum((labels == a) & (guesses == b))) for b in range(3)] for a in range(3)
    ]
    assert "Errors by class" in run.report.read_text(encoding="utf-8")

    changed = STUDY.replace('class_weights = "balanced"', "")
    Path("small.toml").write_text(changed)
    refused = dnsearch("run", "small.toml")
    assert 'training.class_weights: "balanced" -> "none"' in refused.err

    done = dnsearch("confirm", "small", "--top", 1, "--sample", 0, "--seeds", 2, "--epochs", 1)
    assert done.code == 0
    assert "balanced test error" in done.out
    kept = sorted(path.name.partition(".")[2] for path in run.path.glob("confirm/**/*.*"))
    assert kept == ["pt", "test-confusion.npy", "validation-confusion.npy"]  # of the best seed
    told = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))["confirmed"]
    (network,) = told["candidates"]
    assert told["test_class_images"] == list(COUNTS)
    for error, wrong in zip(network["test_errors"], network["test_class_errors"], strict=True):
        assert error == np.mean(np.array(wrong) / COUNTS)

    trained = dnsearch("train", f"small:{candidate.key}", "--epochs", 1)
    assert trained.code == 0
    folder = Path(f"reports/small-{candidate.key}")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    for split in ("validation", "test"):
        held, taken = result[split], np.load(folder / f"confusion-{split}.npy")
        assert held["class_images"] == list(COUNTS) == taken.sum(1).tolist()
        assert held["class_errors"] == (taken.sum(1) - taken.diagonal()).tolist()
        assert held["error"] == np.mean(np.array(held["class_errors"]) / COUNTS)
    assert result["objectives"] == {"error": "balanced"}
    assert result["training"]["class_weights"] == "balanced"
    assert "balanced test error" in (folder / "network/README.md").read_text(encoding="utf-8")


def test_five_guesses_among_three_classes_are_refused(refused):
    Path("small.toml").write_text(STUDY.replace('error = "balanced"', 'error = "top5"'))
    write_images()
    message = "objectives.error needs at least 6 classes, and these images have 3, got 'top5'"
    assert refused("run", "small.toml").startswith(message)
    assert refused("train", "densenet-40-12", "--study", "small.toml").startswith(message)
