"""What a page tells of one network when it is opened: its shape, where its costs lie, its training,
its errors, and the commands that take it further. JSON for the scripts of ``templates/``, which
draw it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dnsearch.analysis.candidates import COSTS, Candidate
from dnsearch.analysis.metrics import (
    DIMENSIONS,
    METRICS,
    error_ends,
    error_label,
    format_error,
    format_value,
)
from dnsearch.arch.config import ArchConfig, joined
from dnsearch.confirm.findings import Confirmed
from dnsearch.report.digest import Digest
from dnsearch.report.drawings import PARTS, shapes
from dnsearch.report.parts import error_interval
from dnsearch.report.summary import plain

if TYPE_CHECKING:
    from dnsearch.search.results import PublishedNetwork

SHOWN = (*PARTS, "train_bytes", "latency_ms")

COMPARED = 300
"""Networks of least predicted error whose draws and errors by class are on the page, so that
differences between them can be told with their intervals."""

DRAWS, FINENESS = 200, 1e-5
"""Draws of each, and what they are rounded to."""


def details(digest: Digest, confirmed: Confirmed | None = None) -> dict[str, dict[str, Any]]:
    """By key, of every network and training run of the table, the finished one where there are
    several; and of the published networks, of which only the cost is known."""
    found: dict[str, Candidate] = {}
    for each in digest.networks:
        if each.key not in found or each.counts:
            found[each.key] = each
    presets = {each.key: each for each in digest.results.presets if each.key not in found}
    archs = [each.arch for each in (*found.values(), *presets.values())]
    if not archs:
        return {}
    shape = digest.results.data["shape"]
    _, height, width = shape
    latencies = digest.results.latencies
    drawings = shapes(archs, height, width, latencies and latencies.model)
    described = (
        drawn | {"dimensions": _dimensions(arch)}
        for arch, drawn in zip(archs, drawings, strict=True)
    )
    known = dict(zip((*found, *presets), described, strict=True))
    draws = _draws(list(found.values()), digest)
    seeds, classes = _seeds(digest), _classes(digest)
    trained = {
        key: known[key]
        | {
            "name": each.name,
            "error": each.predicted_error if each.counts else None,
            "draws": draws.get(key),
            "costs": {n: plain(each.figure(n)) for n in SHOWN},
            "figures": _figures(each, digest, confirmed),
            "curve": [[p.epoch, p.error] for p in each.curve],
            "seeds": seeds.get(key, []),
            "classes": classes.get(key, []),
            "commands": _commands(each, digest),
        }
        for key, each in found.items()
    }
    return trained | {key: known[key] | _published(each, shape) for key, each in presets.items()}


def _published(network: PublishedNetwork, shape: Sequence[int]) -> dict[str, Any]:
    """What is told of a network that was not trained here, on images of this shape."""
    costs = {name: getattr(network.cost, name, None) for name in SHOWN}
    known = [(METRICS[n].label, format_value(n, v)) for n, v in costs.items() if v is not None]
    return {
        "name": network.name,
        "error": None,
        "draws": None,
        "costs": costs,
        "figures": [("published network", "not trained here"), *known],
        "curve": [],
        "seeds": [],
        "classes": [],
        "commands": [_count(network, shape)],
    }


def _count(network: PublishedNetwork, shape: Sequence[int]) -> str:
    """What counts a preset as it is told of here: on these images, with these classes."""
    return (
        f"dnsearch count {network.name} --input {'x'.join(map(str, shape))} "
        f"--num-classes {network.arch.num_classes}"
    )


def _seeds(digest: Digest) -> dict[str, list[tuple[int, float]]]:
    """By key the seeds of a network's full training runs with their errors."""
    found: dict[str, list[tuple[int, float]]] = {}
    for run in digest.candidates:
        if run.counts:
            found.setdefault(run.key, []).append((run.seed, run.error))
    return found


def _draws(networks: list[Candidate], digest: Digest) -> dict[str, list[int]]:
    """By key what the errors may truly be, together, in steps of ``FINENESS``."""
    joint = digest.results.joint
    if joint is None:
        return {}
    known = _best([each for each in networks if each.counts and each.key in joint.place])
    rows = np.linspace(0, len(joint.draws) - 1, min(DRAWS, len(joint.draws))).astype(int)
    chosen = joint.draws[rows][:, [joint.place[each.key] for each in known]]
    whole = np.round(chosen / FINENESS).astype(int).T.tolist()
    return {each.key: column for each, column in zip(known, whole, strict=True)}


def _best(networks: Iterable[Candidate]) -> list[Candidate]:
    return sorted(networks, key=lambda each: each.predicted_error)[:COMPARED]


def _classes(digest: Digest) -> dict[str, list[float | None]]:
    """By key the share of each class's validation images that is wrong; None of a class without."""
    images = digest.results.class_images
    if images is None:
        return {}
    there = np.where(images > 0, images, np.nan)
    return {
        each.key: plain(np.round(np.array(each.class_errors) / there, 4).tolist())
        for each in _best(digest.finished)
        if each.class_errors is not None
    }


def _dimensions(arch: ArchConfig) -> dict[str, str]:
    return {label: joined(getattr(arch, name)) for name, label in DIMENSIONS.items()}


def _figures(
    network: Candidate, digest: Digest, confirmed: Confirmed | None
) -> list[tuple[str, str]]:
    told = []
    if network.counts:
        name = f"{'predicted ' if network.is_predicted else ''}{digest.error_name}"
        told.append((name, format_value("error", network.predicted_error)))
        told.append(("on new images", error_ends(network.new_low, network.new_high)))
    tested = confirmed.network(network.key) if confirmed else None
    if confirmed is not None and tested is not None and tested.test.is_known:
        told.append((error_label(confirmed.error, "test"), error_interval(tested.test)))
    measured = format_error(network.error, network.error_se)
    seeds = f", mean of {network.seeds} seeds" if network.seeds > 1 else ""
    if math.isfinite(network.error):
        told.append((f"measured {network.error_name}", f"{measured}{seeds}"))
    if network.failure:
        told.append(("failed", network.failure.strip().splitlines()[0]))
    values = [(name, network.figure(name)) for name in (*COSTS, "depth", "rung", "seconds")]
    known = [(name, value) for name, value in values if math.isfinite(value)]
    return [*told, *((METRICS[name].label, format_value(name, value)) for name, value in known)]


def _commands(network: Candidate, digest: Digest) -> list[str]:
    """Those that take it; none of one that failed, which cannot be picked."""
    if math.isnan(network.error):
        return []
    run, key = shlex.quote(digest.results.typed), network.key
    asked = f"{run}:{key}"
    told = [f"dnsearch train {asked}", f"dnsearch count {asked}"]
    if network.counts:
        told.append(f"dnsearch export {run} --pick {key} --to {key}")
    return told
