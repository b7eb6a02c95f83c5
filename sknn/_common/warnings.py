"""Warnings that name the user's line."""

from __future__ import annotations

import sys
import warnings

OWN = ("sknn", "sklearn.callback")  # packages whose frames are not the user's


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the first frame outside sknn and scikit-learn's callbacks, which wrap ``fit``."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_own(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in OWN)
