"""Draws of candidates' errors as they are kept beside a run, since they take seconds to make.

A draw is kept as a whole number of 16 bits, the distance of its logarithm from the candidate's
mean in steps of 1/32,767 of the largest such distance: about a thousandth of a standard deviation,
and 8 kB a candidate. Draws are rounded so before anyone sees them, and a report from the file says
the same as one without.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arrays import Floats
from dnsearch.errors import DnsearchError
from dnsearch.files import atomic, require_sound_zip

_MOST = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Draws:
    """Of n candidates: log errors are ``centre`` (n,) + ``step`` * ``distance`` (n, s);
    ``seed_noise`` is the standard deviation that one seed adds to them."""

    centre: Floats
    step: float
    distance: NDArray[np.int16]
    seed_noise: float

    @classmethod
    def rounded(cls, log_errors: NDArray[Any], seed_noise: float) -> Draws:
        """These log errors, (n, s)."""
        centre = log_errors.mean(axis=1, dtype=np.float64)
        distance = log_errors - centre[:, None]
        step = float(np.abs(distance).max()) / _MOST or 1.0
        return cls(centre, step, np.rint(distance / step).astype(np.int16), seed_noise)

    @property
    def errors(self) -> Floats:
        """(s, n)."""
        found = self.step * self.distance
        found += self.centre[:, None]
        return np.exp(found, out=found).T

    def write(self, path: Path, checksum: str) -> None:
        """``checksum``: of all that they were made from. Where the file cannot be written, on a
        full disk or in a folder that may only be read, nothing is."""
        with contextlib.suppress(DnsearchError), atomic(path) as aside, aside.open("wb") as file:
            np.savez(file, checksum=checksum, **vars(self))

    @classmethod
    def read(cls, path: Path, checksum: str) -> Draws | None:
        """None where there is no such file, or it was made from anything else, or is damaged."""
        try:
            require_sound_zip(path)
            with np.load(path) as file:
                if str(file["checksum"]) != checksum:
                    return None
                step, seed_noise = float(file["step"]), float(file["seed_noise"])
                return cls(file["centre"], step, file["distance"], seed_noise)
        except Exception:  # half a dozen types, of NumPy, zipfile and zlib
            return None
