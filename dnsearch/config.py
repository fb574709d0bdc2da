"""``study.toml`` -> ``StudyConfig``, validated once at the door; nothing else reads TOML.

Every key has a default, and every description here is what ``dnsearch init`` writes beside it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dnsearch.arch.config import ArchConfig, Norm, Stem
from dnsearch.arch.presets import preset
from dnsearch.arch.space import TWICE_GROWTH, SearchSpace
from dnsearch.errors import ConfigError, nearest


def parse_choices(value: Any) -> tuple[Any, ...]:
    """Choices as written: a list, one value, or a range ``{min, max, step}``, both ends included."""
    if isinstance(value, Mapping):
        if not {"min", "max"} <= set(value) <= {"min", "max", "step"}:
            raise ValueError("must be a list or a range {min = .., max = .., step = ..}")
        low, high, step = value["min"], value["max"], value.get("step", 1)
        if any(isinstance(v, bool) or not isinstance(v, int) for v in (low, high, step)):
            raise ValueError("must have whole numbers as min, max and step")
        if step < 1 or high < low:
            raise ValueError("must have min <= max and step >= 1")
        return tuple(range(low, high + 1, step))
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return (value,)


def parse_seconds(value: Any) -> Any:
    """Seconds from a number or from text such as ``90s``, ``45m``, ``1h30m``, ``2d``."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value.replace(" ", ""))
    if not value.strip() or parts is None:
        raise ValueError("must be a number of seconds or text such as '90s', '45m' or '1h30m'")
    units = (86400, 3600, 60, 1)
    return sum(unit * int(n) for unit, n in zip(units, parts.groups(), strict=True) if n)


def parse_count(value: Any) -> Any:
    """A whole number, also as ``50e6``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Choices = Annotated[tuple[int, ...], BeforeValidator(parse_choices)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(parse_choices)]
Norms = Annotated[tuple[Norm, ...], BeforeValidator(parse_choices)]
InitFeatures = Annotated[tuple[int | Literal["2x growth"], ...], BeforeValidator(parse_choices)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
Count = Annotated[int, BeforeValidator(parse_count), Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
CostName = Literal["params", "macs", "activations", "latency_ms"]

Format = Literal[
    "fashion-mnist-16k",
    "mnist",
    "fashion-mnist",
    "cifar10",
    "cifar100",
    "parquet",
    "folder",
    "npz",
]


class Section(BaseModel):
    """A table of the study file: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(Section):
    """Images and their split. The test split is never read by a search."""

    format: Format = Field(
        "fashion-mnist-16k",
        description="fashion-mnist-16k (shipped), mnist, fashion-mnist, cifar10, cifar100, "
        "parquet, folder or npz",
    )
    path: Path | None = Field(
        None, strict=False, description="folder or file of the images; none for the shipped subset"
    )
    image_size: int | None = Field(
        None, ge=1, description="side in pixels that images are resized to; as they are if not set"
    )
    validation: Share = Field(
        0.2, gt=0, description="share of the training images held out where the source has no split"
    )
    train_images: Count | None = Field(
        None,
        description="use only this many training images, in proportion from each class; all if unset",
    )
    seed: int = Field(0, ge=0, description="seed of the split")


class SpaceConfig(Section):
    """Choices for the architecture: a list, one value, or a range {min, max, step}."""

    growth_rate: Choices = Field(
        tuple(range(4, 25, 4)), description="feature maps that each layer adds"
    )
    block_config: Annotated[tuple[Choices, ...], Field(strict=False)] = Field(
        ((1, 2, 3, 4, 5, 6),) * 3, description="layers of each block: one entry a block"
    )
    bn_size: Choices = Field(
        (0, 2, 4), description="bottleneck width in growth rates; 0 is no bottleneck"
    )
    num_init_features: InitFeatures = Field(
        (TWICE_GROWTH,), description='channels behind the stem: numbers or "2x growth"'
    )
    compression: Numbers = Field((0.5,), description="share of channels a transition keeps")
    drop_rate: Numbers = Field((0.0,), description="dropout behind each layer")
    norm: Norms = Field(("batch",), description="batch or group")
    stem: Stem = Field(
        "cifar", description="cifar (3x3) for images up to about 64 pixels, imagenet (7x7/2, pool)"
    )

    def build(self, in_channels: int, num_classes: int) -> SearchSpace:
        """The space for images of these channels and classes; errors name ``space.<field>``."""
        try:
            return SearchSpace(**dict(self), in_channels=in_channels, num_classes=num_classes)
        except ConfigError as error:
            raise error.within("space") from None


class LimitsConfig(Section):
    """Upper bounds, checked on the exact cost before anything is trained; unset means none."""

    max_params: Count | None = Field(None, description="parameters")
    max_macs: Count | None = Field(None, description="multiply-adds of one image")
    max_activations: Count | None = Field(
        None, description="elements convolutions write, one image"
    )
    max_train_bytes: Count | None = Field(
        None, description="bytes that a training step holds at training.batch_size"
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description="milliseconds, measured; slower candidates stay off the front"
    )


class ObjectivesConfig(Section):
    """What is traded against validation error."""

    costs: Annotated[tuple[CostName, ...], Field(strict=False, min_length=1)] = Field(
        ("macs",), description="one or more of params, macs, activations, latency_ms"
    )
    latency_batch: Count = Field(1, description="images a batch when latency is measured")


class TrainingConfig(Section):
    """How a candidate is trained and scored."""

    rungs: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = Field(
        (1, 3, 9), description="epochs of each rung, rising; the last is the full proxy"
    )
    batch_size: Count = Field(128, ge=2, description="images a step, 2 or more")
    learning_rate: float = Field(0.1, gt=0, description="of SGD with Nesterov momentum")
    momentum: Share = Field(0.9, description="Nesterov momentum")
    weight_decay: float = Field(5e-4, ge=0, description="not on norms and biases")
    warmup: float = Field(0.5, ge=0, description="epochs of linear warm-up, constant behind it")
    decay: Share = Field(0.3, description="last share of the top rung in which the rate falls to 0")
    ema: Share = Field(0.98, description="averaging of weights a step; 0 scores the raw weights")
    label_smoothing: Share = Field(0.0, description="of the training loss")
    clip_norm: float = Field(0.0, ge=0, description="largest gradient norm; 0 is off")
    flip: bool = Field(True, description="mirror images at random")
    shift: int = Field(2, ge=0, description="pixels by which images are shifted at random")
    cutout: int = Field(0, ge=0, description="side of a square blanked at random; 0 is off")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU that has it, else fp32"
    )

    def model_post_init(self, _: Any) -> None:
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ConfigError("rungs", "must rise", list(self.rungs))


class SearchConfig(Section):
    """How candidates are chosen and run."""

    sampler: Literal["tpe", "nsga2", "gp", "random"] = Field(
        "tpe", description="tpe, nsga2, gp or random"
    )
    trials: Count = Field(50, description="candidates to finish, over all sittings")
    time: Seconds | None = Field(
        None, description="time over all sittings, such as 45m; no limit if unset"
    )
    seed: int = Field(0, ge=0, description="seed of every random choice")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N"
    )
    workers: Count | None = Field(
        None, description="trainings at a time; if unset one a GPU, or one a CPU core"
    )
    timeout: Seconds = Field(86400, description="a candidate that trains longer counts as failed")
    start: tuple[str | dict[str, Any], ...] = Field(
        (), strict=False, description="known designs to try first: preset names or {growth_rate=..}"
    )
    keep_checkpoints: Literal["front", "all"] = Field(
        "front", description="weights kept on disk: of the Pareto front, or of every candidate"
    )


class StudyConfig(Section):
    """A whole study, as read from its file."""

    data: DataConfig = Field(default_factory=DataConfig)
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    objectives: ObjectivesConfig = Field(default_factory=ObjectivesConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)

    def start_configs(self, space: SearchSpace) -> list[ArchConfig]:
        """The known designs of ``search.start``, with the data's channels and classes.

        Fields that a table leaves out are the space's first choices.
        """
        fixed = {"in_channels": space.in_channels, "num_classes": space.num_classes}
        configs = []
        for position, design in enumerate(self.search.start):
            try:
                base = preset(design) if isinstance(design, str) else _design(design, space)
                configs.append(base.replace(**fixed))
            except ConfigError as error:
                raise error.within(f"search.start[{position}]") from None
        return configs


def _design(values: Mapping[str, Any], space: SearchSpace) -> ArchConfig:
    config = ArchConfig.from_dict(space.config({}).to_dict() | dict(values))
    if "num_init_features" not in values and space.num_init_features[0] == TWICE_GROWTH:
        return config.replace(num_init_features=2 * config.growth_rate)
    return config


def load_study(path: Path) -> StudyConfig:
    """The study of this file. Raises ConfigError naming the file, the key, the rule and the value.

    A relative ``data.path`` is taken from the study file's folder.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ConfigError(str(path), f"must be a readable study file: {reason}") from None
    study = parse_study(text, source=str(path))
    if study.data.path is None or study.data.path.is_absolute():
        return study
    resolved = (path.parent / study.data.path.expanduser()).resolve()
    return study.model_copy(update={"data": study.data.model_copy(update={"path": resolved})})


def parse_study(text: str, source: str = "study") -> StudyConfig:
    """The study written in this TOML text; ``source`` names it in errors."""
    try:
        return StudyConfig.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, f"must be valid TOML: {error}") from None
    except ValidationError as error:
        raise _readable(error).within(source) from None


def _readable(error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints in our words: path, rule, value, nearest right key."""
    first = error.errors()[0]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"]).lstrip(".")
    more = error.error_count() - 1
    hint = f"{more} more like this" if more else ""
    if first["type"] == "extra_forbidden":
        *parents, wrong = first["loc"]
        section: Any = StudyConfig
        for parent in parents:
            section = section.model_fields[parent].annotation
        return ConfigError(path, "is no known key", hint=nearest(str(wrong), section.model_fields))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return cause.within(path)
    rule = str(cause) if cause else first["msg"].replace("Input should be", "must be")
    return ConfigError(path, rule[:1].lower() + rule[1:], first["input"], hint)


def changed_keys(old: StudyConfig, new: StudyConfig) -> list[str]:
    """Keys whose values differ, as ``section.key: old -> new``; budgets and machinery aside."""
    free = {"trials", "time", "workers", "device", "timeout", "keep_checkpoints"}
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [
        f"{section}.{key}: {before[section][key]} -> {value}"
        for section, values in after.items()
        for key, value in values.items()
        if value != before[section][key] and not (section == "search" and key in free)
    ]


def to_toml(study: StudyConfig, comments: bool = False) -> str:
    """The study as TOML with every key; ``comments`` adds each one's meaning, as for ``init``.

    Keys without a value are written as comments, since TOML has no null.
    """
    lines: list[str] = []
    for name in type(study).model_fields:
        section: Section = getattr(study, name)
        if comments:
            lines += [f"# {'-' * 76}", f"# {(type(section).__doc__ or '').splitlines()[0]}"]
        lines += [f"[{name}]", *([""] * comments)]
        for key, entry in type(section).model_fields.items():
            value = getattr(section, key)
            text = f"{key} = {_toml(value)}" if value is not None else f"# {key} ="
            lines += [f"# {entry.description}", text, ""] if comments else [text]
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """One value as TOML; JSON's spelling is TOML's for texts, numbers and booleans."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
