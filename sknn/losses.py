"""Losses on raw outputs, never on clipped probabilities.

A loss joins three things: its value for each row, its gradient on the raw outputs z, and the link that turns raw
outputs into predictions. Gradients are those of the sum over outputs. Targets are class codes ``(S, r, 1)`` for the
softmax loss and numbers ``(S, r, outputs)`` for the others.
"""

from __future__ import annotations

from typing import ClassVar

from ._common.blocks import Block, building_block
from ._common.rules import real, require


class Loss(Block):
    """Base of all losses."""

    kernel: ClassVar[str]
    link_name: ClassVar[str]
    non_negative: ClassVar[bool] = False  # whether targets below zero have no meaning

    def value_and_gradient(self, xp, z, y, dz):
        """Return the loss of each row ``(K, r)`` and write its gradient on z to dz."""
        raise NotImplementedError

    def link(self, xp, z):
        """Turn raw outputs into predictions, in place."""
        raise NotImplementedError

    def numbers(self):
        """Return the fields, for fused kernels."""
        return tuple(vars(self).values())

    def objective_factor(self, n_outputs):
        """By what the gradient belongs to the value: gradient = factor * d value / dz."""
        return 1


@building_block
class SoftmaxLogLoss(Loss):
    """Log loss of one of several classes: log sum exp(z) - z[y].

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that goes to all K classes alike, y's included, in [0, 1): the last term becomes
        ``(1 - s) z[y] + s mean(z)``. Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, section 7.
    """

    label_smoothing: float = 0.0
    _rules: ClassVar[dict] = {"label_smoothing": real(0, 1)}
    kernel: ClassVar[str] = "softmax_log_loss"
    link_name: ClassVar[str] = "softmax"

    def value_and_gradient(self, xp, z, y, dz):
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

    def link(self, xp, z):
        z -= z.max(axis=-1, keepdims=True)
        xp.exp(z, out=z)
        z /= z.sum(axis=-1, keepdims=True)


@building_block
class BinaryLogLoss(Loss):
    """Log loss of independent yes-or-no outputs, summed over outputs: log(1 + exp(z)) - y z.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that goes to yes and no alike, in [0, 1): y becomes ``(1 - s) y + s / 2``.
    """

    label_smoothing: float = 0.0
    _rules: ClassVar[dict] = {"label_smoothing": real(0, 1)}
    kernel: ClassVar[str] = "binary_log_loss"
    link_name: ClassVar[str] = "logistic"

    def value_and_gradient(self, xp, z, y, dz):
        decay = xp.exp(-abs(z))
        y = (1 - self.label_smoothing) * y + self.label_smoothing / 2
        dz[...] = xp.where(z >= 0, 1, decay) / (1 + decay) - y
        return (xp.maximum(z, 0) - y * z + xp.log1p(decay)).sum(axis=-1)

    def link(self, xp, z):
        link_logistic(xp, z)


@building_block
class SigmoidSquaredError(Loss):
    """Half the squared error of logistic outputs, summed over outputs; y of 0 and 1 stands for ``low`` and ``high``.

    T. Rashid, "Make Your Own Neural Network", 2016, has targets of 0.01 and 0.99, which the logistic function reaches.

    Parameters
    ----------
    low, high : float, default=0.0, 1.0
        Targets of no and yes, in [0, 1].
    """

    low: float = 0.0
    high: float = 1.0
    _rules: ClassVar[dict] = {"low": real(0, 1, closed="both"), "high": real(0, 1, closed="both")}
    kernel: ClassVar[str] = "sigmoid_squared_error"
    link_name: ClassVar[str] = "logistic"

    def __post_init__(self):
        super().__post_init__()
        require(self.low < self.high, "high", f"a number > low={self.low}", self.high)

    def value_and_gradient(self, xp, z, y, dz):
        p = z.copy()
        self.link(xp, p)
        error = p - (self.low + (self.high - self.low) * y)
        dz[...] = error * p * (1 - p)
        return 0.5 * (error * error).sum(axis=-1)

    def link(self, xp, z):
        link_logistic(xp, z)


def link_logistic(xp, z):
    """Turn z into 1 / (1 + exp(-z)) in place, without overflow."""
    decay = xp.exp(-abs(z))
    z[...] = xp.where(z >= 0, 1, decay) / (1 + decay)


class RegressionLoss(Loss):
    """Base of the losses of numbers."""


@building_block
class SquaredError(RegressionLoss):
    """Half the squared error.

    As in scikit-learn the value is the mean over outputs, while the gradient that trains is that of their sum.
    """

    kernel: ClassVar[str] = "squared_error"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp, z, y, dz):
        xp.subtract(z, y, out=dz)
        return 0.5 * (dz * dz).mean(axis=-1)

    def link(self, xp, z):
        pass

    def objective_factor(self, n_outputs):
        return n_outputs


@building_block
class Poisson(RegressionLoss):
    """Half the Poisson deviance with log link, summed over outputs: y log y - y z - y + exp(z)."""

    kernel: ClassVar[str] = "poisson"
    link_name: ClassVar[str] = "exp"
    non_negative: ClassVar[bool] = True

    def value_and_gradient(self, xp, z, y, dz):
        mean = xp.exp(z)
        xp.subtract(mean, y, out=dz)
        y_log_y = xp.where(y > 0, y * xp.log(xp.where(y > 0, y, 1)), 0)
        return (y_log_y - y * z - y + mean).sum(axis=-1)

    def link(self, xp, z):
        xp.exp(z, out=z)


@building_block
class AbsoluteError(RegressionLoss):
    """|z - y|, summed over outputs; the median is best. The slope is 0 where z is y."""

    kernel: ClassVar[str] = "absolute_error"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp, z, y, dz):
        error = z - y
        dz[...] = xp.sign(error)
        return abs(error).sum(axis=-1)

    def link(self, xp, z):
        pass


@building_block
class Huber(RegressionLoss):
    """Half the squared error up to ``delta``, and from there on a line of slope ``delta``; summed over outputs.

    Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35(1), 1964.

    Parameters
    ----------
    delta : float, default=1.0
        Where the line begins, in the unit of y; positive.
    """

    delta: float = 1.0
    _rules: ClassVar[dict] = {"delta": real(0, closed="neither")}
    kernel: ClassVar[str] = "huber"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp, z, y, dz):
        error = z - y
        dz[...] = xp.clip(error, -self.delta, self.delta)
        return (dz * (error - 0.5 * dz)).sum(axis=-1)

    def link(self, xp, z):
        pass


@building_block
class Quantile(RegressionLoss):
    """``quantile`` times the error of what is too low, ``1 - quantile`` times that of what is too high; summed.

    Koenker and Bassett, "Regression Quantiles", Econometrica 46(1), 1978. The slope is 0 where z is y.

    Parameters
    ----------
    quantile : float, default=0.5
        The share of targets that are to be below the prediction, in (0, 1).
    """

    quantile: float = 0.5
    _rules: ClassVar[dict] = {"quantile": real(0, 1, closed="neither")}
    kernel: ClassVar[str] = "quantile"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp, z, y, dz):
        error = z - y
        high, low = z.dtype.type(1 - self.quantile), z.dtype.type(-self.quantile)
        dz[...] = xp.where(error > 0, high, xp.where(error < 0, low, 0 * error))  # so that NaN goes through
        return (dz * error).sum(axis=-1)

    def link(self, xp, z):
        pass


REGRESSION_LOSSES = {
    "squared_error": SquaredError(),
    "poisson": Poisson(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "quantile": Quantile(),
}
