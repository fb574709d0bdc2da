import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dnsearch.arch import ArchConfig
from dnsearch.arch.checkpoint import read_weights, write_whole
from dnsearch.config import TrainingConfig
from dnsearch.data import DeviceData
from dnsearch.errors import CheckpointError
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
def test_gradients_of_parts_add_up_to_the_batchs(data, kernels, weights):
    """Of a network whose norms look at one image at a time."""
    arch = ARCH.replace(norm="group", drop_rate=0.0)
    update = {"kernels": kernels, "class_weights": weights, "label_smoothing": 0.1}
    recipe = RECIPE.model_copy(update=update)
    whole, split = (Trainer(arch, data, recipe, seed=1, parts=parts) for parts in (1, 4))
    one, other = whole.train(2), split.train(2)
    assert (one.parts, other.parts) == (1, 4)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(split.model.state_dict()[name], weight, rtol=2e-3, atol=2e-4)
    assert other.train_loss == pytest.approx(one.train_loss, rel=1e-3)


@pytest.mark.parametrize("done", [0, 1])
def test_what_lacks_memory_goes_on_in_parts(data, tmp_path, monkeypatch, done):
    """With the result of a training in parts from there on."""
    recipe = RECIPE.model_copy(update={"out_of_memory": "split"})
    for name in ("short", "whole"):
        if done:
            Trainer(ARCH, data, recipe, 0, tmp_path / name).train(done)
    trainer = Trainer(ARCH, data, recipe, 0, tmp_path / "short")
    forward = trainer.model.forward

    def short(images):
        if len(images) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(images)

    monkeypatch.setattr(trainer.model, "forward", short)
    found = trainer.train(2)
    expected = Trainer(ARCH, data, recipe, 0, tmp_path / "whole", parts=4).train(2)
    assert found.failure is None
    assert found.parts == 4
    assert found.curve == expected.curve


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_told_as_one():
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(Path("/dev/full"), partial(torch.save, {"w": torch.zeros(9)}))
