"""Curves of losses and scores as users see them: a call adds its epochs, whatever the number of those before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._backend.typing import Array


def grown(curve: Any, recorded: Sequence[Array], n_before: int) -> list[float]:
    """Return the curve of recorded numbers: the list ``curve``, made longer, if it has the first ``n_before``."""
    if not isinstance(curve, list) or len(curve) != n_before or not n_before:
        curve = []
    curve.extend(float(entry[0]) for entry in recorded[len(curve) :])
    return curve


def lowest(before: float | None, curve: list[float], n_before: int) -> float:
    """Return the lowest loss of a curve, given that of its first ``n_before`` epochs if it is known."""
    if before is None or not n_before:
        return min(curve, default=np.inf)
    return min(before, min(curve[n_before:], default=np.inf))


def best_epoch(
    before: tuple[float | None, float | None], curves: tuple[list[float], list[float]], n_before: int, by_loss: bool
) -> tuple[float, float]:
    """Return score and loss of the best epoch, given those of the first ``n_before`` epochs if they are known."""
    score, loss = before
    scores, losses = curves
    if score is not None and loss is not None and n_before:
        scores, losses = [score, *scores[n_before:]], [loss, *losses[n_before:]]
    watched = -np.array(losses) if by_loss else np.array(scores)
    if not np.isfinite(watched).any():
        return -np.inf, np.inf
    best = int(np.nanargmax(watched))
    return scores[best], losses[best]
