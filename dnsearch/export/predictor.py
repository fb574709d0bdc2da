"""What a network makes of pictures in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dnsearch.arch.checkpoint import load_network
from dnsearch.arch.densenet import DenseNet
from dnsearch.arrays import Floats
from dnsearch.data.formats.folder import EXTENSIONS
from dnsearch.data.formats.spellings import is_junk
from dnsearch.errors import DataError
from dnsearch.export.bundle import scored_network
from dnsearch.export.preprocessing import Preprocessing
from dnsearch.export.searched import kept_weights
from dnsearch.rundir import RunDir
from dnsearch.search.results import Results

PICTURES_AT_ONCE = 64


class Prediction(NamedTuple):
    """The probability of each class, (classes,), of the picture in a file; or, where that cannot be
    read, the ``failure`` in one line, and no probabilities."""

    picture: Path
    probabilities: Floats
    failure: str = ""


class Predictor(NamedTuple):
    """A network, in eval mode, and how its images are prepared."""

    model: DenseNet
    images: Preprocessing

    @classmethod
    def of_folder(cls, folder: Path) -> Predictor:
        """Of what ``dnsearch export`` wrote. Raises CheckpointError naming the file."""
        return cls(load_network(folder), Preprocessing.read(folder))

    @classmethod
    def of_run(cls, results: Results, run: RunDir, query: str) -> Predictor:
        """Of the network of a search that ``query`` picks. Raises RunError as an export does."""
        network = results.pick(query)
        model = scored_network(network.arch, kept_weights(results, run, network).file)
        return cls(model, Preprocessing.of(results.data, results.study.data))

    @property
    def classes(self) -> Sequence[str]:
        """In the order of the probabilities."""
        return self.images.classes

    def predict(self, pictures: Iterable[Path]) -> Iterator[Prediction]:
        """Of each picture in this order, on the CPU; one that cannot be read does not end it."""
        files = iter(pictures)
        while part := list(islice(files, PICTURES_AT_ONCE)):
            yield from self._predict(part)

    def _predict(self, pictures: Sequence[Path]) -> Iterator[Prediction]:
        failures: dict[Path, str] = {}
        read: list[Tensor] = []
        for picture in pictures:
            try:
                read.append(self.images.image(picture))
            except DataError as error:
                failures[picture] = str(error)
        found = iter(self._probabilities(read))
        for picture in pictures:
            if picture in failures:
                yield Prediction(picture, np.empty(0), failures[picture])
            else:
                yield Prediction(picture, next(found))

    def _probabilities(self, images: Sequence[Tensor]) -> Floats:
        """Of images (c, h, w): (n, classes)."""
        if not images:
            return np.empty((0, len(self.classes)))
        with torch.inference_mode():
            return self.model(torch.stack(list(images))).double().softmax(1).numpy()


def pictures_in(path: Path) -> list[Path]:
    """The pictures in a folder at any depth, by their endings, in order; a file itself.

    Raises DataError where a folder has none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in EXTENSIONS
        and not any(map(is_junk, file.relative_to(path).parts))
        and file.is_file()
    )
    if not found:
        raise DataError(f"{path}: must hold pictures ({', '.join(sorted(EXTENSIONS))}), has none")
    return found
