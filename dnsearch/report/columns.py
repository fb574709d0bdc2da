"""A candidate as a row of ``candidates.csv`` and a record of ``summary.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dnsearch.analysis.candidates import Candidate
from dnsearch.arch.config import joined

COLUMNS = {
    "number": "trial number in Optuna's storage",
    "key": "ArchConfig.key",
    "name": "short description, or the preset's name",
    "preset": "name of the preset this architecture is, else empty",
    "state": "finished, screened (trained to a lower rung only), partial (trained on part of the "
    "images), failed, or unfit (finished, but over a limit known only when measured)",
    "growth_rate": "",
    "block_config": "depths joined by '-', such as 6-12-24",
    "num_init_features": "",
    "bn_size": "",
    "compression": "",
    "drop_rate": "",
    "norm": "",
    "stem": "",
    "depth": "weighted layers",
    "params": "parameters",
    "macs": "multiply-adds of one image",
    "activations": "elements convolutions write for one image",
    "train_bytes": "bytes a training step holds at training.batch_size or micro_batch",
    "latency_ms": "measured milliseconds of one forward pass, empty where not asked for",
    "rung": "epochs trained",
    "images": "training images it was given",
    "seeds": "finished training runs of this network; its errors, losses, latency and seconds are "
    "their means",
    "seed": "seed of the training run, of several the one with the least validation error",
    "error": "validation error, 0 to 1, as objectives.error has it; empty where failed",
    "top1_error": "share of validation images whose class is wrong, where error is another",
    "class_errors": "list of wrong validation images of the run with this seed, by class in the "
    "order of data.json's classes; under top5 those whose class is not among the five likeliest; "
    "null where unknown",
    "loss": "validation loss, nats",
    "train_loss": "mean training loss of the last epoch, nats",
    "seconds": "wall-clock seconds of this training",
    "images_per_second": "training images a second",
    "train_macs": "compute spent: 3 x macs x images x epochs done (forward and backward)",
    "finished_after": "seconds of search time, over all sessions, when this candidate was told",
    "accumulation_steps": "parts in which each batch was trained, their gradients added: for "
    "training.micro_batch, or for lack of memory",
    "failure": "reason, empty where there is none",
    "predicted_error": "predicted error averaged over seeds; empty for what did not finish",
    "basis": "what it follows from: measured (the network's own training runs), search (all of the "
    "search's), confirmed (these and those of dnsearch confirm, on the test images)",
    "predicted_low": "lower end of its 90 % interval on the images that were measured; empty where "
    "it is the network's own mean",
    "predicted_high": "upper end",
    "new_low": "lower end of its 90 % interval on new images of the same kind",
    "new_high": "upper end",
    "front_probability": "probability of being on the front of all finished networks",
    "zero_cost": "scores at initialisation by name, null where they were not asked for",
    "curve": "list of {epoch, train_loss, error, loss}",
}
"""What each figure of a candidate is, by its name in files, in the order of the columns."""


def row_of(candidate: Candidate) -> dict[str, Any]:
    """A candidate's figures by the names of ``COLUMNS``, NaN where missing."""
    known = vars(candidate) | vars(candidate.cost) | candidate.arch.to_dict()
    known |= {
        "key": candidate.key,
        "name": candidate.name,
        "state": str(candidate.state),
        "basis": str(candidate.basis) if candidate.counts else "",
        "growth_rate": _number(candidate.arch.growth_rate),
        "block_config": candidate.arch.describe_blocks(),
        "bn_size": _number(candidate.arch.bn_size),
        "depth": candidate.arch.depth,
        "curve": [asdict(point) for point in candidate.curve],
    }
    return {name: known[name] for name in COLUMNS}


def _number(value: int | tuple[int, ...]) -> int | str:
    """A number where it is the same for all blocks, so that columns can be sorted by it."""
    return value if isinstance(value, int) else joined(value)
