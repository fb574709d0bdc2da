"""What a training begins with: random weights, or those of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dnsearch.arch.checkpoint import WEIGHTS_FILE, Layer, read_fitting
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.errors import CheckpointError
from dnsearch.files import sha256
from dnsearch.rundir import NETWORK_FOLDER
from dnsearch.seeds import weights_seed
from dnsearch.text import agreeing, counted


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """Weights of a file that a training begins with.

    file, sha256: its name, with those of the folders from the one that was named, and its
    content. path: where it is. weights: a network's state dict, on the CPU, without the layers
    ``reinitialised``: the file has others there, so the network's begin at random.
    """

    file: str
    sha256: str
    path: Path
    weights: Mapping[str, Tensor]
    reinitialised: tuple[Layer, ...]

    @classmethod
    def read(cls, path: Path | str, arch: ArchConfig) -> InitialWeights:
        """Those in a file (see ``arch.checkpoint.read_weights``), or in the folder of an export or
        of a finished training. Raises CheckpointError as ``read_fitting`` does, and where a folder
        holds none."""
        path = Path(path)
        file = _file(path)
        with torch.device("meta"):
            own = DenseNet(arch).state_dict()
        weights, reinitialised = read_fitting(file, own)
        below = file.relative_to(path)  # "." where a file was named
        name = (path.absolute().name / below).as_posix()
        return cls(name, sha256(file), file, weights, reinitialised)

    def unread(self) -> InitialWeights:
        """Without the weights, to be sent to another process of this machine: torch would open a
        file for each, and a process may have but so many open."""
        return replace(self, weights={})

    def read_again(self, arch: ArchConfig) -> InitialWeights:
        """With the weights. Raises CheckpointError as ``read`` does, or where the file changed."""
        again = self.read(self.path, arch)
        if again.sha256 != self.sha256:
            raise CheckpointError(f"{self.path}: changed while the training began")
        return replace(self, weights=again.weights)

    def record(self) -> dict[str, Any]:
        """In values that JSON can hold."""
        layers = list(self.reinitialised)
        return {"file": self.file, "sha256": self.sha256, "reinitialised": layers}

    def note(self, arch: ArchConfig) -> str:
        """A line that says what of the network is from the file, and what is not."""
        if not self.reinitialised:
            return f"all weights are those of {self.file}"
        of = {
            "stem": f"{arch.stem}, {counted(arch.in_channels, 'channel')}",
            "classifier": counted(arch.num_classes, "class", "classes"),
        }
        others = " and ".join(f"the {layer} ({of[layer]})" for layer in self.reinitialised)
        begin = agreeing(len(self.reinitialised), "begins", "begin")
        return f"weights are those of {self.file}, but for {others}, which {begin} anew"


def initial_network(arch: ArchConfig, seed: int, init: InitialWeights | None = None) -> DenseNet:
    """The network as a training with this seed begins with it, on the CPU."""
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.default_generator.manual_seed(weights_seed(seed))
        model = DenseNet(arch)
    if init is not None:
        model.load_state_dict(model.state_dict() | dict(init.weights))
    return model


def _file(path: Path) -> Path:
    """The file of weights that is meant by a file or a folder."""
    if not path.is_dir():
        return path
    for file in (path / WEIGHTS_FILE, path / NETWORK_FOLDER / WEIGHTS_FILE):
        if file.is_file():
            return file
    raise CheckpointError(
        f"{path}: holds neither {WEIGHTS_FILE}, as an export does, nor "
        f"{NETWORK_FOLDER}/{WEIGHTS_FILE}, as a finished training does; name the file of weights, "
        "or export the network of a search first"
    )
