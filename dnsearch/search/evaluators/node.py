"""What happens inside a Ray actor, on a node of a cluster: ``worker`` with files that travel."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dnsearch import __version__
from dnsearch.config import TrainingConfig
from dnsearch.errors import MachineError
from dnsearch.machine import lives
from dnsearch.processes import set_environment
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators import worker
from dnsearch.search.evaluators.base import Job
from dnsearch.search.evaluators.worker import Images, WorkerSettings
from dnsearch.training.score import Score

if TYPE_CHECKING:
    from dnsearch.search.evaluators.worker import Ready

Files = Mapping[str, bytes]
"""By name, what lies beside each other as the checkpoint of one training."""

_FOLDER = "dnsearch-training-"
"""How the names of folders for trainings under way begin, before the number of their process."""

PROBE = "dnsearch-storage"
"""The file in ``cluster.storage_path`` by which nodes tell that they see the same folder."""


def versions() -> dict[str, str]:
    """What must be the same on all nodes: with another torch the same training scores another
    error."""
    found = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {"dnsearch": __version__, "python": platform.python_version(), **found}


def differing(needed: Mapping[str, str], whose: str) -> str:
    """Which of this node's versions is not the one that is ``needed``, and ``whose`` that is; empty
    where all are."""
    for name, there in versions().items():
        if name in needed and there != needed[name]:
            return f"has {name} {there} where {whose} has {needed[name]}"
    return ""


def is_same_folder(probe: Path, sign: str) -> bool:
    """Whether the folder of a file is the one into which it was written with this ``sign``, and can
    be written into here. Raises OSError where it cannot be used."""
    found = probe.read_text()
    with tempfile.TemporaryFile(dir=probe.parent):
        return found == sign


def gpu_has_bf16() -> bool:
    """Whether this node's GPU computes in bf16 where a recipe leaves that open."""
    from dnsearch.training.device import uses_bf16

    return uses_bf16(TrainingConfig(), "cuda:0")


class Trainee:
    """Trains one job at a time; meanwhile ``epochs`` tells how far it is."""

    def __init__(self) -> None:
        set_environment()  # torch is not imported yet
        self._ready: Ready | None = None
        self._epochs = 0.0
        self._storage: Path | None = None

    def warm_up(
        self,
        settings: WorkerSettings,
        device: str,
        images: Images | None,
        needed: Mapping[str, str],
        storage: Path | None,
        sign: str,
    ) -> None:
        """Gets all ready for a first job. images: None where they are read from their own path.
        storage: where weights of trainings under way are kept, which holds the ``sign``.

        Raises MachineError where this node cannot take part.
        """
        if other := differing(needed, "the search"):
            raise MachineError(other)
        if storage is not None:
            _require_shared(storage, sign)
        self._storage = storage
        self._ready = worker.warm_up(settings, device, images)

    def train(self, job: Job, files: Files) -> tuple[Score, Files]:
        """The score, and the files that the training leaves: weights and confusion matrices.
        ``files``: those that it goes on from."""
        assert self._ready is not None
        self._epochs = 0.0
        with _folder(self._storage) as folder:
            checkpoint = RunDir(folder).checkpoint(job.arch.key, job.seed)
            if not checkpoint.is_file():  # what was saved since is further
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    (checkpoint.parent / name).write_bytes(content)
            score = worker.train(self._ready, job, checkpoint, self._note)
            return score, read_files(checkpoint)

    def epochs(self) -> float:
        """Done of the present job."""
        return self._epochs

    def _note(self, epochs: float) -> None:
        self._epochs = epochs


def read_files(checkpoint: Path) -> Files:
    """The checkpoint of a training and what belongs to it."""
    found = checkpoint.parent.glob(f"{checkpoint.stem}.*")
    return {file.name: file.read_bytes() for file in found if not file.name.endswith(".unfinished")}


@contextlib.contextmanager
def _folder(storage: Path | None) -> Iterator[Path]:
    if storage is not None:
        yield storage
        return
    _remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    """Removes the folders of actors that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        number = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if number.isdecimal() and not lives(int(number)):
            shutil.rmtree(folder, ignore_errors=True)  # another user's stays


def _require_shared(storage: Path, sign: str) -> None:
    """Raises MachineError where the folder is not the one that the coordinator has written to."""
    try:
        if not is_same_folder(storage / PROBE, sign):
            raise MachineError(f"has another folder at cluster.storage_path {storage}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(f"cannot use cluster.storage_path {storage}: {reason}") from None
