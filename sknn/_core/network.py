"""A stack of networks: layout of the flat parameter buffer, layers, the passes forward and backward.

Every array has a leading models axis: data ``(models, rows, units)``, weights ``(models, fan_in, units)``, parameters
``(models, P)``. A single estimator is a stack of one. A pass is a plan: a list of kernel calls on buffers that were
allocated beforehand, so that a step allocates nothing and the same list can be looped over or captured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..activations import Activation, Identity
from ..initializers import Initializer
from ..losses import Loss
from ..normalization import Norm, WeightNorm, WeightStage
from .stages import Activate, Copy, Dropout, Linear, Maxout, Projection, Signal

PARAMETERS = ("weights", "biases", "gains", "shifts", "slopes")  # kinds, as they follow each other in theta
RUNNING = ("means", "variances", "updates")


class Layout:
    """Where the arrays of each layer lie in a row of a flat buffer: all of one kind together, layer by layer.

    ``shapes`` has one dict ``{kind: 2-D shape}`` a layer. Those of kind "weights" are the ones that decay.
    """

    def __init__(self, kinds, shapes):
        self.size = self.n_decayed = 0
        self._spans = [{} for _ in shapes]
        for kind in kinds:
            for spans, layer in zip(self._spans, shapes, strict=True):
                if kind in layer:
                    spans[kind] = self._place(layer[kind])
            if kind == "weights":
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


def pack(*kinds):
    """Return one row of a flat buffer from a list of arrays of each kind; None stands for a layer without any."""
    return np.concatenate([np.ravel(part) for kind in kinds for part in kind if part is not None])[None]


@dataclass(frozen=True)
class Layer:
    """One layer: a linear map of ``fan_in`` inputs, a norm or none, and an activation of its ``units`` outputs."""

    fan_in: int
    units: int
    activation: Activation
    initializer: Initializer
    norm: Norm | None = None

    @property
    def width(self):
        """Outputs of the linear map: more than one a unit for activations that choose from several."""
        return self.units * self.activation.pieces

    @property
    def normed_width(self):
        """How many values of a row the norm is for."""
        return self.units if getattr(self.norm, "position", "pre") == "post" else self.width

    def learnt(self):
        """Return the shapes of the parameters, by kind."""
        linear = {"weights": (self.fan_in, self.width), "biases": (1, self.width)}
        normed = {} if self.norm is None else self.norm.learnt(self.normed_width)
        return linear | normed | self.activation.learnt(self.units)

    def kept(self):
        """Return the shapes of running statistics, by kind."""
        return {} if self.norm is None else self.norm.kept(self.normed_width)

    def start(self, parameters, random_state):
        """Draw the parameters of one model, given as views ``(1, *shape)``."""
        drawn = self.initializer.draw(random_state, self.fan_in, self.width, self.activation)
        parameters["weights"][0], parameters["biases"][0, 0] = drawn
        self.activation.start(parameters)
        if self.norm is not None:
            self.norm.start(parameters)

    @property
    def follows_data(self):
        """Whether the start depends on what the layer makes of training rows."""
        return self.initializer.follows_data or (self.norm is not None and self.norm.follows_data)

    def adapt(self, parameters, outputs, weight):
        """Adapt drawn parameters to outputs ``(rows, width)`` of the linear map, rows with their weights."""
        mean = np.average(outputs, axis=0, weights=weight)
        std = np.sqrt(np.average((outputs - mean) ** 2, axis=0, weights=weight))
        follower = self.norm if self.norm is not None and self.norm.follows_data else self.initializer
        follower.adapt(parameters, mean, std)


@dataclass(frozen=True)
class Network:
    """What all models of a stack have in common.

    ``widths`` run from input to output; ``activations`` has one item a hidden layer, and so has ``norms``, where None
    stands for no norm; ``initializers`` has one a layer.
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    initializers: tuple[Initializer, ...]
    loss: Loss
    norms: tuple[Norm | None, ...] = ()

    @cached_property
    def layers(self):
        """The layers; the activation of the output layer is the identity, its link belongs to the loss."""
        activations, norms = (*self.activations, Identity()), (*(self.norms or (None,) * len(self.activations)), None)
        parts = self.widths[:-1], self.widths[1:], activations, self.initializers, norms
        return tuple(Layer(*each) for each in zip(*parts, strict=True))

    @property
    def shapes(self):
        """What each layer learns and keeps: two dicts of shapes by kind."""
        return [(layer.learnt(), layer.kept()) for layer in self.layers]

    @cached_property
    def layout(self):
        """The layout of this network's parameters."""
        return Layout(PARAMETERS, [layer.learnt() for layer in self.layers])

    @cached_property
    def statistics_layout(self):
        """The layout of this network's running statistics."""
        return Layout(RUNNING, [layer.kept() for layer in self.layers])

    @property
    def mixes_rows(self):
        """Whether the outputs of a training batch depend on each other."""
        return any(norm.mixes_rows for norm in self.norms if norm is not None)

    @property
    def has_exact_norms(self):
        """Whether predictions need statistics that are worked out over all rows."""
        return any(norm.is_exact for norm in self.norms if norm is not None)

    def initial_parameters(self, random_state, dtype):
        """Draw one row of theta, layer by layer, weights before biases, as scikit-learn does."""
        theta = np.empty((1, self.layout.size), dtype)
        for layer, parameters in zip(self.layers, self.layout.views(theta), strict=True):
            layer.start(parameters, random_state)
        return theta

    def initial_statistics(self, n_models, dtype):
        """Return running statistics before the first batch: variances 1, all else 0."""
        statistics = np.zeros((n_models, self.statistics_layout.size), dtype)
        for variances in self.statistics_layout.of_kind("variances", statistics):
            variances[...] = 1
        return statistics


class Pass:
    """One pass of a stack over a batch of ``n_rows``: its stages, on buffers of their own.

    ``parameters`` and ``statistics`` have the views of each layer by kind; ``training`` is what the way back needs,
    None at prediction. ``out`` is where raw outputs are to go, a new buffer by default.
    """

    def __init__(self, backend, network, batch, n_rows, parameters, statistics, training=None, out=None):
        self._backend, self._n_rows, self._training = backend, n_rows, training
        self._parameters, self._statistics = parameters, statistics
        self.stages, self._norm_stages, self._ends_of_linear = [], {}, []
        signal = None
        for i, layer in enumerate(network.layers):
            is_last = i == len(network.layers) - 1
            signal = self._add_layer(i, layer, batch if i == 0 else signal, out if is_last else None)
        self.outputs = signal

    @property
    def forward(self):
        """The calls from the batch to the raw outputs, ``outputs.value``."""
        return [call for stage in self.stages for call in stage.forward()]

    @property
    def backward(self):
        """The calls from the gradient on the raw outputs, ``outputs.gradient``, to those of all parameters."""
        return [call for stage in reversed(self.stages) for call in stage.backward()]

    def linear_outputs(self, i):
        """Run forward up to the linear map of layer i and return what it gives."""
        self.run_stages(self._ends_of_linear[i])
        return self.stages[self._ends_of_linear[i] - 1].out.value

    def run_stages(self, n):
        """Run the first n stages forward."""
        run([call for stage in self.stages[:n] for call in stage.forward()])

    def norm_stage(self, i):
        """Return the number of the stage that normalises layer i by running statistics."""
        return self._norm_stages[i]

    def _add_layer(self, i, layer, source, out):
        """Append the stages of a layer, from a batch or from the signal of the layer below; return its signal."""
        p, g = self._parameters[i], self._gradients(i)
        signal = self._add_linear(i, layer, source, out)
        position = getattr(layer.norm, "position", None)
        if position == "pre":
            signal = self._add_norm(i, layer.norm, signal)
        y = self._add_activation(layer, signal, p, g)
        if position == "post":
            y = self._add_post_norm(i, layer.norm, y)
        return self._add_dropout(i + 1, y)

    def _add_activation(self, layer, z, p, g):
        activation = Identity() if layer.activation.pieces > 1 else layer.activation
        y = z if activation.in_place else self._beside(z)
        bias = p["biases"], g["biases"]
        self.stages.append(Activate(self._backend, z, *bias, activation.bind(p, g), y))
        if layer.activation.pieces == 1:
            return y
        out = self._signal(layer.units)
        self.stages.append(Maxout(self._backend, y, out))
        return out

    def _add_linear(self, i, layer, source, out):
        p, g = self._parameters[i], self._gradients(i)
        W, dW = p["weights"], g["weights"]
        z = self._signal(layer.width, out)
        if isinstance(layer.norm, WeightNorm):
            W, dW = (self._backend.xp.empty(W.shape, W.dtype) for _ in range(2))
            self.stages.append(WeightStage(self._backend, p, g, W, dW))
        if i == 0:
            self.stages.append(Projection(source, W, dW, z))
        else:
            self.stages.append(Linear(self._backend, source, W, dW, z))
        self._ends_of_linear.append(len(self.stages))
        return z

    def _add_norm(self, i, norm, source):
        training, out = self._training, self._beside(source)
        stage = norm.fixed_stage if training is None or training.frozen else norm.training_stage
        views = self._parameters[i], self._statistics[i], self._gradients(i)
        self._norm_stages[i] = len(self.stages)
        self.stages.append(stage(self._backend, norm, source, out, *views, training))
        return out

    def _add_post_norm(self, i, norm, source):
        copied = self._beside(source)
        self.stages.append(Copy(self._backend, source, copied))
        out = self._add_norm(i, norm, copied)
        if norm.center:
            shift, d_shift = self._parameters[i]["shifts"], self._gradients(i).get("shifts")
            self.stages.append(Activate(self._backend, out, shift, d_shift, Identity(), out))
        return out

    def _add_dropout(self, stream, source):
        training = self._training
        if training is None or stream not in training.dropped:
            return source
        out = self._beside(source)
        self.stages.append(Dropout(self._backend, source, training.noise, stream, out))
        return out

    def _gradients(self, i):
        return _NO_GRADIENTS if self._training is None else self._training.gradients[i]

    def _signal(self, units, value=None):
        gradient = None if self._training is None else self._buffer(units)
        return Signal(self._buffer(units) if value is None else value, gradient)

    def _beside(self, signal):
        """Return a signal with values of its own and the same gradient buffer."""
        return signal._replace(value=self._buffer(signal.value.shape[-1]))

    def _buffer(self, units):
        weights = self._parameters[0]["weights"]
        return self._backend.xp.empty((len(weights), self._n_rows, units), weights.dtype)


_NO_GRADIENTS = {"weights": None, "biases": None}


def run(plan):
    """Call every kernel of a plan, in order."""
    for call in plan:
        call()
