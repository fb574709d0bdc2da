"""What a page tells of one network when it is opened: its shape, where its costs lie, its training,
its errors, and the commands that take it further. JSON for ``report.js``, which draws it."""

from __future__ import annotations

import math
import shlex
from typing import Any

import numpy as np

from dnsearch.analysis.candidates import COSTS, Candidate
from dnsearch.analysis.metrics import METRICS, error_label, format_error, format_value
from dnsearch.arch.config import ArchArrays, ArchConfig, joined
from dnsearch.confirm.findings import Confirmed
from dnsearch.cost.formula import stage_costs
from dnsearch.report.answer import ends
from dnsearch.report.digest import Digest
from dnsearch.report.parts import error_interval
from dnsearch.report.summary import plain

PARTS = ("macs", "params", "activations")
"""Costs that are shown stage by stage."""

DIMENSIONS = {
    "growth_rate": "growth rate",
    "block_config": "blocks",
    "num_init_features": "initial channels",
    "bn_size": "bottleneck",
    "compression": "compression",
    "transition": "transition",
    "drop_rate": "dropout",
    "norm": "norm",
    "stem": "stem",
}
"""What may differ between two networks, with its name."""


COMPARED = 300
"""Networks of least predicted error whose draws are on the page, so that differences between them
can be told with their intervals."""

DRAWS, FINENESS = 200, 1e-5
"""Draws of each, and what they are rounded to."""


def details(digest: Digest, confirmed: Confirmed | None = None) -> dict[str, dict[str, Any]]:
    """By key, of every network and training run of the table, the finished one where there are
    several."""
    found: dict[str, Candidate] = {}
    for each in digest.networks:
        if each.key not in found or each.counts:
            found[each.key] = each
    networks = list(found.values())
    if not networks:
        return {}
    stages = _stages([each.arch for each in networks], digest)
    draws = _draws(networks, digest)
    return {
        each.key: {
            "name": each.name,
            "dimensions": _dimensions(each.arch),
            "layers": list(each.arch.block_config),
            "growth": list(each.arch.growth_rates),
            "stages": stages[i],
            "error": each.predicted_error if each.counts else None,
            "draws": draws.get(each.key),
            "costs": {n: plain(each.figure(n)) for n in (*PARTS, "train_bytes", "latency_ms")},
            "figures": _figures(each, digest, confirmed),
            "curve": [[p.epoch, p.error] for p in each.curve],
            "commands": _commands(each, digest),
        }
        for i, each in enumerate(networks)
    }


def _stages(archs: list[ArchConfig], digest: Digest) -> list[list[list[Any]]]:
    """Of each architecture its stages: name, the channels, height and width it leaves, and its
    share of ``PARTS``."""
    _, height, width = digest.results.data["shape"]
    found: list[list[list[Any]]] = [[] for _ in archs]
    for stage in stage_costs(ArchArrays.of(archs), height, width):
        columns = [stage.channels, stage.height, stage.width]
        columns += [getattr(stage, part) for part in PARTS]
        for i, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            if row[3]:  # else the architecture lacks the stage
                found[i].append([stage.name, *row])
    return found


def _draws(networks: list[Candidate], digest: Digest) -> dict[str, list[int]]:
    """By key what the errors may truly be, together, in steps of ``FINENESS``."""
    joint = digest.results.joint
    if joint is None:
        return {}
    known = [each for each in networks if each.counts and each.key in joint.place]
    known = sorted(known, key=lambda each: each.predicted_error)[:COMPARED]
    rows = np.linspace(0, len(joint.draws) - 1, min(DRAWS, len(joint.draws))).astype(int)
    chosen = joint.draws[rows][:, [joint.place[each.key] for each in known]]
    whole = np.round(chosen / FINENESS).astype(int).T.tolist()
    return {each.key: column for each, column in zip(known, whole, strict=True)}


def _dimensions(arch: ArchConfig) -> dict[str, str]:
    return {label: joined(getattr(arch, name)) for name, label in DIMENSIONS.items()}


def _figures(
    network: Candidate, digest: Digest, confirmed: Confirmed | None
) -> list[tuple[str, str]]:
    told = []
    if network.counts:
        name = f"{'predicted ' if network.is_predicted else ''}{digest.error_name}"
        told.append((name, format_value("error", network.predicted_error)))
        told.append(("on new images", ends(network.new_low, network.new_high)))
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
    run, key = shlex.quote(digest.results.name), network.key
    asked = f"{run}:{key}"
    told = [f"dnsearch train {asked}", f"dnsearch count {asked}"]
    if network.counts:
        told.append(f"dnsearch export {run} --pick {key} --to {key}")
    return told
