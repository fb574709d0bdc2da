"""The full training of one network: what it takes over from a study, and when it opens what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dnsearch.arch import PRESETS, ArchConfig
from dnsearch.config import DataConfig, StudyConfig, TrainingConfig
from dnsearch.data import prepare
from dnsearch.errors import ConfigError, DataError, RunError
from dnsearch.files import write_json
from dnsearch.rundir import RunDir
from dnsearch.training import full
from dnsearch.training.full import (
    FullTraining,
    begin,
    changes,
    record,
    require_same,
    train_fully,
    with_defaults,
)
from tests.cache import make_cache

ARCH = ArchConfig(4, (1, 1), 8, 2, stem="cifar")
RECIPE = TrainingConfig(rungs=(1, 2), batch_size=32, shift=1)


class Silent:
    def opened(self, opened):
        self.seen = opened

    def epoch(self, point):
        pass


@pytest.fixture
def study(tmp_path, monkeypatch, prepared):
    monkeypatch.setenv("DNSEARCH_CACHE", make_cache(tmp_path / "cache"))
    monkeypatch.setattr(full, "set_up", lambda *_: None)  # for the whole process
    held = prepared.validation
    parts = {"train": prepared.train, "val": held, "test": held[np.arange(60)]}
    arrays = {f"x_{name}": part.images[:, 0] for name, part in parts.items()}
    arrays |= {f"y_{name}": part.labels for name, part in parts.items()}
    np.savez(tmp_path / "toy.npz", **arrays)
    return StudyConfig(data=DataConfig(format="npz", path=tmp_path / "toy.npz"), training=RECIPE)


@pytest.fixture
def training(study):
    return FullTraining.of("toy", ARCH, study, prepare(study.data), epochs=2, seed=0)


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def test_channels_and_classes_are_the_images_and_the_rate_spans_the_epochs(training):
    assert (training.arch.in_channels, training.arch.num_classes) == (1, 3)
    assert training.arch.growth_rate == ARCH.growth_rate
    assert training.recipe.rungs == (2,)
    assert training.recipe.batch_size == RECIPE.batch_size


def test_images_too_small(study):
    images = prepare(study.data)
    with pytest.raises(ConfigError, match="input size must be at least 29x29 for 4 blocks after"):
        FullTraining.of("toy", PRESETS["densenet121"], study, images, 1, 0)
    wide = study.model_copy(update={"training": TrainingConfig(shift=8)})
    with pytest.raises(ConfigError, match=r"training\.shift must be less than .* 8 pixels, got 8"):
        FullTraining.of("toy", ARCH, wide, images, 1, 0)


def test_it_tells_of_itself_and_tests_at_the_end(training, run, monkeypatch):
    watch, order = Silent(), []
    monkeypatch.setattr(watch, "epoch", lambda point: order.append(point.epoch))
    prepare_test = full.prepare_test
    monkeypatch.setattr(
        full, "prepare_test", lambda data: order.append("test") or prepare_test(data)
    )
    trained = train_fully(training, run, "cpu", 1, watch)
    assert order == [1, 2, "test"]
    assert watch.seen.progress() == 2
    assert watch.seen.images_an_epoch == 192
    assert watch.seen.training.images.test_split
    assert trained.validation.images == 90
    assert trained.test.images == 60
    assert trained.score.error == trained.validation.error
    assert 0 <= trained.test.error < 2 / 3


def write_split(folder: Path, prefix: str, count: int, seed: int) -> None:
    """IDX files of noise in ten classes."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"{prefix}-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())


def test_the_network_sees_the_test_images_after_the_last_epoch(training, run, monkeypatch):
    """They are looked at before the first, but only to find out whether that can be done later."""
    watch, order = Silent(), []
    check_test, evaluate = full.check_test, full.Trainer.evaluate
    monkeypatch.setattr(full, "check_test", lambda data: order.append("look") or check_test(data))
    monkeypatch.setattr(watch, "epoch", lambda point: order.append(point.epoch))

    def seen(trainer, images=None):
        if images is not None:
            order.append("evaluate")
        return evaluate(trainer, images)

    monkeypatch.setattr(full.Trainer, "evaluate", seen)
    train_fully(training, run, "cpu", 1, watch)
    assert order == ["look", 1, 2, "evaluate"]


def broken_tests(tmp_path, study):
    """A training on images whose test split is damaged."""
    write_split(tmp_path, "train", 80, 0)
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(b"damaged")
    data = DataConfig(format="mnist", path=tmp_path)
    own = study.model_copy(update={"data": data})
    return FullTraining.of("toy", ARCH, own, prepare(data), epochs=2, seed=0)


def test_bad_test_images_cost_the_test_error_alone(tmp_path, study, run):
    watch = Silent()
    trained = train_fully(broken_tests(tmp_path, study), run, "cpu", 1, watch)
    (note,) = watch.seen.notes
    assert note.startswith("there will be no test error: ")
    assert "t10k-images-idx3-ubyte: must be IDX" in note
    assert trained.test is None
    assert "t10k-images-idx3-ubyte: must be IDX" in trained.untested
    assert trained.validation.images == 16


def test_test_images_mended_during_the_training_are_used(tmp_path, study, run, monkeypatch):
    watch = Silent()

    def mend(point):
        if point.epoch == 2:
            write_split(tmp_path, "t10k", 30, 1)

    monkeypatch.setattr(watch, "epoch", mend)
    trained = train_fully(broken_tests(tmp_path, study), run, "cpu", 1, watch)
    assert (trained.test.images, trained.untested) == (30, None)


@pytest.mark.parametrize(
    ("error", "told", "is_foreseen"),
    [
        (DataError("toy.npz: must hold x_test"), "toy.npz: must hold x_test", True),
        (OSError("the disk is gone"), "OSError: the disk is gone", False),
        (TypeError("no such\n argument"), "TypeError: no such argument", False),
    ],
)
def test_whatever_befalls_the_test_costs_no_weights(
    training, run, monkeypatch, caplog, error, told, is_foreseen
):
    """What nobody foresaw, such as a defect, is called by its type and logged."""

    def fail(_):
        raise error

    monkeypatch.setattr(full, "prepare_test", fail)
    trained = train_fully(training, run, "cpu", 1, Silent())
    assert (trained.test, trained.untested) == (None, told)
    assert run.checkpoint(training.arch.key, 0).is_file()
    assert [each.exc_info[1] for each in caplog.records] == ([] if is_foreseen else [error])


def test_records_of_before_a_key_was_known_are_of_its_default(training):
    before = training.record()
    before["data"] = {k: v for k, v in before["data"].items() if k not in ("test", "skip_bad")}
    del before["training"]["flip"]
    assert changes(with_defaults(before), training.record()) == []
    now = training.record()
    now["data"]["skip_bad"] = True
    now["data"]["keep"] = "disk"  # which changes no result
    assert changes(with_defaults(before), now) == ["data.skip_bad: false -> true"]


def test_a_training_that_fails_never_opens_the_test_images(training, run, monkeypatch):
    monkeypatch.setattr(full, "prepare_test", lambda _: pytest.fail("opened"))
    monkeypatch.setattr(full.Trainer, "_train_epoch", lambda *_: float("nan"))
    told = train_fully(training, run, "cpu", 1, Silent())
    assert told.startswith("training loss became nan in epoch 1; ")


def test_a_network_that_does_not_fit(training, run, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(full, "Trainer", fail)
    told = train_fully(training, run, "cpu", 1, Silent())
    assert told == "out of memory on cpu before the first image"


def test_a_defect_is_not_taken_for_lack_of_memory(training, run, monkeypatch):
    monkeypatch.setattr(full, "Trainer", lambda *_, **__: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        train_fully(training, run, "cpu", 1, Silent())


def test_changes_are_named_and_what_says_nothing_is_not():
    old = {"name": "a", "epochs": 3, "data": {"path": "x", "seed": 0, "size": None}}
    new = {"name": "b", "epochs": 3, "data": {"path": "y", "seed": 1, "size": 8}}
    assert changes(old, new) == ["data.seed: 0 -> 1", "data.size: unset -> 8"]
    assert changes(old, {"epochs": 4}) == ["epochs: 3 -> 4", "data.seed: 0 -> unset"]
    assert changes(new, new) == []


def test_a_folder_is_this_trainings_own(training, run):
    require_same(training, run, "cpu")
    train_fully(training, run, "cpu", 1, Silent())
    require_same(training, run, "cpu")
    with pytest.raises(RunError, match="was trained on cpu, and would continue on cuda"):
        require_same(training, run, "cuda:0")
    run.database.touch()
    with pytest.raises(RunError, match="holds a search; choose another --name"):
        require_same(training, run, "cpu")


def test_a_training_from_before_a_setting_goes_on_with_its_default(training, run):
    record(training, run, ("cpu",), 1)
    run.checkpoint(training.arch.key, 0).parent.mkdir(parents=True)
    run.checkpoint(training.arch.key, 0).touch()
    old = run.read_json("training.json")
    del old["objectives"], old["training"]["class_weights"]
    write_json(run.training_file, old)
    require_same(training, run, "cpu")
    weights = training.recipe.model_copy(update={"class_weights": "balanced"})
    for other, told in (
        (replace(training, recipe=weights), 'training.class_weights: "none" -> "balanced"'),
        (replace(training, error="balanced"), 'objectives.error: "top1" -> "balanced"'),
    ):
        with pytest.raises(RunError, match=told):
            require_same(other, run, "cpu")


def test_with_another_number_of_processes_it_goes_on_and_says_so(training, run):
    record(training, run, ("cpu", "cpu"), 1)
    assert run.read_json("training.json")["processes"] == [2]
    run.checkpoint(training.arch.key, 0).parent.mkdir(parents=True)
    run.checkpoint(training.arch.key, 0).touch()
    require_same(training, run, "cpu")
    (note,) = begin(training, run, ("cpu",), 1)(lambda: 1.0).notes
    assert note == "goes on with 1 process, before 2: the same but for rounding"
    assert begin(training, run, ("cpu",), 1)(lambda: 1.0).notes == ()
    assert run.read_json("training.json")["processes"] == [2, 1]
