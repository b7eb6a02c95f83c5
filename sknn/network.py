"""A stack of networks: layout of the flat parameter buffer, layers, the passes forward and backward.

Every array has a leading models axis: data ``(models, rows, units)``, weights ``(models, fan_in, units)``, parameters
``(models, P)``. A single estimator is a stack of one. A pass is a plan: a list of kernel calls on buffers that were
allocated beforehand, so that a step allocates nothing and the same list can be looped over or captured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .activations import Activation, Identity
from .initializers import Initializer
from .losses import Loss
from .stages import Activate, Dropout, Linear, Projection, Signal

PARAMETERS = ("weights", "biases")  # kinds, as they follow each other in theta


class Layout:
    """Where the arrays of each layer lie in a row of a flat buffer: all of one kind together, layer by layer.

    ``shapes`` has one dict ``{kind: 2-D shape}`` a layer. The arrays of the first kind are the ones that decay.
    """

    def __init__(self, kinds, shapes):
        self.size = self.n_decayed = 0
        self._spans = [{} for _ in shapes]
        for kind in kinds:
            for spans, layer in zip(self._spans, shapes, strict=True):
                if kind in layer:
                    spans[kind] = self._place(layer[kind])
            if kind == kinds[0]:
                self.n_decayed = self.size

    def _place(self, shape):
        start, self.size = self.size, self.size + shape[0] * shape[1]
        return start, self.size, shape

    def views(self, flat):
        """Return one dict ``{kind: view (models, *shape)}`` a layer of ``flat (models, size)``."""
        return [
            {kind: flat[:, a:b].reshape(-1, *shape) for kind, (a, b, shape) in spans.items()} for spans in self._spans
        ]

    def of_kind(self, kind, flat):
        """Return the views of one kind, of the layers that have it."""
        return [layer[kind] for layer in self.views(flat) if kind in layer]


def pack(weights, biases):
    """Return one row of theta from lists of 2-D weights and 1-D biases."""
    return np.concatenate([np.ravel(part) for part in (*weights, *biases)])[None]


@dataclass(frozen=True)
class Layer:
    """One layer: a linear map of ``fan_in`` inputs and an activation of its ``units`` outputs."""

    fan_in: int
    units: int
    activation: Activation
    initializer: Initializer

    def shapes(self):
        """Return the shapes of the parameters, by kind."""
        return {"weights": (self.fan_in, self.units), "biases": (1, self.units)}

    def start(self, parameters, random_state):
        """Draw the parameters of one model, given as views ``(1, *shape)``."""
        fans = self.fan_in, self.units
        W, b = self.initializer.draw(random_state, *fans, self.activation)
        parameters["weights"][0], parameters["biases"][0, 0] = W, b


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
    def layers(self):
        """The layers; the activation of the output layer is the identity, its link belongs to the loss."""
        activations = *self.activations, Identity()
        return tuple(map(Layer, self.widths[:-1], self.widths[1:], activations, self.initializers))

    @cached_property
    def layout(self):
        """The layout of this network's parameters."""
        return Layout(PARAMETERS, [layer.shapes() for layer in self.layers])

    def initial_parameters(self, random_state, dtype):
        """Draw one row of theta, layer by layer, weights before biases, as scikit-learn does."""
        theta = np.empty((1, self.layout.size), dtype)
        for layer, parameters in zip(self.layers, self.layout.views(theta), strict=True):
            layer.start(parameters, random_state)
        return theta


class Pass:
    """One pass of a stack over a batch of ``n_rows``: its stages, on buffers of their own.

    ``parameters`` has the views of each layer, ``gradients`` likewise where there is a way back; ``out`` is where raw
    outputs are to go, a new buffer by default. ``noise`` is for dropout, of layers ``dropped``.
    """

    def __init__(
        self, backend, network, batch, n_rows, parameters, gradients=None, *, out=None, noise=None, dropped=()
    ):
        self._backend, self._n_rows, self._parameters = backend, n_rows, parameters
        self._noise, self._dropped = noise, dropped
        self._has_backward = gradients is not None
        self._gradients = gradients or [dict.fromkeys(layer) for layer in parameters]
        self.stages = []
        signal = None
        for i, layer in enumerate(network.layers):
            is_last = i == len(network.layers) - 1
            signal = self._add_layer(i, layer, batch if i == 0 else signal, out if is_last else None)
        self.outputs = signal

    @property
    def forward(self):
        """The calls from the batch to the raw outputs, ``outputs.value``."""
        return [stage.forward for stage in self.stages]

    @property
    def backward(self):
        """The calls from the gradient on the raw outputs, ``outputs.gradient``, to those of all parameters."""
        return [stage.backward for stage in reversed(self.stages)]

    def _add_layer(self, i, layer, source, out):
        """Append the stages of a layer, from a batch or from the signal of the layer below; return its signal."""
        p, g = self._parameters[i], self._gradients[i]
        z = self._signal(layer.units, out)
        if i == 0:
            self.stages.append(Projection(source, p["weights"], g["weights"], z))
        else:
            self.stages.append(Linear(self._backend, source, p["weights"], g["weights"], z))
        y = z if layer.activation.in_place else z._replace(value=self._buffer(layer.units))
        self.stages.append(Activate(self._backend, z, p["biases"], g["biases"], layer.activation, y))
        return self._add_dropout(i + 1, y) if i + 1 in self._dropped else y

    def _add_dropout(self, stream, source):
        out = source._replace(value=self._buffer(source.value.shape[-1]))
        self.stages.append(Dropout(self._backend, source, self._noise, stream, out))
        return out

    def _signal(self, units, value=None):
        gradient = self._buffer(units) if self._has_backward else None
        return Signal(self._buffer(units) if value is None else value, gradient)

    def _buffer(self, units):
        weights = self._parameters[0]["weights"]
        return self._backend.xp.empty((len(weights), self._n_rows, units), weights.dtype)


def run(plan):
    """Call every kernel of a plan, in order."""
    for call in plan:
        call()
