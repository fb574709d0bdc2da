"""``dnsearch check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsearch.cli import json_option, print_json
from dnsearch.cli.completion import complete_file
from dnsearch.cli.run import bundled_study
from dnsearch.config import load_study
from dnsearch.text import counted

if TYPE_CHECKING:
    from dnsearch.search.check import Check, Point

MOST_LINES = 5
"""Notes, and warnings, that are printed; data.json of a run has all notes."""


@click.command()
@click.argument("study", required=False, shell_complete=complete_file)
@json_option
def command(study: str | None, as_json: bool) -> None:
    """Say what can be known of STUDY, a study file, before anything is trained.

    It reads all images, the test split included, counts every network of the space, and trains two
    of them for a second to see how long the search will take. With limits.max_latency_ms it
    measures the latency of the smallest. What would keep `dnsearch run` from starting is an error;
    what makes its answer doubtful is a warning, with what to change. Without STUDY it takes the
    bundled one, quickstart.
    """
    file = bundled_study() if study is None else Path(study)

    from dnsearch.cli.decoding import decoding_shown
    from dnsearch.search.check import check

    with decoding_shown(as_json):
        found = check(load_study(file))
    if as_json:
        print_json({"study": str(file)} | _record(found))
        return
    click.echo(f"{file.stem}: ready to run, {counted(len(found.warnings), 'warning')}")
    for name, text in _lines(found):
        click.echo(f"{name:<11}{text}")
    for kind, texts in (("note", found.notes), ("warning", found.warnings)):
        for text in texts[:MOST_LINES]:
            click.echo(f"{kind}: {text}")
        if len(texts) > MOST_LINES:
            click.echo(f"{kind}: {len(texts) - MOST_LINES} more")


def _record(found: Check) -> dict[str, Any]:
    outset, data = found.outset, found.outset.data
    return {
        "data": data.describe(),
        "test_images": found.test.images if found.test else 0,
        "baseline": vars(found.baseline),
        "difference": found.difference,
        "steps": found.steps,
        "networks": round(outset.within.count),
        "networks_estimated": not outset.within.exact,
        "space": outset.space.size,
        "cheapest": _point_record(found.cheapest),
        "dearest": _point_record(found.dearest),
        "cheapest_latency_ms": found.latency_ms,
        "trials": outset.study.search.trials,
        "workers": len(outset.plan.devices),
        "device_kind": outset.plan.kind,
        "seconds": found.seconds,
        "notes": found.notes,
        "warnings": found.warnings,
    }


def _point_record(point: Point) -> dict[str, Any]:
    known = {"name": point.arch.describe(), "key": point.arch.key, "seconds": point.seconds}
    return known | vars(point.cost)


def _lines(found: Check) -> Iterator[tuple[str, str]]:
    from dnsearch.analysis.metrics import duration
    from dnsearch.search.check import SHOWN_AT

    outset, counts = found.outset, found.outset.data.counts
    data, study = outset.data, outset.study
    channels, height, width = data.shape
    tests = found.test.images if found.test else 0
    yield (
        "data:",
        f"{data.name}: {counts['train']:,} training, {counts['validation']:,} validation, "
        f"{tests:,} test images, {height}x{width} {'grey' if channels == 1 else 'colour'}",
    )
    each = data.class_counts["train"]
    names = ", ".join(data.classes[:4]) + ", ..." * (data.num_classes > 4)
    least, most = f"{min(each):,}", f"{max(each):,}"
    images = least if least == most else f"{least} to {most}"
    yield "classes:", f"{data.num_classes} of {images} training images each: {names}"
    yield "baseline:", f"{100 * found.baseline.error:.2f} % error by {found.baseline.words}"
    yield (
        "detects:",
        f"differences of error of {100 * found.difference:.1f} points or more (two standard errors "
        f"at {100 * SHOWN_AT:.0f} % error)",
    )
    rungs = "; ".join(
        f"{counted(rung, 'epoch')}, {counted(steps, 'step')}" for rung, steps in found.steps.items()
    )
    yield "rungs:", f"{rungs}, of {study.training.batch_size} images each"
    yield (
        "space:",
        f"{outset.within.number} network{'s' * (len(outset.points) != 1)} within the limits, of "
        f"{outset.space.size:,}",
    )
    drawn = "" if outset.within.exact else f" (of {len(outset.points):,} that were drawn)"
    yield "smallest:", f"{_point(found.cheapest)}{drawn}"
    yield "largest:", f"{_point(found.dearest)}{drawn}"
    if found.seconds is None:
        yield "time:", "unknown: the memory here does not suffice to train a network"
        return
    low, high = map(duration, found.seconds)
    workers = counted(len(outset.plan.devices), "worker")
    yield (
        "time:",
        f"{low} to {high} for {counted(study.search.trials, 'trial')} with {workers} on "
        f"{outset.plan.kind.upper()} (if all are as",
    )
    yield "", "the smallest network, or as one of average MACs, to the top rung; two were timed)"


def _point(point: Point) -> str:
    from dnsearch.analysis.metrics import duration, format_value

    costs = ", ".join(
        format_value(name, getattr(point.cost, name)) for name in ("params", "macs", "train_bytes")
    )
    time = "" if point.seconds is None else f", about {duration(point.seconds)}"
    return f"{point.arch.describe()}: {costs} to train{time}"
