"""Rows of a surrogate with some more, to compare with what is computed from the first ones."""

from dataclasses import replace

import numpy as np


def joined(rows, features, value):
    """These rows, and further ones at the top rung, each a training of its own."""
    new, after = len(features), 1 + rows.training.max(initial=-1)
    return replace(
        rows,
        features=np.vstack([rows.features, features]),
        level=np.concatenate([rows.level, np.zeros(new, np.intp)]),
        training=np.concatenate([rows.training, np.arange(after, after + new)]),
        value=np.concatenate([rows.value, value]),
    )
