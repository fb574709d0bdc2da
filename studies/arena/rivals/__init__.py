"""The rivals, one module a library; each is imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from task import Rival, Task


class Entry(NamedTuple):
    """Where a rival is, the module of its library, and whether it looks at the reference point: one
    that does not is replayed once for all reference points."""

    place: str
    module: str
    sees_reference: bool


RIVALS = {
    "qlognehvi": Entry("qlognehvi:KnownCost", "botorch", True),
    "qlognehvi-per-mac": Entry("qlognehvi:PerMac", "botorch", True),
    "smac": Entry("smac:ParegoHyperband", "smac", False),
    "syne-tune": Entry("syne_tune:MoAsha", "syne_tune", False),
    "primo": Entry("neps:Primo", "neps", False),
    "hebo": Entry("hebo:General", "hebo", True),
}


def make(name: str, task: Task) -> Rival:
    """The rival of this name at the beginning of its search."""
    module, _, kind = RIVALS[name].place.partition(":")
    return getattr(import_module(f"rivals.{module}"), kind)(task)
