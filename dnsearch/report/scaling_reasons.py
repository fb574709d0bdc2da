"""Why a scaling law is not trusted or an exponent not used, and what would settle it, in words."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dnsearch.analysis.metrics import METRICS, duration, format_value, short_number
from dnsearch.rundir import RUNS, RunDir
from dnsearch.scaling.bill import Bill
from dnsearch.scaling.growth import Cause, Growth
from dnsearch.scaling.heldout import HeldOut
from dnsearch.scaling.verdict import Advice, LongerTraining, Reason, Refusal, Verdict
from dnsearch.text import agreeing, counted, listed

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.study import Scaling


def share(value: float, digits: int = 1) -> str:
    """A share (0 to 1) in percent: ``9.8 %``."""
    return f"{100 * value:.{digits}f} %"


def why_refused(refusal: Refusal) -> str:
    """Why a law is not trusted beyond its points: a clause."""
    size = METRICS[refusal.size].short if refusal.size else ""
    count, value, limit = refusal.networks, refusal.value, refusal.limit
    networks, are = counted(count, "network"), agreeing(count, "is", "are")
    match refusal.reason:
        case Reason.SAME_SIZE:
            return f"all {count} networks have the same {size} ({short_number(value)})"
        case Reason.TOO_FEW:
            return f"{networks} {are} too few for a scaling law (it takes {limit:g})"
        case Reason.NARROW:
            return f"{size} span a factor of {value:.1f} (a scaling law takes {limit:g})"
        case Reason.FLAT:
            return f"errors do not fall with {size}"
        case Reason.RISING:
            return f"errors rise from {short_number(value)} {size} on"
        case Reason.FEW_LARGE:
            return (
                f"{networks} in the largest {value:g}x of {size} {are} too few to check the law "
                f"on (it takes {limit:g})"
            )
        case Reason.FEW_KEPT:
            return f"without the largest, {networks} {are} left to fit (it takes {limit:g})"
        case Reason.NARROW_KEPT:
            return (
                f"without the largest, {size} span a factor of {value:.1f} (a scaling law takes "
                f"{limit:g})"
            )
        case Reason.WORSE_THAN_CONSTANT | Reason.WORSE_THAN_LINE as reason:
            other = "a constant" if reason is Reason.WORSE_THAN_CONSTANT else "a plain log-log line"
            return (
                f"on the sizes left out the law was off by {share(value)}, {other} by "
                f"{share(limit)}"
            )
        case Reason.MISSED:
            return (
                f"the law missed the sizes left out by {share(value)}, more than its interval "
                "allows"
            )
        case Reason.FLOOR_UNKNOWN:
            return "E is not identified: a plain power law that never levels off fits as well"
        case Reason.FEW_CHECKS:
            return (
                f"the sizes trained allow {value:.1f} independent checks of a prediction at twice "
                f"the {size} (it takes {limit:g})"
            )
        case Reason.WIDE:
            return (
                f"at twice the {size} the error may lie {share(value)} above what is predicted "
                f"(at most {share(limit, 0)} is trusted)"
            )


def what_settles(advice: Advice) -> str:
    """What data would settle it: a clause that begins with a verb."""
    size = METRICS[advice.size].short
    if isinstance(advice, LongerTraining):
        above = f"{short_number(advice.above)} {size}"
        return f"train those above {above} longer, with {counted(advice.seeds, 'more seed')} each"
    least = "at least " if advice.at_least else ""
    low, high = short_number(advice.low), f"{short_number(advice.high)} {size}"
    where = f"on {low} to {high}" if advice.size == "images" else f"between {low} and {high}"
    return f"train {least}{counted(advice.count, 'more network')} {where}"


class Settling(NamedTuple):
    """What settles a refusal: the ``command`` that trains, the one that fits again, and the price.
    study: of a file to write first, as a copy of the run's with the ``changes``; empty for none."""

    command: str
    then: str
    price: str
    study: str
    changes: str

    @property
    def prepared(self) -> str:
        """What to do first: a clause; empty for nothing."""
        return f"a copy of {self.study} with {self.changes}" if self.changes else ""


def settling(scaling: Scaling, refusal: Refusal) -> Settling:
    """What it takes to settle this refusal."""
    bill, names, runs = scaling.bill(refusal), scaling.names, len(scaling.trainings)
    changes = _changes(bill)
    first = first_run(scaling)
    own = first.path.name
    name = f"{own}-more" if changes else own if scaling.designed else f"{own}-scaling"
    run = RunDir(first.path.with_name(name))
    fresh = run.path != first.path
    words = ["dnsearch", "run", f"{name}.toml" if changes else first.study_file, "--scaling"]
    words += ["--name", name, "--trials", bill.runs if fresh else runs + bill.runs]
    words += [] if first.path.parent == RUNS else ["--to", first.path.parent]
    fitted = [*([] if bill.longer else names), *([run.typed] if fresh else [])] or [*names]
    price = f"{counted(bill.runs, 'training run')}, {format_value('train_macs', bill.macs)}"
    if math.isfinite(bill.seconds):
        price += f", about {duration(bill.seconds)} of one worker like those before"
    return Settling(
        command=shlex.join(map(str, words)),
        then=shlex.join(["dnsearch", "scale", *fitted]),
        price=price,
        study=f"{first.study_file} as {name}.toml" if changes else "",
        changes=listed(changes),
    )


def first_run(scaling: Scaling) -> RunDir:
    """The folder of the first run, by what it is called on the command line."""
    name = scaling.names[0]
    return RunDir(RUNS / name if Path(name).name == name else Path(name))


def _changes(bill: Bill) -> list[str]:
    """What another study has to say for it."""
    changes = []
    if bill.largest:
        changes.append(f"limits.max_macs = {bill.largest:.3g}")
    if bill.smaller:
        changes.append("smaller networks in [space]")
    if bill.longer:
        changes.append("twice the epochs in training.rungs")
    return changes


def what_it_takes(found: Settling) -> str:
    """The commands that settle a refusal and their price: a clause."""
    first = f"{found.prepared}, " if found.changes else ""
    return f"{first}`{found.command}`, then `{found.then}`: {found.price}"


def caveats(verdict: Verdict) -> list[str]:
    """What to know of a law even if it is trusted."""
    return ["one seed each: the seed noise is unknown"] if verdict.one_seed else []


def where_held_out(held_out: HeldOut) -> str:
    """Which sizes were left out: ``above 1.53 M params``."""
    return " or ".join(
        f"above {short_number(most)} {METRICS[size].short}" for size, most in held_out.above
    )


def exponent(growth: Growth) -> str:
    """The interval of an exponent: ``0.32 to 0.39``."""
    _, low, high = growth.exponent
    return f"{low:.2f} to {high:.2f}".replace("-0.00", "0.00")


def why_unknown(growth: Growth) -> str:
    """Why an exponent is not used: a clause about the dimension; empty where it is used."""
    if growth.obstacle is None:
        return ""
    cause, found, limit, tried = growth.obstacle
    match cause:
        case Cause.TOO_FEW:
            count = int(found)
            networks, are = counted(count, "network"), agreeing(count, "is", "are")
            return f"{networks} {are} too few (it takes {limit:g})"
        case Cause.NARROW:
            return f"budgets span a factor of {found:.1f} (an exponent takes {limit:g})"
        case Cause.CONSTANT:
            return f"it is {short_number(found)} in all of them"
        case Cause.NO_BEST:
            return "no best value shows among what was tried"
        case Cause.FAR:
            low, high = map(short_number, tried)
            return (
                f"the best for the largest networks, {short_number(found)}, lies far from the "
                f"{low} to {high} that were tried"
            )
        case Cause.MAYBE_ZERO:
            return f"its exponent ({exponent(growth)}) may be 0"
