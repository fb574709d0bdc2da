"""The ways in which a network is written: for each its file, its writer, the reader that checks it,
and the lines that load it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dnsearch.arch.checkpoint import WEIGHTS_FILE, load_network, save_network, write_whole
from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.errors import DnsearchError, RunError, one_line
from dnsearch.export.preprocessing import Preprocessing
from dnsearch.export.standalone import NETWORK_FILE, read_standalone, write_standalone
from dnsearch.text import listed

Network = Callable[[Tensor], Tensor]
"""Images (n, c, h, w) -> logits (n, classes)."""


class Format(NamedTuple):
    """One way to write a network.

    file: its name in the folder. write: writes it there; ``written`` is to be called. read: the
    network in the folder's file, taken from what was written alone.
    usage: how it is loaded, for the README. fits: whether it can hold such a network. needs: the
    packages that it takes, beyond those of dnsearch.
    """

    file: str
    write: Callable[[DenseNet, Preprocessing, Path], None]
    read: Callable[[Path], Network]
    usage: Callable[[ArchConfig, Preprocessing], str]
    fits: Callable[[ArchConfig], bool] = lambda _: True
    needs: Sequence[str] = ()

    def require(self) -> None:
        """Raises DnsearchError where a package that it needs is not installed."""
        lacking = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if lacking:
            raise DnsearchError(
                f"{self.file} needs {listed(lacking)}; install what is missing with "
                f"`pip install {' '.join(lacking)}`"
            )

    def written(self, model: DenseNet, images: Preprocessing, folder: Path) -> None:
        """Writes the file into the folder. Raises OSError, and RunError where torch cannot."""
        try:
            self.write(model, images, folder)
        except (DnsearchError, OSError):
            raise
        except Exception as error:  # torch's exporters raise almost anything
            raise RunError(f"{folder / self.file}: cannot be made: {one_line(error)}") from None


# dnsearch's own


def _own_usage(_: ArchConfig, images: Preprocessing) -> str:
    channels, height, width = images.shape
    return f"""
## With dnsearch

In this folder:

```sh
dnsearch predict . IMAGE...
```

```python
from dnsearch.arch import load_network
model = load_network(".")
logits = model(images)  # (n, {channels}, {height}, {width}) float -> (n, {len(images.classes)})
```

`images` are prepared as in `preprocessing.json`, `(pixels / 255 - mean) / std`; it also lists the
classes in the order of the logits. `config.json` is the architecture, `{WEIGHTS_FILE}` the weights.
"""


def _standalone_usage(_: ArchConfig, images: Preprocessing) -> str:
    return f"""
## With torch alone

`{NETWORK_FILE}` is the network, the preparation of its images and a reader of `{WEIGHTS_FILE}`, in
one file that needs torch, and Pillow to read pictures. In this folder:

```sh
python {NETWORK_FILE} IMAGE...
```

```python
import network
model = network.load()
logits = model(images)  # or network.predict("IMAGE") for classes and probabilities
```

Elsewhere, take both files and tell `load` their folder.
"""


# torchvision's


def is_torchvisions(arch: ArchConfig) -> bool:
    """Whether ``torchvision.models.DenseNet`` can be this network (torchvision 0.29)."""
    return (
        arch.stem == "imagenet"
        and arch.norm == "batch"
        and arch.in_channels == 3
        and isinstance(arch.growth_rate, int)
        and isinstance(arch.bn_size, int)
        and arch.bn_size > 0
        and all(arch.pools)
        and arch.widths == arch.replace(compression=0.5).widths
    )


def torchvision_arguments(arch: ArchConfig) -> dict[str, Any]:
    """The keyword arguments of ``torchvision.models.DenseNet`` for a network that it can be."""
    names = (
        "growth_rate", "block_config", "num_init_features", "bn_size", "drop_rate", "num_classes",
    )  # fmt: skip
    return {name: getattr(arch, name) for name in names}


def _write_torchvision(model: DenseNet, _: Preprocessing, folder: Path) -> None:
    write_whole(folder / "torchvision.pth", partial(torch.save, dict(model.state_dict())))


def _read_torchvision(folder: Path) -> Network:
    """torchvision itself is not needed: tests hold dnsearch's network to its names and outputs."""
    model = DenseNet(load_network(folder).config)
    model.load_state_dict(torch.load(folder / "torchvision.pth", weights_only=True))
    return model.eval()


def _torchvision_usage(arch: ArchConfig, _: Preprocessing) -> str:
    arguments = "".join(f"    {n}={value!r},\n" for n, value in torchvision_arguments(arch).items())
    return f"""
## With torchvision

In this folder:

```python
import torch, torchvision
model = torchvision.models.DenseNet(
{arguments})
model.load_state_dict(torch.load("torchvision.pth", weights_only=True))
logits = model.eval()(images)
```
"""


# torch.export's program


def _write_program(model: DenseNet, images: Preprocessing, folder: Path) -> None:
    with _quiet():
        batch = {0: torch.export.Dim("batch", min=1)}
        program = torch.export.export(model, (_example(images),), dynamic_shapes=(batch,))
        write_whole(folder / "network.pt2", partial(torch.export.save, program))


def _read_program(folder: Path) -> Network:
    with _quiet():
        return torch.export.load(folder / "network.pt2").module()


def _program_usage(_: ArchConfig, images: Preprocessing) -> str:
    return f"""
## As a program of torch.export

`network.pt2` holds the operations and the weights, for any number of images of {_size(images)}. In
this folder:

```python
import torch
model = torch.export.load("network.pt2").module()
logits = model(images)
```
"""


# ONNX


def _write_onnx(model: DenseNet, images: Preprocessing, folder: Path) -> None:
    with _quiet():
        program = torch.onnx.export(
            model,
            (_example(images),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(folder / "network.onnx", external_data=False)


def _read_onnx(folder: Path) -> Network:
    import onnxruntime  # pyright: ignore[reportMissingImports] (an extra)

    session = onnxruntime.InferenceSession(
        folder / "network.onnx", providers=["CPUExecutionProvider"]
    )
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _onnx_usage(_: ArchConfig, images: Preprocessing) -> str:
    return f"""
## With ONNX

`network.onnx` takes any number of images of {_size(images)}. In this folder, with onnxruntime and
images that are a NumPy array of float32:

```python
import onnxruntime
session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {{"images": images}})
```
"""


def _example(images: Preprocessing) -> Tensor:
    """Two images: a single one would be taken for a constant number."""
    return torch.zeros(2, *images.shape)


def _size(images: Preprocessing) -> str:
    return "x".join(map(str, images.shape))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torch's exporters from talking of themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


ALWAYS: Sequence[Format] = (
    Format(
        NETWORK_FILE,
        lambda model, images, folder: write_standalone(model.config, images, folder),
        read_standalone,
        _standalone_usage,
    ),
    Format(
        WEIGHTS_FILE, lambda model, _, folder: save_network(model, folder), load_network, _own_usage
    ),
    Format(
        "torchvision.pth",
        _write_torchvision,
        _read_torchvision,
        _torchvision_usage,
        fits=is_torchvisions,
    ),
)
"""What every folder has, where the network fits; in the order of the README."""

ON_REQUEST: Mapping[str, Format] = MappingProxyType(
    {
        "program": Format("network.pt2", _write_program, _read_program, _program_usage),
        "onnx": Format(
            "network.onnx",
            _write_onnx,
            _read_onnx,
            _onnx_usage,
            needs=("onnx", "onnxscript", "onnxruntime"),
        ),
    }
)
"""By the names of the options of ``dnsearch export``."""


def on_request(**asked: bool) -> list[Format]:
    """The formats of ``ON_REQUEST`` that are asked for. Raises DnsearchError where a package that
    one needs is not installed."""
    formats = [form for name, form in ON_REQUEST.items() if asked.get(name)]
    for form in formats:
        form.require()
    return formats
