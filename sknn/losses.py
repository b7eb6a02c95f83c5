"""Loss functions.

A loss is a frozen dataclass that defines three things: its value for each row, its gradient with respect to the raw
outputs z of the network, and the link function that turns raw outputs into predictions. Values are computed from raw
outputs, not from clipped probabilities. Gradients are those of the sum over outputs. Targets y are class codes of shape
``(S, r, 1)`` for the softmax loss and numbers of shape ``(S, r, outputs)`` for all others, where S is the number of
streams of mini-batches (1, or the number of models) and r the number of rows.

Examples
--------
>>> import numpy as np
>>> from sknn.losses import Huber
>>> z, y = np.array([[[0.5], [4.0]]]), np.zeros((1, 2, 1))
>>> gradient = np.empty_like(z)
>>> Huber(delta=1.0).value_and_gradient(np, z, y, gradient)
array([[0.125, 3.5  ]])
>>> gradient[0, :, 0]
array([0.5, 1. ])
"""

from __future__ import annotations

from math import exp, inf
from typing import ClassVar

from ._backend.typing import Array, ArrayModule
from ._common.blocks import Block, building_block
from ._common.rules import real, require

LARGEST_LOG_MEAN = 40.0  # of Poisson; also in _backend/cuda/kernels/elements.h


class Loss(Block, is_base=True):
    """Base class of all losses.

    A subclass, decorated with :func:`sknn.building_block`, defines ``value_and_gradient``, ``link`` and
    ``link_name`` (shown as ``out_activation_``). ``xp`` is the array module: NumPy or CuPy. ``kernel`` and
    ``link_name`` are keys under which a backend looks for fused implementations. A subclass that
    overrides one of the functions without naming a key gets a new one, so that its own functions run.
    """

    _fused: ClassVar[dict[str, tuple[str, ...]]] = {"kernel": ("value_and_gradient", "link"), "link_name": ("link",)}
    kernel: ClassVar[str]
    link_name: ClassVar[str]
    non_negative: ClassVar[bool] = False  # whether targets below zero have no meaning
    largest_target: ClassVar[float] = inf

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        """Return the loss of each row, of shape ``(K, r)``, and write its gradient with respect to z to dz.

        ``z`` and ``dz`` have shape ``(K, r, outputs)``, for K models and r rows.
        """
        raise NotImplementedError

    def link(self, xp: ArrayModule, z: Array) -> None:
        """Apply the link function to the raw outputs z, in place."""
        raise NotImplementedError

    def constants(self) -> tuple[float, ...]:
        """Return the constants that fused kernels need."""
        return ()

    def objective_factor(self, n_outputs: int) -> int:
        """Return the factor between the returned gradient and the derivative of the value."""
        return 1


@building_block
class SoftmaxLogLoss(Loss):
    """Log loss (cross-entropy) of softmax outputs for exclusive classes: log(sum(exp(z))) - z[y].

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share s of the target that is distributed equally over all classes, including the true class, in [0, 1). In the
        loss, ``z[y]`` becomes ``(1 - s) z[y] + s mean(z)``. Szegedy et al., "Rethinking the Inception Architecture",
        CVPR 2016, section 7.
    """

    label_smoothing: float = 0.0
    _rules: ClassVar[dict] = {"label_smoothing": real(0, 1)}
    kernel: ClassVar[str] = "softmax_log_loss"
    link_name: ClassVar[str] = "softmax"

    def constants(self) -> tuple[float, ...]:
        return (self.label_smoothing,)

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        top = z.max(axis=-1, keepdims=True)
        xp.exp(z - top, out=dz)
        norm = dz.sum(axis=-1, keepdims=True)
        dz /= norm
        chosen = xp.arange(z.shape[-1]) == y
        dz -= (1 - self.label_smoothing) * chosen + self.label_smoothing / z.shape[-1]
        aim = (1 - self.label_smoothing) * xp.where(chosen, z, 0).sum(axis=-1)
        if self.label_smoothing:
            aim += self.label_smoothing * z.mean(axis=-1)
        return (xp.log(norm) + top)[..., 0] - aim

    def link(self, xp: ArrayModule, z: Array) -> None:
        z -= z.max(axis=-1, keepdims=True)
        xp.exp(z, out=z)
        z /= z.sum(axis=-1, keepdims=True)


@building_block
class BinaryLogLoss(Loss):
    """Log loss of independent binary outputs, summed over outputs: log(1 + exp(z)) - y z, with y in {0, 1}.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share s of the target that is distributed equally over 0 and 1, in [0, 1): y becomes ``(1 - s) y + s / 2``.
    """

    label_smoothing: float = 0.0
    _rules: ClassVar[dict] = {"label_smoothing": real(0, 1)}
    kernel: ClassVar[str] = "binary_log_loss"
    link_name: ClassVar[str] = "logistic"

    def constants(self) -> tuple[float, ...]:
        return (self.label_smoothing,)

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        decay = xp.exp(-abs(z))
        y = (1 - self.label_smoothing) * y + self.label_smoothing / 2
        dz[...] = xp.where(z >= 0, 1, decay) / (1 + decay) - y
        return (xp.maximum(z, 0) - y * z + xp.log1p(decay)).sum(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        link_logistic(xp, z)


@building_block
class SigmoidSquaredError(Loss):
    """Half the squared error of logistic outputs, summed over outputs: (logistic(z) - t)^2 / 2.

    The target t is ``low`` for y = 0 and ``high`` for y = 1. T. Rashid, "Make Your Own Neural Network", 2016, uses
    targets of 0.01 and 0.99, which the logistic function can reach.

    Parameters
    ----------
    low, high : float, default=0.0, 1.0
        Targets for y = 0 and y = 1, in [0, 1], with low < high.
    """

    low: float = 0.0
    high: float = 1.0
    _rules: ClassVar[dict] = {"low": real(0, 1, closed="both"), "high": real(0, 1, closed="both")}
    kernel: ClassVar[str] = "sigmoid_squared_error"
    link_name: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low < self.high, "high", f"a number > low={self.low}", self.high)

    def constants(self) -> tuple[float, ...]:
        return self.low, self.high

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        p = z.copy()
        self.link(xp, p)
        error = p - (self.low + (self.high - self.low) * y)
        dz[...] = error * p * (1 - p)
        return 0.5 * (error * error).sum(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        link_logistic(xp, z)


def link_logistic(xp: ArrayModule, z: Array) -> None:
    """Turn z into 1 / (1 + exp(-z)) in place, without overflow."""
    decay = xp.exp(-abs(z))
    z[...] = xp.where(z >= 0, 1, decay) / (1 + decay)


class RegressionLoss(Loss, is_base=True):
    """Base class of the losses for regression; ``MLPRegressor(loss=...)`` accepts its instances."""


@building_block
class SquaredError(RegressionLoss):
    """Half the squared error: (z - y)^2 / 2.

    As in scikit-learn, the value is the mean over outputs, but the gradient used for training is that of the sum.
    """

    kernel: ClassVar[str] = "squared_error"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        xp.subtract(z, y, out=dz)
        return 0.5 * (dz * dz).mean(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        pass

    def objective_factor(self, n_outputs: int) -> int:
        return n_outputs


@building_block
class Poisson(RegressionLoss):
    """Half the Poisson deviance with log link, summed over outputs: y log(y) - y z - y + exp(z), for y >= 0.

    Predictions are ``exp(min(z, 40))``, at most 2.4e17, so that they and their squares are finite, and y must not be
    larger. For z above 40, the loss goes on as a straight line.
    """

    kernel: ClassVar[str] = "poisson"
    link_name: ClassVar[str] = "exp"
    non_negative: ClassVar[bool] = True
    largest_target: ClassVar[float] = exp(LARGEST_LOG_MEAN)

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        bounded = xp.minimum(z, LARGEST_LOG_MEAN)
        mean = xp.exp(bounded)
        xp.subtract(mean, y, out=dz)
        y_log_y = xp.where(y > 0, y * xp.log(xp.where(y > 0, y, 1)), 0)
        return (y_log_y - y * z - y + mean * (1 + (z - bounded))).sum(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        xp.minimum(z, LARGEST_LOG_MEAN, out=z)
        xp.exp(z, out=z)


@building_block
class AbsoluteError(RegressionLoss):
    """Absolute error |z - y|, summed over outputs; its minimiser is the median. The gradient is 0 at z = y."""

    kernel: ClassVar[str] = "absolute_error"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        error = z - y
        dz[...] = xp.sign(error)
        return abs(error).sum(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        pass


@building_block
class Huber(RegressionLoss):
    """Huber loss: half the squared error for |z - y| <= delta, else delta * (|z - y| - delta / 2); summed over outputs.

    Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35(1), 1964.

    Parameters
    ----------
    delta : float, default=1.0
        Absolute error at which the loss changes from quadratic to linear, in the unit of y; > 0.
    """

    delta: float = 1.0
    _rules: ClassVar[dict] = {"delta": real(0, closed="neither")}
    kernel: ClassVar[str] = "huber"
    link_name: ClassVar[str] = "identity"

    def constants(self) -> tuple[float, ...]:
        return (self.delta,)

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        error = z - y
        dz[...] = xp.clip(error, -self.delta, self.delta)
        return (dz * (error - 0.5 * dz)).sum(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        pass


@building_block
class Quantile(RegressionLoss):
    """Quantile loss (pinball loss), summed over outputs; its minimiser is the conditional quantile of y.

    The loss is ``quantile * (y - z)`` for predictions z below y, and ``(1 - quantile) * (z - y)`` for predictions above
    y. The gradient is 0 at z = y. Koenker and Bassett, "Regression Quantiles", Econometrica 46(1), 1978.

    Parameters
    ----------
    quantile : float, default=0.5
        Expected share of targets below the prediction, in (0, 1).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknn import MLPRegressor
    >>> from sknn.losses import Quantile
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(loss=Quantile(0.9), learning_rate_init=0.1, max_iter=100, random_state=0).fit(X, y)
    >>> bool(0.8 < (y < model.predict(X)).mean() < 0.97)
    True
    """

    quantile: float = 0.5
    _rules: ClassVar[dict] = {"quantile": real(0, 1, closed="neither")}
    kernel: ClassVar[str] = "quantile"
    link_name: ClassVar[str] = "identity"

    def constants(self) -> tuple[float, ...]:
        return (self.quantile,)

    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array:
        error = z - y
        high, low = z.dtype.type(1 - self.quantile), z.dtype.type(-self.quantile)
        dz[...] = xp.where(error > 0, high, xp.where(error < 0, low, 0 * error))  # so that NaN goes through
        return (dz * error).sum(axis=-1)

    def link(self, xp: ArrayModule, z: Array) -> None:
        pass


REGRESSION_LOSSES = {
    "squared_error": SquaredError(),
    "poisson": Poisson(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "quantile": Quantile(),
}
