"""What the report says of learning rates: each verdict in words, and its tables."""

from __future__ import annotations

import dataclasses
import math

import pytest

from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.confirm.published import Reference
from dnsearch.confirm.rate_findings import Difference, Flip, RateFindings, RateNetwork
from dnsearch.cost.formula import Cost
from dnsearch.report.rates import section, sentences
from tests.confirm.invented import confirmation

from .reader import Reader
from .test_certificate_section import page

NAN = math.nan


def spread(value: float) -> Interval:
    return Interval(value, value - 0.004, value + 0.004)


BY_RULE = Reference("densenet-bc-10-4", "DenseNet-BC", published=False)


def network(name: str, tests, best: int | None, reference=None) -> RateNetwork:
    return RateNetwork(
        key=name,
        name=name,
        reference=reference,
        cost=Cost(1, 2_340_000, 1, 1),
        test_errors=tuple((test, test) for test in tests),
        test=tuple(map(spread, tests)),
        validation=tuple(tests),
        best=best,
        tuned=UNKNOWN if best is None else spread(tests[best]),
    )


def findings(own, other, bests, reference=BY_RULE, **changes) -> RateFindings:
    """Of two networks with these test errors at three rates and these best ones."""
    first = network("k=5", own, bests[0])
    second = network("densenet-bc-10-4", other, bests[1], reference)
    at = tuple(spread(b - a) for a, b in zip(own, other, strict=True))
    known = first.tuned.is_known and second.tuned.is_known
    tuned = spread(second.tuned.value - first.tuned.value) if known else UNKNOWN
    fields = {
        "networks": (first, second),
        "differences": (Difference(first, second, at, tuned, 1),),
        "learning_rates": (0.0333, 0.1, 0.3),
        "usual": 1,
        "epochs": 27,
        "test_images": 4000,
        "seeds": (2, 2),
        "failed": 0,
        "error": "top1",
    }
    return RateFindings(**fields | changes)


CASES = {
    Flip.SAME: (
        findings((0.12, 0.10, 0.11), (0.13, 0.13, 0.12), (1, 2)),
        "At each network's best learning rate the order is the same: k=5 has 2.00 points (1.60 to "
        "2.40) less test error than densenet-bc-10-4 (3.00 points (2.60 to 3.40) at the study's "
        "rate). It is the shape, not the learning rate.",
    ),
    Flip.FLIPS: (
        findings((0.12, 0.10, 0.12), (0.13, 0.13, 0.08), (1, 2)),
        "At each network's best learning rate the order flips: densenet-bc-10-4 has 2.00 points "
        "(1.60 to 2.40) less test error than k=5, while at the study's rate k=5 has 3.00 points "
        "(2.60 to 3.40) less test error than densenet-bc-10-4. It was the learning rate, "
        "not the shape. With 0.3 for both the order is the opposite of the study's.",
    ),
    Flip.EMERGES: (
        findings((0.12, 0.10, 0.08), (0.13, 0.10, 0.12), (2, 1)),
        "the seeds could not tell (0.00 points (−0.40 to 0.40)).",
    ),
    Flip.UNTOLD: (
        findings((0.12, 0.10, 0.12), (0.13, 0.13, 0.10), (1, 2)),
        "The seeds cannot tell whether k=5 or densenet-bc-10-4 has less test error at each "
        "network's best learning rate: the difference is 0.00 points (−0.40 to 0.40). At the "
        "study's rate k=5 has 3.00 points (2.60 to 3.40) less test error than densenet-bc-10-4, "
        "which may be the learning rate's doing.",
    ),
    Flip.MISSING: (
        findings((0.12, 0.10, 0.12), (0.13, 0.13, 0.10), (1, None)),
        "k=5 and densenet-bc-10-4 cannot be compared at each network's best learning rate",
    ),
}


@pytest.mark.parametrize("flip", CASES)
def test_each_verdict_is_told_in_words(flip):
    given, words = CASES[flip]
    assert given.differences[0].flip is flip
    assert words in sentences(given)[0]


def test_best_rates_are_told_and_where_the_tried_ones_end():
    given, _ = CASES[Flip.SAME]
    said = sentences(given)[1]
    assert "rates are 0.1 of k=5 and 0.3 of densenet-bc-10-4, by validation error." in said
    assert "A still larger rate may be better for densenet-bc-10-4." in said
    assert "smaller" not in said


def test_doubts_are_told():
    given = findings((0.1,) * 3, (0.2,) * 3, (1, 1), failed=1, seeds=(1, 1))
    told = " ".join(sentences(given))
    assert "1 training run failed" in told
    assert "There is one seed of each" in told


@pytest.mark.parametrize("flip", CASES)
def test_the_page_is_well_formed(flip):
    given, _ = CASES[flip]
    text = page(dataclasses.replace(confirmation(), rates=given))
    reader = Reader(text)
    assert not reader.open
    assert len(reader.ids) == len(set(reader.ids))
    assert "nan" not in reader.text.lower()
    assert "Is it the shape or the learning rate?" in reader.text
    assert "learning rate?" not in page(confirmation())


def test_the_tables_have_a_column_a_rate():
    given, _ = CASES[Flip.FLIPS]
    lost = dataclasses.replace(
        given.networks[1],
        test=(*given.networks[1].test[:2], UNKNOWN),
        test_errors=((0.1, 0.1), (0.1, 0.1), (NAN, 0.1)),
    )
    found = section(dataclasses.replace(given, networks=(given.networks[0], lost)))
    first, second = found.errors.rows
    assert len(first.cells) == len(found.errors.columns) - 1
    assert first.cells[2].text == "10.00 %"
    assert first.cells[2].notes == ["9.60 to 10.40 %", "validation 10.00 %"]
    assert first.cells[4].text == "0.1"
    assert (second.cells[3].text, second.cells[3].notes) == ("–", ["1 of 2 failed"])
    assert (first.badge, second.badge) == ("", "for comparison")
    preset = Reference("densenet-40-12", "densenet-40-12", published=True)
    published = dataclasses.replace(given.networks[1], reference=preset)
    again = section(dataclasses.replace(given, networks=(given.networks[0], published)))
    assert again.errors.rows[1].badge == "published"
    (row,) = found.differences.rows
    assert len(row.cells) == len(found.differences.columns) - 1
    assert row.cells[-1].text == "−2.00"
