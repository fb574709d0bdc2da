"""The section of a report on what a larger budget buys: sentences and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dnsearch.analysis.metrics import METRICS
from dnsearch.report.forecast import Said, told
from dnsearch.report.parts import Picture
from dnsearch.report.scaling_figures import growth_figure, images_figure, law_figure
from dnsearch.report.scaling_headline import ScalingHeadline, headline
from dnsearch.report.scaling_reasons import why_refused
from dnsearch.report.scaling_series import growth_series, images_series, law_series
from dnsearch.scaling.extrapolation import LawStudy

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.study import Scaling


class Section(NamedTuple):
    """headline: the first screen, where a report is about this. lead: the answer, a sentence
    each. more: what follows from it. notes: what it rests on."""

    headline: ScalingHeadline
    lead: list[str]
    more: list[str]
    notes: list[str]
    pictures: list[Picture]


def section(scaling: Scaling | str) -> Section:
    """What ``scaling.html.j2`` shows: the findings, or the sentence why there are none."""
    if isinstance(scaling, str):
        return Section(headline(scaling), [scaling], [], [], [])
    said = told(scaling)
    first, *others = [_law_picture(scaling, size) for size in scaling.laws]
    images = [] if scaling.data is None else [_images_picture(scaling, scaling.data)]
    return Section(
        headline=headline(scaling),
        lead=_texts(said, "from", "refused", "next"),
        more=_texts(said, "worth", "grow"),
        notes=_texts(said, "laws", "cost", "note"),
        pictures=[first, *images, *_growth_pictures(scaling), *others],
    )


def _texts(said: Sequence[Said], *labels: str) -> list[str]:
    return [text for label, text in said if label in labels]


def _law_picture(scaling: Scaling, size: str) -> Picture:
    study, label = scaling.laws[size], METRICS[size].label
    reading = "Grey are all training runs on all images."
    if study.law is not None:
        reading += (
            " The line is the mean of the curves fitted to the blue points, the band where it lies "
            "with 90 %."
        )
    if study.held_out is not None:
        reading += (
            " Diamonds are the largest networks, predicted by the dashed line from all smaller "
            "ones: where they lie off it, so may the curve beyond the last point."
        )
    return Picture(
        anchor=f"scaling-{size}",
        title=f"How error falls with {label}",
        reading=reading,
        figure=law_figure(law_series(scaling, size)),
        note=_distrust(study),
    )


def _distrust(study: LawStudy) -> str:
    refusal = study.verdict.refusal
    return "" if refusal is None else f"Not to be trusted: {why_refused(refusal)}."


def _images_picture(scaling: Scaling, study: LawStudy) -> Picture:
    lines = images_series(scaling, study)
    return Picture(
        anchor="scaling-images",
        title="How error falls with training images",
        reading="Networks trained on part of the images for as many steps, and on all of them; a "
        "line for each of three sizes of network, by the curve fitted to all of them together.",
        figure=images_figure(lines, scaling.full[0].error_name) if lines else None,
        note=_distrust(study),
    )


def _growth_pictures(scaling: Scaling) -> list[Picture]:
    """One, or none where no exponent could be estimated, as the sentences then say."""
    series = growth_series(scaling)
    if series is None:
        return []
    return [
        Picture(
            anchor="scaling-growth",
            title="What grows with the budget",
            reading=f"Exponents of {METRICS[scaling.cost].short} for the best value at each "
            "budget, with 95 % intervals: at 0.5 four times the budget goes with twice as much. "
            "Grey ones are not to be used.",
            figure=growth_figure(series, scaling.cost),
            note="",
        )
    ]
