"""Columns and rows of a table as plain arrays and records, missing figures as NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Candidate = dict[str, Any]
"""One row of ``Results.candidates``, by the names of its columns."""


def column(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column of numbers, (n,), as a copy."""
    return np.array(pd.to_numeric(pd.Series(frame[name])), dtype=np.float64)


def texts(frame: pd.DataFrame, name: str) -> list[str]:
    """A column of text; what is missing is empty."""
    return ["" if value is None or value != value else str(value) for value in frame[name]]


def rows(frame: pd.DataFrame, mask: ArrayLike) -> pd.DataFrame:
    """The rows where the mask (n,) is true."""
    return frame.take(np.flatnonzero(np.asarray(mask)))


def records(frame: pd.DataFrame) -> list[Candidate]:
    """Every row by the names of its columns."""
    return [dict(zip(frame.columns, line, strict=True)) for line in frame.itertuples(index=False)]
