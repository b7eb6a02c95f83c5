"""The version of sknn, and installed versions for bug reports."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from .._backend import has_numba

__version__ = "0.1.0"
PACKAGES = ("sknn", "numpy", "scipy", "scikit-learn", "numba", "cupy-cuda12x", "cupy-cuda13x", "matplotlib")


def show_versions() -> None:
    """Print the versions of Python, sknn and its dependencies, and the kind of kernels in use.

    Examples
    --------
    >>> import sknn
    >>> sknn.show_versions()  # doctest: +ELLIPSIS
    python...
    """
    print(f"python: {sys.version.split()[0]} on {platform.platform()}")
    for package in PACKAGES:
        print(f"{package}: {_version(package)}")
    if has_numba():
        print("kernels on NumPy: fused by Numba")
    else:
        print("kernels on NumPy: unfused reference kernels, slower; install numba for fused kernels")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
