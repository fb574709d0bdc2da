"""``StudyConfig`` and its sections: every key of a study file, its default and its meaning.

The descriptions are what ``dnsearch init`` writes above each key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dnsearch.arch.config import ArchConfig, Stem
from dnsearch.arch.kernels import Kernels
from dnsearch.arch.presets import PRESETS
from dnsearch.arch.space import TWICE_GROWTH, SearchSpace
from dnsearch.config.values import (
    Choices,
    CostName,
    Count,
    Design,
    Device,
    Format,
    InitFeatures,
    Norms,
    Numbers,
    Seconds,
    Seed,
    Share,
    Whole,
)
from dnsearch.errors import ConfigError, nearest


class Section(BaseModel):
    """A table of the study file: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(Section):
    """Images and their split. The test split is never read by a search."""

    format: Format = Field(
        default="fashion-mnist-16k",
        description="fashion-mnist-16k (shipped), mnist, fashion-mnist, cifar10, cifar100, "
        "parquet, folder or npz",
    )
    path: Path | None = Field(
        default=None,
        strict=False,
        description="folder or file of images, seen from this file; none for the shipped subset",
    )
    image_size: Count | None = Field(
        default=None,
        le=4096,
        description="side in pixels that images are resized to; as they are if not set",
    )
    validation: Share = Field(
        default=0.2,
        gt=0,
        description="share of the training images held out where the source has no split",
    )
    train_images: Count | None = Field(
        default=None,
        description="use only this many training images, of each class its share; all if unset",
    )
    seed: Seed = Field(default=0, description="seed of the split")


class SpaceConfig(Section):
    """Choices for the architecture: a list, one value, or a range {min, max, step}."""

    growth_rate: Choices = Field(
        default=tuple(range(4, 25, 4)), description="feature maps that each layer adds"
    )
    block_config: Annotated[tuple[Choices, ...], Field(strict=False)] = Field(
        default=((1, 2, 3, 4, 5, 6),) * 3, description="layers of each block: one entry a block"
    )
    bn_size: Choices = Field(
        default=(0, 2, 4), description="bottleneck width in growth rates; 0 is no bottleneck"
    )
    num_init_features: InitFeatures = Field(
        default=(TWICE_GROWTH,), description='channels behind the stem: numbers or "2x growth"'
    )
    compression: Numbers = Field(default=(0.5,), description="share of channels a transition keeps")
    drop_rate: Numbers = Field(default=(0.0,), description="dropout behind each layer")
    norm: Norms = Field(default=("batch",), description="batch or group")
    stem: Stem = Field(
        default="cifar",
        description="cifar (3x3) for images up to about 64 pixels, imagenet (7x7/2, pool)",
    )

    def model_post_init(self, _: Any) -> None:
        self.build(in_channels=1, num_classes=2)  # to check it: its rules are the same for any data

    def build(self, in_channels: int, num_classes: int) -> SearchSpace:
        """The space for images of these channels and classes."""
        return SearchSpace(**dict(self), in_channels=in_channels, num_classes=num_classes)


class LimitsConfig(Section):
    """Upper bounds, checked on the exact cost before anything is trained; unset means none."""

    max_params: Count | None = Field(default=None, description="parameters")
    max_macs: Count | None = Field(default=None, description="multiply-adds of one image")
    max_activations: Count | None = Field(
        default=None, description="elements convolutions write, one image"
    )
    max_train_bytes: Count | None = Field(
        default=None, description="bytes that a training step holds at training.batch_size"
    )
    max_latency_ms: float | None = Field(
        default=None,
        gt=0,
        description="milliseconds, measured; slower candidates stay off the front",
    )


class ObjectivesConfig(Section):
    """What is traded against validation error."""

    costs: Annotated[tuple[CostName, ...], Field(strict=False, min_length=1)] = Field(
        default=("macs",), description="one or more of params, macs, activations, latency_ms"
    )
    latency_batch: Count = Field(default=1, description="images a batch when latency is measured")
    axis: Literal["log", "linear"] = Field(
        default="log",
        description="axis of the costs on which hypervolume is measured and known-cost decides",
    )
    reference: dict[str, float] = Field(
        default_factory=dict,
        description="reference point of the hypervolume, such as {error = 0.5, macs = 5e6}; what "
        "is not given: the error of guessing, 1.1 times the largest cost allowed",
    )

    def model_post_init(self, _: Any) -> None:
        if len(set(self.costs)) < len(self.costs):
            raise ConfigError("costs", "must not repeat a cost", list(self.costs))
        names = ("error", *self.costs)
        for name, value in self.reference.items():
            field = f"reference.{name}"
            if name not in names:
                raise ConfigError(field, f"must be one of {', '.join(names)}", value)
            if value <= 0 or (name == "error" and value > 1):
                rule = "must be above 0"
                rule += " and at most 1" if name == "error" else ""
                raise ConfigError(field, rule, value)


class TrainingConfig(Section):
    """How a candidate is trained and scored."""

    rungs: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = Field(
        default=(1, 3, 9),
        description="epochs of each rung, rising; known-cost and mo-asha may screen a candidate at "
        "a lower one, all others train to the last",
    )
    batch_size: Count = Field(default=128, ge=2, description="images a step, 2 or more")
    learning_rate: float = Field(default=0.1, gt=0, description="of SGD with Nesterov momentum")
    momentum: Share = Field(default=0.9, description="Nesterov momentum")
    weight_decay: float = Field(default=5e-4, ge=0, description="not on norms and biases")
    warmup: float = Field(
        default=0.5, ge=0, description="epochs of linear warm-up, constant behind it"
    )
    decay: Share = Field(
        default=0.3, description="last share of the top rung in which the rate falls to 0"
    )
    ema: Share = Field(
        default=0.98, description="averaging of weights a step; 0 scores the raw weights"
    )
    label_smoothing: Share = Field(default=0.0, description="of the training loss")
    clip_norm: float = Field(default=0.0, ge=0, description="largest gradient norm; 0 is off")
    flip: bool = Field(default=True, description="mirror images at random")
    shift: Whole = Field(
        default=2, ge=0, description="pixels by which images are shifted at random"
    )
    cutout: Whole = Field(
        default=0, ge=0, description="side of a square blanked at random; 0 is off"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 on a GPU that has it, else fp32"
    )
    kernels: Kernels = Field(
        default="auto",
        description="auto: the fastest there is here; reference, portable, cpu (C++), triton",
    )

    def model_post_init(self, _: Any) -> None:
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ConfigError("rungs", "must rise", list(self.rungs))

    def require_room(self, height: int, width: int) -> None:
        """Raises ConfigError where augmentation would leave nothing of an image of this size."""
        side = min(height, width)
        for name in ("shift", "cutout"):
            if getattr(self, name) >= side:
                rule = f"must be less than the images' side of {side} pixels"
                raise ConfigError(f"training.{name}", rule, getattr(self, name))


Sampler = Literal[
    "known-cost", "mo-asha", "tpe", "nsga2", "gp", "random", "grid", "stratified", "scaling"
]
SCREENING = ("known-cost", "mo-asha")
"""Samplers that say how long to train; the others train everything to the top rung."""

DESIGNS = ("grid", "stratified", "scaling")
"""Samplers that learn nothing: they go through the space in an order fixed beforehand."""

REPLICATING = ("grid", "stratified")
"""Those that train an architecture as often as the study says."""


class SearchConfig(Section):
    """How candidates are chosen and run."""

    sampler: Sampler = Field(
        default="known-cost",
        description="known-cost, or for comparison mo-asha, tpe, nsga2, gp, random; grid, "
        "stratified and scaling (dnsearch scale) are fixed designs",
    )
    replicates: Count = Field(
        default=1,
        description="trainings of each architecture, each with its own seed (grid, stratified)",
    )
    trials: Count = Field(
        default=50,
        description="trainings, over all sittings, failed ones included; going on from a lower "
        "rung is one of its own",
    )
    time: Seconds | None = Field(
        default=None, description="time over all sittings, such as 45m; no limit if unset"
    )
    seed: Seed = Field(default=0, description="seed of every random choice")
    device: Device = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    workers: Count | None = Field(
        default=None,
        le=1024,
        description="trainings at a time; if unset one a GPU or core, but 1 where latency counts",
    )
    timeout: Seconds = Field(
        default=86400, description="a candidate that trains longer counts as failed"
    )
    zero_cost: bool = Field(
        default=False,
        description="also record scores of untrained networks (synflow, naswot, jacob_cov, snip, "
        "grad_norm), for `dnsearch confirm` to judge; no sampler uses them",
    )
    start: tuple[Design, ...] = Field(
        default=(),
        strict=False,
        description="designs to try first, within the limits: preset names, or tables such as "
        "{growth_rate = 12}, whose other fields are the first choices of [space]",
    )
    keep_checkpoints: Literal["front", "all"] = Field(
        default="front",
        description="weights kept on disk: of the Pareto front, or of every candidate",
    )

    def model_post_init(self, _: Any) -> None:
        if self.replicates > 1 and self.sampler not in REPLICATING:
            rule = f"must be 1 with sampler {self.sampler!r}"
            raise ConfigError("replicates", rule, self.replicates, "or take grid or stratified")


class StudyConfig(Section):
    """A whole study, as read from its file."""

    data: DataConfig = Field(default_factory=DataConfig)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    objectives: ObjectivesConfig = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)

    def model_post_init(self, _: Any) -> None:
        self.start_configs(self.space.build(in_channels=1, num_classes=2))  # to check them

    @property
    def measures_latency(self) -> bool:
        """Whether every candidate's latency is needed."""
        return "latency_ms" in self.objectives.costs or self.limits.max_latency_ms is not None

    def start_configs(self, space: SearchSpace) -> list[ArchConfig]:
        """The known designs of ``search.start``, with the data's channels and classes.

        Fields that a table leaves out are the space's first choices.
        """
        configs = []
        for position, design in enumerate(self.search.start):
            try:
                configs.append(_design(design, space))
            except ConfigError as error:
                raise error.within(f"search.start[{position}]") from None
        return configs


def _design(design: str | Mapping[str, Any], space: SearchSpace) -> ArchConfig:
    fixed = {"in_channels": space.in_channels, "num_classes": space.num_classes}
    if isinstance(design, str):
        if design not in PRESETS:
            raise ConfigError("", "must be a known preset", design, nearest(design, PRESETS))
        return PRESETS[design].replace(**fixed)
    for name in fixed.keys() & design.keys():
        raise ConfigError(name, "is given by the images", design[name], "leave it out")
    values = {"num_init_features": space.num_init_features[0], **design}
    if values["num_init_features"] == TWICE_GROWTH:
        del values["num_init_features"]
        config = ArchConfig.from_dict(space.config({}).to_dict() | values)
        return config.replace(num_init_features=2 * config.growth_rate)
    return ArchConfig.from_dict(space.config({}).to_dict() | values)
