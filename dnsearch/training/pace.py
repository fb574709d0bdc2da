"""How fast a network trains here, measured on a few steps."""

from __future__ import annotations

import statistics
import time

import torch

from dnsearch.arch.config import ArchConfig
from dnsearch.config import Keep, TrainingConfig
from dnsearch.data import DeviceData, PreparedData
from dnsearch.seeds import derived_seed
from dnsearch.training.captured import PLAIN_CALLS
from dnsearch.training.device import is_out_of_memory, set_up
from dnsearch.training.trainer import Trainer

WARM_UP = PLAIN_CALLS + 1
"""Steps that are not timed: the first allocate memory, choose algorithms, and are recorded."""

TIMED_SECONDS = 1.0
"""Steps are timed until they have taken so many seconds together."""


def seconds_a_step(
    arch: ArchConfig,
    images: PreparedData,
    recipe: TrainingConfig,
    device: str,
    threads: int,
    keep: Keep = "auto",
) -> float | None:
    """The duration of a training step, in seconds, with images kept so (``data.keep``); None where
    memory does not suffice. Sets this process up for training."""
    set_up(device, threads)
    try:
        trainer = Trainer(arch, DeviceData(images, device, keep), recipe, seed=0)
        return _timed(trainer)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def _timed(trainer: Trainer) -> float:
    """The median duration of a step, in seconds, which other work on the machine moves least."""
    trainer.model.train()
    step, rate = trainer.stepper(), trainer.recipe.learning_rate
    durations: list[float] = []
    while True:
        seed = derived_seed("pace", len(durations))
        generator = torch.Generator(trainer.device).manual_seed(seed)
        last = time.perf_counter()
        for images, labels in trainer.data.drawn(trainer.recipe.batch_size, generator):
            step(images, labels, rate)
            if trainer.device.type == "cuda":
                torch.cuda.synchronize(trainer.device)
            now = time.perf_counter()
            durations.append(now - last)
            last = now
            if len(durations) > WARM_UP and sum(durations[WARM_UP:]) > TIMED_SECONDS:
                return statistics.median(durations[WARM_UP:])
