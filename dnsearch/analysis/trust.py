"""How far a measured error can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def binomial_standard_error(error: ArrayLike, images: int) -> NDArray[np.float64]:
    """Standard error of a share of wrong images, ``sqrt(p (1 - p) / n)``, same shape as ``error``.

    It covers the choice of validation images alone, not the seed of the training. Shares closer
    than one image to 0 or 1 count as one image away: none wrong of 100 is no proof of 0.
    """
    if images < 2:
        return np.full(np.shape(error), np.nan)
    share = np.clip(np.asarray(error, dtype=np.float64), 1 / images, 1 - 1 / images)
    return np.sqrt(share * (1 - share) / images)
