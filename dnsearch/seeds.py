"""Seeds made from seeds: the one source of randomness is the study's seed."""

from __future__ import annotations

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A seed of 32 bits from whole numbers and words, the same everywhere; other parts, unrelated
    seeds. A word says what for, where two purposes would else count alike."""
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")
