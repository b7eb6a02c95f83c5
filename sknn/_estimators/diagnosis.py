"""Diagnosis: why training failed, in words that name what is out of proportion."""

from __future__ import annotations

from math import log10
from typing import Any, NamedTuple

from scipy.sparse import issparse

from .preparation import Fit

NON_FINITE = "Solver produced non-finite parameter weights."  # this and the next begin scikit-learn's message
LARGE_VALUES = "The input data may contain large values and need to be preprocessed."
REMEDIES = (
    "lower learning_rate_init, set clip_norm, or scale X (for example with StandardScaler) and, for regression, y "
    "(with TransformedTargetRegressor)"
)


# ---- divergence -------------------------------------------------------------------------


class _Suspect(NamedTuple):
    """A quantity, the largest value that usually trains, and what to do if it is larger."""

    name: str
    value: float
    usual: float
    remedy: str
    is_data: bool = False

    @property
    def excess(self) -> float:
        """Orders of magnitude above the usual."""
        return log10(self.value / self.usual) if self.value > self.usual else 0


def divergence(estimator: Any, fit: Fit) -> str:
    """Return the message for a training that diverged: what is out of proportion most, then what helps in general."""
    suspects = _suspects(estimator, fit)
    most = max(suspect.excess for suspect in suspects)
    guilty = [suspect for suspect in suspects if suspect.excess > most / 2]
    begin = f"{NON_FINITE} {LARGE_VALUES}" if any(it.is_data for it in guilty) or not guilty else NON_FINITE
    cause = "".join(f"{it.name} is large, {it.value:.3g}: {it.remedy}. " for it in guilty)
    return f"{begin} Training diverged at epoch {len(fit.state.loss_curve)}. {cause}Remedies in general: {REMEDIES}."


def _suspects(estimator: Any, fit: Fit) -> list[_Suspect]:
    data = fit.problem.data
    suspects = [
        _Suspect("X", _largest(data.rows.X), 1e3, "scale it", is_data=True),
        _Suspect("alpha", float(estimator.alpha), 1e2, "lower it"),
    ]
    if estimator._task.y_numeric:
        suspects.append(_Suspect("y", _largest(data.y), 1e3, "scale it", is_data=True))
    if estimator.solver != "lbfgs":
        suspects.append(_Suspect("l1", float(estimator.l1), 1e2, "lower it"))
        suspects.append(_Suspect("learning_rate_init", float(estimator.learning_rate_init), 0.1, "lower it"))
    return suspects


def _largest(values: Any) -> float:
    """Return the largest absolute value."""
    numbers = values.data if issparse(values) else values
    return max(float(numbers.max()), -float(numbers.min())) if numbers.size else 0.0
