"""Stages of a pass: each returns its operations forward and backward, on buffers that it was given or made once.

A stage reads its input and writes its output, both a `Signal`; backward it turns the gradient on its output into the
gradient on its input, and writes those of its parameters. Elementwise stages share one gradient buffer with their input
and work in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._backend import operations as ops
from .._backend.operations import DropoutNoise, Operation, RunningMoments
from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.batches import Batch
from ..activations import Activation, Identity
from .layout import LayerViews


class Signal(NamedTuple):
    """Values ``(models, rows, units)`` between two stages, and the gradient on them, None in a prediction."""

    value: Array
    gradient: Any = None


@dataclass(frozen=True, eq=False)
class BackwardContext:
    """The inputs, besides parameters, of a pass that also computes gradients.

    ``gradients`` has one dict of views a layer, ``weight (streams, rows)`` the weights of the batch's rows. ``noise``
    is for dropout, of the streams ``dropped``. Running statistics are used as they are if ``frozen``, and not moved
    on unless the pass ``tracks`` them.
    """

    gradients: LayerViews
    weight: Array
    noise: DropoutNoise | None = None
    dropped: tuple[int, ...] = ()
    frozen: bool = False
    tracks: bool = True


class Stage:
    """Base class of all stages."""

    out: Signal

    def forward(self) -> list[Operation]:
        """Return the operations from input to output."""
        raise NotImplementedError

    def backward(self) -> list[Operation]:
        """Return the operations from the gradient on the output to those on input and parameters."""
        raise NotImplementedError


def transposed(stack: Array) -> Array:
    """Return a view with the last two axes swapped."""
    return stack.swapaxes(-1, -2)


# ---- linear maps ------------------------------------------------------------------------


class ProjectionStage(Stage):
    """The product of a batch, dense or sparse, with the weights of the first layer."""

    def __init__(self, batch: Batch, W: Array, dW: Any, out: Signal) -> None:
        self.batch, self.W, self.dW, self.out = batch, W, dW, out

    def forward(self) -> list[Operation]:
        """Return the operations for ``out = x @ W``."""
        return [self.batch.product(self.W, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return the operations for ``dW = x^T @ dout``."""
        return [self.batch.transposed_product(self.out.gradient, self.dW)]


class LinearStage(Stage):
    """The product of the outputs of the layer below with weights."""

    def __init__(self, source: Signal, W: Array, dW: Any, out: Signal) -> None:
        self.source, self.W, self.dW, self.out = source, W, dW, out

    def forward(self) -> list[Operation]:
        """Return the operations for ``out = x @ W``."""
        return [ops.MatMul(self.source.value, self.W, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return the operations for ``dW = x^T @ dout`` and ``dx = dout @ W^T``."""
        return [
            ops.MatMul(transposed(self.source.value), self.out.gradient, self.dW),
            ops.MatMul(self.out.gradient, transposed(self.W), self.source.gradient),
        ]


class WeightNormStage(Stage):
    """Weight normalisation: the weights of a linear map from directions and gains."""

    def __init__(self, backend: Backend, learnt: dict[str, Array], gradients: dict[str, Array], W: Array, dW: Array):
        self.learnt, self.gradients, self.W, self.dW = learnt, gradients, W, dW
        self.inverse = backend.xp.empty(learnt["gains"].shape, W.dtype)

    def forward(self) -> list[Operation]:
        """Return the operations for ``W = gain v / |v|``."""
        return [ops.NormalizeWeights(self.learnt["weights"], self.learnt["gains"], self.inverse, self.W)]

    def backward(self) -> list[Operation]:
        """Return the operations for equation 3 of Salimans and Kingma, 2016."""
        v, gain, gradients = self.learnt["weights"], self.learnt["gains"], self.gradients
        made = gradients["weights"], gradients["gains"]
        return [ops.NormalizeWeightsBackward(self.dW, v, gain, self.inverse, *made)]


# ---- activations and dropout ------------------------------------------------------------


class ActivationStage(Stage):
    """Bias and elementwise activation."""

    def __init__(self, source: Signal, b: Array, db: Any, activation: Activation, out: Signal) -> None:
        self.source, self.b, self.db, self.activation, self.out = source, b, db, activation, out

    def forward(self) -> list[Operation]:
        """Return the operations for ``y = f(z + b)``."""
        return [ops.BiasActivation(self.source.value, self.b, self.activation, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return the operations for ``dz = dy * f'(z)`` and db, the sum of dz over the rows."""
        values = self.out.gradient, self.source.value, self.out.value
        return [ops.ActivationBackward(*values, self.activation, self.db)]


class PReLUStage(Stage):
    """Bias, and a PReLU: a learnt slope below zero."""

    def __init__(self, source: Signal, b: Array, db: Any, slope: Array, d_slope: Any, out: Signal) -> None:
        self.source, self.b, self.db, self.slope, self.d_slope, self.out = source, b, db, slope, d_slope, out

    def forward(self) -> list[Operation]:
        """Return the operations for ``y = z + b``, or ``slope (z + b)`` where that is below zero."""
        return [ops.BiasPReLU(self.source.value, self.b, self.slope, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return the operations for the gradients on z, b and slope."""
        return [ops.PReLUBackward(self.out.gradient, self.source.value, self.slope, self.d_slope, self.db)]


class MaxoutStage(Stage):
    """Maxout: each unit is the greatest of its pieces, which are neighbours."""

    def __init__(self, backend: Backend, source: Signal, out: Signal) -> None:
        self.source, self.out = source, out
        self.choice = backend.xp.empty(out.value.shape, np.intp)

    def forward(self) -> list[Operation]:
        """Return the operations for y, the greatest of the pieces."""
        return [ops.Maxout(self.source.value, self.choice, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return the operations for dz: dy for the piece that was chosen, 0 for the others."""
        return [ops.MaxoutBackward(self.out.gradient, self.choice, self.source.gradient)]


class CopyStage(Stage):
    """A copy for a stage that overwrites its input, where the stage before needs that input in its backward pass."""

    def __init__(self, source: Signal, out: Signal) -> None:
        self.source, self.out = source, out

    def forward(self) -> list[Operation]:
        """Return the operations for ``y = x``."""
        return [ops.Copy(self.source.value, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return no operation: input and output share the buffer of the gradient."""
        return []


class DropoutStage(Stage):
    """Dropout: units are set to zero at random and the others enlarged, so predictions need no correction.

    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15, 2014.
    """

    def __init__(self, backend: Backend, source: Signal, noise: DropoutNoise, stream: int, out: Signal) -> None:
        self.source, self.noise, self.stream, self.out = source, noise, stream, out
        self.keep = backend.xp.empty(out.value.shape, bool)

    def forward(self) -> list[Operation]:
        """Return the operations for y: x / (1 - rate) where kept, else 0."""
        return [ops.Dropout(self.source.value, self.noise, self.stream, self.keep, self.out.value)]

    def backward(self) -> list[Operation]:
        """Return the operations for dx: dy / (1 - rate) where kept, else 0."""
        return [ops.DropoutBackward(self.out.gradient, self.noise, self.stream, self.keep)]


# ---- norms ------------------------------------------------------------------------------


class NormStage(Stage):
    """Base class of norms: ``source`` becomes ``gain * x-hat`` in ``out``; both share the buffer of the gradient.

    The buffer of ``source`` is overwritten: by x-hat, which the way back needs. ``learnt``, ``gradients`` and ``kept``
    have the views of the layer by kind; ``context`` is None at prediction.
    """

    inverse: Array

    def __init__(
        self,
        backend: Backend,
        norm: Any,
        source: Signal,
        out: Signal,
        *,
        learnt: dict[str, Array],
        kept: dict[str, Array],
        gradients: dict[str, Any],
        context: BackwardContext | None = None,
    ) -> None:
        self.backend, self.norm, self.source, self.out = backend, norm, source, out
        self.kept, self.context = kept, context
        self.n_models, self.n_rows, self.units = source.value.shape
        self.gain = learnt["gains"] if norm.scale else self._buffer(1) + 1
        if context is not None:
            self.d_gain = gradients["gains"] if norm.scale else self._buffer(1)
            # without a shift, the bias behind a norm is not learnt
            self.frozen_bias = gradients["biases"] if norm.position == "pre" and not norm.center else None

    def refresh(self) -> None:
        """Take up running statistics that have changed, if the norm uses them as they are."""

    def _buffer(self, rows: int, units: int | None = None) -> Array:
        return self.backend.xp.zeros((self.n_models, rows, units or self.units), self.source.value.dtype)

    def backward(self) -> list[Operation]:
        """Return the operations from the gradient on the output to those on the input and on the gain."""
        cleared: list[Operation] = [] if self.frozen_bias is None else [ops.Fill(0, self.frozen_bias)]
        return [*self._backward(self.out.gradient), *cleared]

    def _backward(self, d: Array) -> list[Operation]:
        raise NotImplementedError

    def _standardize(self, mean: Array, gain: Array, bounds: Array) -> Operation:
        return ops.Standardize(self.source.value, mean, self.inverse, gain, bounds, self.out.value)


class FixedNormStage(NormStage):
    """A norm by running statistics that do not change: in predictions, and in training if they are frozen."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.inverse = self._buffer(1)
        self.refresh()

    def refresh(self) -> None:
        self.inverse[...] = 1 / self.backend.xp.sqrt(self.kept["variances"] + self.norm.eps)

    def forward(self) -> list[Operation]:
        """Return the operations for ``x-hat = (x - running mean) / running std``."""
        return [self._standardize(self.kept["means"], self.gain, np.array([0, self.n_rows]))]

    def _backward(self, d: Array) -> list[Operation]:
        return [ops.ScaleBackward(d, self.source.value, self.inverse, self.gain, self.d_gain)]


class BatchNormStage(NormStage):
    """A norm by the statistics of the batch, or of each of its parts."""

    context: BackwardContext

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.bounds = self.norm.bounds(self.n_rows)
        self.mean, self.variance, self.inverse = (self._buffer(len(self.bounds) - 1) for _ in range(3))
        self.running = RunningMoments(self.kept["means"], self.kept["variances"], self.kept["updates"])

    def forward(self) -> list[Operation]:
        """Return the operations for ``x-hat = (x - mean) / std``, and those that track the running statistics."""
        return [self._measure(), self._standardize(self.mean, self.gain, self.bounds), *self._track()]

    def _measure(self) -> Operation:
        rows = self.source.value, self.context.weight, self.bounds
        return ops.BatchMoments(*rows, self.norm.eps, self.mean, self.variance, self.inverse)

    def _track(self) -> list[Operation]:
        if not self.context.tracks:
            return []
        moments = self.mean, self.variance, self.context.weight, self.bounds
        return [ops.TrackMoments(*moments, self.norm.momentum, self.running)]

    def _backward(self, d: Array) -> list[Operation]:
        return [self._standardize_backward(d, self.gain)]

    def _standardize_backward(self, d: Array, gain: Array) -> Operation:
        batch = self.context.weight, self.bounds
        return ops.StandardizeBackward(d, self.source.value, self.inverse, gain, *batch, self.d_gain)


class RenormStage(BatchNormStage):
    """A norm by the statistics of the batch, corrected towards the running statistics."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.r, self.d, self.full_gain, self.full_shift = (self._buffer(1) for _ in range(4))

    def forward(self) -> list[Operation]:
        """Return the operations for ``y = gain (x-hat r + d)``."""
        y = self.out.value
        return [
            self._measure(),
            ops.Renorm(self.mean, self.inverse, self.running, self.norm, self.r, self.d),
            ops.Multiply(self.gain, self.r, self.full_gain),
            ops.Multiply(self.gain, self.d, self.full_shift),
            self._standardize(self.mean, self.full_gain, self.bounds),
            ops.BiasActivation(y, self.full_shift, Identity(), y),
            *self._track(),
        ]

    def _backward(self, d: Array) -> list[Operation]:
        # d gain = r sum(dy x-hat) + d sum(dy)
        total = self.full_shift
        return [
            ops.ActivationBackward(d, d, d, Identity(), total),  # which is the sum over the rows
            self._standardize_backward(d, self.full_gain),
            ops.Multiply(self.d_gain, self.r, self.d_gain),
            ops.Multiply(total, self.d, total),
            ops.Add(self.d_gain, total, self.d_gain),
        ]


class GroupNormStage(NormStage):
    """A norm by the statistics of groups of units in each row."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.inverse = self._buffer(self.n_rows, self.norm.n_groups())

    def forward(self) -> list[Operation]:
        """Return the operations for ``x-hat = (x - mean) / std`` of the group."""
        given = self.source.value, self.norm.eps, self.inverse, self.gain
        return [ops.StandardizeGroups(*given, self.out.value)]

    def _backward(self, d: Array) -> list[Operation]:
        return [ops.StandardizeGroupsBackward(d, self.source.value, self.inverse, self.gain, self.d_gain)]


# By the ``stage`` of a norm: in training, and where running statistics stay as they are.
TRAINED_NORMS = {"batch": BatchNormStage, "renorm": RenormStage, "groups": GroupNormStage}
FIXED_NORMS = {"batch": FixedNormStage, "renorm": FixedNormStage, "groups": GroupNormStage}
