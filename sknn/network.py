"""A stack of networks: layout of the flat parameter buffer, layers, forward, backward.

Every array has a leading models axis: data ``(models, rows, units)``, weights ``(models, fan_in, units)``, parameters
``(models, P)``. A single estimator is a stack of one. A pass is a plan: a list of kernel calls on buffers that were
allocated beforehand, so that a step allocates nothing and the same list can be looped over or captured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from .activations import Activation, Identity
from .initializers import Initializer
from .losses import Loss


class Layout:
    """Where each layer's weights and biases lie in a row of theta; weights, which decay, come first."""

    def __init__(self, widths):
        self._spans = {"weights": [], "biases": []}
        self.size = 0
        for fan_in, fan_out in pairwise(widths):
            self._place("weights", (fan_in, fan_out))
        self.n_decayed = self.size
        for fan_out in widths[1:]:
            self._place("biases", (1, fan_out))

    def _place(self, kind, shape):
        stop = self.size + shape[0] * shape[1]
        self._spans[kind].append((self.size, stop, shape))
        self.size = stop

    def _views(self, kind, theta):
        return [theta[:, a:b].reshape(-1, *shape) for a, b, shape in self._spans[kind]]

    def pack(self, weights, biases):
        """Return one row of theta from lists of 2-D weights and 1-D biases."""
        return np.concatenate([np.ravel(part) for part in (*weights, *biases)])[None]

    def weights(self, theta):
        """Return views ``(models, fan_in, fan_out)`` of theta, one a layer."""
        return self._views("weights", theta)

    def biases(self, theta):
        """Return views ``(models, 1, fan_out)`` of theta, one a layer."""
        return self._views("biases", theta)


@dataclass(frozen=True)
class Network:
    """What all models of a stack have in common.

    ``widths`` run from input to output; ``activations`` has one item a hidden layer, ``initializers`` one a layer.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    initializers: tuple[Initializer, ...]
    loss: Loss

    @cached_property
    def layout(self):
        """The layout of this network's parameters."""
        return Layout(self.widths)

    @cached_property
    def layers(self):
        """The activation of each layer; the output layer's is the identity, its link belongs to the loss."""
        return (*self.activations, Identity())

    def initial_parameters(self, random_state, dtype):
        """Draw one row of theta, layer by layer, weights before biases, as scikit-learn does."""
        theta = np.empty((1, self.layout.size), dtype)
        weights, biases = self.layout.weights(theta), self.layout.biases(theta)
        for W, b, initializer, activation in zip(weights, biases, self.initializers, self.layers, strict=True):
            W[0], b[0, 0] = initializer.draw(random_state, *W.shape[1:], activation)
        return theta


class Activity:
    """Buffers of one pass over a stack: z and y of each layer, and dz where there is a backward pass."""

    def __init__(self, backend, network, n_models, n_rows, dtype, backward=False):
        def empty(units):
            return backend.xp.empty((n_models, n_rows, units), dtype)

        self.z = [empty(units) for units in network.widths[1:]]
        self.y = [
            z if activation.in_place else empty(z.shape[-1])
            for z, activation in zip(self.z, network.layers, strict=True)
        ]
        self.dz = [empty(units) for units in network.widths[1:]] if backward else []


def forward_plan(backend, network, batch, weights, biases, activity):
    """Return the kernel calls from a batch to the raw outputs ``activity.z[-1]``."""
    plan = []
    for i, (W, b, activation) in enumerate(zip(weights, biases, network.layers, strict=True)):
        z, y = activity.z[i], activity.y[i]
        if i == 0:
            plan.append(partial(batch.project, W, z))
        else:
            plan.append(partial(backend.matmul, activity.y[i - 1], W, z))
        plan.append(partial(backend.bias_activation, z, b, activation, y))
    return plan


def backward_plan(backend, network, batch, weights, d_weights, d_biases, activity):
    """Return the kernel calls from the gradient on the raw outputs ``activity.dz[-1]`` to all gradients."""
    plan = []
    z, y, dz = activity.z, activity.y, activity.dz
    for i in reversed(range(len(weights))):
        activation = network.layers[i]
        plan.append(partial(backend.activation_backward, dz[i], z[i], y[i], activation, d_biases[i]))
        if i == 0:
            plan.append(partial(batch.project_backward, dz[0], d_weights[0]))
        else:
            plan.append(partial(backend.matmul, transposed(y[i - 1]), dz[i], d_weights[i]))
            plan.append(partial(backend.matmul, dz[i], transposed(weights[i]), dz[i - 1]))
    return plan


def transposed(stack):
    """Return a view with the last two axes swapped."""
    return stack.swapaxes(-1, -2)


def run(plan):
    """Call every kernel of a plan, in order."""
    for call in plan:
        call()
