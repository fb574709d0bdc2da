"""The strongest rivals and dnsearch's own samplers, on the same recorded trainings.

python studies/arena/arena.py                                # prints what was replayed last
python studies/arena/arena.py --replay                       # replays what is not there yet first
python studies/arena/arena.py --replay --rivals smac,tpe --seeds 5 --table RUN

Rivals need their libraries (see README.md); dnsearch's samplers need none. Every replay is kept, so
an interrupted command goes on. A rival is replayed as it is shipped, and where it models costs also
told their logarithms, the axis that hypervolume is measured on. One that does not look at the
reference point is replayed once for all reference points.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from rivals import RIVALS, make
from task import Task, engine_for
from threadpoolctl import threadpool_limits

from dnsearch.config import DESIGNS
from dnsearch.config.study import Sampler
from dnsearch.replay.comparison import Comparison, compare
from dnsearch.replay.files import read_table
from dnsearch.replay.measures import AXES
from dnsearch.replay.run import Recorder, ReplayOver, engine_of, problem_of
from dnsearch.replay.table import Table
from dnsearch.report.strategies import amount
from dnsearch.search.engine import Engine, Progress

FOLDER = Path(__file__).parent / "replays"
COMPUTE = 60.0
"""Most that a replay spends, in full trainings of mean size."""

LEVELS = (0.95, 0.99)
REFERENCES = "default", "tight"
"""Reference errors: the study's own, and one a little above that of the worst network."""

OWN = tuple(name for name in get_args(Sampler) if name not in DESIGNS or name == "frontier")
BLIND = ("frontier", "mo-asha", "tpe", "nsga2", "gp", "random")
"""Of dnsearch's samplers, those that do not look at the reference point."""

MODELS_COSTS = ("tpe", "nsga2", "gp", *RIVALS)
"""Those whose proposals depend on the scale of a cost."""


class Contender(NamedTuple):
    """A rival or a sampler of dnsearch's, told costs as they are or their logarithms."""

    name: str
    log: bool

    @property
    def is_blind(self) -> bool:
        """Whether it does not look at the reference point."""
        return self.name in BLIND or (self.name in RIVALS and not RIVALS[self.name].sees_reference)

    def file(self, folder: Path, reference: str) -> Path:
        """Where its replays are kept."""
        parts = [self.name, *(["log"] if self.log else []), *([] if self.is_blind else [reference])]
        return folder / f"{'-'.join(parts)}.parquet"


class LogCosts(Engine):
    """Tells Optuna's samplers the decimal logarithm of every cost."""

    def _values(self, job, score):
        error, *costs = super()._values(job, score)
        return [error, *map(math.log10, costs)]


class Recorders:
    """Several recorders of one replay, which is over when it is for all of them."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self.recorders = recorders

    def show(self, progress: Progress) -> None:
        """Raises ReplayOver when the replay is over."""
        over = 0
        for recorder in self.recorders:
            try:
                recorder.show(progress)
            except ReplayOver:
                over += 1
        if over == len(self.recorders):
            raise ReplayOver


def measured_against(table: Table, error: float | None) -> Table:
    """The same trainings with this reference error; the study's own where it is None."""
    if error is None:
        return table
    reference = {**table.study.objectives.reference, "error": error}
    objectives = table.study.objectives.model_copy(update={"reference": reference})
    return replace(table, study=table.study.model_copy(update={"objectives": objectives}))


def replayed(
    tables: Sequence[Table], contender: Contender, seed: int, compute: float, trials: int
) -> pd.DataFrame:
    """The trajectory of one contender with one seed, until it is over on each of the tables; it
    sees the first."""
    problem = problem_of(tables[0])
    name = contender.name
    if name in RIVALS:
        _seed_everything(seed)
        task = Task(problem, seed, contender.log)
        engine = engine_for(tables[0], task, make(name, task), trials)
    else:
        kind = LogCosts if contender.log else Engine
        engine = engine_of(tables[0], problem, name, seed, trials, kind)
    recorders = Recorders([Recorder(table, problem_of(table), compute, engine) for table in tables])
    with contextlib.suppress(ReplayOver):
        engine.run(recorders.show)
    return recorders.recorders[0].trajectory(name, seed)


def _seed_everything(seed: int) -> None:
    """Some libraries draw from the generators of the whole process whatever seed they are given."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    torch.set_num_threads(1)


def replay_missing(
    tables: dict[str, Table], contenders: Sequence[Contender], arguments: argparse.Namespace
) -> None:
    """Replays every contender and seed that is not kept yet, and keeps each as it ends."""
    for seed in range(arguments.seeds):
        for contender in contenders:
            for reference, path in _files(contender, arguments.folder):
                done = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
                if len(done) and (done["seed"] == seed).any():
                    continue
                seen = list(tables.values()) if contender.is_blind else [tables[reference]]
                started = time.monotonic()
                rows = replayed(seen, contender, seed, arguments.compute, arguments.trials)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(pd.concat([done, rows], ignore_index=True), path)
                seconds = time.monotonic() - started
                print(
                    f"{path.stem}, seed {seed}: {len(rows)} trainings, {seconds:.0f} s", flush=True
                )


def _files(contender: Contender, folder: Path) -> Iterator[tuple[str, Path]]:
    for reference in REFERENCES:
        yield reference, contender.file(folder, reference)
        if contender.is_blind:
            return


def _write(rows: pd.DataFrame, path: Path) -> None:
    aside = path.with_suffix(".aside")
    rows.to_parquet(aside, index=False, compression="zstd")
    aside.replace(path)


def show(
    tables: dict[str, Table], contenders: Sequence[Contender], arguments: argparse.Namespace
) -> None:
    """Prints, by reference point, the median compute of each contender to each level."""
    for reference, table in tables.items():
        found = [
            (contender, comparison)
            for contender in contenders
            if (comparison := _found(table, contender, reference, arguments)) is not None
        ]
        error = next(iter(problem_of(table).reference.values()))
        print(f"\n{table.name}: {len(table.truth)} architectures, reference error {error:.0%}")
        print("median full trainings of mean size to a share of the best hypervolume")
        heads = [f"{axis} {level:.0%}" for axis in AXES for level in LEVELS]
        print(f"  {'':<18}{'told':<6}{'seeds':>5}" + "".join(f"{head:>16}" for head in heads))
        for contender, comparison in sorted(found, key=_rank):
            told = "log" if contender.log else "as is"
            cells = "".join(
                f"{_cell(comparison, contender.name, axis, level):>16}"
                for axis in AXES
                for level in LEVELS
            )
            print(f"  {contender.name:<18}{told:<6}{len(comparison.seeds):>5}{cells}")


def _found(
    table: Table, contender: Contender, reference: str, arguments: argparse.Namespace
) -> Comparison | None:
    path = contender.file(arguments.folder, reference)
    if not path.is_file():
        return None
    rows = pd.read_parquet(path)
    seeds = [seed for seed in sorted(rows["seed"].unique()) if seed < arguments.seeds]
    return compare(table, rows, [contender.name], seeds, arguments.compute) if seeds else None


def _cell(comparison: Comparison, name: str, axis, level: float) -> str:
    """``6.3``, ``22 (18/20)`` where not every replay reached the level, or ``>60 (2/20)``."""
    needed = comparison.needed[name, axis, level]
    some = f" ({needed.reached}/{needed.replays})" if needed.reached < needed.replays else ""
    return amount(needed, ">") + some


def _rank(found: tuple[Contender, Comparison]) -> tuple[float, ...]:
    """By compute to the levels on the log axis, the higher first; those never reached last."""
    contender, comparison = found
    needed = [comparison.needed[contender.name, "log", level] for level in reversed(LEVELS)]
    return tuple(figure for n in needed for figure in (n.median, n.at_least))


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", default="bench:fashion14", help="bench:NAME, or a run")
    parser.add_argument("--rivals", help=f"of {','.join((*RIVALS, *OWN))} [those installed]")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tight", type=float, default=0.25, help="the tight reference error")
    parser.add_argument("--told", choices=("as-is", "log", "both"), default="both")
    parser.add_argument("--compute", type=float, default=COMPUTE)
    parser.add_argument("--trials", type=int, default=10**9, help="most trainings of a replay")
    parser.add_argument("--replay", action="store_true", help="replay what is not kept yet")
    arguments = parser.parse_args()
    known = (*OWN, *RIVALS)
    chosen = arguments.rivals.split(",") if arguments.rivals else known
    for name in chosen:
        if name not in known:
            parser.error(f"--rivals names no contender, got {name!r}; known are {', '.join(known)}")
    if arguments.replay and not arguments.rivals:
        chosen = [name for name in chosen if name not in RIVALS or _is_installed(name)]
    arguments.contenders = [
        Contender(name, log)
        for name in chosen
        for log in ((False, True) if name in MODELS_COSTS else (False,))
        if arguments.told == "both" or log == (arguments.told == "log")
    ]
    return arguments


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(RIVALS[name].module) is not None


def main() -> None:
    """Replays what is missing, where asked to, and prints the table."""
    warnings.simplefilter("ignore")  # of other people's libraries
    arguments = parsed()
    whole = read_table(arguments.table)
    arguments.folder = FOLDER / whole.name
    errors = None, arguments.tight
    tables = {
        name: measured_against(whole, error) for name, error in zip(REFERENCES, errors, strict=True)
    }
    if arguments.replay:
        with threadpool_limits(1):  # small matrices only
            replay_missing(tables, arguments.contenders, arguments)
    show(tables, arguments.contenders, arguments)


if __name__ == "__main__":
    main()
