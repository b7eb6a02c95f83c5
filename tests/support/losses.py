"""Losses by name, and random targets for them."""

from sknn.losses import (
    REGRESSION_LOSSES,
    BinaryLogLoss,
    Loss,
    Poisson,
    RegressionLoss,
    SigmoidSquaredError,
    SoftmaxLogLoss,
)
from tests.support.classes import all_subclasses

LOSSES = {
    "softmax_log_loss": SoftmaxLogLoss(),
    "binary_log_loss": BinaryLogLoss(),
    "sigmoid_squared_error": SigmoidSquaredError(0.1, 0.9),
    **REGRESSION_LOSSES,
}


def losses_without_test():
    """Return the losses of sknn that are missing from LOSSES."""
    return all_subclasses(Loss) - {RegressionLoss} - {type(loss) for loss in LOSSES.values()}


def random_targets(loss, rng, shape, dtype=float):
    """Return random targets that are valid for ``loss``, for raw outputs of ``shape (..., outputs)``."""
    if isinstance(loss, SoftmaxLogLoss):
        return rng.integers(shape[-1], size=(*shape[:-1], 1))
    if isinstance(loss, BinaryLogLoss | SigmoidSquaredError):
        return rng.integers(2, size=shape).astype(dtype)
    if isinstance(loss, Poisson):
        return rng.poisson(1.0, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
