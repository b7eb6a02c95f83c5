"""Messages about failed training: the number that is out of proportion, and the remedy."""

from __future__ import annotations

from math import log10
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from .._backend import to_numpy
from .._backend.typing import Array
from .._core.data import SAMPLE_ROWS, Problem, evenly_spread
from .._core.passes import Model, predictions
from .._core.state import State
from ..losses import Loss, RegressionLoss

NON_FINITE = "Solver produced non-finite parameter weights."  # this and the next begin scikit-learn's message
LARGE_VALUES = "The input data may contain large values and need to be preprocessed."
REMEDIES = (
    "lower learning_rate_init, set clip_norm, or scale X (for example with StandardScaler) and, for regression, y "
    "(with TransformedTargetRegressor)"
)
HUGE_PENALTY = 1e6  # for each row


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


def divergence(parameters: Any, problem: Problem, n_epochs: int) -> str:
    """Return the message for a training that diverged: the numbers most out of proportion, then general remedies."""
    guilty = _guilty(_suspects(parameters, problem))
    begin = f"{NON_FINITE} {LARGE_VALUES}" if any(it.is_data for it in guilty) or not guilty else NON_FINITE
    weights = _tiny_weights(problem.data.sample_weight)
    return (
        f"{begin} Training diverged at epoch {n_epochs}. {_in_words(guilty)}{weights}Remedies in general: {REMEDIES}."
    )


def obstacle(parameters: Any, problem: Problem) -> str:
    """Return sentences on the numbers out of proportion where L-BFGS finds no step, or an empty text."""
    return _in_words(_guilty(_suspects(parameters, problem)))


def large_penalty(parameters: Any, problem: Problem) -> str:
    """Return which penalty is beyond all that is usual where training has not converged, or an empty text.

    Training divides penalties by the sum of the weights of rows.
    """
    weight = problem.data.sample_weight
    usual = HUGE_PENALTY * (len(problem.data.y) if weight is None else float(weight.sum(dtype=np.float64)))
    suspects = [_Suspect("alpha", float(parameters.alpha), usual, "lower it")]
    if parameters.solver != "lbfgs":
        suspects.append(_Suspect("l1", float(parameters.l1), usual, "lower it"))
    return _in_words(_guilty(suspects))


def _guilty(suspects: list[_Suspect]) -> list[_Suspect]:
    """Return the suspects that are out of proportion most."""
    most = max(suspect.excess for suspect in suspects)
    return [suspect for suspect in suspects if suspect.excess > most / 2]


def _in_words(guilty: list[_Suspect]) -> str:
    return "".join(f"{it.name} is large, {it.value:.3g}: {it.remedy}. " for it in guilty)


def _tiny_weights(weight: Array | None) -> str:
    """Return a sentence if batches may have sums of weights whose inverse is infinite, else an empty text."""
    least = 0.0 if weight is None else float(np.finfo(weight.dtype).tiny)
    if weight is None or not ((weight > 0) & (weight < least)).any():
        return ""
    return f"sample_weight has weights between 0 and {least:.3g}, which are too small for sums: set them to 0. "


def _suspects(parameters: Any, problem: Problem) -> list[_Suspect]:
    data = problem.data
    suspects = [
        _Suspect("X", _largest(data.rows.X), 1e3, "scale it", is_data=True),
        _Suspect("alpha", float(parameters.alpha), 1e2, "lower it"),
    ]
    if isinstance(problem.network.loss, RegressionLoss):
        suspects.append(_Suspect("y", _largest(data.y), 1e3, "scale it", is_data=True))
    if parameters.solver != "lbfgs":
        suspects.append(_Suspect("l1", float(parameters.l1), 1e2, "lower it"))
        suspects.append(_Suspect("learning_rate_init", float(parameters.learning_rate_init), 0.1, "lower it"))
    return suspects


def _largest(values: Any) -> float:
    """Return the largest absolute value."""
    numbers = values.data if issparse(values) else values
    return max(float(numbers.max()), -float(numbers.min())) if numbers.size else 0.0


# ---- y that is out of proportion --------------------------------------------------------

LARGE, SMALL = 1e2, 1e-2  # root mean square, and standard deviation, of outputs that are looked at
UNEXPLAINED, MISSED = 0.9, 0.1  # shares of the loss of a constant


def missed_scale(problem: Problem, state: State, tol: float) -> str:
    """Return a message if predictions explain hardly anything of y though they could, once scaled; else an empty text.

    An output is judged if its y is far from the numbers that networks start with. The message is for those outputs of
    which the loss is hardly below that of a constant, but would be if the predictions were multiplied by a number and
    shifted: training has not reached the scale of y. Where there is nothing to explain, this gains nothing.
    """
    data, loss = problem.data, problem.network.loss
    if not isinstance(loss, RegressionLoss) or loss.link_name not in SCALED:
        return ""
    rows = np.arange(len(data.y)) if data.sample_weight is None else np.flatnonzero(data.sample_weight)
    rows = rows[evenly_spread(len(rows), SAMPLE_ROWS)]
    y = data.y[rows].astype(np.float64)
    weight = np.ones(len(rows)) if data.sample_weight is None else data.sample_weight[rows].astype(np.float64)
    judged = [j for j in range(y.shape[1]) if _is_far(y[:, j])]
    if not judged:
        return ""
    model = Model.of_flat(problem.backend, problem.network, *state.prediction_model)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = to_numpy(predictions(model, data.rows[rows])[0]).astype(np.float64)
        missed = [j for j in judged if _misses(loss, y[:, j], found[:, j], weight)]
    if not missed:
        return ""
    which = "" if y.shape[1] == 1 else f" in output {', '.join(map(str, missed[:5]))}{', ...' * (len(missed) > 5)}"
    mean, deviation = y[:, missed[0]].mean(), _deviation(y[:, missed[0]])
    return (
        f"The predictions explain hardly anything of y{which}, because training did not reach the scale of y (mean "
        f"{mean:.3g}, standard deviation {deviation:.3g}): networks start with outputs near 1, and tol={tol:g} is an "
        "absolute number. Standardise y, for example with scikit-learn's TransformedTargetRegressor(regressor, "
        "transformer=StandardScaler())."
    )


def _is_far(y: Array) -> bool:
    if not y.any():
        return False
    size, deviation = _root_mean_square(y), _deviation(y)
    return bool(size > LARGE or (deviation or size) < SMALL)


def _deviation(y: Array) -> Array:
    """Return the standard deviation of each column."""
    return _root_mean_square(y - y.mean(axis=0))


def _root_mean_square(y: Array) -> Array:
    """Return the root mean square of each column, also of numbers whose squares are zero or infinite in floats."""
    top = np.abs(y).max(axis=0)
    scaled = np.divide(y, top, out=np.zeros_like(y), where=top > 0)
    return top * np.sqrt(np.mean(scaled**2, axis=0))


def _misses(loss: Loss, y: Array, found: Array, weight: Array) -> bool:
    """Return whether predictions are hardly better than a constant, and would be if they were scaled."""

    def mean_loss(raw: Array) -> Array:
        raw = np.atleast_2d(raw)[:, :, None].astype(np.float64)
        losses = loss.value_and_gradient(np, raw, y[None, :, None], np.empty_like(raw))
        return np.average(losses, axis=1, weights=weight)

    constants, scaled, raw = SCALED[loss.link_name](y, found, weight)
    mine, least = mean_loss(raw)[0], mean_loss(scaled).min()
    if y.min() == y.max():
        return bool(mine > mean_loss(0.9 * y)[0]) if loss.link_name == "identity" else False
    constant = mean_loss(constants).min()
    return bool(mine > UNEXPLAINED * constant and mine - least > MISSED * constant)


def _by_line(y: Array, found: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return constants, predictions that were multiplied and shifted, and raw outputs, for an identity link.

    The best constant for a loss is near the mean or near a quantile.
    """
    centred = found - np.average(found, weights=weight)
    variance = np.average(centred**2, weights=weight)
    slope = np.average(centred * y, weights=weight) / variance if variance > 0 else 0.0
    line = slope * found
    return _centres(y, weight) + 0 * y, line + _centres(y - line, weight), found


def _by_factor(y: Array, found: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return the same for an exponential link, where a factor is a shift of raw outputs."""
    raw = np.log(np.maximum(found, np.finfo(np.float64).tiny))
    mean = np.log(np.average(y, weights=weight))
    return np.full_like(raw, mean), raw + mean - np.log(np.average(found, weights=weight)), raw


def _centres(values: Array, weight: Array) -> Array:
    """Return the mean and quantiles, as a column."""
    return np.r_[np.average(values, weights=weight), np.quantile(values, np.arange(0.02, 1, 0.04))][:, None]


SCALED = {"identity": _by_line, "exp": _by_factor}


def unlike_validation(y: Array, y_val: Array) -> str:
    """Return a message if y_val and y look as if only one of them was transformed, else an empty text."""
    mean, deviation, centre = y.mean(axis=0), _deviation(y), np.median(y_val, axis=0)
    is_away = (deviation > 0) & (np.median(np.abs(y_val - mean), axis=0) > 3 * deviation)
    spread, spread_val = (np.subtract(*np.quantile(values, [0.75, 0.25], axis=0)) for values in (y, y_val))
    is_narrow = (len(y_val) >= 10) & (spread_val > 0) & (spread_val < spread / 100)
    wrong = np.flatnonzero(is_away | is_narrow)
    if not len(wrong):
        return ""
    j = wrong[0]
    which = f" in output {j}" if y.shape[1] > 1 else ""
    return (
        f"y_val may not be transformed as y is{which}: y has a mean of {mean[j]:.3g} and a standard deviation of "
        f"{deviation[j]:.3g}; y_val has a median of {centre[j]:.3g}, and half of it lies within {spread_val[j]:.3g}. "
        "If y was transformed, transform y_val as y: TransformedTargetRegressor transforms y alone, and passes y_val "
        "on as it is. If y_val is as it should be, such as the last part of a series that grows, ignore this warning."
    )
