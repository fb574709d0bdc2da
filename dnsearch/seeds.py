"""Seeds made from seeds: the one source of randomness is the study's seed."""

from __future__ import annotations

import hashlib


def derived_seed(*parts: int) -> int:
    """A seed of 32 bits from whole numbers, the same everywhere; other parts, unrelated seeds."""
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")
