"""The baseline: against counting, image by image, what one constant answer gets wrong."""

from __future__ import annotations

import numpy as np
import pytest

from dnsearch.analysis.baseline import baseline
from dnsearch.analysis.reference import LEAST_REFERENCE, reference_point
from dnsearch.config import StudyConfig


def described(train, validation):
    """What ``data.json`` says of these labels."""
    classes = [f"class {i}" for i in range(max(train) + 1)]
    splits = {"train": train, "validation": validation}
    counts = {name: np.bincount(of, minlength=len(classes)).tolist() for name, of in splits.items()}
    return {"classes": classes, "class_counts": counts}


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_share_of_images_that_one_answer_gets_wrong(seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(8))
    train, held = (rng.choice(8, n, p=shares) for n in (300, 90))
    train = np.concatenate([train, np.arange(8)])
    by_count = sorted(range(8), key=lambda c: (-list(train).count(c), c))
    found = baseline(described(train, held))
    assert found.answer == f"class {by_count[0]}"
    assert found.error == pytest.approx(np.mean([label != by_count[0] for label in held]))
    top5 = baseline(described(train, held), "top5")
    assert top5.error == pytest.approx(np.mean([label not in by_count[:5] for label in held]))
    per_class = [float(c != by_count[0]) for c in np.unique(held)]
    assert baseline(described(train, held), "balanced").error == pytest.approx(np.mean(per_class))


def test_760_cats_and_40_dogs():
    data = {"classes": ["cat", "dog"], "class_counts": {"train": [608, 32], "validation": [152, 8]}}
    assert baseline(data).error == pytest.approx(0.05)
    assert baseline(data).words == "always answering 'cat'"
    assert baseline(data, "balanced").error == 0.5
    assert baseline(data, class_images=(50, 50)).error == 0.5


def test_uncounted_images_are_guessed_at():
    assert baseline({"classes": list("abcd")}).error == 0.75
    assert baseline({"classes": list("abcdefgh")}, "top5").error == 3 / 8
    assert baseline({"classes": list("abcd")}).words == "guessing"


def test_the_reference_error_is_the_baseline_and_above_0():
    study = StudyConfig()
    assert reference_point(study, (1, 28, 28), 2, baseline_error=0.05)["error"] == 0.05
    assert reference_point(study, (1, 28, 28), 2, baseline_error=0.0)["error"] == LEAST_REFERENCE
    assert reference_point(study, (1, 28, 28), 4)["error"] == 0.75
