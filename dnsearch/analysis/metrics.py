"""One table that owns each figure's label, unit, scale and format, for all that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dnsearch.config import ErrorName
from dnsearch.errors import ConfigError, nearest
from dnsearch.text import counted

MISSING = "–"
"""What stands where there is no figure."""

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def short_number(value: float, digits: int = 3) -> str:
    """Three significant digits and a prefix: ``12.3 M``, ``456``, ``7.89 k``."""
    if not math.isfinite(value):
        return MISSING
    rounded = float(f"{value:.{digits - 1}e}")
    for scale, prefix in _PREFIXES:
        if abs(rounded) >= scale:
            return f"{_digits(rounded / scale, digits)} {prefix}".rstrip()
    return _digits(rounded, digits)


def _digits(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    # Whole numbers need no decimals, but 1.20 M keeps its digits: they are known.
    return text.removesuffix("." + "0" * decimals) if decimals else text


def duration(seconds: float) -> str:
    """``0.8 s``, ``42 s``, ``3 min 20 s``, ``1 h 05 min``."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _prefixed(unit: str) -> Callable[[float], str]:
    # A prefix joins a unit's symbol, not a word: "12.3 MB", but "3.2 M MACs".
    joint = "" if unit == "B" else " "

    def write(value: float) -> str:
        text = short_number(value)
        return f"{text}{joint if text[-1].isalpha() else ' '}{unit}"

    return write


def _trainings(value: float) -> str:
    if value < 0.995:
        return f"{value:.2g}"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def _proposal(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else duration(seconds)


def _plain(unit: str, spec: str) -> Callable[[float], str]:
    return lambda value: f"{value:{spec}} {unit}".rstrip()


@dataclass(frozen=True)
class Metric:
    """How a figure is named, measured and written.

    label: for axes. short: for table headers and lists. unit: of ``scale`` times the stored value,
    empty where it has none. write: the stored value as text, unit included. log: whether its
    axis is logarithmic.
    """

    label: str
    short: str
    unit: str
    write: Callable[[float], str]
    log: bool = False
    scale: float = 1.0

    @property
    def title(self) -> str:
        """Label and unit, such as ``latency (ms)``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "error": Metric("validation error", "error", "%", _percent, log=True, scale=100.0),
        "loss": Metric("validation loss", "loss", "nats", _plain("nats", ".4f")),
        "train_loss": Metric("training loss", "training loss", "nats", _plain("nats", ".4f")),
        "params": Metric("parameters", "params", "", _prefixed("params"), log=True),
        "macs": Metric("multiply-adds of one image", "MACs", "MACs", _prefixed("MACs"), log=True),
        "activations": Metric(
            "activations of one image", "activations", "", _prefixed("activations"), log=True
        ),
        "train_bytes": Metric("training memory", "train memory", "bytes", _prefixed("B"), log=True),
        "latency_ms": Metric("latency", "latency", "ms", _plain("ms", ".3g"), log=True),
        "depth": Metric("depth", "depth", "layers", _plain("layers", ".0f")),
        "rung": Metric(
            "training length", "epochs", "epochs", lambda value: counted(round(value), "epoch")
        ),
        "images": Metric("training images", "images", "images", _prefixed("images"), log=True),
        "seconds": Metric("training time", "train time", "s", duration),
        "finished_after": Metric("search time", "search time", "s", duration),
        "images_per_second": Metric("training speed", "speed", "images/s", _prefixed("images/s")),
        "train_macs": Metric("training compute", "compute", "MACs", _prefixed("MACs")),
        "hypervolume": Metric("hypervolume", "hypervolume", "", _plain("", ".4f")),
        "share": Metric("share of the best hypervolume", "share", "%", _percent, scale=100.0),
        "trainings": Metric(
            "training compute", "compute", "full trainings of mean size", _trainings, log=True
        ),
        "replay_seconds": Metric("simulated time", "time", "s", duration, log=True),
        "ask_seconds": Metric("time to propose", "proposal", "s", _proposal),
    }
)
"""By the names of ``Results.candidates``, and of what replays measure."""


DIMENSIONS: Mapping[str, str] = MappingProxyType(
    {
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
)
"""What two networks may differ in, with its label: the fields of an architecture."""

_COUNTS = {"depth": "layers", "layers": "number of layers"}
"""What is searched, and what may grow with the budget, in place of a block config."""


def dimension_label(name: str) -> str:
    """A dimension of the search space in words: ``depth3`` is the layers in block 3."""
    field = name.rstrip("0123456789")
    block = name[len(field) :]
    word = {**DIMENSIONS, **_COUNTS}.get(field, field.replace("_", " "))
    where = "after" if field == "transition" else "in"
    return f"{word} {where} block {block}" if block else word


def metric(name: str) -> Metric:
    """The metric of this name; an unknown one raises ConfigError with the nearest known name."""
    if name not in METRICS:
        raise ConfigError("metric", "is unknown", name, nearest(name, METRICS))
    return METRICS[name]


def format_value(name: str, value: float | None) -> str:
    """A figure as people read it: ``12.3 M MACs``, ``4.56 %``, ``1.2 ms``; a dash where missing."""
    if value is None or not math.isfinite(value):
        return MISSING
    return metric(name).write(float(value))


def error_label(kind: ErrorName, images: str = "validation") -> str:
    """What the error on these images is called: ``validation error``, ``balanced test error``."""
    return f"{_KINDS[kind]}{images} error"


_KINDS: Mapping[ErrorName, str] = {"top1": "", "balanced": "balanced ", "top5": "top-5 "}


def error_ends(low: float, high: float) -> str:
    """An interval of an error: ``12.30 to 12.90 %``."""
    return f"{format_value('error', low).removesuffix(' %')} to {format_value('error', high)}"


def format_error(error: float | None, standard_error: float = math.nan) -> str:
    """An error with its standard error where that is known: ``9.80 ± 0.47 %``."""
    text = format_value("error", error)
    if text == MISSING or not math.isfinite(standard_error):
        return text
    return f"{text.removesuffix(' %')} ± {format_value('error', standard_error)}"
