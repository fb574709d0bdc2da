"""Networks whose latency was measured on this machine, by which latencies are predicted.

``dnsearch profile`` measures them once, into the user's cache folder; a run keeps a copy of what it
began with, so that going on later, or on another machine, changes no proposal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Points
from dnsearch.cachedir import cache_root
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import CostArrays, cost_of
from dnsearch.cost.latency import LEAST, HeldOut, LatencyModel, Setting
from dnsearch.errors import ConfigError, DnsearchError, RunError
from dnsearch.files import checksum, read_json, write_json
from dnsearch.machine import cpu_cores
from dnsearch.rundir import RunDir, environment
from dnsearch.search.devices import Plan, workers_with
from dnsearch.search.feasible import sampled
from dnsearch.text import counted

GENERAL, OWN = 48, 24
"""Networks of a table: of any kind, and of a study's own space."""

ROUNDS = 4
"""Each network is measured once a round, in another order, and the least of all its runs counts:
what else the machine does only ever adds to a latency. That a search measures medians is made up
for by its own correction."""

MOST_SECONDS = 0.3
"""Of one measurement."""

WRITE_SECONDS = 2.0
"""A profile that is killed loses the measurements of at most so long."""

MOST_MACS: Mapping[str, float] = {"cpu": 5e8, "cuda": 2e10}
"""Multiply-adds of a forward pass of a table's networks of any kind."""

Shape = tuple[int, int, int]
"""Of an image: channels, height, width."""


class Timed(NamedTuple):
    """A network, untrained, and the milliseconds that it took."""

    arch: ArchConfig
    shape: Shape
    ms: float


class PredictedLatencies(NamedTuple):
    """How well latencies of this ``setting`` are predicted: from a table of so many ``networks``,
    and held out of those that the run has measured; None where they are too few. model: divides a
    latency among stages; None where too little of this machine was measured for that."""

    setting: str
    networks: int
    held_out: HeldOut | None
    model: LatencyModel | None = None


Measure = Callable[[ArchConfig, Shape], float]
"""Milliseconds of a forward pass of a network for images of this shape."""


@dataclass(frozen=True)
class LatencyTable:
    """Networks measured on one machine with one setting; none where none were measured.

    machine: what else their latencies depend on: processor, versions.
    """

    setting: Setting
    machine: Mapping[str, Any] = field(default_factory=dict)
    timed: tuple[Timed, ...] = ()

    @cached_property
    def model(self) -> LatencyModel:
        """What it says of any network; a guess where fewer than ``LEAST`` were measured."""
        if len(self.timed) < LEAST:
            return LatencyModel(self.setting)
        archs, shapes, ms = zip(*self.timed, strict=True)
        return LatencyModel.fitted(self.setting, archs, [shape[1:] for shape in shapes], ms)

    def and_also(self, timed: Sequence[Timed]) -> LatencyTable:
        """With these networks, in place of earlier measurements of the same."""
        known = {(each.arch.key, each.shape): each for each in (*self.timed, *timed)}
        return dataclasses.replace(self, timed=tuple(known.values()))

    def record(self) -> dict[str, Any]:
        """In values that JSON can hold; ``read`` reads it back."""
        networks = [{**t._asdict(), "arch": t.arch.to_dict()} for t in self.timed]
        told = {"setting": self.setting._asdict(), "machine": dict(self.machine)}
        return {**told, "networks": networks}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> LatencyTable:
        """Raises KeyError, TypeError or ValueError where it is no table."""
        timed = [
            Timed(ArchConfig.from_dict(each["arch"]), _shape(each["shape"]), float(each["ms"]))
            for each in told["networks"]
        ]
        return cls(Setting(**told["setting"]), dict(told["machine"]), tuple(timed))


def _shape(told: Sequence[int]) -> Shape:
    channels, height, width = map(int, told)
    return channels, height, width


def latency_setting(study: StudyConfig, plan: Plan) -> Setting:
    """How a study's latencies are measured by its workers."""
    goals = study.objectives
    return Setting(
        plan.kind,
        plan.threads,
        goals.latency_batch,
        goals.latency_precision,
        goals.latency_kernels,
    )


# ---------------------------------------------------------------------------- what is kept


def kept_table(setting: Setting, device: str) -> LatencyTable:
    """What was measured on this machine so far; an empty table where that is nothing, or where it
    is damaged."""
    empty = LatencyTable(setting, _machine(device))
    try:
        return LatencyTable.read(read_json(_table_file(empty)))
    except (DnsearchError, OSError, RuntimeError, ValueError, KeyError, TypeError):
        return empty


def keep_table(table: LatencyTable) -> Path:
    """Writes it into the user's cache folder. Raises RunError where it cannot be written."""
    file = _kept_file(table)
    write_json(file, table.record())
    return file


def _kept_file(table: LatencyTable) -> Path:
    try:
        return _table_file(table)
    except RuntimeError:
        raise RunError("no folder for the latencies of this machine; set DNSEARCH_CACHE") from None


def _machine(device: str) -> dict[str, Any]:
    found = environment()
    machine = {name: found[name] for name in ("processor", "cpu_cores", "dnsearch")}
    machine["torch"] = found["packages"]["torch"]
    if device.startswith("cuda"):
        from dnsearch.cost.device import device_name

        machine["gpu"] = device_name(device)
    return machine


def _table_file(table: LatencyTable) -> Path:
    """Named by all that its latencies depend on."""
    name = checksum([table.setting, table.machine])[:16]
    return cache_root() / "latency" / f"{name}.json"


def table_of_run(run: RunDir) -> LatencyTable | None:
    """The table that a run began with; None where its study asks for no latency, or it was begun
    before there were tables. Raises RunError where it is damaged."""
    if not run.latency_file.is_file():
        return None
    told = run.read_json(run.latency_file.name, "setting", "machine", "networks")
    try:
        return LatencyTable.read(told)
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{run.latency_file}: is damaged; restore it from a copy") from None


def table_to_begin_with(study: StudyConfig, plan: Plan, run: RunDir | None) -> LatencyTable | None:
    """The table by which a search's latencies are predicted: the run's own where it was begun, else
    what is known of this machine so far. None where the study asks for no latency."""
    if not study.measures_latency:
        return None
    if run is not None and run.is_search:
        return table_of_run(run) or LatencyTable(latency_setting(study, plan))
    return kept_table(latency_setting(study, plan), plan.devices[0])


def require_same_latencies(run: RunDir, plan: Plan, known: Mapping[str, Any]) -> None:
    """Raises RunError where this plan's workers would measure other latencies than the run has
    been given: on another processor or GPU, or with other CPU threads. ``known``: what its
    ``environment.json`` says, of a run without a table. What an older run has not recorded may be
    anything."""
    table = table_of_run(run)
    before, now = {**known, **(table.machine if table else {})}, _machine(plan.devices[0])
    for name in ("processor", "gpu"):
        was, here = before.get(name), now.get(name)
        if was and here and was != here:
            raise RunError(
                f"{run.path}: measured latencies on {was}, and this would go on with {here}, whose "
                "latencies differ; go on there, or give this study another --name"
            )
    threads = table.setting.threads if table else known.get("threads_a_worker", plan.threads)
    if plan.kind == "cpu" and threads != plan.threads:
        workers, cores = workers_with(threads), counted(cpu_cores(), "core")
        way = f"--workers {workers} gives as many on {cores}; or"
        if workers is None:
            way = f"no --workers gives as many on {cores}, so"
        raise RunError(
            f"{run.path}: measured latencies with {counted(threads, 'thread')} a worker, and this "
            f"would go on with {plan.threads}, whose latencies differ; {way} give this study "
            "another --name"
        )


# ---------------------------------------------------------------------------- measuring


class UnderWay:
    """The rounds of a ``profile`` that has not ended, in a file beside the table's, so that an
    interrupted one goes on. Searches see none of them: a table is used once it is whole."""

    def __init__(self, table: LatencyTable) -> None:
        """With those of one that was interrupted; a damaged file counts as none. Raises RunError
        where there is no folder for it."""
        self.file = _kept_file(table).with_suffix(".unfinished.json")
        self._ms: dict[str, list[float]] = {}
        self._written = -math.inf
        with contextlib.suppress(DnsearchError, OSError, ValueError, KeyError, TypeError):
            told = read_json(self.file)["ms"]
            self._ms = {name: [*map(float, ms)] for name, ms in told.items()}

    def of(self, arch: ArchConfig, shape: Shape) -> list[float]:
        """Milliseconds of a network in each round so far."""
        return self._ms.setdefault(f"{arch.key} {shape}", [])

    def write(self, seconds: float = 0.0) -> None:
        """Stores the rounds, unless that was done in so many ``seconds``. Raises RunError."""
        if time.monotonic() - self._written >= seconds:
            write_json(self.file, {"ms": {name: ms for name, ms in self._ms.items() if ms}})
            self._written = time.monotonic()

    def end(self) -> None:
        """Forgets the rounds, which are in the table by now."""
        self.file.unlink(missing_ok=True)


def profile(
    table: LatencyTable,
    networks: Sequence[tuple[ArchConfig, Shape]],
    measure: Measure,
    under_way: UnderWay,
    tell: Callable[[int, int], None] = lambda done, of: None,
    rounds: int = ROUNDS,
) -> LatencyTable:
    """The table with these networks, measured now, but for the rounds ``under_way``, to which it
    adds; ``tell`` hears how many of all measurements are done."""
    rng = np.random.default_rng(0)
    ms = [under_way.of(*network) for network in networks]
    try:
        for number in range(rounds):
            for place in rng.permutation(len(networks)):
                if len(ms[place]) > number:
                    continue
                ms[place].append(measure(*networks[place]))
                under_way.write(WRITE_SECONDS)
                tell(sum(map(len, ms)), rounds * len(networks))
    finally:
        under_way.write()
    return table.and_also(
        [Timed(arch, shape, min(own)) for (arch, shape), own in zip(networks, ms, strict=True)]
    )


def general_networks(setting: Setting, count: int = GENERAL) -> list[tuple[ArchConfig, Shape]]:
    """Networks of any kind for images of any size, the same ones always: what a table needs to
    tell the kinds of work apart."""
    return [network for network, _ in zip(_any_networks(setting), range(count), strict=False)]


def own_networks(
    points: Points, costs: CostArrays, shape: Shape, count: int = OWN
) -> list[tuple[ArchConfig, Shape]]:
    """Some of these points of a space, of all sizes, for images of this shape."""
    some, _ = sampled(points, costs, count, np.random.default_rng(0))
    return [(arch, shape) for arch in some]


def _any_networks(setting: Setting) -> Iterator[tuple[ArchConfig, Shape]]:
    rng = np.random.default_rng(0)
    most = MOST_MACS[setting.device] / setting.batch_size

    def between(low: int, high: int) -> int:
        return int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))

    while True:
        blocks = between(1, 4)
        stem = str(rng.choice(["cifar", "cifar", "imagenet", "patch2", "patch4"]))
        side = between(8, 64) if stem in ("cifar", "patch2") else between(32, 224)
        k, ratio = between(4, 48), rng.choice([1, 1, 1.5, 2])
        arch = {
            "growth_rate": tuple(round(k * ratio**block) for block in range(blocks)),
            "block_config": tuple(between(1, 16) for _ in range(blocks)),
            "num_init_features": between(8, 96),
            "bn_size": int(rng.choice([0, 2, 4])),
            "compression": float(rng.choice([0.5, 0.5, 1.0])),
            "norm": str(rng.choice(["batch"] * 6 + ["group"])),
            "stem": stem,
            "in_channels": int(rng.choice([1, 3])),
            "num_classes": between(2, 1000),
            "transition": tuple(rng.choice(["pool", "pool", "narrow"], blocks - 1).tolist()),
        }
        try:
            config = ArchConfig.from_dict(arch)
            macs = cost_of(config, side, side).macs
        except ConfigError:  # too deep for so few pixels
            continue
        if macs <= most:
            yield config, (config.in_channels, side, side)
