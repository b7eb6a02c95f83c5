"""Warnings that name the user's line."""

from __future__ import annotations

import sys
import warnings

# modules whose frames are not the user's; kernels are compiled below Numba's, and imported below Python's
OWN = (
    *("sknn", "sklearn.callback", "sklearn.base", "sklearn.utils"),
    *("numba", "importlib", "functools", "contextlib"),
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the first frame outside sknn and what calls it for sknn, such as ``fit_transform``.

    Of a pipeline or a search, that is the line of scikit-learn that calls ``fit``.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        if not _is_of_import(frame.f_code.co_filename):
            level += 1
    warnings.warn(message, category, stacklevel=level)


def _is_own(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in OWN)


def _is_of_import(file: str) -> bool:
    return "importlib" in file and "_bootstrap" in file  # frames that Python does not count
