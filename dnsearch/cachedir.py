"""Where what can be made again is kept for the user: decoded images, compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """$DNSEARCH_CACHE, else $XDG_CACHE_HOME/dnsearch, else ~/.cache/dnsearch."""
    if own := os.environ.get("DNSEARCH_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dnsearch"
