"""The trainer of one network, for a few epochs in a search or for a full training.

All that is random in an epoch depends on the seed and the epoch alone; a checkpoint within an epoch
holds how far it is, and how far its generators are. So a training that is continued from a
checkpoint equals an uninterrupted one bit for bit, on the same device.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dnsearch.arch.checkpoint import write_whole
from dnsearch.arch.config import ArchConfig
from dnsearch.config import ErrorName, TrainingConfig
from dnsearch.data import Augment, DeviceData, LabelledImages
from dnsearch.data.mixing import Mix, Mixing
from dnsearch.errors import CheckpointError
from dnsearch.files import atomic, require_sound_zip
from dnsearch.rundir import confusion_file
from dnsearch.seeds import epoch_seed, mixing_seed
from dnsearch.training.captured import Captured, Record, cuda_graph
from dnsearch.training.collective import gathered, mean_over_processes, together
from dnsearch.training.device import is_out_of_memory, release_memory, uses_bf16
from dnsearch.training.initial import InitialWeights, initial_network
from dnsearch.training.measured import Measured, measured, write_confusion
from dnsearch.training.recipe import (
    AveragedWeights,
    class_weights,
    cross_entropy,
    learning_rate,
    make_optimiser,
)
from dnsearch.training.score import OUT_OF_MEMORY, CurvePoint, Score, lacked_memory

DIVERGED = 10
"""A training has diverged when its mean loss is this many times the loss of guessing."""

REMEDY = "a lower training.learning_rate or a training.clip_norm may help"

EVALUATED = 500
"""Images evaluated at a time, at most."""

EVALUATED_PIXELS = 500 * 32 * 32
"""Of larger images fewer, but no fewer than twice the images of a training step, which keeps maps
for its backward pass and so takes more memory than these."""

SAVE_SECONDS = 10
"""A training saves its state after an epoch if this long ago it last did."""

SAVE_WITHIN_SECONDS = 60
"""It also does within an epoch if this long ago it last did."""

SPLIT_STEPS = 4
"""Accumulation steps that take the place of each one for which memory does not suffice."""

Step = Callable[[Tensor, Tensor, float], None]
"""Trains on a batch: images (n, c, h, w) uint8, labels (n,), the learning rate."""


class TrainingFailed(Exception):
    """Ends a training; its text becomes ``Score.failure``."""


@dataclass
class _Spent:
    """The cost of a training so far, over all sessions; epoch_seconds are without validation."""

    seconds: float = 0.0
    epoch_seconds: float = 0.0
    images: int = 0


class Trainer:
    """Trains one architecture with one seed, on the device of ``data``, and scores it.

    ``checkpoint`` is the file that the state is saved in, and continued from if it is there and of
    the same architecture, seed, recipe and images. With None nothing is saved. ``error`` is the
    kind that is measured. ``measured`` is what was last found on the validation images.
    ``accumulation_steps``: over how many micro-batches the gradients of a batch are accumulated, as
    the recipe's ``micro_batch`` asks unless given. They add up to the batch's but for rounding;
    batch norms take their statistics from a micro-batch, and dropout draws anew. ``clock`` tells
    seconds. ``init``: what it begins with in place of random weights.

    Where the data are those of one process of several (``DeviceData.shared``), all of torch's
    default group train the same network together, each on its share of every batch, or of every
    micro-batch: gradients, losses and batch statistics are those of the whole. All have the same
    results; the first one saves.
    """

    def __init__(
        self,
        arch: ArchConfig,
        data: DeviceData,
        recipe: TrainingConfig,
        seed: int,
        checkpoint: Path | None = None,
        error: ErrorName = "top1",
        accumulation_steps: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
        init: InitialWeights | None = None,
    ) -> None:
        self._clock, self._init = clock, init
        self.arch, self.data, self.recipe, self.seed = arch, data, recipe, seed
        self.checkpoint = checkpoint
        self.error: ErrorName = error
        self.device = data.device
        self._bf16 = uses_bf16(recipe, self.device)
        self._shared = data.processes > 1
        balanced = recipe.class_weights == "balanced"
        self._weight = class_weights(data.class_counts(arch.num_classes)) if balanced else None
        augment = recipe.flip, recipe.shift, recipe.cutout, recipe.crop, recipe.jitter
        self._augment, self._mixing = Augment(*augment), Mixing(recipe.mixup, recipe.cutmix)
        self._generator = torch.Generator(self.device)
        self._begin(accumulation_steps or recipe.accumulation_steps)

    def _begin(self, accumulation_steps: int) -> None:
        """From the initial weights, with so many accumulation steps."""
        self.accumulation_steps = accumulation_steps
        trained = math.ceil(self.recipe.batch_size / accumulation_steps)
        fewest = EVALUATED_PIXELS // self.data.pixels
        self._at_once = min(EVALUATED, max(2 * trained, fewest))  # images that are evaluated
        self.measured: Measured | None = None
        self.curve: list[CurvePoint] = []
        model = initial_network(self.arch, self.seed, self._init)
        self.model = model.use_kernels(self.recipe.kernels, self.device, self._bf16, self._shared)
        self._forward: nn.Module = together(self.model) if self._shared else self.model
        self.optimiser = make_optimiser(self.model, self.recipe)
        self.averaged = AveragedWeights(self.model, self.recipe.ema)
        self._total_loss = torch.zeros((), device=self.device)  # of the epoch's steps so far
        self._spent = _Spent()
        self._within: Mapping[str, Any] | None = None  # where in an epoch the checkpoint was saved
        self._saved = self._since = self._clock()

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.curve)

    def train(self, epochs: int, on_epoch: Callable[[CurvePoint], None] | None = None) -> Score:
        """Trains until ``epochs`` are done in all, those of the checkpoint included.

        ``on_epoch`` is called after each. Where memory does not suffice, it goes on from the
        checkpoint, or begins anew, with ``SPLIT_STEPS`` times as many accumulation steps, unless
        the recipe says otherwise. Divergence, losses that are not finite and lack of memory become
        the score's ``failure``. Raises CheckpointError for a checkpoint that cannot be read,
        RunError for one that cannot be written, and MachineError where the disk is full.
        """
        failure = self._attempt(epochs, on_epoch)
        is_split = self.accumulation_steps > self.recipe.accumulation_steps
        may_split = not is_split and not self._shared  # of several processes all have to begin anew
        if self.recipe.out_of_memory == "split" and may_split and lacked_memory(failure):
            self._begin(SPLIT_STEPS * self.accumulation_steps)
            release_memory(self.device)
            failure = self._attempt(epochs, on_epoch)
        last = self.curve[-1] if self.curve else None
        found, spent = self.measured, self._spent
        score = Score(
            rung=epochs,
            seed=self.seed,
            error=last.error if last else None,
            loss=last.loss if last else None,
            train_loss=last.train_loss if last else None,
            curve=tuple(self.curve),
            seconds=spent.seconds,
            images_per_second=spent.images / spent.epoch_seconds if spent.images else None,
            error_se=found.error_se if found else None,
            top1_error=found.top1_error if found and self.error != "top1" else None,
            class_errors=found.class_errors if found and epochs == self.recipe.rungs[-1] else None,
            accumulation_steps=self.accumulation_steps,
        )
        return score.failed(failure) if failure else score

    def _attempt(
        self, epochs: int, on_epoch: Callable[[CurvePoint], None] | None = None
    ) -> str | None:
        """Trains as ``train`` says; why it failed, None where it did not."""
        try:
            self.resume(epochs)
            self._run(epochs, on_epoch)
            if self.measured is None and self.curve:  # all was done before
                self.measured = self.evaluate()
        except TrainingFailed as failed:
            return str(failed)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            steps = self.accumulation_steps
            parts = f" in {steps} parts" if steps > 1 else ""
            batch = f"batch_size {self.recipe.batch_size}{parts}"
            return f"{OUT_OF_MEMORY} at {batch} on {self.device}"
        return None

    def _run(self, epochs: int, on_epoch: Callable[[CurvePoint], None] | None) -> None:
        self._saved = self._since = self._clock()
        step = self.stepper()
        while self.epoch < epochs:
            train_loss = self._train_epoch(self.epoch, step)
            self.measured = found = self.evaluate()
            self._count_seconds()
            point = CurvePoint(self.epoch + 1, train_loss, found.error, found.loss)
            self._require_sound(point)
            self.curve.append(point)
            if on_epoch:
                on_epoch(point)
            if self.epoch == epochs or self._clock() - self._saved > SAVE_SECONDS:
                self._save()

    def _count_seconds(self) -> float:
        """Adds those since the last call to what was spent; returns them."""
        before, self._since = self._since, self._clock()
        self._spent.seconds += self._since - before
        return self._since - before

    def _train_epoch(self, epoch: int, step: Step) -> float:
        """Trains for an epoch, numbered from 0; its mean training loss, in nats."""
        seed = epoch_seed(self.seed, epoch)
        self._generator.manual_seed(seed)
        self._total_loss.zero_()
        batch_size = self.recipe.batch_size
        steps = self.data.steps(batch_size)
        within, self._within = self._within, None
        first = within["steps"] if within else 0
        self.model.train()
        self._count_seconds()
        with torch.random.fork_rng(devices=_cuda(self.device)):
            torch.manual_seed(seed)  # dropout draws from the global generator
            parts = self._steps_of(batch_size)
            batches = self.data.drawn(batch_size, self._generator, first, parts)
            if within:
                self._go_on(within)
            for done, (images, labels) in enumerate(batches, start=first + 1):
                step(images, labels, learning_rate(self.recipe, epoch + done / steps))
                self._spent.images += len(images) * self.data.processes
                if done < steps and self._clock() - self._saved > SAVE_WITHIN_SECONDS:
                    self._spent.epoch_seconds += self._count_seconds()
                    self._save(self._place(done))
        mean = self._total_loss.item() / steps
        self._spent.epoch_seconds += self._count_seconds()
        return mean

    def _place(self, steps: int) -> dict[str, Any]:
        """Where an epoch is after so many steps: what ``_go_on`` needs."""
        states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, _cuda(self.device))]
        generator, loss = self._generator.get_state(), self._total_loss.clone()
        return {"steps": steps, "generator": generator, "dropout": states, "total_loss": loss}

    def _go_on(self, within: Mapping[str, Any]) -> None:
        """Sets the generators and the loss as they were there."""
        self._generator.set_state(within["generator"].cpu())
        on_cpu, *on_gpu = (state.cpu() for state in within["dropout"])
        torch.set_rng_state(on_cpu)
        for device, state in zip(_cuda(self.device), on_gpu, strict=True):
            torch.cuda.set_rng_state(state, device)
        self._total_loss.copy_(within["total_loss"])

    def stepper(self, record: Record | None = None) -> Step:
        """What trains the model, which must be in training mode, on a batch.

        ``record`` makes later steps faster with equal results; None is a CUDA graph on a GPU, where
        this process trains alone.
        """
        if record is None and self.device.type == "cuda" and not self._shared:
            record = cuda_graph
        step = Captured(self._step, self._generator, record) if record else self._step

        def train_on(images: Tensor, labels: Tensor, rate: float) -> None:
            share = self.averaged.next_share()
            step(images, labels, rate, share, *self._draw_mix(*images.shape[-2:]))

        return train_on

    def _draw_mix(self, height: int, width: int) -> Mix | tuple[()]:
        """How the batch of this step is mixed: drawn from seed and step alone."""
        if not self._mixing:
            return ()
        rng = np.random.default_rng(mixing_seed(self.seed, self.averaged.steps))
        return self._mixing.draw(height, width, rng)

    def _step(
        self,
        images: Tensor,
        labels: Tensor,
        rate: float | Tensor,
        share: float | Tensor,
        *mix: float | Tensor,
    ) -> None:
        steps = self._steps_of(len(images) * self.data.processes)
        batch = self.data.prepared(images, self._generator, self._augment, steps)
        if mix:
            batch, labels = Mix(*mix).applied(batch, labels, self.arch.num_classes)
        self.optimiser.zero_grad()
        micro_batches = zip(batch.tensor_split(steps), labels.tensor_split(steps), strict=True)
        weighs = steps > 1 or (self._shared and self._weight is not None)
        whole = self._weight_of(labels) if weighs else None
        if isinstance(whole, Tensor):
            whole = self._mean(whole)
        for position, (some, own) in enumerate(micro_batches, start=1):
            with self._exchanged(last=position == steps):
                with self._autocast():
                    logits = self._forward(some)
                smoothing = self.recipe.label_smoothing
                loss = cross_entropy(logits.float(), own, self._weight, smoothing)
                if whole is not None:
                    loss = loss * (self._weight_of(own) / whole)
                loss.backward()
            self._total_loss += self._mean(loss.detach())
        if self.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.averaged.update(share)

    def _exchanged(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Within it a backward pass averages the gradients of all processes if it is the ``last``
        of a step, and else adds to this one's own."""
        if isinstance(self._forward, DistributedDataParallel) and not last:
            return self._forward.no_sync()
        return contextlib.nullcontext()

    def _mean(self, value: Tensor) -> Tensor:
        """Over all processes."""
        return mean_over_processes(value) if self._shared else value

    def _steps_of(self, images: int) -> int:
        """Accumulation steps of a batch of so many images: batch norms need two images in each."""
        return max(1, min(self.accumulation_steps, images // 2))

    def _weight_of(self, labels: Tensor) -> Tensor | int:
        """What images of these labels (n,), or probabilities of them, weigh together in a mean
        loss."""
        if self._weight is None:
            return len(labels)
        return (self._weight[labels] if labels.ndim == 1 else labels @ self._weight).sum()

    def evaluate(self, images: LabelledImages | None = None) -> Measured:
        """What the averaged weights get wrong on these images, or on the validation images, of
        which each process looks at its part; fewer at a time where memory does not suffice."""
        while True:
            try:
                return self._evaluated(images)
            except RuntimeError as error:
                if self._at_once == 1 or not is_out_of_memory(error):
                    raise
            self._at_once //= 2
            release_memory(self.device)

    @torch.no_grad()
    def _evaluated(self, images: LabelledImages | None) -> Measured:
        loss = torch.zeros((), device=self.device)
        none = torch.empty(0, dtype=torch.int64, device=self.device)
        answers: list[tuple[Tensor, Tensor, Tensor]] = [(none, none, none.bool())]
        if images is None:
            batches = self.data.validation_batches(self._at_once)
        else:
            batches = self.data.batches_of(images, self._at_once)
        for batch, labels in batches:
            with self._autocast():
                logits = self.averaged.model(batch)
            logits = logits.float()
            loss += F.cross_entropy(logits, labels, reduction="sum")
            predicted = logits.argmax(1)
            wrong = predicted != labels if self.error != "top5" else _outside_five(logits, labels)
            answers.append((labels, predicted, wrong))
        found = [torch.cat(each).cpu().numpy() for each in zip(*answers, strict=True)]
        total = loss.item()
        if self._shared and images is None:
            *found, totals = map(np.concatenate, gathered([*found, np.array([total])]))
            total = float(totals.sum())
        labels, predicted, wrong = found
        mean = total / len(labels)
        return measured(self.error, labels, predicted, wrong, mean, self.arch.num_classes)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)

    def _require_sound(self, point: CurvePoint) -> None:
        guessing = math.log(self.arch.num_classes)
        for name, loss in (("training", point.train_loss), ("validation", point.loss)):
            if not math.isfinite(loss):
                raise TrainingFailed(f"{name} loss became {loss} in epoch {point.epoch}; {REMEDY}")
        if point.train_loss > DIVERGED * guessing:
            raise TrainingFailed(
                f"diverged: mean training loss {point.train_loss:.3g} in epoch {point.epoch}, "
                f"where guessing gives {guessing:.3g}; {REMEDY}"
            )

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must have in common with this training to be continued."""
        recipe = self.recipe.model_dump(mode="json")
        own = {"arch": self.arch.to_dict(), "seed": self.seed, "recipe": recipe}
        init = None if self._init is None else self._init.sha256
        return {**own, "images": self.data.limit, "error": self.error, "init": init}

    def _is_own(self, state: Mapping[str, Any]) -> bool:
        """Whether a checkpoint is this training's; settings that are newer than it had their
        defaults."""
        recipe = TrainingConfig().model_dump(mode="json") | state.get("recipe", {})
        before = {"error": "top1", **state, "recipe": recipe}
        return all(before.get(name) == value for name, value in self._identity().items())

    def _save(self, within: Mapping[str, Any] | None = None) -> None:
        """Saves the state, after an epoch or at this place within one."""
        self._saved = self._clock()
        if self.checkpoint is None or self.data.rank > 0:
            return
        if self.epoch == self.recipe.rungs[-1] and self.measured is not None:
            write_confusion(self.measured, confusion_file(self.checkpoint))
        self.averaged.copy_counters()
        state = {
            **self._identity(),
            "model": self.model.state_dict(),
            "averaged": self.averaged.model.state_dict(),
            "averaged_steps": self.averaged.steps,
            "optimiser": self.optimiser.state_dict(),
            "curve": [asdict(point) for point in self.curve],
            "spent": asdict(self._spent),
            "accumulation_steps": self.accumulation_steps,
            "within": within,
        }
        with atomic(self.checkpoint) as aside:
            write_whole(aside, partial(torch.save, state))

    def resume(self, epochs: int) -> None:
        """Loads the checkpoint's state; not if there is none, it is another training's, or it has
        more than ``epochs``. Raises CheckpointError where it cannot be read, and ConfigError where
        it has parts of a batch that the processes cannot share."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return
        state = _read(self.checkpoint, self.device)
        within = state.get("within")  # older checkpoints are those of whole epochs
        if not self._is_own(state) or len(state["curve"]) + (within is not None) > epochs:
            return
        self._within = within
        self.model.load_state_dict(state["model"])
        self.averaged.model.load_state_dict(state["averaged"])
        self.averaged.steps = state["averaged_steps"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.curve = [CurvePoint(**point) for point in state["curve"]]
        self._spent = _Spent(**state["spent"])
        # As many as before, or batch norms would see other batches; more where memory lacks now.
        before = state.get("accumulation_steps", 1)  # older checkpoints do not tell
        self.accumulation_steps = max(before, self.accumulation_steps)
        if self._shared:
            parts = self._steps_of(self.recipe.batch_size)
            self.recipe.require_shares(parts, self.data.processes)


def _read(path: Path, device: torch.device) -> Mapping[str, Any]:
    try:
        require_sound_zip(path)
        return torch.load(path, map_location=device, weights_only=True)
    except Exception:  # torch raises half a dozen types, in programmers' terms
        raise CheckpointError(f"{path}: cannot be read as a checkpoint; remove it") from None


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _outside_five(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the class of each image is not among the five likeliest, (n,)."""
    return (logits.topk(5, dim=1).indices != labels[:, None]).all(1)
