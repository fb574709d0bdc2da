"""Is dnsearch's network better than the published shapes at equal MACs? CIFAR-10 at 32x32.

    python studies/proof/proof.py 10M [--epochs 10] [--compute 1e13] [--repeats 1]
                                      [--threads 2] [--together]

Within one budget of MACs, by one recipe:

- dnsearch's answer, found with `--compute` multiply-adds of training; with `--repeats`, also those
  of searches with other seeds,
- the answer of the `frontier` rule with the same compute, and of random search with three times it,
- the published families of families.py, each at the depth of three that validates best.

The networks are trained in full with fresh seeds, and compared by their errors on the test images.
Each search and training that has ended is kept in reports/proof/BUDGET.json; typed again, here or
where that file was copied to, the proof goes on from it. Writes reports/proof/BUDGET.md. On a GPU,
which all processes share, ``--together`` runs the searches at the same time.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from families import published
from trainings import (
    Found,
    Kept,
    Network,
    Trainer,
    dnsearch,
    mean_error,
    output_of,
    recipe,
    standard_error,
)

from dnsearch.arch.config import ArchConfig
from dnsearch.config import load_study
from dnsearch.cost.formula import cost_of
from dnsearch.files import write_text
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators import mps
from dnsearch.search.results import read_results

HERE = Path(__file__).parent
PROOF = Path("reports/proof")
SEEDS = 3
SIDE = 32
MOST = 100_000
"""Training runs of a search, which ends before by what it has spent."""

POLL_SECONDS = 10.0
ENDED = 143
"""Exit code of a search that was told to end."""

AIM = 0.1
OURS = "known-cost"
RIVALS = {OURS: 1.0, "frontier": 1.0, "random": 3.0}
"""Samplers, and the compute of each in terms of dnsearch's."""


def main() -> None:
    options = _options()
    study = HERE / f"cifar10-{options.budget}.toml"
    PROOF.mkdir(parents=True, exist_ok=True)
    limit = load_study(study).limits.max_macs
    assert limit is not None
    service = mps.Service(["cuda"] * options.threads)  # for a GPU that has it; else nothing
    service.start()
    try:
        compare(study, options, limit)
    finally:
        service.stop()


def compare(study: Path, options: argparse.Namespace, limit: float) -> None:
    """Searches, trains, and writes the report."""

    kept = Kept(PROOF / f"{options.budget}.json", recipe(study))
    train = Trainer(study, kept, options.epochs, options.threads)
    families = [
        Network(f"{family} {arch.describe()}", family, arch)
        for family, arch in published(SIDE, limit)
    ]
    tried, best = train.all(families, seeds=[0]), []
    for family in dict.fromkeys(network.kind for network in families):
        some = [found for found in tried if found.network.kind == family]
        best.append(min(some, key=lambda found: found.validation[0]).network)
    shapes = train.all(best, seeds=range(SEEDS))

    def searcher(name: str) -> Found:
        if name not in kept.searches:
            kept.add_search(name, search(study, name, options.compute))
        network = Network(name, name, ArchConfig.from_dict(kept.searches[name]["network"]))
        return train.all([network], seeds=range(SEEDS))[0]

    repeats = [f"{OURS}-{seed}" for seed in range(1, options.repeats)]
    searches = [OURS, *repeats, *(name for name in RIVALS if name != OURS)]
    picks: list[Found] = []
    with ThreadPoolExecutor(len(searches) if options.together else 1) as pool:
        for pick in pool.map(searcher, searches):  # in this order
            picks.append(pick)
            text = report(options, [*picks, *shapes], tried, kept.searches)
            write_text(PROOF / f"{options.budget}.md", text)
            print(text, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("budget", help="such as 10M-deep, of studies/proof/cifar10-10M-deep.toml")
    parser.add_argument("--epochs", type=int, default=10, help="of the full trainings")
    parser.add_argument("--compute", type=float, default=1e13, help="MACs of training to search")
    parser.add_argument("--repeats", type=int, default=1, help="dnsearch's searches, by seeds")
    parser.add_argument("--threads", type=int, default=2, help="full trainings at a time")
    parser.add_argument("--together", action="store_true", help="all searches at the same time")
    return parser.parse_args()


def search(study: Path, name: str, compute: float) -> dict[str, Any]:
    """The answer of a search that has spent so much compute, as its sampler is granted, with what
    it had spent and tried. ``name``: the sampler's, and behind a dash the seed, where it is not 0.
    """
    sampler = next(each for each in RIVALS if name.startswith(each))
    compute, seed = compute * RIVALS[sampler], name.removeprefix(sampler).removeprefix("-") or 0
    file = PROOF / f"{study.stem}-{name}.toml"
    text = study.read_text(encoding="utf-8")
    data = (study.parent / tomllib.loads(text)["data"]["path"]).resolve()
    path = next(line for line in text.splitlines() if line.startswith("path ="))
    text = text.replace(path, f'path = "{data}"')
    text += f'\n[search]\nsampler = "{sampler}"\nseed = {seed}\n'
    file.write_text(text, encoding="utf-8")
    run = RunDir(Path("reports", f"proof-{study.stem}-{name}"))
    if sum(_spent(run)) < compute:
        command = dnsearch("run", file, "--name", run.name, "--trials", MOST)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                if sum(_spent(run)) >= compute:
                    process.terminate()  # ends as Ctrl-C does, which jobs in the background ignore
                    process.wait()
        if process.returncode not in (0, ENDED):
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    told = json.loads(output_of("count", run.name, "--json"))
    spent = _spent(run)
    return {"network": told["config"], "spent": sum(spent), "tried": len(spent)}


def _spent(run: RunDir) -> list[float]:
    """Multiply-adds of each training run that has ended."""
    if not run.database.is_file():
        return []
    return [candidate.train_macs for candidate in read_results(run).measured]


def report(
    options: argparse.Namespace,
    rows: Sequence[Found],
    tried: Sequence[Found],
    searched: dict[str, Any],
) -> str:
    """The table, and whether the aims were met, as Markdown."""
    again = f" --repeats {options.repeats}" if options.repeats > 1 else ""
    lines = [
        f"# The proof: at most {options.budget.partition('-')[0]} MACs on CIFAR-10",
        "",
        f"Written by `python studies/proof/proof.py {options.budget} --epochs {options.epochs} "
        f"--compute {options.compute:g}{again}`. Errors in percent after {options.epochs} epochs, "
        f"means of {SEEDS} seeds ± their standard error. A published shape is the one of its three "
        "depths that validates best with the first seed.",
        "",
        "| network | found by | compute of the search | M MACs | k params | validation | test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for found in rows:
        arch, kind = found.network.arch, found.network.kind
        cost = cost_of(arch, SIDE, SIDE)
        spent = "" if kind not in searched else f"{searched[kind]['spent'] / 1e12:.0f} T MACs"
        cells = [
            arch.describe(), kind, spent, f"{cost.macs / 1e6:.2f}", f"{cost.params / 1e3:.1f}",
            mean_error(found.validation), mean_error(found.test),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    ours, *others = rows
    families = [each for each in others if each.network.kind not in searched]
    best = min(families, key=lambda found: statistics.mean(found.test))
    lines += ["", _against(ours, best, "the best published shape", AIM)]
    repeated = [each for each in others if each.network.kind.startswith(f"{OURS}-")]
    for each in others:
        if each is not best and each not in repeated:
            lines.append(_against(ours, each, each.network.kind, 0.0))
    if repeated:
        means = [statistics.mean(each.test) for each in (ours, *repeated)]
        least = statistics.mean(best.test)
        ratio = statistics.mean(means) / least
        own = [standard_error(each.test) / len(means) for each in (ours, *repeated)]
        error = max(standard_error(means), math.hypot(*own))  # few searches may agree by chance
        error = ratio * math.hypot(
            error / statistics.mean(means), standard_error(best.test) / least
        )
        lines.append(
            f"- {len(means)} searches of dnsearch with different seeds: "
            f"{mean_error(means)} % test error (the ± is between searches), "
            f"{100 * (ratio - 1):+.1f} ± {100 * error:.1f} % against the best published shape."
        )
    trained = {each.network.kind for each in rows}
    lines += [f"- {name}: not searched yet" for name in RIVALS if name not in trained]
    lines += ["", "All depths of the published shapes, with the first seed:", ""]
    lines += ["| network | validation | test |", "| --- | --- | --- |"]
    for each in tried:
        figures = f"{100 * each.validation[0]:.2f} | {100 * each.test[0]:.2f}"
        lines.append(f"| {each.network.name} | {figures} |")
    return "\n".join(lines) + "\n"


def _against(ours: Found, other: Found, name: str, aim: float) -> str:
    """The test error relative to another network's, with its standard error."""
    a, b = statistics.mean(ours.test), statistics.mean(other.test)
    relative = a / b - 1
    error = a / b * math.hypot(standard_error(ours.test) / a, standard_error(other.test) / b)
    met = "met" if relative <= -aim else "missed"
    goal = f"at least {aim:.0%} below" if aim else "below"
    return (
        f"- against {name} ({other.network.arch.describe()}): {100 * relative:+.1f} ± "
        f"{100 * error:.1f} % of its test error; the aim, {goal}, is {met}."
    )


if __name__ == "__main__":
    main()
