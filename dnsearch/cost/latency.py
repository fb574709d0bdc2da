"""What a forward pass takes, predicted for networks that were never run.

The time of a network is taken as a sum over the kinds of work that its layers do (``WORK``), each
at a time per unit that is never negative, as in a roofline without overlap (Williams et al. 2009,
doi:10.1145/1498765.1498785). Times per unit are fitted to networks measured on this machine
(``LatencyModel.fitted``). In a run they are corrected by the networks that the run itself has
measured (``LatencyModel.given``), since its images, or what else the machine is doing, may differ.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from dnsearch.arch.config import ArchArrays, ArchConfig
from dnsearch.arch.kernels import Kernels
from dnsearch.arrays import Bools, Floats
from dnsearch.cost.formula import stage_costs
from dnsearch.text import counted

WORK = ("norms", "joins", "moved", "macs_1x1", "macs_3x3", "weights")
"""Kinds of work: norms (each with its ReLU) and concatenations, which cost even where they are
small; millions of elements that these move; billions of multiply-adds of 1x1 and of other
convolutions; millions of weights."""

VECTOR = 16
"""Output channels are computed so many at a time: the multiply-adds of 20 are those of 32."""

GUESS = (0.013, 0.033, 0.6, 10.0, 18.0, 0.7)
"""Milliseconds per unit of ``WORK`` on one core of a 2 GHz server of 2026, by torch's modules: what
is believed where no table was taken."""

UNKNOWN = 1.0
"""Standard deviation of the log error of ``GUESS`` on another machine."""

PRIOR_WIDTH = 2.0
"""Prior standard deviation of a run's corrections, in multiples of the model's error on held-out
networks. It is wider than that error because the networks of a run are of one kind, so that the
prediction is off for all of them alike."""

MARGIN_Z = 3.0
"""The z-score of ``LatencyModel.margin``: by how many standard deviations of log error a prediction
is almost never off."""

NOISES = np.geomspace(0.02, 0.5, 12)
"""Noises among which the evidence chooses: standard deviations of measured log latencies from the
corrected prediction."""

PRIOR_NOISE, PRIOR_NOISE_LOG_SD = 0.07, 0.7
"""The noise has a log-normal prior: its median, and the standard deviation of its logarithm."""

LEAST = 8
"""Fewest measured networks for which a held-out error is reported or times per unit are kept for a
machine."""

ENOUGH = 2 * len(WORK)
"""Fewest measured networks of a run to which times per unit are fitted where they were guessed."""

MOST_FOLDS = 50
"""Most folds into which a run's networks are split to hold them out in turn; of fewer networks each
is held out alone."""


Precision = Literal["fp32", "bf16"]


class Setting(NamedTuple):
    """What a latency is of: ``batch_size`` images a forward pass, in ``fp32`` or ``bf16``, on
    ``cpu`` or ``cuda`` with so many CPU threads, by these kernels (``arch.kernels``)."""

    device: str
    threads: int
    batch_size: int
    precision: Precision
    kernels: Kernels

    def __str__(self) -> str:
        images = counted(self.batch_size, "image")
        own = self.kernels == "reference"
        modules = "torch's own modules" if own else f"{self.kernels} kernels"
        threads = f", {counted(self.threads, 'thread')}" if self.device == "cpu" else ""
        return f"{images}, {self.precision}, {modules}, {self.device}{threads}"


class HeldOut(NamedTuple):
    """How well ``networks`` were predicted from the others: the median relative error, the rank
    correlation (Spearman's), and the standard deviation of log error, outliers aside."""

    networks: int
    median_error: float
    rank_correlation: float
    deviation: float

    @classmethod
    def of(cls, predicted: Floats, measured: Floats) -> HeldOut:
        """Of predictions and measurements (n,), in the same unit."""
        apart = np.log(predicted / measured)
        ranks = np.array([np.argsort(np.argsort(each)) for each in (predicted, measured)])
        return cls(
            len(apart),
            float(np.median(np.abs(np.expm1(apart)))),
            float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
            _spread(apart),
        )


def work(archs: ArchArrays, height: int, width: int, batch_size: int) -> Floats:
    """The work of a forward pass of each architecture, (n, len(WORK)), for images of this size."""
    return np.sum([done for _, done in stage_work(archs, height, width, batch_size)], axis=0)


def stage_work(
    archs: ArchArrays, height: int, width: int, batch_size: int
) -> Iterator[tuple[str, Floats]]:
    """Stage by stage, with its name, as ``cost.formula.stage_costs`` has them, what adds up to
    ``work``."""
    before = pixels = zeros = np.zeros(len(archs), np.int64)
    for stage in stage_costs(archs, height, width):
        after, old = stage.channels, pixels
        pixels = batch_size * stage.height * stage.width
        done: dict[str, Any] = {"weights": stage.params}
        if stage.name == "stem":
            pooled = archs.stem_pools  # with a norm before
            done.update(macs_3x3=batch_size * stage.macs / after * _padded(after))
            done.update(norms=pooled, moved=pooled * batch_size * stage.activations)
        elif stage.name == "classifier":
            done.update(norms=1, moved=before * old, macs_1x1=batch_size * stage.macs)
        elif stage.name.startswith("transition"):
            there = stage.params > 0
            done.update(norms=there, moved=there * before * old)
            done.update(macs_1x1=there * before * _padded(after) * old)
        else:
            block = int(stage.name.removeprefix("denseblock")) - 1
            layers, k = archs.block_config[:, block], archs.growth_rate[:, block]
            bottleneck, inputs = archs.bottleneck(block), archs.layer_inputs(block, before)
            wide, there = bottleneck > 0, layers > 0
            done.update(norms=layers * (1 + wide), joins=there * (layers + 1))
            done.update(moved=there * (2 * inputs + layers * bottleneck + after) * pixels)
            done.update(macs_1x1=inputs * _padded(bottleneck) * pixels)
            done.update(
                macs_3x3=9 * np.where(wide, layers * bottleneck, inputs) * _padded(k) * pixels
            )
        before = after
        amounts = [(zeros + done.get(name, 0)) / _UNITS.get(name, 1) for name in WORK]
        yield stage.name, np.column_stack(amounts)


_UNITS = {"moved": 1e6, "macs_1x1": 1e9, "macs_3x3": 1e9, "weights": 1e6}


def _padded(channels: np.ndarray) -> np.ndarray:
    return -(-channels // VECTOR) * VECTOR


@dataclass(frozen=True)
class LatencyModel:
    """Milliseconds per unit of each kind of work (``times``), fitted to so many ``networks``; 0 is
    the guess of a machine that was never measured. error: standard deviation of log latency from
    what is predicted of networks that were held out."""

    setting: Setting
    times: tuple[float, ...] = GUESS
    networks: int = 0
    error: float = UNKNOWN

    @classmethod
    def fitted(
        cls,
        setting: Setting,
        archs: Sequence[ArchConfig],
        sizes: Sequence[tuple[int, int]],
        ms: Sequence[float],
    ) -> LatencyModel:
        """From measured networks, at least ``LEAST``, for images of these sizes (h, w)."""
        rows = [
            work(ArchArrays.of([arch]), *size, setting.batch_size)[0]
            for arch, size in zip(archs, sizes, strict=True)
        ]
        done, measured = np.array(rows), np.array(ms, np.float64)
        predicted = np.empty(len(measured))
        for inside, outside in _folds(len(measured)):
            predicted[outside] = done[outside] @ _times(done[inside], measured[inside])
        found = HeldOut.of(predicted, measured)
        return cls(setting, tuple(_times(done, measured).tolist()), len(ms), found.deviation)

    @property
    def margin(self) -> float:
        """A factor by which a prediction is almost never off."""
        return math.exp(MARGIN_Z * self.error)

    @property
    def is_guess(self) -> bool:
        """Whether it knows nothing of this machine."""
        return not self.networks

    def work(self, archs: ArchArrays, height: int, width: int) -> Floats:
        """(n, len(WORK)), for images of this size in batches of the setting's."""
        return work(archs, height, width, self.setting.batch_size)

    def stage_shares(self, archs: ArchArrays, height: int, width: int) -> dict[str, Floats]:
        """Of the latency of each architecture, by stage, (n,); they add up to 1."""
        size = height, width, self.setting.batch_size
        spent = {name: self.predicted_ms(done) for name, done in stage_work(archs, *size)}
        whole = np.sum([*spent.values()], axis=0)
        return {name: ms / whole for name, ms in spent.items()}

    def given(self, done: Floats, ms: Floats) -> Latencies:
        """Corrected by networks of this work (n, len(WORK)) that took so many milliseconds (n,);
        there may be none.

        log(latency / prediction) is linear in the shares of the predicted time that the kinds of
        work have, with an intercept; normal prior, the noise chosen by evidence (Bishop 2006,
        section 3.5). A measurement far off counts for less. Where ``times`` are guessed, they are
        fitted to ``ENOUGH`` such networks first.
        """
        if self.is_guess and len(ms) >= ENOUGH:
            fitted = dataclasses.replace(self, times=tuple(_times(done, ms).tolist()))
            return fitted._corrected(done, ms)
        return self._corrected(done, ms)

    def _corrected(self, done: Floats, ms: Floats) -> Latencies:
        prior = PRIOR_WIDTH * max(self.error, float(NOISES[0]))
        shares, apart = self._shares(done), np.log(ms) - np.log(self.predicted_ms(done))
        weights = np.ones(len(ms))
        found = _regression(shares, apart, weights, prior)
        for _ in range(3 if len(ms) else 0):
            left = apart - shares @ found[0]
            weights = _trust(left)
            found = _regression(shares, apart, weights, prior)
        return Latencies(self, *found)

    def held_out(self, done: Floats, ms: Floats) -> HeldOut | None:
        """How well each of these networks is predicted from this and the others; None where they
        are fewer than ``LEAST``."""
        if len(ms) < LEAST:
            return None
        predicted = np.empty(len(ms))
        for inside, outside in _folds(len(ms), MOST_FOLDS):
            predicted[outside] = self.given(done[inside], ms[inside]).predict(done[outside])[0]
        return HeldOut.of(np.exp(predicted), ms)

    def predicted_ms(self, done: Floats) -> Floats:
        """(n,), before any correction."""
        return done @ np.array(self.times)

    def _shares(self, done: Floats) -> Floats:
        """(n, 1 + len(WORK)): an intercept, then the share of each kind of work in the time."""
        spent = done * np.array(self.times)
        return np.column_stack([np.ones(len(done)), spent / spent.sum(axis=1, keepdims=True)])


@dataclass(frozen=True)
class Latencies:
    """A corrected ``LatencyModel``: mean (d,) and covariance (d, d) of the correction, and the
    noise of a measurement."""

    model: LatencyModel
    mean: Floats
    covariance: Floats
    noise: float

    def predict(self, done: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (n,) each, of the log of the milliseconds that a network of
        this work (n, len(WORK)) will measure."""
        shares = self.model._shares(done)
        mean = np.log(self.model.predicted_ms(done)) + shares @ self.mean
        variance = np.einsum("ij,jk,ik->i", shares, self.covariance, shares) + self.noise**2
        return mean, np.sqrt(variance)


GUESSED = LatencyModel(Setting("cpu", 1, 1, "fp32", "reference"))


def _times(done: Floats, ms: Floats) -> Floats:
    """Milliseconds per unit, none negative, with the least relative errors; outliers count less."""
    from scipy.optimize import nnls  # some tenths of a second, which workers need not wait for

    weights = np.ones(len(ms))
    times = np.zeros(done.shape[1])
    for _ in range(10):
        root = np.sqrt(weights)
        times, _ = nnls(done / ms[:, None] * root[:, None], root)
        weights = _trust(done @ times / ms - 1)
    return times


def _regression(
    x: Floats, y: Floats, weights: Floats, prior: float
) -> tuple[Floats, Floats, float]:
    """Posterior mean and covariance of the slopes of y (n,) in x (n, d), which are normal about 0
    with standard deviation ``prior``, and the noise of greatest evidence."""
    best: tuple[Floats, Floats, float] | None = None
    most, n = -math.inf, len(y)
    for noise in NOISES if n else [prior]:
        precision = np.eye(x.shape[1]) / prior**2 + (x.T * weights) @ x / noise**2
        covariance = np.linalg.inv(precision).astype(np.float64)
        mean = covariance @ (x.T * weights) @ y / noise**2
        left = weights @ (y - x @ mean) ** 2 / noise**2 + mean @ mean / prior**2
        left += (math.log(noise / PRIOR_NOISE) / PRIOR_NOISE_LOG_SD) ** 2
        evidence = -0.5 * (left + np.linalg.slogdet(precision)[1]) - n * math.log(noise)
        if best is None or evidence > most:
            best, most = (mean, covariance, float(noise)), evidence
    assert best is not None
    return best


def _trust(residuals: Floats) -> Floats:
    """How much each counts, (n,): less the farther it lies beyond the spread of all (Cauchy)."""
    return 1 / (1 + (residuals / (2 * max(_spread(residuals), NOISES[0]))) ** 2)


def _spread(values: Floats) -> float:
    """A standard deviation about 0 that outliers do not move: 1.48 times the median distance."""
    return 1.4826 * float(np.median(np.abs(values)))


def _folds(count: int, most: int = 10) -> list[tuple[Bools, Bools]]:
    """Masks of what is kept and what is held out, by turns."""
    fold = np.arange(count) % min(count, most)
    return [(fold != each, fold == each) for each in range(min(count, most))]
