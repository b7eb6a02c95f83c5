"""How kernels are compiled.

They are single-threaded and release the GIL: BLAS has the cores, and two thread pools would spin against each other.
``error_model="numpy"`` lets loops with divisions be vectorised; ``fastmath`` leaves out nnan and ninf, which would
compile away the arithmetic that lets divergence be seen.
"""

from __future__ import annotations

import functools
import warnings

import numba


def kept_on_disk(**options):
    """Return a decorator: compile a function and keep the result for other processes, where there is a place for it."""

    def decorate(function):
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            _warn_of_no_place()
            return numba.njit(**options)(function)

    return decorate


@functools.cache
def _warn_of_no_place():
    warnings.warn(
        "Numba finds no directory to keep compiled kernels in, so that each process compiles them anew, which takes "
        "about 10 seconds. Set the environment variable NUMBA_CACHE_DIR to a directory that can be written.",
        RuntimeWarning,
        stacklevel=4,
    )


kernel = kept_on_disk(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
exact_kernel = kept_on_disk(nogil=True, error_model="numpy", fastmath=False)  # not what its caller has
