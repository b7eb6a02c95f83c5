"""Small networks for tests: stacks with data, their passes, and a plain computation layer by layer."""

import itertools
from dataclasses import dataclass

import numpy as np

from sknn._backend import operations as ops
from sknn._core import passes
from sknn._core.network import Network
from sknn._core.stages import BackwardContext
from sknn.activations import ACTIVATIONS
from sknn.initializers import Auto
from tests.support.activations import FORMULAS
from tests.support.backends import rows_on
from tests.support.losses import LOSSES, random_targets

N_ROWS, N_FEATURES, N_OUTPUTS = 7, 5, 3


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


@dataclass
class Pass:
    """Objective and gradient of a stack on all rows, computed by the plans of training."""

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
        context = BackwardContext(layout.views(grad), self.weight[None], self.noise, self.dropped, self.frozen)
        start = network.initial_statistics(n_models, theta.dtype) if self.statistics is None else self.statistics
        self.moved = statistics = start.copy()
        rows, model = rows_on(backend, self.X), passes.Model.of_flat(backend, network, theta, statistics)
        self.stages = passes.Pass(model, rows.batch(), rows.n_rows, context)
        z, dz = self.stages.outputs
        batch = z, self.y[None], self.weight[None], scale, clock
        backend.execute(
            *self.stages.forward,
            ops.LossGradient(network.loss, *batch, dz, data_loss),
            *self.stages.backward,
            ops.WeightDecay(theta, grad, self.alpha, scale, layout.n_decayed, clock, penalty),
        )
        factor = network.loss.objective_factor(network.widths[-1])
        return factor * data_loss[0] + penalty[0], grad


def _activated(activation, z, *slopes):
    if activation.pieces > 1:
        return z.reshape(len(z), -1, activation.pieces).max(axis=2)
    names = {activation: name for name, activation in ACTIVATIONS.items()}
    return FORMULAS[names[activation]](z, *slopes)


def plain_layers(network, theta_row, X):
    """Return the inputs of each layer's activation for one model, computed layer by layer in plain NumPy."""
    views = network.layout.views(theta_row[None])
    y, inputs = X, []
    for layer, own in zip(network.layers, views, strict=True):
        inputs.append(y @ own["weights"][0] + own["biases"][0])
        y = _activated(layer.activation, inputs[-1], *(own[kind][0] for kind in ["slopes"] if kind in own))
    return inputs


def distance_to_kinks(network, theta, X):
    """Return the least distance of an activation's input from where its derivative jumps."""
    distances = [np.inf]
    for row in theta:
        for activation, z in zip(network.activations, plain_layers(network, row, X), strict=False):
            if activation.kernel in ("relu", "leaky_relu", "prelu", "selu"):
                distances.append(np.abs(z).min())
            elif activation.kernel == "maxout":
                distances.append(np.abs(z[:, ::2] - z[:, 1::2]).min())
    return min(distances)


def make_case(backend, hidden, activation, loss, n_models, form=np.asarray):
    """Return a pass over a stack and its parameters, all inputs of ReLUs well away from the kink."""
    network = make_network((N_FEATURES, *hidden, N_OUTPUTS), activation, loss)
    for seed in itertools.count():
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((N_ROWS, N_FEATURES))
        X[np.abs(X) < 0.3] = 0
        theta = rng.normal(scale=0.5, size=(n_models, network.layout.size))
        if distance_to_kinks(network, theta, X) > 5e-3:
            break
    y = random_targets(network.loss, rng, (N_ROWS, N_OUTPUTS))
    weight = rng.uniform(0, 2, N_ROWS) * (np.arange(N_ROWS) != 2)
    alpha = np.linspace(0.5, 2, n_models)
    return Pass(backend, network, form(X), y, weight, alpha), theta
