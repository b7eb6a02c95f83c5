"""Fitted models in pickles: public blocks, arrays and dictionaries, so that no private class is named in a file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .._common.pickles import laid_out_anew
from .._core.network import Network
from .._core.state import State
from .targets import Indicators, Labels, Numbers

TARGETS = {"labels": Labels, "indicators": Indicators, "numbers": Numbers}
PRIVATE = {"_network": Network, "_state": State}  # attributes of a fitted estimator, and their classes


def to_plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of an estimator with private objects as dictionaries."""
    plain = dict(attributes)
    for name in PRIVATE.keys() & plain.keys():
        plain[name] = _fields_of(plain[name])
    if "_state" in plain:
        plain["_state"]["finite"] = None  # a loaded model goes back to its own parameters if it diverges at once
    if "_targets" in plain:
        kinds = {cls: kind for kind, cls in TARGETS.items()}
        plain["_targets"] = {"kind": kinds[type(plain["_targets"])], **_fields_of(plain["_targets"])}
    return plain


def from_plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes of an estimator with private objects made of dictionaries again."""
    made = dict(attributes)
    for name, cls in PRIVATE.items():
        if name in made:
            made[name] = cls(**made[name])
    if "_targets" in made:
        described = dict(made["_targets"])
        made["_targets"] = TARGETS[described.pop("kind")](**described)
    return made


def _fields_of(record: Any) -> dict[str, Any]:
    return {item.name: laid_out_anew(getattr(record, item.name)) for item in fields(record)}
