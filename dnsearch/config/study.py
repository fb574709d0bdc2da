"""``StudyConfig`` and its sections: every key of a study file, its default and its meaning.

``dnsearch init`` writes the descriptions above the keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.kernels import Kernels
from dnsearch.arch.presets import PRESETS
from dnsearch.arch.space import TWICE_GROWTH, SearchSpace
from dnsearch.config.values import (
    AUTO_RUNGS,
    Address,
    Aim,
    Amount,
    Bytes,
    Choices,
    ChoicesByBlock,
    Colour,
    CostName,
    Count,
    Crop,
    Design,
    Device,
    ErrorName,
    Fit,
    Format,
    InitFeatures,
    Keep,
    Milliseconds,
    Norms,
    Number,
    Numbers,
    Rungs,
    Seconds,
    Seed,
    Share,
    Stems,
    Whole,
    parse_milliseconds,
    parse_share,
)
from dnsearch.errors import ConfigError, nearest


class Section(BaseModel):
    """A section of the study file: frozen, without unknown keys or silent conversion of types."""

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
        description="folder or file of images, relative to this file; none for the shipped subset",
    )
    image_size: Count | None = Field(
        default=None,
        le=4096,
        description="side in pixels that images are resized to; not resized if unset",
    )
    fit: Fit = Field(
        default="crop",
        description="how a picture that is not square becomes image_size x image_size: crop takes "
        "its largest centred square, pad shows all of it with background beside it, squash all of "
        "it, distorted",
    )
    label: str | None = Field(
        default=None, description="parquet: column of labels; found by its name and type if unset"
    )
    image: str | None = Field(
        default=None, description="parquet: column of pictures; found by its type if unset"
    )
    background: Colour = Field(
        default="white",
        description="colour behind transparent parts of pictures and beside padded ones, such as "
        '"black" or "#808080"',
    )
    skip_bad: bool = Field(
        default=False,
        description="leave out pictures that cannot be read, instead of refusing the data",
    )
    draft: bool = Field(
        default=False,
        description="decode JPEGs at 1/2 to 1/8 of their size where that is at least twice "
        "image_size: about twice as fast, pixels differ a little",
    )
    validation: Share = Field(
        default=0.2,
        gt=0,
        description="share of the training images held out if there is no validation split",
    )
    test: Share | None = Field(
        default=None,
        gt=0,
        description="share of the training images held out as test images, which no search sees, "
        "if there is no test split; none if unset",
    )
    train_images: Amount | None = Field(
        default=None,
        description="number of training images to use, each class in proportion; all if unset",
    )
    validation_images: Amount | None = Field(
        default=None,
        description="number of validation images to use, each class in proportion; all if unset",
    )
    seed: Seed = Field(default=0, description="seed of the split")
    keep: Keep = Field(
        default="auto",
        description="where decoded images are while training: memory is for those that the free "
        "memory holds, disk reads each batch from the cache ahead of its step, device copies all "
        "to the GPU; auto takes device, memory or disk by what is free; results are the same",
    )

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError where nothing is left to train on, or format has no such key."""
        if self.validation + (self.test or 0) >= 1:
            raise ConfigError("test", "must leave training images beside validation", self.test)
        for name in ("label", "image"):
            if getattr(self, name) is not None and self.format != "parquet":
                rule = f"must be unset for format {self.format!r}, which has no columns"
                raise ConfigError(name, rule, getattr(self, name))


class SpaceConfig(Section):
    """Choices for the architecture: a list, one value, or a range {min, max, step}."""

    growth_rate: ChoicesByBlock = Field(
        default=tuple(range(4, 25, 4)),
        description="feature maps that each layer adds; choices for all blocks, or a list for each",
    )
    growth_ratio: Numbers = Field(
        default=(1.0,),
        description="growth rate of a block divided by that of the previous one: 2 with "
        "growth_rate 6 is 6, 12, 24; 1 is the same everywhere",
    )
    growth_divisor: Count = Field(
        default=1, description="growth rates made by growth_ratio are rounded to multiples of this"
    )
    block_config: Annotated[tuple[Choices, ...], Field(strict=False)] = Field(
        default=((1, 2, 3, 4, 5, 6),) * 3, description="layers of each block: one entry a block"
    )
    bn_size: ChoicesByBlock = Field(
        default=(0, 2, 4),
        description="bottleneck width in growth rates, 0 is no bottleneck; choices for all blocks, "
        "or a list for each",
    )
    bn_cap: Numbers = Field(
        default=(0.0,),
        description="bn_size is lowered, not below 1, where a bottleneck would be wider than this "
        "multiple of the channels that enter its block; 0 is no cap",
    )
    num_init_features: InitFeatures = Field(
        default=(TWICE_GROWTH,), description='channels after the stem: numbers or "2x growth"'
    )
    compression: Numbers = Field(default=(0.5,), description="share of channels a transition keeps")
    drop_rate: Numbers = Field(default=(0.0,), description="share of new maps that a layer drops")
    norm: Norms = Field(default=("batch",), description="batch or group")
    transition: ChoicesByBlock = Field(
        default=("pool",),
        description="between blocks: pool halves the resolution, narrow only takes fewer channels; "
        "choices for all transitions, or a list for each",
    )
    stem: Stems = Field(
        default=("cifar",),
        description="cifar (3x3) for images up to about 64 pixels, imagenet (7x7/2, pool), patch2 "
        "and patch4 (2x2/2, 4x4/4)",
    )

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError on a choice that no architecture may have, whatever the data."""
        self.build(in_channels=1, num_classes=2)

    def build(self, in_channels: int, num_classes: int) -> SearchSpace:
        """The search space for images of so many channels and classes."""
        return SearchSpace(**dict(self), in_channels=in_channels, num_classes=num_classes)


class LimitsConfig(Section):
    """Upper bounds on costs, checked before training where known then; unset: none."""

    max_params: Amount | None = Field(default=None, description="parameters")
    max_macs: Amount | None = Field(
        default=None, description='multiply-adds of one image, such as 3e6 or "3M"'
    )
    max_activations: Amount | None = Field(
        default=None, description="elements convolutions write, one image"
    )
    max_train_bytes: Bytes | None = Field(
        default=None,
        description="memory of a training step at training.batch_size, or at micro_batch where "
        'that is set, bytes or such as "2 GB"',
    )
    max_latency_ms: Milliseconds | None = Field(
        default=None,
        description="milliseconds, measured after training; slower candidates are off the front, "
        "and after `dnsearch profile` those predicted to be surely slower are not trained",
    )


TOP5_CLASSES = 6
"""The fewest classes of which five guesses can miss one."""


class ObjectivesConfig(Section):
    """The error to keep low, and the costs beside it."""

    error: ErrorName = Field(
        default="top1",
        description="top1: share of images whose class is wrong; balanced: mean of the classes' "
        "errors, so that rare ones count as much; top5: class not among the five likeliest",
    )
    costs: Annotated[tuple[CostName, ...], Field(strict=False, min_length=1)] = Field(
        default=("macs",), description="one or more of params, macs, activations, latency_ms"
    )
    latency_batch: Count = Field(default=1, description="batch size at which latency is measured")
    latency_precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="numbers with which latency is measured: fp32 or bf16"
    )
    latency_kernels: Kernels = Field(
        default="reference",
        description="kernels with which latency is measured: reference, torch's own modules, as an "
        "export is used; or as training.kernels",
    )
    axis: Literal["log", "linear"] = Field(
        default="log",
        description="scale of the costs for the hypervolume and for what known-cost tries next",
    )
    aim: Aim = Field(
        default="front",
        description="what known-cost is after: the whole Pareto front, or the least error within "
        "the limits alone, which it then finds sooner",
    )
    reference: dict[str, Number] = Field(
        default_factory=dict,
        description="reference point of the hypervolume, such as {error = 0.5, macs = 5e6}; by "
        "default the error of always giving the same answer, and 1.1 times the largest cost "
        "allowed",
    )

    @field_validator("reference", mode="before")
    @classmethod
    def _in_their_units(cls, value: Any) -> Any:
        """Errors and latencies may be text as elsewhere in a study. Raises ConfigError."""
        if not isinstance(value, Mapping):
            return value
        read = dict(value)
        for name, parse in (("error", parse_share), ("latency_ms", parse_milliseconds)):
            try:
                read |= {name: parse(value[name])} if name in value else {}
            except ValueError as error:
                raise ConfigError(name, str(error), value[name]) from None
        return read

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError on a repeated cost and on a reference point out of range."""
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

    @property
    def first_known_cost(self) -> str:
        """The first cost that is known before training; MACs where there is none."""
        return next((cost for cost in self.costs if cost != "latency_ms"), "macs")

    def require_classes(self, classes: int) -> None:
        """Raises ConfigError where the error means nothing with so many classes."""
        if self.error == "top5" and classes < TOP5_CLASSES:
            rule = f"needs at least {TOP5_CLASSES} classes, and these images have {classes}"
            raise ConfigError("objectives.error", rule, self.error, "take top1 or balanced")


FULL_LENGTH = 10
"""Times the top rung that ``dnsearch train`` trains: the runs of a search only rank networks."""

AUTO_STEPS = 375
"""Steps of the top rung, at least, where ``rungs`` is auto: as many as the quickstart's takes."""


class TrainingConfig(Section):
    """How a candidate is trained and scored."""

    rungs: Rungs = Field(
        default=(1, 3, 9),
        description="epochs of each rung, increasing, or auto: 1, 3 and 9 epochs, or as many times "
        "that as the last needs for 375 steps; known-cost and mo-asha may stop a candidate at a "
        "lower rung, the other samplers train all to the last",
    )
    batch_size: Count = Field(default=128, ge=2, description="images in a step, at least 2")
    micro_batch: Count | None = Field(
        default=None,
        ge=2,
        description="images of a batch that are trained on at a time, to save memory, their "
        "gradients added up to the batch's; batch norms take their statistics from these alone, so "
        "it is not the training of the batch at once; all if unset",
    )
    learning_rate: float = Field(
        default=0.1, gt=0, description="peak rate of SGD with Nesterov momentum"
    )
    momentum: Share = Field(default=0.9, description="Nesterov momentum")
    weight_decay: float = Field(
        default=5e-4, ge=0, description="of weights, not of norms and biases"
    )
    warmup: float = Field(
        default=0.5, ge=0, description="epochs of linear warm-up; the rate is constant after it"
    )
    decay: Share = Field(
        default=0.3, description="last share of the top rung, in which the rate falls to 0"
    )
    ema: Share = Field(
        default=0.98, description="decay of averaged weights in a step; 0 scores the raw weights"
    )
    label_smoothing: Share = Field(
        default=0.0, description="share of the target spread over all classes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: an image counts in the training loss in inverse proportion to how "
        "many there are of its class",
    )
    clip_norm: float = Field(
        default=0.0, ge=0, description="largest norm of the gradient; 0 is off"
    )
    flip: bool = Field(default=True, description="mirror images at random")
    shift: Whole = Field(
        default=2, ge=0, description="pixels by which images are shifted at random"
    )
    cutout: Whole = Field(
        default=0, ge=0, description="side of a square blanked at random; 0 is off"
    )
    crop: Crop = Field(
        default="shift",
        description="shift, or resized: a random part of 8 to 100 % of the image, resized to its "
        "size, in place of the shift; this and the next three are for long trainings",
    )
    jitter: Share = Field(
        default=0.0,
        description="by how much brightness, contrast and saturation change at random, as in 0.4; "
        "0 is off",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha of mixup, which learns from pairs of images laid over each other, as in "
        "0.2; 0 is off",
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        description="alpha of CutMix, which puts a part of one image into another, as in 1.0; 0 is "
        "off; with both, each batch has one of them",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 on a GPU that has it, else fp32"
    )
    kernels: Kernels = Field(
        default="auto",
        description="auto: the fastest on this machine; reference, portable, cpu (C++), triton",
    )
    out_of_memory: Literal["split", "fail"] = Field(
        default="split",
        description="what to do when memory does not suffice for a training: split trains it "
        "again with each batch in four parts, whose gradients are added; batch norms then take "
        "their statistics from a part",
    )

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError where the rungs do not increase, or a part is more than the whole."""
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ConfigError("rungs", "must increase", list(self.rungs))
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            rule = f"must be at most batch_size, {self.batch_size}"
            raise ConfigError("micro_batch", rule, self.micro_batch)

    @property
    def accumulation_steps(self) -> int:
        """Over how many micro-batches the gradients of a batch are accumulated."""
        return math.ceil(self.batch_size / (self.micro_batch or self.batch_size))

    @property
    def at_once(self) -> int:
        """Images that are trained on at a time: those that a training step keeps activations of."""
        return math.ceil(self.batch_size / self.accumulation_steps)

    def can_share(self, parts: int, processes: int) -> bool:
        """Whether processes can have as many images each of every part of a batch, or an even
        number of them where images are mixed in pairs."""
        return self.batch_size % (parts * processes * (2 if self._mixes else 1)) == 0

    @property
    def _mixes(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def sized(self, images: int) -> TrainingConfig:
        """With rungs for so many training images, where they were left open."""
        if self.rungs != AUTO_RUNGS:
            return self
        steps = max(1, images // self.batch_size)
        first = math.ceil(AUTO_STEPS / (9 * steps))
        return self.model_copy(update={"rungs": (first, 3 * first, 9 * first)})

    def require_images(self, count: int) -> None:
        """Raises ConfigError where the study asks for batches larger than all these training images
        together. (The default one then takes them all.)"""
        if self.batch_size > count and "batch_size" in self.model_fields_set:
            rule = f"must be at most {count}, the training images there are"
            raise ConfigError("training.batch_size", rule, self.batch_size)

    def require_shares(self, parts: int, processes: int) -> None:
        """Raises ConfigError where several processes ``can_share`` no batch in so many parts."""
        if self.can_share(parts, processes):
            return
        rule = f"training.batch_size, {self.batch_size}"
        if parts > 1:
            asked = parts == self.accumulation_steps
            maker = "training.micro_batch makes" if asked else "a lack of memory has made"
            rule = f"each of the {parts} parts that {maker} of {rule}"
        if self._mixes:
            rule += ", into even numbers, as images are mixed in pairs"
        raise ConfigError("--gpus", f"must divide {rule}", processes)

    def require_room(self, height: int, width: int) -> None:
        """Raises ConfigError where augmentation could blank an image of this size, in pixels."""
        side = min(height, width)
        for name in ("shift", "cutout"):
            if getattr(self, name) >= side:
                rule = f"must be less than the images' side of {side} pixels"
                raise ConfigError(f"training.{name}", rule, getattr(self, name))


Sampler = Literal[
    "known-cost",
    "mo-asha",
    "tpe",
    "nsga2",
    "gp",
    "random",
    "frontier",
    "grid",
    "stratified",
    "scaling",
]
SCREENING = ("known-cost", "mo-asha")
"""Samplers that decide how long to train; the others train everything to the top rung."""

DESIGNS = ("frontier", "grid", "stratified", "scaling")
"""Samplers that do not learn: they go through the space in an order fixed beforehand."""

REPLICATING = ("frontier", "grid", "stratified")
"""Samplers that can train an architecture several times, with other seeds."""


class UntilConfig(Section):
    """What must be known for a search to end."""

    regret: float = Field(
        gt=0,
        le=100,
        description="points (percent) of error by which any network of the space that is within "
        "the limits, trained or not, may be better than the one recommended",
    )
    probability: float = Field(
        default=0.9, gt=0.5, lt=1, description="how sure it must be that none is better by more"
    )


class SearchConfig(Section):
    """How candidates are chosen and run."""

    sampler: Sampler = Field(
        default="known-cost",
        description="known-cost, or for comparison mo-asha, tpe, nsga2, gp, random; fixed designs "
        "are frontier (the most parameters at each cost, evenly in log cost, cheap first), grid, "
        "stratified (evenly in log MACs, any shape) and scaling (dnsearch scale)",
    )
    replicates: Count = Field(
        default=1,
        description="trainings of each architecture, with different seeds (frontier, grid, "
        "stratified)",
    )
    trials: Count = Field(
        default=50,
        description="trials over all sessions, failed ones included; going on from a lower rung is "
        "a trial of its own. The report says what going on would gain, and the same command "
        "with more of them goes on; or set until",
    )
    time: Seconds | None = Field(
        default=None, description="time over all sessions, such as 45m; no limit if unset"
    )
    until: UntilConfig | None = Field(
        default=None,
        description="ends the search, such as {regret = 0.2, probability = 0.9}: once it is 90 % "
        "sure that no network of the space within the limits, trained or not, has an error of more "
        "than 0.2 points below that of the one recommended, at any cost; trials and time still "
        "bound it",
    )
    seed: Seed = Field(default=0, description="seed of every random choice")
    device: Device = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    workers: Count | None = Field(
        default=None,
        le=1024,
        description="trainings at a time; if unset one for each core, up to four for each GPU, "
        "1 if latency counts",
    )
    timeout: Seconds = Field(
        default=86400, description="a training that takes longer counts as failed"
    )
    zero_cost: bool = Field(
        default=False,
        description="also record scores of untrained networks (synflow, naswot, jacob_cov, snip, "
        "grad_norm), which `dnsearch confirm` assesses; no sampler uses them",
    )
    start: tuple[Design, ...] = Field(
        default=(),
        strict=False,
        description="designs to train first, within the limits: preset names, or tables such as "
        "{growth_rate = 12}, whose other fields are the first choices of [space]",
    )
    keep_checkpoints: Literal["front", "all"] = Field(
        default="front",
        description="weights kept on disk: of the Pareto front, or of every candidate",
    )
    storage: Address | None = Field(
        default=None,
        description="PostgreSQL server for the results, without a password, such as "
        "postgresql+psycopg://me@db/dnsearch (docs/postgres.md); study.db in the run's folder if "
        "unset",
    )

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError where the sampler takes no replicates, or cannot end early."""
        if self.replicates > 1 and self.sampler not in REPLICATING:
            rule = f"must be 1 with sampler {self.sampler!r}"
            raise ConfigError(
                "replicates", rule, self.replicates, "or take frontier, grid or stratified"
            )
        if self.until and self.sampler == "scaling":
            rule = "must be left out with sampler 'scaling', which trains for a law, not an answer"
            raise ConfigError("until", rule, self.until.model_dump())


class ClusterConfig(Section):
    """Where training runs take place: on this machine, or on those of a cluster."""

    engine: Literal["local", "ray", "slurm"] = Field(
        default="local",
        description="local: this machine; ray: the nodes of a Ray cluster; slurm: jobs that are "
        "submitted to Slurm, and joined to a Ray cluster for as long as the command runs",
    )
    address: Annotated[str, Field(min_length=1)] = Field(
        default="auto",
        description="ray: address of the cluster's head, such as 10.0.0.1:6379; auto: the cluster "
        "that this machine belongs to; local: a cluster of this machine alone, to try it out",
    )
    cpus: Count = Field(default=1, description="CPU cores of a training run on a cluster")
    gpus: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="GPUs of a training run on a cluster that has any: 1, or a share such as 0.25 "
        "where several small networks fit one",
    )
    images: Literal["store", "path"] = Field(
        default="store",
        description="how images reach the nodes: store, through Ray's object store, once a node; "
        "path: each node reads data.path by itself, such as from a shared folder",
    )
    storage_path: Path | None = Field(
        default=None,
        strict=False,
        description="folder that all nodes share, as an absolute path, for the weights of training "
        "runs under way: of a node that is lost, a minute of training is then lost; if unset, all "
        "since the last rung",
    )
    nodes: Count = Field(default=1, le=10_000, description="slurm: jobs to submit, one a node")
    partition: str | None = Field(
        default=None, description="slurm: partition of the jobs; Slurm's default if unset"
    )
    gres: str | None = Field(
        default=None,
        description='slurm: generic resources of a job, such as "gpu:4"; none if unset',
    )
    sbatch: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description='slurm: further options of each job, such as ["--time=2:00:00", "--mem=32G"]',
    )

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError on a storage_path that means something else on another machine, and on
        sbatch options that are none."""
        if self.storage_path is not None and not self.storage_path.is_absolute():
            rule = "must be an absolute path, the same on all nodes"
            raise ConfigError("storage_path", rule, str(self.storage_path))
        for option in self.sbatch:
            if not option.startswith("--"):
                raise ConfigError("sbatch", "must be options that begin with --", option)


class StudyConfig(Section):
    """A whole study, as read from its file."""

    data: DataConfig = Field(default_factory=DataConfig)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    objectives: ObjectivesConfig = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)

    def model_post_init(self, _: Any) -> None:
        """Raises ConfigError on a design of ``search.start`` that cannot be, whatever the data."""
        self.start_configs(self.space.build(in_channels=1, num_classes=2))

    @property
    def measures_latency(self) -> bool:
        """Whether the study needs every candidate's latency."""
        return "latency_ms" in self.objectives.costs or self.limits.max_latency_ms is not None

    def keeping(self, keep: Keep) -> StudyConfig:
        """With images kept there while training, as was found for the machine that trains."""
        return self.model_copy(update={"data": self.data.model_copy(update={"keep": keep})})

    def sized(self, images: int) -> StudyConfig:
        """With rungs for so many training images, where the study leaves them open."""
        return self.model_copy(update={"training": self.training.sized(images)})

    def start_configs(self, space: SearchSpace) -> list[ArchConfig]:
        """The designs of ``search.start``, with the space's channels and classes.

        Fields that a table leaves out take the space's first choices. Raises ConfigError naming
        the design.
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
        return config.replace(num_init_features=2 * config.growth_rates[0])
    return ArchConfig.from_dict(space.config({}).to_dict() | values)
