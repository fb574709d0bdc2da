"""The error of a network that has learnt nothing: what every answer is told beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_ANSWERS = {"top1": 1, "top5": 5}
"""How many classes a network may name for an image."""


@dataclass(frozen=True)
class Baseline:
    """``error`` (0 to 1): of always giving the same ``answer``, the name of the training images'
    commonest class; the answer is empty where the images of each class were not counted."""

    error: float
    answer: str = ""

    @property
    def words(self) -> str:
        """Such as ``always answering 'cat'``."""
        return f"always answering {self.answer!r}" if self.answer else "guessing"


def baseline(
    data: Mapping[str, Any], error: str = "top1", class_images: Sequence[int] | None = None
) -> Baseline:
    """The baseline on images of which there are ``class_images`` of each class; unless given, on
    the validation images that ``data`` describes (``data.json``: ``classes`` and, but in older
    runs, ``class_counts``).

    ``error``: what is measured, by the names of ``objectives.error``. Balanced over classes any one
    answer is wrong for all classes but one. Of uncounted images all classes count as equally
    common.
    """
    classes = data["classes"]
    counts = data.get("class_counts")
    if counts is None:
        named = min(MOST_ANSWERS.get(error, 1), len(classes))
        return Baseline(1 - named / len(classes))
    training, held = np.array(counts["train"]), np.array(class_images or counts["validation"])
    order = np.argsort(-training, kind="stable")
    commonest = str(classes[order[0]])
    if error == "balanced":
        return Baseline(1 - float(held[order[0]] > 0) / np.count_nonzero(held), commonest)
    wrong = held[order[MOST_ANSWERS[error] :]].sum()
    return Baseline(float(wrong / held.sum()), commonest)
