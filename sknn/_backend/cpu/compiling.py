"""Decorators that compile kernels with Numba.

They are single-threaded and release the GIL: BLAS has the cores, and two thread pools would spin against each other.
``error_model="numpy"`` lets loops with divisions be vectorised; ``fastmath`` leaves out nnan and ninf, which would
compile away the arithmetic that lets divergence be seen.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numba


def compile_with_disk_cache(**options: Any) -> Callable[[Any], Any]:
    """Return a decorator that compiles a function, and keeps the result on disk if a folder can be written to."""

    def decorate(function: Any) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            _warn_of_no_place()
            return numba.njit(**options)(function)

    return decorate


@functools.cache
def _warn_of_no_place() -> None:
    warnings.warn(
        "Numba finds no writable directory for its cache of compiled kernels, so every process compiles them "
        "again. This takes about 10 seconds. Set the environment variable NUMBA_CACHE_DIR to a writable "
        "directory.",
        RuntimeWarning,
        stacklevel=4,
    )


kernel = compile_with_disk_cache(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
# also where its caller has fastmath
exact_kernel = compile_with_disk_cache(nogil=True, error_model="numpy", fastmath=False)


def named(function: Any, name: str) -> Any:
    """Return a function under another name, which is also the name of its file on disk.

    For kernels made by one function: under one name they would share one file, and of two processes that write to it
    at the same time, one may later find there the kernel of the other.
    """
    function.__name__ = function.__qualname__ = name
    return function
