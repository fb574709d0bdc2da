"""Errors by kind and by class, against counting the images one by one."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dnsearch.arch import ArchConfig
from dnsearch.config import ObjectivesConfig, TrainingConfig
from dnsearch.data import DeviceData, LabelledImages
from dnsearch.errors import ConfigError
from dnsearch.rundir import confusion_file
from dnsearch.training.measured import (
    effective_images,
    error_of,
    least_error,
    measured,
    read_confusion,
)
from dnsearch.training.score import Score
from dnsearch.training.trainer import Trainer

ARCH = ArchConfig(4, (1, 1), 8, 2, stem="cifar", in_channels=1, num_classes=3)
RECIPE = TrainingConfig(rungs=(1, 2), batch_size=32, shift=1)
CLASSES = 7


@pytest.fixture(scope="module")
def answers():
    """Labels of classes of which one never occurs, and answers that are right half of the time."""
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, 400, p=[0.5, 0.2, 0.1, 0.1, 0.06, 0.04, 0.0])
    guesses = np.where(rng.random(400) < 0.5, labels, rng.integers(0, CLASSES, 400))
    return labels, guesses


@pytest.mark.parametrize("kind", ["top1", "balanced"])
def test_each_kind_is_what_counting_gives(answers, kind):
    labels, guesses = answers
    found = measured(kind, labels, guesses, labels != guesses, 1.0, CLASSES)
    pairs = list(zip(labels.tolist(), guesses.tolist(), strict=True))
    wrong = [sum(a == c != b for a, b in pairs) for c in range(CLASSES)]
    there = [sum(a == c for a, _ in pairs) for c in range(CLASSES)]
    assert there[-1] == 0
    assert found.class_errors == tuple(wrong)
    assert found.class_images == tuple(there)
    assert found.top1_error == sum(wrong) / 400
    each = [w / n for w, n in zip(wrong, there, strict=True) if n]
    assert found.error == pytest.approx({"top1": sum(wrong) / 400, "balanced": sum(each) / 6}[kind])
    for a in range(CLASSES):
        assert [pairs.count((a, b)) for b in range(CLASSES)] == found.confusion[a].tolist()


@pytest.mark.parametrize("kind", ["top1", "balanced"])
def test_standard_errors_against_other_images(answers, kind):
    """The spread of the error over images drawn anew, as many of each class as there were."""
    labels, guesses = answers
    if kind == "top1":  # its images may be of any class
        labels = np.zeros_like(labels)
        guesses = (answers[0] != answers[1]).astype(int)
    found = measured(kind, labels, guesses, labels != guesses, 1.0, CLASSES)
    there = np.array(found.class_images)
    rates = np.divide(found.class_errors, there, where=there > 0, out=np.zeros(CLASSES))
    drawn = np.random.default_rng(1).binomial(there, rates, (20_000, CLASSES))
    spread = np.std([error_of(kind, each, there)[0] for each in drawn])
    assert found.error_se == pytest.approx(spread, rel=0.03)


def test_standard_errors_claim_no_more_than_the_images_show():
    none = np.zeros(2, int)
    assert error_of("balanced", none, np.array([760, 40])) == pytest.approx((0, 0.01234), abs=1e-5)
    assert error_of("balanced", np.array([760, 40]), np.array([760, 40]))[1] > 0.01
    one_each = error_of("balanced", np.array([1, 0, 0, 0]), np.ones(4, int))
    assert one_each == pytest.approx((0.25, math.sqrt(0.25 * 0.75 / 4)))
    assert math.isnan(error_of("balanced", np.array([1]), np.array([1]))[1])


def test_least_error_is_half_of_the_smallest_there_can_be():
    images = np.array([760, 40, 0])
    smallest = {
        kind: min(error_of(kind, np.eye(3, dtype=int)[c], images)[0] for c in (0, 1))
        for kind in ("top1", "balanced")
    }
    assert smallest == {"top1": 1 / 800, "balanced": 1 / 1520}
    assert {kind: 2 * least_error(kind, images) for kind in smallest} == smallest


def test_effective_images_are_those_of_a_share_as_sure():
    images = np.array([760, 40, 0])
    assert effective_images("top1", images) == 800
    few = effective_images("balanced", images)
    assert few == pytest.approx(152)
    _, spread = error_of("balanced", np.array([190, 10, 0]), images)  # a quarter of each class
    assert spread == pytest.approx((0.25 * 0.75 / few) ** 0.5)


def test_top5_counts_what_five_guesses_miss(prepared):
    """A network of eight classes whose logits are sorted by hand."""
    labels = np.arange(90) % 8
    part = LabelledImages(prepared.validation.images, labels)
    data = DeviceData(replace(prepared, validation=part))
    trainer = Trainer(ARCH.replace(num_classes=8), data, RECIPE, 0, error="top5")
    found = trainer.evaluate()
    with torch.no_grad():
        logits = trainer.averaged.model(next(iter(data.validation_batches(100)))[0]).numpy()
    missed = [label not in np.argsort(row)[-5:] for row, label in zip(logits, labels, strict=True)]
    assert 0 < found.error == np.mean(missed) < found.top1_error
    assert found.top1_error == np.mean(logits.argmax(1) != labels)
    by_class = [sum(m for m, at in zip(missed, labels, strict=True) if at == c) for c in range(8)]
    assert found.class_errors == tuple(by_class)


def test_top5_needs_six_classes():
    ObjectivesConfig(error="top5").require_classes(6)
    ObjectivesConfig(error="balanced").require_classes(2)
    with pytest.raises(ConfigError, match=r"^objectives\.error needs at least 6 .* have 5, got"):
        ObjectivesConfig(error="top5").require_classes(5)


def test_with_very_many_classes_nothing_is_kept_by_class():
    labels = np.arange(1001)
    found = measured("balanced", labels, labels[::-1].copy(), labels != labels[::-1], 1.0, 1001)
    assert found.error == pytest.approx(1000 / 1001)
    assert math.isfinite(found.error_se)
    assert (found.class_errors, found.class_images, found.confusion) == (None, None, None)


@pytest.fixture(scope="module")
def lopsided(prepared):
    """Noise, of which nine in ten are of one class: the best answer is always that class."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [180, 10, 10])
    part = LabelledImages(rng.integers(0, 256, (200, 1, 8, 8), np.uint8), labels)
    return DeviceData(replace(prepared, train=part, validation=part))


def test_always_answering_the_commonest_class_is_balanced_s_worst(lopsided):
    recipe = TrainingConfig(rungs=(3,), batch_size=20, learning_rate=0.02)
    plain, balanced = (
        Trainer(ARCH, lopsided, recipe, 0, error=kind).train(3) for kind in ("top1", "balanced")
    )
    assert plain.class_errors == balanced.class_errors == (0, 10, 10)  # it does answer that
    assert plain.error == 0.1
    assert plain.top1_error is None
    assert balanced.error == pytest.approx(1 - 1 / 3)
    assert balanced.curve[-1].error == balanced.error
    assert balanced.top1_error == 0.1


def test_only_trainings_to_the_top_rung_have_errors_by_class(data, tmp_path):
    path = tmp_path / "1.pt"
    lower = Trainer(ARCH, data, RECIPE, 0, path).train(1)
    assert lower.class_errors is None
    assert not confusion_file(path).exists()
    trainer = Trainer(ARCH, data, RECIPE, 0, path)
    top = trainer.train(2)
    assert sum(top.class_errors) == round(90 * top.error)
    matrix = read_confusion(confusion_file(path))
    assert matrix.dtype == np.int32
    assert (matrix.sum(1) - matrix.diagonal()).tolist() == list(top.class_errors)
    assert Score.from_dict(top.to_dict()) == top


def test_a_score_that_an_older_version_stored_is_read():
    stored = (
        '{"rung": 1, "seed": 7, "error": 0.25, "loss": 0.5, "train_loss": 0.4, "curve": '
        '[{"epoch": 1, "train_loss": 0.4, "error": 0.25, "loss": 0.5}], "parts": 4}'
    )
    score = Score.from_dict(json.loads(stored))
    assert (score.seed, score.error, score.accumulation_steps) == (7, 0.25, 4)
    assert "parts" not in score.to_dict()


def test_a_finished_training_has_them_again(data, tmp_path):
    first = Trainer(ARCH, data, RECIPE, 0, tmp_path / "1.pt").train(2)
    again = Trainer(ARCH, data, RECIPE, 0, tmp_path / "1.pt").train(2)
    assert again == first
    assert again.class_errors is not None


def test_another_kind_of_error_is_another_training(data, tmp_path):
    Trainer(ARCH, data, RECIPE, 0, tmp_path / "1.pt").train(1)
    other = Trainer(ARCH, data, RECIPE, 0, tmp_path / "1.pt", "balanced")
    other.resume(2)
    assert other.epoch == 0


def test_checkpoints_from_before_these_settings_go_on(data, tmp_path):
    path = tmp_path / "1.pt"
    Trainer(ARCH, data, RECIPE, 0, path).train(1)
    state = torch.load(path, weights_only=True)
    del state["error"], state["recipe"]["class_weights"]
    torch.save(state, path)
    trainer = Trainer(ARCH, data, RECIPE, 0, path)
    trainer.resume(2)
    assert trainer.epoch == 1
    weighted = RECIPE.model_copy(update={"class_weights": "balanced"})
    other = Trainer(ARCH, data, weighted, 0, path)
    other.resume(2)
    assert other.epoch == 0


def test_matrices_that_cannot_be_read_are_none(tmp_path):
    assert read_confusion(tmp_path / "none.npy") is None
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    assert read_confusion(tmp_path / "torn.npy") is None
    (tmp_path / "empty.npy").touch()
    assert read_confusion(tmp_path / "empty.npy") is None
