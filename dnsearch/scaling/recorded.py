"""What ``dnsearch scale`` was asked of a run, as ``scaling.json`` holds it, and its answer again.

The findings are not read back from there: they are fitted again to what the runs hold now.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dnsearch.errors import DamagedError, DnsearchError, RunError
from dnsearch.rundir import RunDir
from dnsearch.scaling import Size
from dnsearch.scaling.latency import with_latencies
from dnsearch.scaling.study import Scaling, study_scaling

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

FILE = "scaling.json"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Network(BaseModel):
    model_config = ConfigDict(strict=True)

    times: Positive


class Asked(BaseModel):
    """What ``dnsearch scale`` was asked; what else ``scaling.json`` holds is its answer.

    runs: paths as seen from the folder that holds the first of them, which is the run itself.
    cost: that budgets are of. next: the budgets. latencies_ms: those it measured, by the key of an
    architecture.
    """

    model_config = ConfigDict(strict=True)

    runs: Annotated[list[str], Field(min_length=1)]
    cost: Size = "macs"
    next: Annotated[list[_Network], Field(min_length=1)]
    latencies_ms: Mapping[str, Positive] = {}


def asked_record(runs: Sequence[RunDir], latencies_ms: Mapping[str, float]) -> dict[str, Any]:
    """The part of ``scaling.json`` that is not in the findings."""
    beside = runs[0].path.resolve().parent
    paths = [os.path.relpath(run.path.resolve(), beside) for run in runs]
    return {"runs": paths, "latencies_ms": dict(latencies_ms)}


def recorded_scaling(
    results: Results, run: RunDir, read: Callable[[RunDir], Results]
) -> Scaling | str | None:
    """What a run that was made for scaling, or that ``dnsearch scale`` was asked about, says of
    larger networks: fitted again, as it was asked.

    read: reads another run that was fitted with it. A sentence where it cannot be said now, None
    for a run that was not asked.
    """
    try:
        asked = _asked(run)
        if asked is None and results.study.search.sampler != "scaling":
            return None
        if asked is None:
            return study_scaling([results])
        return _again(asked, results, run, read)
    except DnsearchError as error:  # also one of another run
        return f"What a larger budget buys cannot be said now: {error}."


def _again(
    asked: Asked, results: Results, run: RunDir, read: Callable[[RunDir], Results]
) -> Scaling:
    others = [_found(run, path) for path in asked.runs[1:]]
    known = with_latencies(results, asked.latencies_ms)
    times = [each.times for each in asked.next]
    return study_scaling([known, *map(read, others)], asked.cost, times)


def _asked(run: RunDir) -> Asked | None:
    """None where ``dnsearch scale`` was not asked. Raises RunError for a file that is not its."""
    path = run.path / FILE
    if not path.is_file():
        return None
    again = f"type dnsearch scale {shlex.quote(run.typed)} to write it again"
    try:
        return Asked.model_validate(run.read_json(FILE))
    except DamagedError as error:
        raise RunError(f"{error}; {again}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunError(
            f"{path} is not a record of dnsearch scale: {where}{': ' * bool(where)}{first['msg']}; "
            f"{again}"
        ) from None


def _found(run: RunDir, path: str) -> RunDir:
    """Another run by its path. Raises RunError naming it where it is gone."""
    other = RunDir(Path(os.path.relpath(run.path.resolve().parent / path)))
    if not other.is_search:
        raise RunError(
            f"the run {other.name}, which was fitted with it, is not at {other.path}; put it back, "
            f"or type dnsearch scale {shlex.quote(run.typed)} to fit without it"
        )
    return other
