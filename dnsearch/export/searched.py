"""A network of a search, with the weights that are kept of it, in a folder of its own."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dnsearch.analysis.candidates import Candidate, finished
from dnsearch.analysis.metrics import (
    METRICS,
    duration,
    error_ends,
    error_label,
    format_value,
)
from dnsearch.analysis.picks import LEAST_ERROR
from dnsearch.config import FULL_LENGTH
from dnsearch.confirm.run import FOLDER as CONFIRM_FOLDER
from dnsearch.errors import RunError
from dnsearch.export.bundle import scored_network, write_bundle
from dnsearch.export.card import Card, ClassErrors, error_text
from dnsearch.export.formats import Format
from dnsearch.rundir import RunDir
from dnsearch.search.answers import note_answer
from dnsearch.search.confirmed import exported_run, fresh_error, tested_on
from dnsearch.search.results import Results
from dnsearch.text import counted


class Exported(NamedTuple):
    """The network, and the training run whose weights were written."""

    network: Candidate
    weights: Weights


class Weights(NamedTuple):
    """A training run's weights: its file, epochs, seed and validation error (0 to 1), and its
    errors by class; ``confirmed`` says that it was one of `dnsearch confirm`, with its
    ``test_error``."""

    file: Path
    epochs: int
    seed: int
    error: float
    classes: ClassErrors | None = None
    confirmed: bool = False
    test_error: float = math.nan


def export_network(
    results: Results, run: RunDir, query: str, to: Path, more: Sequence[Format] = ()
) -> Exported:
    """Writes the network that ``query`` picks into the new folder ``to``, whole or not at all.

    The weights are the averaged ones that were scored, of the network's longest training run, as
    the report says. ``more``: formats beside those that every
    folder has. The files are loaded again and must give the same outputs. ``export.json`` says
    which network it is, of which run, and when it was written. Raises RunError where the query
    finds no network, its weights were not kept, or the folder is not empty.
    """
    network = results.pick(query)
    weights = kept_weights(results, run, network, also=", and so does --train")
    model = scored_network(network.arch, weights.file)
    record = _record(results, network, weights, query)
    card = _card(results, network, weights, record)
    write_bundle(to, model, card.images, card.text(), record, more)
    note_answer(results, run, to if query == LEAST_ERROR else None)
    return Exported(network, weights)


def kept_weights(results: Results, run: RunDir, network: Candidate, also: str = "") -> Weights:
    """The weights of this network. Raises RunError where none were kept, with the command that
    trains it; ``also`` is what else does."""
    weights = weights_of(results, run, network)
    if weights is not None:
        return weights
    seconds = network.seconds / max(1, network.rung)
    epochs = FULL_LENGTH * results.study.training.rungs[-1]
    length = f" in about {duration(epochs * seconds)}" if math.isfinite(seconds) else ""
    train = shlex.join(["dnsearch", "train", f"{run.typed}:{network.key}"])
    raise RunError(
        f"{run.path}: the weights of {network.key} were not kept; `{train}` trains it in full "
        f"({counted(epochs, 'epoch')}{length}){also}"
    )


def weights_of(results: Results, run: RunDir, network: Candidate) -> Weights | None:
    """The weights to export of this network, None where none were kept."""
    best = exported_run(results.confirmed, network)
    if best is not None:
        file = RunDir(run.path / CONFIRM_FOLDER).checkpoint(network.key, best.job.seed)
        if file.is_file():
            score = best.score
            error = math.nan if score.error is None else score.error
            classes = _classes("test", score.test_class_errors, score.test_class_images)
            return Weights(
                file, best.job.rung, best.job.seed, error, classes, True, fresh_error(best)
            )
    own = [c for c in results.measured if c.key == network.key and c.state is network.state]
    for each in sorted(own, key=lambda each: each.error):
        file = run.checkpoint(each.key, each.seed)
        if file.is_file():
            of = results.class_images
            classes = _classes("validation", each.class_errors, None if of is None else of.tolist())
            return Weights(file, each.rung, each.seed, each.error, classes)
    return None


def _classes(
    split: str, wrong: Sequence[int] | None, of: Sequence[int] | None
) -> ClassErrors | None:
    return None if wrong is None or of is None else ClassErrors(split, wrong, of)


def _record(results: Results, network: Candidate, weights: Weights, query: str) -> dict[str, Any]:
    """The values of ``export.json``."""
    known = {name: _known(network.figure(name)) for name in _FIGURES}
    return {
        "run": results.name,
        "pick": query,
        "key": network.key,
        "name": network.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_runs": len(finished(results.measured)),
        "basis": str(network.basis),
        **known,
        "baseline_error": results.baseline_of(network).error,
        "weights": {
            "epochs": weights.epochs,
            "seed": weights.seed,
            "validation_error": _known(weights.error),
            "test_error": _known(weights.test_error),
            "from": "dnsearch confirm" if weights.confirmed else "the search",
        },
    }


_FIGURES = ("predicted_error", "predicted_low", "predicted_high", "new_low", "new_high")


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _card(
    results: Results, network: Candidate, weights: Weights, record: Mapping[str, Any]
) -> Card:
    by = "`dnsearch confirm`" if weights.confirmed else "the search"
    intro = (
        f"A DenseNet found by dnsearch in the run `{results.name}` (architecture `{network.key}`, "
        f"picked by `{record['pick']}` on {record['written']}, after {record['training_runs']} "
        f"training runs). The weights are those that {by} trained for "
        f"{counted(weights.epochs, 'epoch')} with seed {weights.seed}, on "
        f"{results.data['images']['train']:,} images of {results.data['name']}."
    )
    return Card(
        title=network.name,
        intro=intro,
        figures=_figures(results, network, weights),
        remark="The predicted error is that of other training runs of this network, averaged "
        "over seeds; the others are of these weights.",
        classes=weights.classes,
        data=results.data,
        source=results.study.data,
        recipe=results.study.training,
        epochs=weights.epochs,
        seed=weights.seed,
        unchecked=_unchecked(weights),
    )


def _figures(results: Results, network: Candidate, weights: Weights) -> list[tuple[str, str]]:
    kind = results.study.objectives.error
    of = results.class_images
    held = [results.validation_images] if of is None else of.tolist()
    rows = [(network.error_name, error_text(kind, weights.error, held, "validation"))]
    if weights.confirmed:
        tests = tested_on(results.confirmed)
        text = error_text(kind, weights.test_error, tests.by_class or [tests.images], "test")
        rows.append((error_label(kind, "test"), text))
    shown = ("params", "macs", "activations", "latency_ms")
    least = results.baseline_of(network)
    return [
        *rows,
        ("predicted error of another training run", _predicted(network)),
        (least.words, format_value("error", least.error)),
        *(
            (METRICS[n].label, format_value(n, network.figure(n)))
            for n in shown
            if math.isfinite(network.figure(n))
        ),
    ]


def _predicted(network: Candidate) -> str:
    value = format_value("error", network.predicted_error)
    return f"{value} ({error_ends(network.new_low, network.new_high)} on new images)"


def _unchecked(weights: Weights) -> list[str]:
    if weights.confirmed:
        return ["Other seeds of these weights: another training run has another error."]
    return [
        "Test images: the validation images are those by which the search chose, so that their "
        "error tends to be too low. Measure on test images of your own before quoting a figure."
    ]
