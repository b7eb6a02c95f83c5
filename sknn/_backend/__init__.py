"""The choice of the backend that computes on given arrays. This is the only package that may import cupy or numba."""

from __future__ import annotations

import functools
import importlib.util
import sys
from typing import Any

import numpy as np

from .protocol import Backend
from .typing import Array

BACKENDS = ("auto", "numpy", "cupy")


def is_device_array(array: Any) -> bool:
    """Return whether ``array`` is a CuPy array; the module of its type tells, so CuPy is not imported."""
    kind = type(array)
    return kind is not np.ndarray and kind.__module__.partition(".")[0] == "cupy"


def has_numba() -> bool:
    """Return whether Numba is installed, which the fused CPU kernels need."""
    return importlib.util.find_spec("numba") is not None


def get_backend(name: str, X: Any = None, precision: str = "float32") -> Backend:
    """Return the backend called ``name``; ``"auto"`` is the one that X is stored on.

    ``precision`` is that of products of float32 on a GPU.
    """
    if name == "auto":
        name = "cupy" if is_device_array(X) else "numpy"
    if name == "numpy":
        return _numpy_backend()
    if name == "cupy":
        return _cupy_backend(precision)
    raise ValueError(f"backend must be one of {BACKENDS}; got {name!r}.")


@functools.cache
def _numpy_backend() -> Backend:
    if has_numba():
        return _fused_cpu_backend()
    from . import reference

    return reference.Backend(np)


def _fused_cpu_backend() -> Backend:
    try:
        from .cpu.backend import Backend as FusedBackend
    except BaseException:  # Ctrl-C half way through: a half-imported numba would fail for the rest of the process
        for name in [name for name in sys.modules if name.partition(".")[0] == "numba"]:
            del sys.modules[name]
        raise
    return FusedBackend()


@functools.cache
def _cupy_backend(precision: str) -> Backend:
    from .cuda.backend import Backend as CuPyBackend
    from .cuda.backend import import_cupy

    return CuPyBackend(import_cupy(), precision)


def to_numpy(array: Any) -> Any:
    """Return a CuPy array as a NumPy array, and anything else unchanged."""
    return array.get() if is_device_array(array) else array


def erf(array: Array) -> Array:
    """Return the error function of an array, computed where the array is stored."""
    if is_device_array(array):
        from cupyx.scipy import special
    else:
        from scipy import special
    return special.erf(array)
