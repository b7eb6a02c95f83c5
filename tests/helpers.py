"""What tests of the core share: both backends, small networks, numeric derivatives."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit, ndtr

from sknn._backend import reference
from sknn._backend.cpu import backend as cpu
from sknn._backend.cuda import backend as cuda
from sknn._core import inference
from sknn._core.batches import whole_batch
from sknn._core.network import Network, run
from sknn._core.network import Pass as Passage
from sknn._core.stages import Training
from sknn.activations import ACTIVATIONS
from sknn.initializers import Auto
from sknn.losses import (
    REGRESSION_LOSSES,
    BinaryLogLoss,
    Loss,
    Poisson,
    RegressionLoss,
    SigmoidSquaredError,
    SoftmaxLogLoss,
)
from tests import simulator

BACKENDS = {"reference": reference.Backend(np), "cpu": cpu.Backend(), "cuda": simulator.Backend()}
LOSSES = {
    "softmax_log_loss": SoftmaxLogLoss(),
    "binary_log_loss": BinaryLogLoss(),
    "sigmoid_squared_error": SigmoidSquaredError(0.1, 0.9),
    **REGRESSION_LOSSES,
}
FORMULAS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "prelu": lambda z, slope=0.25: np.where(z > 0, z, slope * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)),
    "gelu": lambda z: z * ndtr(z),
    "silu": lambda z: z * expit(z),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
    "softplus": lambda z: np.log(1 + np.exp(z)),
}
ELEMENTWISE = {name: activation for name, activation in ACTIVATIONS.items() if activation.pieces == 1}
FORMULAS["sigmoid"] = FORMULAS["logistic"]


def all_subclasses(base):
    """Return every class derived from ``base``."""
    below = base.__subclasses__()
    return {*below, *(deeper for cls in below for deeper in all_subclasses(cls))}


def losses_without_test():
    """Return losses that LOSSES lacks."""
    return all_subclasses(Loss) - {RegressionLoss} - {type(loss) for loss in LOSSES.values()}


def random_targets(loss, rng, shape, dtype=float):
    """Return targets that ``loss`` can take, for raw outputs of ``shape (..., outputs)``."""
    if isinstance(loss, SoftmaxLogLoss):
        return rng.integers(shape[-1], size=(*shape[:-1], 1))
    if isinstance(loss, BinaryLogLoss | SigmoidSquaredError):
        return rng.integers(2, size=shape).astype(dtype)
    if isinstance(loss, Poisson):
        return rng.poisson(1.0, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def set_chunk_elements(monkeypatch, elements):
    """Have predictions made in chunks of so many numbers, however few rows these are."""
    for backend in (reference.Backend, cuda.Backend):
        monkeypatch.setattr(backend, "chunk_elements", elements)
    monkeypatch.setattr(inference, "LEAST_ROWS", 1)


def make_network(widths, activation="relu", loss="softmax_log_loss"):
    """Return a network; ``activation`` is one name or one a hidden layer, ``loss`` a name of LOSSES."""
    n_hidden = len(widths) - 2
    names = [activation] * n_hidden if isinstance(activation, str) else activation
    return Network(
        widths=tuple(widths),
        activations=tuple(ACTIVATIONS[name] for name in names),
        initializers=(Auto(),) * (n_hidden + 1),
        loss=LOSSES[loss],
    )


def slope(function, x, direction, step=1e-3):
    """Return d function(x + t direction) / dt at 0 by differences of fourth order."""
    near = function(x + step * direction) - function(x - step * direction)
    far = function(x + 2 * step * direction) - function(x - 2 * step * direction)
    return (8 * near - far) / (12 * step)


@dataclass
class Pass:
    """Objective and gradient of a stack on whole data, from the plans that training is made of."""

    backend: object
    network: Network
    X: object
    y: np.ndarray
    weight: np.ndarray
    alpha: np.ndarray
    noise: object = None
    dropped: tuple = ()
    frozen: bool = False
    statistics: np.ndarray | None = None

    def __call__(self, theta):
        """Return (objective of each model, gradient) at ``theta (K, P)``, penalty included."""
        backend, network, layout, n_models = self.backend, self.network, self.network.layout, len(theta)
        grad = np.full_like(theta, np.nan)
        scale = np.full((1, n_models), 1 / self.weight.sum(), theta.dtype)
        clock, data_loss, penalty = np.zeros(2, np.int64), np.zeros((1, n_models)), np.zeros((1, n_models))
        views = layout.views(theta), layout.views(grad)
        batch = whole_batch(backend, self.X)
        training = Training(views[1], self.weight[None], self.noise, self.dropped, self.frozen)
        start = network.initial_statistics(n_models, theta.dtype) if self.statistics is None else self.statistics
        self.moved = statistics = start.copy()
        running = network.statistics_layout.views(statistics)
        self.passage = Passage(backend, network, batch, self.X.shape[0], views[0], running, training)
        z, dz = self.passage.outputs
        args = network.loss, z, self.y[None], self.weight[None], scale, clock, dz, data_loss
        run(
            [
                *self.passage.forward,
                partial(backend.loss_gradient, *args),
                *self.passage.backward,
                partial(backend.weight_decay, theta, grad, self.alpha, scale, layout.n_decayed, clock, penalty),
            ]
        )
        factor = network.loss.objective_factor(network.widths[-1])
        return factor * data_loss[0] + penalty[0], grad


def _activated(activation, z, *slopes):
    if activation.pieces > 1:
        return z.reshape(len(z), -1, activation.pieces).max(axis=2)
    names = {activation: name for name, activation in ACTIVATIONS.items()}
    return FORMULAS[names[activation]](z, *slopes)


def plain_layers(network, theta_row, X):
    """Return the inputs of each layer's activation for one model, worked out layer by layer."""
    views = network.layout.views(theta_row[None])
    y, inputs = X, []
    for layer, own in zip(network.layers, views, strict=True):
        inputs.append(y @ own["weights"][0] + own["biases"][0])
        y = _activated(layer.activation, inputs[-1], *(own[kind][0] for kind in ["slopes"] if kind in own))
    return inputs
