"""Fields of dataclasses that have one entry for each model of a stack: taking some models, and stacking several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from .._backend.typing import Array

T = TypeVar("T")

Models: TypeAlias = Sequence[int] | Array
"""Numbers of models in a stack."""


# Metadata of a field: an array with one entry a model along an axis, or a tuple or list of them; one entry a stream of
# row numbers, which is one that all models share or one each; or a list of arrays ``(models,)``, one an epoch.
PER_MODEL = {"per": "model", "axis": 0}
PER_MODEL_BEHIND_SLOTS = {"per": "model", "axis": 1}
PER_STREAM = {"per": "stream", "axis": 0}
PER_EPOCH = {"per": "epoch"}


def take_models(stacked: T, models: Models, streams: Models) -> T:
    """Return the dataclass with the entries of some models, and of some streams, only."""
    chosen = {"model": models, "stream": streams}
    taken: dict[str, Any] = {}
    for item in fields(stacked):  # type: ignore[arg-type]
        value, per = getattr(stacked, item.name), item.metadata.get("per")
        if value is None or per is None:
            continue
        if per == "epoch":
            taken[item.name] = [entry[models] for entry in value]
        elif isinstance(value, tuple | list):
            taken[item.name] = type(value)(value[k] for k in chosen[per])
        else:
            taken[item.name] = value.take(chosen[per], axis=item.metadata["axis"])
    return replace(stacked, **taken)  # type: ignore[type-var]


def stack_models(parts: Sequence[T], shared_streams: bool) -> T:
    """Return one dataclass with the models of several; all other fields must be equal, and are those of the first.

    With ``shared_streams`` the streams of the first serve all models.

    Raises
    ------
    ValueError
        If a field that all models share differs.
    """
    stacked: dict[str, Any] = {}
    for item in fields(parts[0]):  # type: ignore[arg-type]
        values, per = [getattr(part, item.name) for part in parts], item.metadata.get("per")
        if per is None:
            _check_same(item.name, values)
        elif any(value is None for value in values):
            _check_none_has(item.name, values)
        elif per == "epoch":
            stacked[item.name] = [np.concatenate(entries) for entries in zip(*values, strict=True)]
        elif per == "stream" and shared_streams:
            continue
        elif isinstance(values[0], tuple | list):
            stacked[item.name] = type(values[0])(entry for value in values for entry in value)
        else:
            stacked[item.name] = np.concatenate(values, axis=item.metadata["axis"])
    return replace(parts[0], **stacked)  # type: ignore[type-var]


def _check_none_has(name: str, values: Sequence[Any]) -> None:
    having = [number for number, value in enumerate(values) if value is not None]
    if having:
        raise ValueError(
            f"models of a stack must all have {name}, or none of them; got it in {len(having)} of {len(values)} parts: "
            f"those of numbers {having}."
        )


def _check_same(name: str, values: Sequence[Any]) -> None:
    if any(value != values[0] for value in values[1:]):
        raise ValueError(f"models of a stack must have the same {name}; got {values}.")
