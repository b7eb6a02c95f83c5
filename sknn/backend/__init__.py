"""Where the work runs: which backend serves which arrays. The only package that may import cupy or numba."""

from __future__ import annotations

import functools
import importlib.util

import numpy as np

BACKENDS = ("auto", "numpy", "cupy")


def is_device_array(array) -> bool:
    """Whether ``array`` is a CuPy array; decided by its type's module, without importing CuPy."""
    return type(array).__module__.partition(".")[0] == "cupy"


def has_numba() -> bool:
    """Whether Numba is installed, so that the fused CPU kernels can serve."""
    return importlib.util.find_spec("numba") is not None


def get_backend(name, X=None):
    """Return the backend called ``name``; ``"auto"`` is where X lives."""
    if name == "auto":
        name = "cupy" if is_device_array(X) else "numpy"
    return _cupy_backend() if name == "cupy" else _numpy_backend()


@functools.cache
def _numpy_backend():
    if has_numba():
        from . import cpu

        return cpu.Backend()
    from . import reference

    return reference.Backend(np)


@functools.cache
def _cupy_backend():
    from . import cuda

    return cuda.Backend(cuda.import_cupy())


def to_numpy(array):
    """Return a CuPy array as NumPy; anything else comes back as it is."""
    return array.get() if is_device_array(array) else array
