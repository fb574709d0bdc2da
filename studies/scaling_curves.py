"""What the averaged laws are worth on published learning curves, beside M1 to M4.

    python studies/scaling_curves.py FILE     # a minute on one core; FILE: the curves as CSV

FILE holds the curves of vision models of Alabdulmohsin, Neyshabur and Zhai 2022 (arXiv:2209.06640),
``benchmark.vision.csv`` of their repository: Task, Model, Seen Examples, Loss, and Training, which
is 1 in the part to fit and 0 in the part to predict, about twice as long. The points to fit are
smoothed and those to predict are not: they scatter by 2 to 4 %, which no law can foretell.

The rules were chosen on every second curve in the order of task and model, which are the models
BiT/101/3, MiX/B/16 and ViT/B/16. Of the others only the totals were seen, twice, before the last
changes.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import optimize

from dnsearch.arrays import Floats
from dnsearch.scaling.averaged import average
from dnsearch.scaling.extrapolation import CHECKS, NEAR
from dnsearch.scaling.rows import rows_of

FAR = 0.1
"""The share of the part to predict that is its far end."""

MARGIN = 1e-3
"""How far limits of the error keep from the errors in M2 and M4, as in the authors' code."""

Predictor = Callable[[Floats], Floats]
"""Sizes to errors."""


class Curve(NamedTuple):
    """Images seen and errors, to fit and to predict, by images seen."""

    task: str
    model: str
    seen: Floats
    error: Floats
    later: Floats
    later_error: Floats


class Found(NamedTuple):
    """off: root mean square log error by name of the law. held: the share of the points to predict
    in the 90 % band of one. far: relative error of the mean of the far end. trusted: whether the
    prediction of it was said to be so."""

    off: dict[str, float]
    held: float
    far: float
    trusted: bool


def read_curves(file: Path) -> list[Curve]:
    """In the order of task and model."""
    points = defaultdict(list)
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            figures = (float(row["Seen Examples"]), float(row["Loss"]), int(row["Training"]))
            points[row["Task"], row["Model"]].append(figures)
    curves = []
    for (task, model), rows in sorted(points.items()):
        seen, error, known = np.array(sorted(rows)).T
        fit = known == 1
        curves.append(Curve(task, model, seen[fit], error[fit], seen[~fit], error[~fit]))
    return curves


# M1 to M4: squares of log residuals are least, as in the paper


def m1(seen: Floats, error: Floats) -> Predictor:
    """``y = beta x^c``."""
    line = np.polyfit(np.log(seen), np.log(error), 1)
    return lambda later: np.exp(np.polyval(line, np.log(later)))


def m2(seen: Floats, error: Floats) -> Predictor:
    """``y - e = beta x^c``."""
    logs = np.log(seen / seen[-1])

    def line(floor: float) -> tuple[Floats, float]:
        found, residual, *_ = np.polyfit(logs, np.log(error - floor), 1, full=True)
        return found, float(residual[0])

    floor = least(lambda e: line(e)[1], np.linspace(0, error.min() - MARGIN, 200))
    found = line(floor)[0]
    return lambda later: floor + np.exp(np.polyval(found, np.log(later / seen[-1])))


def m3(seen: Floats, error: Floats) -> Predictor:
    """``y = beta (1 / x + gamma)^c``."""

    def line(gamma: float) -> tuple[Floats, float]:
        found, residual, *_ = np.polyfit(np.log(1 / seen + gamma), np.log(error), 1, full=True)
        return found, float(residual[0])

    places = np.append(0, np.geomspace(1e-4 / seen[-1], 1e2 / seen[0], 300))
    gamma = least(lambda g: line(g)[1], places)
    found = line(gamma)[0]
    return lambda later: np.exp(np.polyval(found, np.log(1 / later + gamma)))


def least(loss: Callable[[float], float], places: Floats) -> float:
    """Where a loss is least: at the best of these places, or between its neighbours."""
    losses = [loss(float(place)) for place in places]
    best = int(np.argmin(losses))
    ends = places[max(0, best - 1)], places[min(len(places) - 1, best + 1)]
    found = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-12})
    return float(found.x if found.fun < losses[best] else places[best])


def m4(seen: Floats, error: Floats) -> Predictor:
    """``(y - e) / (e0 - y)^alpha = beta x^c``, of all starts the best."""
    logs = np.log(seen / seen[-1])

    def limits(p: Floats) -> tuple[float, float]:
        return max(0.0, (error.min() - MARGIN) * p[0]), error.max() + MARGIN + np.exp(p[1])

    def rest(p: Floats) -> optimize.OptimizeResult:
        floor, chance = limits(p)
        terms = np.column_stack([np.ones_like(logs), -logs, np.log(chance - error)])
        bounds = ([-np.inf, 0, 0], np.inf)
        return optimize.lsq_linear(terms, np.log(error - floor), bounds=bounds, method="bvls")

    starts = [(e, c) for e in (0.1, 0.7) for c in (-5.0, -1.0)]
    options = {"xatol": 1e-5, "fatol": 1e-10, "maxiter": 400}
    bounds = [(0, 1), (-12, 1)]
    fits = [
        optimize.minimize(
            lambda p: rest(p).cost, start, method="Nelder-Mead", bounds=bounds, options=options
        )
        for start in starts
    ]
    best = min(fits, key=lambda fit: fit.fun).x
    (log_beta, c, alpha), (floor, chance) = rest(best).x, limits(best)

    def predict(later: Floats) -> Floats:
        wanted = log_beta - c * np.log(later / seen[-1])
        low, high = np.full_like(wanted, floor), np.full_like(wanted, chance)
        for _ in range(60):
            middle = (low + high) / 2
            with np.errstate(divide="ignore"):
                below = np.log(middle - floor) - alpha * np.log(chance - middle) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return middle

    return predict


BASELINES = {"M1": m1, "M2": m2, "M3": m3, "M4": m4}


def study(curve: Curve) -> Found:
    """What each law says of the part to predict."""
    told = {name: fit(curve.seen, curve.error)(curve.later) for name, fit in BASELINES.items()}
    rows = rows_of(curve.seen, curve.error, np.arange(len(curve.seen)), ["images"])
    averaged = average(rows)
    mean, one = averaged.predict(curve.later)
    told["averaged"] = mean.value
    logs = np.log(curve.later_error)
    end = np.argsort(curve.later)[-max(1, int(FAR * len(logs))) :]
    beyond = curve.later[-1] / curve.seen[-1]
    return Found(
        off={name: float(np.sqrt(np.mean((np.log(y) - logs) ** 2))) for name, y in told.items()},
        held=float(np.mean((one.low <= curve.later_error) & (curve.later_error <= one.high))),
        far=float(np.expm1(np.mean(np.log(mean.value[end]) - logs[end]))),
        trusted=bool(mean.high[-1] / mean.value[-1] - 1 <= NEAR)
        and averaged.tested(beyond) >= CHECKS,
    )


def show(name: str, found: list[Found]) -> None:
    said = [each for each in found if each.trusted]
    near = [each for each in found if abs(each.far) <= NEAR]
    right = sum(each in near for each in said)
    off = {law: np.mean([each.off[law] for each in found]) for law in found[0].off}
    print(f"{name}, {len(found)} curves")
    print("  RMSLE      " + "  ".join(f"{law} {value:.4f}" for law, value in off.items()))
    print(f"  90 % bands hold {np.mean([each.held for each in found]):.1%} of what came")
    print(f"  trusted {len(said)}, rightly {right}; within {NEAR:.0%} at the far end {len(near)}")


def main(file: str) -> None:
    curves = read_curves(Path(file))
    print(
        "root mean square log error (RMSLE) of what was to predict, the share of it in the 90 %\n"
        "band, relative error at the far end, and whether that prediction was said to be trusted"
    )
    found = []
    for number, curve in enumerate(curves):
        each = study(curve)
        found.append(each)
        off = "  ".join(f"{law} {value:.3f}" for law, value in each.off.items())
        print(
            f"{'chosen on' if number % 2 == 0 else 'held out':<11}{curve.task:<8}"
            f"{curve.model:<11}{off}  held {each.held:4.0%}  far {each.far:+6.1%}"
            f"{'  trusted' if each.trusted else ''}",
            flush=True,
        )
    show("chosen on", found[::2])
    show("held out", found[1::2])
    show("all", found)


if __name__ == "__main__":
    main(sys.argv[1])
