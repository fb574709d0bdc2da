import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dnsearch.arch import ArchConfig
from dnsearch.arch.checkpoint import read_weights, write_whole
from dnsearch.config import StudyConfig, TrainingConfig
from dnsearch.cost import cost_of
from dnsearch.data import DeviceData, LabelledImages
from dnsearch.errors import CheckpointError
from dnsearch.search.feasible import CostModel
from dnsearch.seeds import epoch_seed
from dnsearch.training.initial import initial_network
from dnsearch.training.trainer import Trainer

ARCH = ArchConfig(4, (1, 2), 8, 2, drop_rate=0.1, stem="cifar", in_channels=1, num_classes=3)
RECIPE = TrainingConfig(rungs=(2, 4), batch_size=32, shift=1, cutout=2)


def same(one, other):
    """Two scores but for their times."""
    timeless = {"seconds": 0.0, "images_per_second": None}
    return one.to_dict() | timeless == other.to_dict() | timeless


def test_it_learns(data):
    score = Trainer(ARCH, data, RECIPE, seed=0).train(4)
    assert score.failure is None
    assert score.error < 0.2  # guessing: 0.667
    assert score.train_loss < math.log(3)
    assert [point.epoch for point in score.curve] == [1, 2, 3, 4]
    assert score.curve[-1].error == score.error
    assert score.rung == 4
    assert score.images_per_second > 0


def test_same_seed_same_figures_other_seed_others(data):
    one, again, other = (Trainer(ARCH, data, RECIPE, seed).train(2) for seed in (1, 1, 2))
    assert same(one, again)
    assert one.loss != other.loss


@pytest.mark.parametrize("kernels", ["portable", "cpu"])
@pytest.mark.parametrize("bn_size", [0, 2])
def test_faster_kernels_train_the_same_network(data, kernels, bn_size):
    """Two epochs apart by no more than what rounding grows to."""
    arch = ARCH.replace(drop_rate=0.0, bn_size=bn_size)
    plain, fast = (
        Trainer(arch, data, RECIPE.model_copy(update={"kernels": name}), 0).train(2)
        for name in ("reference", kernels)
    )
    assert fast.loss == pytest.approx(plain.loss, rel=0.02)
    assert fast.train_loss == pytest.approx(plain.train_loss, rel=0.02)


def test_global_generator_is_left_alone(data):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Trainer(ARCH, data, RECIPE, seed=0).train(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_going_on_from_a_rung_equals_training_through(data, tmp_path):
    straight = Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt").train(4)
    Trainer(ARCH, data, RECIPE, 3, tmp_path / "b.pt").train(2)
    resumed = Trainer(ARCH, data, RECIPE, 3, tmp_path / "b.pt").train(4)
    assert same(straight, resumed)
    ours, theirs = (read_weights(tmp_path / name) for name in ("a.pt", "b.pt"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_finished_training_is_not_repeated(data, tmp_path):
    first = Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt").train(2)
    again = Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt").train(2)
    assert again == first


@pytest.mark.parametrize(
    ("arch", "recipe", "seed"),
    [
        (ARCH.replace(growth_rate=5), RECIPE, 3),
        (ARCH, RECIPE.model_copy(update={"learning_rate": 0.01}), 3),
        (ARCH, RECIPE, 4),
    ],
)
def test_another_trainings_checkpoint_is_not_taken(data, tmp_path, arch, recipe, seed):
    path = tmp_path / "a.pt"
    Trainer(ARCH, data, RECIPE, 3, path).train(1)
    assert same(Trainer(arch, data, recipe, seed, path).train(2),
                Trainer(arch, data, recipe, seed).train(2))  # fmt: skip


def test_an_unreadable_checkpoint_is_named(data, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"a\.pt: cannot be read as a checkpoint; remove it"):
        Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt").train(1)


def test_evaluation_is_of_averaged_weights_over_all_images(data):
    trainer = Trainer(ARCH, data, RECIPE, seed=0)
    score = trainer.train(1)
    images, labels = next(iter(data.validation_batches(1000)))
    with torch.no_grad():
        logits = trainer.averaged.model(images)
    assert len(labels) == 90
    assert score.error == pytest.approx((logits.argmax(1) != labels).float().mean().item())
    assert score.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


def test_a_non_finite_loss_is_a_failure_with_its_reason(data):
    recipe = RECIPE.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    score = Trainer(ARCH, data, recipe, seed=0).train(2)
    assert score.failure is not None
    assert "loss became nan in epoch 1" in score.failure
    assert score.error is None
    assert score.loss is None


def test_divergence_is_a_failure_with_its_reason(data, monkeypatch):
    trainer = Trainer(ARCH, data, RECIPE, seed=0)
    monkeypatch.setattr(trainer, "_train_epoch", lambda epoch, step: 123.0)
    assert trainer.train(2).failure.startswith(
        "diverged: mean training loss 123 in epoch 1, where guessing gives 1.1; a lower"
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_is_a_failure_that_names_the_batch(data, monkeypatch, error):
    trainer = Trainer(ARCH, data, RECIPE, seed=0)

    def fail(epoch, step):
        raise error

    monkeypatch.setattr(trainer, "_train_epoch", fail)
    told = "out of memory at batch_size 32 in 4 parts on cpu"
    assert trainer.train(2).failure == told
    whole = RECIPE.model_copy(update={"out_of_memory": "fail"})
    trainer = Trainer(ARCH, data, whole, seed=0)
    monkeypatch.setattr(trainer, "_train_epoch", fail)
    assert trainer.train(2).failure == "out of memory at batch_size 32 on cpu"


@pytest.mark.parametrize("kernels", ["reference", "portable", "auto"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_gradients_of_parts_add_up_to_the_batchs(prepared, kernels, weights, mixup):
    """Of a network whose norms look at one image at a time."""
    arch = ARCH.replace(norm="group", drop_rate=0.0)
    labels = np.resize([0, 1, 1, 1, 2, 2], len(prepared.train))  # their weights are .5 to 2
    data = DeviceData(replace(prepared, train=replace(prepared.train, labels=labels)))
    update = {"kernels": kernels, "class_weights": weights, "label_smoothing": 0.1, "mixup": mixup}
    recipe = RECIPE.model_copy(update=update)
    whole, split = (Trainer(arch, data, recipe, 1, accumulation_steps=steps) for steps in (1, 4))
    one, other = whole.train(2), split.train(2)
    assert (one.accumulation_steps, other.accumulation_steps) == (1, 4)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(split.model.state_dict()[name], weight, rtol=2e-3, atol=2e-4)
    assert other.train_loss == pytest.approx(one.train_loss, rel=1e-3)


@pytest.mark.parametrize(("batch_size", "micro_batch"), [(32, 8), (32, 12), (20, 3)])
@pytest.mark.parametrize("kernels", ["reference", "portable", "cpu"])
def test_micro_batches_train_as_a_loop_written_by_hand(prepared, batch_size, micro_batch, kernels):
    """With plain modules, whose batch norms see a micro batch at a time, and SGD by its formula."""
    arch = ARCH.replace(drop_rate=0.0)
    asked = {"batch_size": batch_size, "micro_batch": micro_batch, "kernels": kernels}
    plain = {"flip": False, "shift": 0, "ema": 0.0, "warmup": 0.0}
    recipe = TrainingConfig(rungs=(2,), **asked, **plain)
    trainer = Trainer(arch, DeviceData(prepared), recipe, seed=1)
    score = trainer.train(1)
    steps = -(-batch_size // micro_batch)
    assert score.accumulation_steps == steps

    model = initial_network(arch, 1).train()
    images = (torch.from_numpy(prepared.train.images).float() / 255 - 0.35) / 0.25
    labels = torch.from_numpy(prepared.train.labels)
    order = torch.randperm(192, generator=torch.Generator().manual_seed(epoch_seed(1, 0)))
    speeds = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    losses = []
    for batch in order[: 192 // batch_size * batch_size].view(-1, batch_size):
        gradients = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        loss, start = 0.0, 0
        for place in range(steps):  # as even as can be, the larger ones first
            size = batch_size // steps + (place < batch_size % steps)
            assert size <= micro_batch
            rows = batch[start : start + size]
            start += size
            share = F.cross_entropy(model(images[rows]), labels[rows], reduction="sum") / batch_size
            found = torch.autograd.grad(share, list(model.parameters()))
            for (name, _), gradient in zip(model.named_parameters(), found, strict=True):
                gradients[name] += gradient
            loss += share.item()
        losses.append(loss)
        with torch.no_grad():
            for name, p in model.named_parameters():
                push = gradients[name] + (5e-4 * p if p.ndim > 1 else 0)
                speeds[name] = 0.9 * speeds[name] + push
                p -= 0.1 * (push + 0.9 * speeds[name])
    assert score.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    found = trainer.model.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=2e-3, atol=2e-4, msg=name)


def test_memory_is_that_of_a_micro_batch():
    """By the formula for a batch of so many images."""
    whole = TrainingConfig(batch_size=64)
    for micro_batch, at_once in [(16, 16), (24, 22), (64, 64), (None, 64)]:
        recipe = whole.model_copy(update={"micro_batch": micro_batch})
        assert recipe.at_once == at_once
        model = CostModel.of(StudyConfig(training=recipe), (1, 8, 8), 4)
        assert model.cost(ARCH) == cost_of(ARCH, 8, 8, at_once)


@pytest.mark.parametrize("micro_batch", [None, 16, 24])
def test_a_step_keeps_activations_of_a_micro_batch_alone(prepared, micro_batch):
    arch = ARCH.replace(drop_rate=0.0)
    asked = {"batch_size": 64, "micro_batch": micro_batch, "kernels": "reference"}
    recipe = TrainingConfig(rungs=(1,), **asked, shift=0, flip=False)
    trainer = Trainer(arch, DeviceData(prepared), recipe, seed=1)
    images, labels = next(trainer.data.drawn(64, torch.Generator().manual_seed(0)))
    kept, most = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if tensor.dim() == 4 and len(tensor) > 8:  # an activation: of images, not of weights
            kept[storage.data_ptr()] = len(tensor)
        return tensor

    forward = trainer.model.forward

    def watched(batch):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = forward(batch)
        most.append(max(kept.values()))
        return logits

    trainer.model.forward = watched
    trainer.stepper()(images, labels, 0.1)
    assert max(most) == recipe.at_once
    assert len(most) == recipe.accumulation_steps


@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize(("micro_batch", "room", "steps"), [(None, 8, 4), (16, 4, 8)])
def test_what_lacks_memory_goes_on_in_parts(
    data, tmp_path, monkeypatch, done, micro_batch, room, steps
):
    """With the result of a training in parts from there on."""
    recipe = RECIPE.model_copy(update={"out_of_memory": "split", "micro_batch": micro_batch})
    for name in ("short", "whole"):
        if done:
            Trainer(ARCH, data, recipe, 0, tmp_path / name).train(done)
    trainer = Trainer(ARCH, data, recipe, 0, tmp_path / "short")
    forward = trainer.model.forward

    def short(images):
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(images)

    monkeypatch.setattr(trainer.model, "forward", short)
    found = trainer.train(2)
    whole = Trainer(ARCH, data, recipe, 0, tmp_path / "whole", accumulation_steps=steps)
    expected = whole.train(2)
    assert found.failure is None
    assert found.accumulation_steps == steps
    assert found.curve == expected.curve


@pytest.mark.parametrize("room", [1, 31, 90])
def test_where_memory_suffices_to_train_fewer_are_evaluated_at_a_time(data, monkeypatch, room):
    """And the training is what it would have been."""
    trainer = Trainer(ARCH, data, RECIPE, seed=0)
    model, most = trainer.averaged.model, []
    forward = model.forward

    def short(images):
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        most.append(len(images))
        return forward(images)

    monkeypatch.setattr(model, "forward", short)
    found, expected = trainer.train(1), Trainer(ARCH, data, RECIPE, seed=0).train(1)
    assert (found.failure, found.accumulation_steps) == (None, 1)
    assert room // 2 < max(most) <= room
    assert found.train_loss == expected.train_loss
    assert (found.error, found.loss) == pytest.approx((expected.error, expected.loss))


@pytest.mark.parametrize(
    ("side", "batch_size", "most"), [(14, 16, 500), (32, 128, 500), (64, 64, 128), (224, 4, 10)]
)
def test_of_large_images_fewer_are_evaluated_at_a_time(
    prepared, monkeypatch, side, batch_size, most
):
    part = LabelledImages(np.zeros((600, 1, side, side), np.uint8), np.arange(600) % 3)
    data = DeviceData(replace(prepared, train=part, validation=part))
    recipe = RECIPE.model_copy(update={"batch_size": batch_size})
    trainer, seen = Trainer(ARCH, data, recipe, seed=0), []

    def guess(images):
        seen.append(len(images))
        return torch.zeros(len(images), 3)

    monkeypatch.setattr(trainer.averaged.model, "forward", guess)
    trainer.evaluate()
    assert max(seen) == most


def test_what_lacked_memory_goes_on_in_parts_where_memory_is_back(data, tmp_path):
    """Or batch norms would see other batches from there on."""
    Trainer(ARCH, data, RECIPE, 0, tmp_path / "a.pt", accumulation_steps=4).train(1)
    expected = Trainer(ARCH, data, RECIPE, 0, accumulation_steps=4).train(2)
    found = Trainer(ARCH, data, RECIPE, 0, tmp_path / "a.pt").train(2)
    assert found.accumulation_steps == 4
    assert same(found, expected)


def test_a_checkpoint_that_does_not_tell_its_accumulation_steps_is_read(data, tmp_path):
    """As older versions wrote them."""
    path, expected = tmp_path / "a.pt", Trainer(ARCH, data, RECIPE, 0).train(2)
    Trainer(ARCH, data, RECIPE, 0, path).train(1)
    state = torch.load(path)
    del state["accumulation_steps"]
    torch.save(state, path)
    found = Trainer(ARCH, data, RECIPE, 0, path).train(2)
    assert same(found, expected)


def test_a_real_allocation_failure_is_recognised(data, monkeypatch):
    trainer = Trainer(ARCH, data, RECIPE, seed=0)
    monkeypatch.setattr(trainer, "_train_epoch", lambda epoch, step: torch.empty(2**60))
    assert "out of memory" in trainer.train(2).failure


def test_a_defect_is_not_hidden_as_a_failure(data, monkeypatch):
    trainer = Trainer(ARCH, data, RECIPE, seed=0)
    monkeypatch.setattr(trainer, "_train_epoch", lambda epoch, step: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        trainer.train(2)


def test_a_long_training_saves_on_the_way(data, tmp_path, monkeypatch):
    monkeypatch.setattr("dnsearch.training.trainer.SAVE_SECONDS", 0)
    trainer = Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt")

    def interrupt(point):
        if point.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(4, interrupt)
    resumed = Trainer(ARCH, data, RECIPE, 3, tmp_path / "a.pt")
    epochs = []
    score = resumed.train(4, lambda point: epochs.append(point.epoch))
    assert epochs == [3, 4]
    assert same(score, Trainer(ARCH, data, RECIPE, 3).train(4))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precisions_and_options(data, precision):
    options = {"precision": precision, "clip_norm": 1.0, "label_smoothing": 0.1, "ema": 0.0}
    recipe = TrainingConfig(rungs=(2,), batch_size=64, **options)
    score = Trainer(ARCH.replace(norm="group", bn_size=0), data, recipe, seed=0).train(2)
    assert score.failure is None
    assert math.isfinite(score.loss)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_same_seed_same_figures(prepared, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    there = DeviceData(prepared, "cuda")
    one, again = (Trainer(ARCH, there, RECIPE, seed=0).train(4) for _ in range(2))
    assert same(one, again)
    assert one.error < 0.2


class Clock:
    """Seconds that pass with each look at it; at one of them the training is killed."""

    def __init__(self, seconds=61.0, kill_at=None):
        self.seconds, self.kill_at, self.looks = seconds, kill_at, 0

    def __call__(self):
        self.looks += 1
        if self.looks == self.kill_at:
            raise KeyboardInterrupt
        return self.looks * self.seconds


RANDOM = {"flip": True, "shift": 1, "cutout": 2, "clip_norm": 1.0}
LONG = {"crop": "resized", "jitter": 0.4, "mixup": 0.5, "cutmix": 1.0}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_where_images_are_kept_changes_no_bit(prepared, mapped, tmp_path, dropout, keep):
    arch = ARCH.replace(drop_rate=dropout)
    recipe = TrainingConfig(rungs=(3,), batch_size=16, **RANDOM)
    expected, found = (
        Trainer(arch, data, recipe, 3)
        for data in (DeviceData(prepared), DeviceData(mapped(prepared, tmp_path), keep=keep))
    )
    assert same(found.train(3), expected.train(3))
    for name, value in expected.model.state_dict().items():
        assert torch.equal(value, found.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("dropout", "before", "after", "more"),
    [
        (0.0, "auto", "auto", {}),
        (0.3, "auto", "auto", {}),
        (0.3, "disk", "disk", {}),
        (0.3, "memory", "disk", {}),
        (0.3, "auto", "auto", LONG),
    ],
)
@pytest.mark.parametrize("kill_at", [9, 13, 27])
def test_a_training_killed_within_an_epoch_equals_one_that_was_not(
    prepared, mapped, tmp_path, dropout, before, after, more, kill_at
):
    """Also where images are kept elsewhere in the second session."""
    there = mapped(prepared, tmp_path)
    data = DeviceData(prepared)
    arch = ARCH.replace(drop_rate=dropout)
    recipe = TrainingConfig(rungs=(3,), batch_size=16, **RANDOM | more)  # 12 steps an epoch
    whole = Trainer(arch, data, recipe, 3)
    expected = whole.train(3)
    file = tmp_path / "a.pt"
    first = DeviceData(there, keep=before)
    with pytest.raises(KeyboardInterrupt):
        Trainer(arch, first, recipe, 3, file, clock=Clock(kill_at=kill_at)).train(3)
    saved = torch.load(file, weights_only=True)
    assert saved["within"]["steps"] % 12 > 0
    resumed = Trainer(arch, DeviceData(there, keep=after), recipe, 3, file)
    torch.manual_seed(99)  # what others have drawn meanwhile
    steps_before = saved["averaged_steps"]
    score = resumed.train(3)
    assert steps_before > 0
    assert resumed.averaged.steps == whole.averaged.steps == 36
    assert same(score, expected)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert resumed._spent.images == whole._spent.images


def test_within_an_epoch_it_saves_by_time(prepared, tmp_path):
    recipe = TrainingConfig(rungs=(1,), batch_size=16)
    places = []

    class Watched(Trainer):
        def _save(self, within=None):
            places.append(within["steps"] if within else None)
            super()._save(within)

    data = DeviceData(prepared)
    Watched(ARCH, data, recipe, 3, tmp_path / "a.pt", clock=Clock(25)).train(1)
    assert places[-1] is None
    assert 2 <= len(places) - 1 <= 6  # of 11 steps, each of which looks at a clock at least once
    places.clear()
    Watched(ARCH, data, recipe, 3, tmp_path / "b.pt", clock=Clock(0.01)).train(1)
    assert places == [None]


def test_seconds_are_counted_once(prepared, tmp_path):
    """By a clock that goes on by a second with each look, they are the looks from first to last."""
    recipe = TrainingConfig(rungs=(2,), batch_size=16)
    clock = Clock(31)
    trainer = Trainer(ARCH, DeviceData(prepared), recipe, 3, tmp_path / "a.pt", clock=clock)
    before = clock.looks
    score = trainer.train(2)
    assert score.seconds == trainer._spent.seconds
    passed = 31 * (clock.looks - before)
    assert 0.7 * passed < score.seconds <= passed
    assert trainer._spent.epoch_seconds < score.seconds


def test_a_rung_below_does_not_take_a_place_above_it(prepared, tmp_path):
    data, file = DeviceData(prepared), tmp_path / "a.pt"
    recipe = TrainingConfig(rungs=(1, 3), batch_size=16)
    Trainer(ARCH, data, recipe, 3, file).train(1)
    with pytest.raises(KeyboardInterrupt):
        Trainer(ARCH, data, recipe, 3, file, clock=Clock(kill_at=9)).train(3)
    assert torch.load(file, weights_only=True)["within"] is not None
    again = Trainer(ARCH, data, recipe, 3, file).train(1)
    assert same(again, Trainer(ARCH, data, recipe, 3).train(1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_told_as_one():
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(Path("/dev/full"), partial(torch.save, {"w": torch.zeros(9)}))
