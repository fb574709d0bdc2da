"""Threads of the linear algebra libraries behind numpy and scipy."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Within it a matrix operation takes one thread. Of matrices of a hundred rows two threads wait
    for each other longer than they work: a Cholesky factor of 160 rows takes 0.1 ms with one, and
    up to 30 ms with two on busy cores (OpenBLAS 0.3.31)."""
    return _libraries().limit(limits=1, user_api="blas")


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
