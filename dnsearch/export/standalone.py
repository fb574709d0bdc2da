"""``network.py``: the network, its weights' reader and its images' preparation in one file that
needs torch alone."""

from __future__ import annotations

import pprint
import runpy
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from torch import nn

from dnsearch import __version__
from dnsearch.arch.checkpoint import WEIGHTS_FILE
from dnsearch.arch.config import STEMS, ArchConfig
from dnsearch.arch.plain import LEAST_CHANNELS_A_GROUP
from dnsearch.export.preprocessing import FITS, Preprocessing
from dnsearch.files import write_text

NETWORK_FILE = "network.py"


class _Block(NamedTuple):
    """A dense block, ``channels`` wide at its start and ``after`` at its end, and the transition
    behind it, of ``fewer`` channels; of the last block these mean nothing."""

    layers: int
    channels: int
    growth_rate: int
    bottleneck: int
    after: int
    fewer: int
    pools: bool


def write_standalone(arch: ArchConfig, images: Preprocessing, folder: Path) -> None:
    """Writes ``network.py`` for this architecture and its images. Raises RunError."""
    write_text(folder / NETWORK_FILE, standalone(arch, images))


def read_standalone(folder: Path) -> nn.Module:
    """The network that the folder's ``network.py`` loads: runs that file."""
    return runpy.run_path(str(folder / NETWORK_FILE))["load"]()


def standalone(arch: ArchConfig, images: Preprocessing) -> str:
    """The text of ``network.py``: what this architecture does not have is not in it."""
    template = (files("dnsearch.export") / "templates" / "network.py.j2").read_text("utf-8")
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(template).render(_values(arch, images))


def _values(arch: ArchConfig, images: Preprocessing) -> dict[str, Any]:
    channels, height, width = images.shape
    blocks = _blocks(arch)
    return {
        "name": arch.describe(),
        "key": arch.key,
        "version": __version__,
        "weights": WEIGHTS_FILE,
        "channels": channels,
        "height": height,
        "width": width,
        "classes": arch.num_classes,
        "class_names": _literal(images.classes),
        "mean": _literal(images.mean),
        "std": _literal(images.std),
        "background": _literal(images.background),
        "fit": images.fit,
        "fitted": FITS[images.fit],
        "group_norm": arch.norm == "group",
        "least_channels": LEAST_CHANNELS_A_GROUP,
        "drop_rate": arch.drop_rate,
        "stem": STEMS[arch.stem],
        "stem_width": arch.num_init_features,
        "blocks": blocks,
        "bottlenecks": any(arch.bottlenecks),
        "plain_layers": not all(arch.bottlenecks),
        "transitions": len(blocks) > 1,
        "pooled": any(arch.pools),
        "narrow": not all(arch.pools),
        "width_at_end": arch.widths[-1],
    }


def _blocks(arch: ArchConfig) -> list[_Block]:
    rows = zip(
        arch.block_config, arch.widths, arch.growth_rates, arch.bottlenecks, arch.widths[1:],
        (*arch.pools, False), strict=False,
    )  # fmt: skip
    return [
        _Block(layers, channels, k, bottleneck, channels + layers * k, fewer, pools)
        for layers, channels, k, bottleneck, fewer, pools in rows
    ]


def _literal(value: Any) -> str:
    """As Python writes it, in lines of at most 100 characters."""
    return pprint.pformat(value, width=90, compact=True)
