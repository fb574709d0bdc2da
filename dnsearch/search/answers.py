"""``answers.json``: what a run has answered so far, so that a later, different answer is told as a
change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from dnsearch.analysis.candidates import Basis, Candidate, finished
from dnsearch.analysis.picks import LEAST_ERROR
from dnsearch.files import write_json
from dnsearch.rundir import RunDir
from dnsearch.search.results import Results


@dataclass(frozen=True)
class Answer:
    """The network that a run recommended (``least-error``) at some time.

    error: predicted, 0 to 1. runs: finished training runs of the search by then. when: ISO 8601 in
    UTC. exported: to which folder it was exported, empty where it was only told.
    """

    key: str
    name: str
    error: float
    basis: Basis
    runs: int
    when: str
    exported: str = ""


class Why(StrEnum):
    """Why an answer is another than before."""

    CONFIRMED = "confirmed"
    """`dnsearch confirm` has measured some networks since."""
    TRAINED = "trained since"
    """The network that is answered now was not trained then."""
    PREDICTED = "predicted"
    """Further training runs have changed what is predicted of both."""


class Change(NamedTuple):
    """``before``: what was answered; ``error``: what is predicted of that network now."""

    before: Answer
    error: float
    why: Why


def answers(run: RunDir) -> list[Answer]:
    """What the run has answered, oldest first. Raises RunError where the file is damaged."""
    if not _file(run).is_file():
        return []
    told = run.read_json(_file(run).name, "answers")["answers"]
    return [Answer(**{**each, "basis": Basis(each["basis"])}) for each in told]


def note_answer(results: Results, run: RunDir, exported: Path | None = None) -> None:
    """Adds the answer as it is now where it differs from the last, or is ``exported`` to a folder;
    not to a run that may only be read.

    Raises RunError where the file cannot be written.
    """
    if not run.is_writable:
        return
    told, found = answers(run), results.picks.get(LEAST_ERROR)
    if found is None or (exported is None and told and told[-1].key == found.key):
        return
    now = Answer(
        key=found.key,
        name=found.name,
        error=found.predicted_error,
        basis=found.basis,
        runs=len(finished(results.measured)),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        exported=str(exported or ""),
    )
    write_json(_file(run), {"answers": [asdict(each) for each in (*told, now)]})


def change(results: Results, told: list[Answer]) -> Change | None:
    """How the answer differs from the last one that was exported, or else from the last that was
    told; None where it does not."""
    now = results.picks.get(LEAST_ERROR)
    exports = [each for each in told if each.exported]
    before = (exports or [each for each in told if now is None or each.key != now.key])[-1:]
    if now is None or not before or before[0].key == now.key:
        return None
    then = next((each for each in results.networks if each.key == before[0].key), None)
    if then is None:
        return None
    return Change(before[0], then.predicted_error, _why(results, before[0], now))


def _why(results: Results, before: Answer, now: Candidate) -> Why:
    if now.basis is Basis.CONFIRMED and before.basis is not Basis.CONFIRMED:
        return Why.CONFIRMED
    done = [run.key for run in finished(results.measured)]
    return Why.TRAINED if now.key not in done[: before.runs] else Why.PREDICTED


def _file(run: RunDir) -> Path:
    return run.path / "answers.json"
