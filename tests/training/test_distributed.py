"""Several processes that train one network together: what they find is what one finds."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig, TrainingConfig
from dnsearch.data import DeviceData
from dnsearch.errors import ConfigError, DataError, MachineError
from dnsearch.processes import Died, Said
from dnsearch.rundir import RunDir
from dnsearch.training import distributed, full, trainer
from dnsearch.training.distributed import require_shares
from dnsearch.training.full import FullTraining
from dnsearch.training.trainer import Trainer

from .conftest import make_prepared

PROCESSES = 3
"""More than two, whose sums are rounded in the same way in any order."""

ARCH = ArchConfig(4, (2, 2), 8, 0, stem="cifar", in_channels=1, num_classes=3)
CASES = {
    "augmented": (ARCH, {"shift": 1, "flip": True, "cutout": 3, "clip_norm": 0.5}),
    "long": (ARCH, {"crop": "resized", "jitter": 0.4, "mixup": 0.5, "cutmix": 1.0}),
    "mixed, weighted": (ARCH, {"class_weights": "balanced", "mixup": 1.0}),
    "dropout": (ARCH.replace(bn_size=2, drop_rate=0.2), {"label_smoothing": 0.1}),
    "weighted": (
        ARCH.replace(stem="imagenet"),
        {"class_weights": "balanced", "label_smoothing": 0.1},
    ),
    "group norm": (ARCH.replace(norm="group"), {"class_weights": "balanced"}),
    "group norm, split": (ARCH.replace(norm="group"), {"class_weights": "balanced"}),
    "micro-batches": (ARCH.replace(drop_rate=0.2), {"micro_batch": 12, "shift": 1, "cutout": 3}),
    "micro-batches, mixed, weighted": (
        ARCH,
        {"micro_batch": 18, "flip": True, "class_weights": "balanced", "cutmix": 1.0},
    ),
    "micro-batches, an image for each": (ARCH, {"micro_batch": 3, "jitter": 0.4}),
}
EXACT = {"rel": 2e-5, "abs": 2e-6}


class Stopped(Exception):
    pass


def data(rank: int, processes: int) -> DeviceData:
    """Of unequal classes, for their weights."""
    found = make_prepared()
    few = found.train.labels != 2
    few[::2] = True
    whole = DeviceData(replace(found, train=found.train[few]))
    return whole.shared(rank, processes) if processes > 1 else whole


def trained(
    case: str,
    rank: int = 0,
    processes: int = 1,
    checkpoint: Path | None = None,
    parts: int | None = None,
    epochs: int = 2,
) -> Trainer:
    arch, settings = CASES[case]
    recipe = TrainingConfig(rungs=(1, 2), batch_size=36, warmup=0, **settings)
    parts = 2 if case.endswith("split") else parts
    own = data(rank, processes)
    found = Trainer(arch, own, recipe, 0, checkpoint, accumulation_steps=parts)
    assert found.train(epochs).failure is None
    return found


def in_process(rank: int, folder: Path) -> None:
    """All that is asked of the processes, each of which takes seconds to start."""
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=PROCESSES)
    for case in CASES:
        found = trained(case, rank, PROCESSES)
        held = found.curve, found.averaged.model.state_dict(), found.measured.class_errors
        torch.save(held, folder / f"{case}-{rank}")
    # As trainer.py has it, but always saved, and stopped in the second epoch.
    trainer.SAVE_SECONDS = trainer.SAVE_WITHIN_SECONDS = -1
    trained("dropout", rank, PROCESSES, folder / "straight.pt")
    step, calls = Trainer._step, []

    def stopping(self, *arguments):
        if len(calls) == 6:
            raise Stopped
        calls.append(0)
        step(self, *arguments)

    Trainer._step = stopping
    with pytest.raises(Stopped):
        trained("dropout", rank, PROCESSES, folder / "again.pt")
    Trainer._step = step
    torch.distributed.barrier()
    if rank == 0:
        torch.save(torch.load(folder / "again.pt")["within"]["steps"], folder / "steps")
    trained("dropout", rank, PROCESSES, folder / "again.pt")
    # Begun by one process, which lacked memory.
    if rank == 0:
        for parts in (4, 5):
            trained("dropout", checkpoint=folder / f"{parts} parts.pt", parts=parts, epochs=1)
    torch.distributed.barrier()
    trained("dropout", rank, PROCESSES, folder / "4 parts.pt")
    told = "--gpus must divide each of the 5 parts that a lack of memory has made of .*36, got 3$"
    with pytest.raises(ConfigError, match=told):
        trained("dropout", rank, PROCESSES, folder / "5 parts.pt")


@pytest.fixture(scope="session")
def together(tmp_path_factory) -> Path:
    """The folder with what the processes found."""
    folder = tmp_path_factory.mktemp("together")
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in distributed._ENVIRONMENT.items():
            patch.setenv(name, value)
        started = [
            context.Process(target=in_process, args=(rank, folder)) for rank in range(PROCESSES)
        ]
        for process in started:
            process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_training_is_that_of_one_process(together, case):
    alone = trained(case)
    curve, weights, class_errors = torch.load(together / f"{case}-0", weights_only=False)
    for ours, theirs in zip(curve, alone.curve, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, **EXACT)
        assert ours.loss == pytest.approx(theirs.loss, **EXACT)
        assert ours.error == theirs.error
    assert class_errors == alone.measured.class_errors
    for name, value in alone.averaged.model.state_dict().items():
        assert torch.allclose(weights[name], value, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("case", CASES)
def test_all_processes_have_the_same_result_bit_for_bit(together, case):
    first, *others = (
        torch.load(together / f"{case}-{rank}", weights_only=False) for rank in range(PROCESSES)
    )
    for other in others:
        assert (other[0], other[2]) == (first[0], first[2])
        assert all(torch.equal(other[1][name], value) for name, value in first[1].items())


def test_a_training_that_goes_on_equals_an_uninterrupted_one_bit_for_bit(together):
    assert torch.load(together / "steps") == 2  # of the second epoch: 6 less an epoch of 4
    ours, theirs = (torch.load(together / f"{name}.pt") for name in ("again", "straight"))
    assert ours["curve"] == theirs["curve"]
    for part in ("model", "averaged"):
        assert all(torch.equal(ours[part][name], value) for name, value in theirs[part].items())


def test_parts_stay_what_they_were_with_another_number_of_processes(together):
    ours, theirs = torch.load(together / "4 parts.pt"), trained("dropout", parts=4)
    assert ours["accumulation_steps"] == 4
    for point, alone in zip(ours["curve"], theirs.curve, strict=True):
        assert point["train_loss"] == pytest.approx(alone.train_loss, **EXACT)
        assert point["loss"] == pytest.approx(alone.loss, **EXACT)


@pytest.fixture
def training(prepared):
    study = StudyConfig(training=TrainingConfig(rungs=(1,), batch_size=32))
    return FullTraining.of("toy", ARCH, study, prepared, 1, 0)


def test_batches_that_cannot_be_shared_are_refused(training):
    require_shares(training, ["cpu"] * 4)
    with pytest.raises(ConfigError, match=r"--gpus must divide training\.batch_size, 32, got 3"):
        require_shares(training, ["cpu"] * 3)
    with pytest.raises(ConfigError, match=r"--gpus must be at most 1, the GPUs there are, got 2"):
        require_shares(training, ["cuda:0"] * 2)
    large = replace(training, recipe=training.recipe.model_copy(update={"batch_size": 256}))
    with pytest.raises(ConfigError, match=r"must be 1 with fewer training images .*256, got 2"):
        require_shares(large, ["cpu"] * 2)
    mixed = replace(training, recipe=training.recipe.model_copy(update={"mixup": 0.2}))
    require_shares(mixed, ["cpu"] * 16)  # two images each
    with pytest.raises(ConfigError, match=r"batch_size, 32, into even numbers, .*, got 32"):
        require_shares(mixed, ["cpu"] * 32)
    for micro_batch, most, parts in ((8, 8, 4), (12, 1, 3)):
        recipe = training.recipe.model_copy(update={"micro_batch": micro_batch})
        parted = replace(training, recipe=recipe)
        require_shares(parted, ["cpu"] * most)
        told = f"each of the {parts} parts that training.micro_batch makes of .*, got {2 * most}"
        with pytest.raises(ConfigError, match=told):
            require_shares(parted, ["cpu"] * 2 * most)
    group = replace(training, arch=ARCH.replace(norm="group", drop_rate=0.1))
    with pytest.raises(ConfigError, match="must be 1 for a network of group norms with dropout"):
        require_shares(group, ["cpu"] * 2)
    require_shares(group, ["cpu"])


class Fake:
    """A worker that has said this."""

    def __init__(self, *said):
        self.said = [*said]

    def heard(self):
        return [self.said.pop(0)] if self.said else []


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(distributed, "wait_for", lambda *_: None)
    monkeypatch.setattr(distributed, "CAUSE_SECONDS", 0.2)

    def ends(*workers):
        told = []
        return distributed._watched(workers, ["cpu"] * len(workers), told.append), told

    return ends


def test_the_first_process_tells_and_has_the_result(watched):
    first = Fake(Said("ready"), Said("note", "point"), Said("result", "found"))
    assert watched(first, Fake(Said("ready"), Said("result", "another"))) == ("found", ["point"])


def test_one_without_memory_is_not_waited_for(watched):
    ended, _ = watched(Fake(Said("ready")), Fake(Said("result", "out of memory at batch_size 8")))
    assert ended == "out of memory at batch_size 8"


@pytest.mark.parametrize(
    ("recipe", "steps"),
    [
        ({}, [1, trainer.SPLIT_STEPS]),
        ({"out_of_memory": "fail"}, [1]),
        ({"micro_batch": 16}, [2, 2 * trainer.SPLIT_STEPS]),
        ({"micro_batch": 4}, [8, 16]),  # parts of two images
        ({"batch_size": 50}, [1, 5]),  # four parts cannot be shared
        ({"batch_size": 32, "mixup": 1.0, "micro_batch": 8}, [4, 8]),
        ({"batch_size": 2}, [1]),
    ],
)
def test_without_memory_all_begin_anew_in_parts(training, tmp_path, monkeypatch, recipe, steps):
    asked = []

    def attempt(*arguments):
        asked.append(arguments[4])
        arguments[6](None)
        return "out of memory at batch_size 32 on cuda:1"

    class Watch:
        opened = epoch = staticmethod(lambda _: asked.append("opened"))

    monkeypatch.setattr(distributed, "_attempt", attempt)
    monkeypatch.setattr(full, "check_test", lambda _: None)
    settings = training.recipe.model_copy(update=recipe)
    own = replace(training, recipe=settings), RunDir(tmp_path), ["cuda:0", "cuda:1"], 1
    assert distributed.train_together(*own, Watch()).startswith("out of memory at")
    assert asked == [steps[0], "opened", *steps[1:]]


def test_a_death_is_the_cause_of_the_errors_that_it_brings(watched):
    told = r"process 2 of 2, on cpu, died \(exit code -9\); the same command goes on"
    lost = RuntimeError("Connection closed by peer")
    with pytest.raises(MachineError, match=told):
        watched(Fake(Said("error", lost)), Fake(Said("ready"), Died(-9, True)))
    with pytest.raises(DataError, match="mine"):
        watched(Fake(Said("error", DataError("mine"))), Fake(Died(-9, True)))
    with pytest.raises(RuntimeError, match="Connection closed by peer"):
        watched(Fake(Said("error", lost)), Fake(Said("ready")))
