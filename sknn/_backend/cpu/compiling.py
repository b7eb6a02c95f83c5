"""Decorators that compile kernels with Numba.

They are single-threaded and release the GIL: BLAS has the cores, and two thread pools would spin against each other.
``error_model="numpy"`` lets loops with divisions be vectorised; ``fastmath`` leaves out nnan and ninf, which would
compile away the arithmetic that lets divergence be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import sigutils
from numba.core.caching import FunctionCache

from ..warnings import warn


class KernelCache(FunctionCache):
    """Numba's cache on disk of one function, where processes write at once, disks may be full, and files damaged."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kernel for a signature, or None if there is none.

        Two processes that save kernels at the same time may give both the same file; the other one is not returned.
        """
        try:
            found = super().load_overload(sig, target_context)
        except OSError:  # saving says it
            return None
        except Exception as error:  # unpickling damaged bytes may raise any
            self._start_anew(error)
            return None
        arguments, _ = sigutils.normalize_signature(sig)
        return found if found is not None and tuple(found.signature.args) == tuple(arguments) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel if it can be written."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_of_no_place(f"Numba cannot write to its cache of compiled kernels ({error})")

    def _start_anew(self, damage: Exception) -> None:
        """Empty the index on disk, as saving would read a damaged one again."""
        try:
            self.flush()
        except OSError as error:
            self.disable()
            _warn_of_no_place(f"Numba cannot replace a damaged file of compiled kernels ({error})")
        else:
            _warn_once(
                "damage",
                f"A file in Numba's cache of compiled kernels is damaged ({type(damage).__name__}: {damage}), so its "
                f"kernels are compiled again, and written anew. The cache is in {self.cache_path}.",
            )


WARNED: set[str] = set()  # kinds of trouble, of which one warning each is enough


def compile_with_disk_cache(**options: Any) -> Callable[[Any], Any]:
    """Return a decorator that compiles a function, and keeps the result on disk if a folder can be written to."""

    def decorate(function: Any) -> Any:
        dispatcher = numba.njit(**options)(function)
        try:
            dispatcher._cache = KernelCache(function)  # as its enable_caching() does with Numba's own class
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            _warn_of_no_place("Numba finds no writable directory for its cache of compiled kernels")
        return dispatcher

    return decorate


def _warn_of_no_place(what: str) -> None:
    _warn_once(
        "no place",
        f"{what}, so every process compiles them again. This takes about 10 seconds. Set the environment variable "
        "NUMBA_CACHE_DIR to a writable directory.",
    )


def _warn_once(kind: str, message: str) -> None:
    if kind not in WARNED:
        WARNED.add(kind)
        warn(message, RuntimeWarning)


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
