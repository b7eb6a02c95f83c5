"""Stages of a pass: each lists its kernel calls forward and backward, on buffers that it was given or made once.

A stage reads its input and writes its output, both a `Signal`; backward it turns the gradient on its output into the
gradient on its input, and writes those of its parameters. Elementwise stages share one gradient buffer with their input
and work in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np


class Signal(NamedTuple):
    """What flows between stages: values ``(models, rows, units)`` and the gradient on them, None without a way back."""

    value: object
    gradient: object = None


@dataclass(frozen=True)
class Training:
    """What a pass with a way back needs besides parameters.

    ``gradients`` has one dict of views a layer, ``weight (streams, rows)`` the weights of the batch's rows. ``noise``
    is for dropout, of the streams ``dropped``. Running statistics are used as they are if ``frozen``, and not moved
    on unless the pass ``tracks`` them.
    """

    gradients: list
    weight: object
    noise: Noise | None = None
    dropped: tuple = ()
    frozen: bool = False
    tracks: bool = True


class Projection:
    """The product of a batch, dense or sparse, with the weights of the first layer."""

    def __init__(self, batch, W, dW, out):
        self.batch, self.W, self.dW, self.out = batch, W, dW, out

    def forward(self):
        """out = x @ W."""
        return [self.batch.project(self.W, self.out.value)]

    def backward(self):
        """dW = x^T @ dout."""
        return [self.batch.project_backward(self.out.gradient, self.dW)]


class Linear:
    """The product of the layer below with weights."""

    def __init__(self, backend, source, W, dW, out):
        self.backend, self.source, self.W, self.dW, self.out = backend, source, W, dW, out

    def forward(self):
        """out = x @ W."""
        return [partial(self.backend.matmul, self.source.value, self.W, self.out.value)]

    def backward(self):
        """dW = x^T @ dout and dx = dout @ W^T."""
        return [
            partial(self.backend.matmul, transposed(self.source.value), self.out.gradient, self.dW),
            partial(self.backend.matmul, self.out.gradient, transposed(self.W), self.source.gradient),
        ]


class Activate:
    """Bias and activation."""

    def __init__(self, backend, source, b, db, activation, out):
        self.backend, self.activation = backend, activation
        self.source, self.b, self.db, self.out = source, b, db, out

    def forward(self):
        """y = f(z + b)."""
        return [partial(self.backend.bias_activation, self.source.value, self.b, self.activation, self.out.value)]

    def backward(self):
        """dz = dy * f'(z) and db = its sum over the rows."""
        values = self.out.gradient, self.source.value, self.out.value
        return [partial(self.backend.activation_backward, *values, self.activation, self.db)]


class Maxout:
    """The greatest of each unit's pieces, which are neighbours."""

    def __init__(self, backend, source, out):
        self.backend, self.source, self.out = backend, source, out
        self.choice = backend.xp.empty(out.value.shape, np.intp)

    def forward(self):
        """y = max of the pieces."""
        return [partial(self.backend.maxout, self.source.value, self.choice, self.out.value)]

    def backward(self):
        """dz = dy for the piece that was chosen, 0 for the others."""
        return [partial(self.backend.maxout_backward, self.out.gradient, self.choice, self.source.gradient)]


class Copy:
    """A copy, for a stage that overwrites what an earlier one still needs on its way back."""

    def __init__(self, backend, source, out):
        self.backend, self.source, self.out = backend, source, out

    def forward(self):
        """y = x."""
        return [partial(self.backend.xp.copyto, self.out.value, self.source.value)]

    def backward(self):
        """Nothing: the gradient is in the same buffer."""
        return []


class Noise(NamedTuple):
    """What dropout is drawn from: ``rates (models, streams)``, ``keys (models, 2)``, and the clock of training.

    Stream 0 is the input, stream i the output of hidden layer i.
    """

    rates: object
    keys: object
    clock: object


class Dropout:
    """Units are set to zero at random, the others enlarged, so that nothing is to be done at prediction.

    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15, 2014.
    """

    def __init__(self, backend, source, noise, stream, out):
        self.backend, self.source, self.noise, self.stream, self.out = backend, source, noise, stream, out
        self.keep = backend.xp.empty(out.value.shape, bool)

    def forward(self):
        """y = x / (1 - rate) where kept, else 0."""
        drawn = self.source.value, self.noise, self.stream, self.keep
        return [partial(self.backend.dropout, *drawn, self.out.value)]

    def backward(self):
        """dx = dy / (1 - rate) where kept, else 0."""
        return [partial(self.backend.dropout_backward, self.out.gradient, self.noise, self.stream, self.keep)]


def transposed(stack):
    """Return a view with the last two axes swapped."""
    return stack.swapaxes(-1, -2)
