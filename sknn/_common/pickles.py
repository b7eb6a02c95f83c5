"""Which sknn wrote a pickle, and whether this one can read it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .versions import __version__

FORMAT = 1  # of the attributes in a pickle; one more whenever an older sknn could no longer read them


def stamped(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of an estimator with the format of the pickle and the version that writes it."""
    return {**laid_out_anew(attributes), "_sknn_format": FORMAT, "_sknn_version": __version__}


def without_stamps(attributes: dict[str, Any], estimator: str) -> dict[str, Any]:
    """Return the attributes of a pickle as they were before ``stamped``; raise ValueError for a newer format."""
    attributes = dict(attributes)
    found, version = attributes.pop("_sknn_format", FORMAT), attributes.pop("_sknn_version", None)
    if found > FORMAT:
        raise ValueError(
            f"the format of a pickle must be at most {FORMAT} for sknn {__version__}; got {found}, written by sknn "
            f"{version}. Load this {estimator} with sknn {version} or newer."
        )
    return attributes


def laid_out_anew(value: Any) -> Any:
    """Return a value, or its items, with arrays laid out in memory as they will be after a pickle.

    ``joblib.hash`` reads strides, also those of arrays without entries, so it would be another one after a pickle.
    """
    if isinstance(value, dict):
        return {name: laid_out_anew(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(laid_out_anew, value))
    if type(value) is not np.ndarray:
        return value
    by_column = value.flags.f_contiguous and not value.flags.c_contiguous
    anew = np.empty(value.shape, value.dtype, "F" if by_column else "C")
    if value.strides == anew.strides:
        return value
    anew[...] = value
    return anew
