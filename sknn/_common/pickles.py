"""Which sknn wrote a pickle, and whether this one can read it."""

from __future__ import annotations

from typing import Any

from .versions import __version__

FORMAT = 1  # of the attributes in a pickle; one more whenever an older sknn could no longer read them


def stamped(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of an estimator with the format of the pickle and the version that writes it."""
    return {**attributes, "_sknn_format": FORMAT, "_sknn_version": __version__}


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
