"""Passes of a stack over a batch: the stages from the rows to the raw outputs, and back to the gradients.

A pass is made of stages on buffers that are allocated once. Its forward and backward halves are lists of operations, so
that the same pass runs once for a prediction, and in every step of training as a part of a compiled plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._backend.operations import Link, Operation
from .._backend.protocol import Backend
from .._backend.typing import Array
from .._common.batches import Batch, DenseBatch
from .._common.rows import Rows
from ..activations import Identity
from .layout import LayerViews
from .network import Layer, Network
from .stages import (
    FIXED_NORMS,
    TRAINED_NORMS,
    ActivationStage,
    BackwardContext,
    CopyStage,
    DropoutStage,
    LinearStage,
    MaxoutStage,
    PReLUStage,
    ProjectionStage,
    Signal,
    Stage,
    WeightNormStage,
)

LEAST_ROWS = 128  # of a chunk, however wide they are: no more than a batch


@dataclass(eq=False)
class Model:
    """A stack of networks with its parameters and running statistics, where a backend computes."""

    backend: Backend
    network: Network
    parameters: LayerViews
    statistics: LayerViews

    @classmethod
    def of_flat(cls, backend: Backend, network: Network, theta: Array, statistics: Array) -> Model:
        """Return the model whose arrays are views of flat buffers, which are brought to the backend."""
        parameters = network.layout.views(backend.asarray(theta))
        return cls(backend, network, parameters, network.statistics_layout.views(backend.asarray(statistics)))


class Pass:
    """One pass of a model over a batch of ``n_rows``: its stages, on buffers of their own.

    ``context`` has the inputs of the backward half, None at prediction. ``out`` is an array for the raw outputs, a new
    buffer by default.
    """

    def __init__(
        self,
        model: Model,
        batch: Batch,
        n_rows: int,
        context: BackwardContext | None = None,
        out: Array | None = None,
    ) -> None:
        self._model, self._n_rows, self._context = model, n_rows, context
        self.stages: list[Stage] = []
        self._norm_stages: dict[int, int] = {}
        self._linear_stages: list[int] = []
        self._n_run = 0  # stages that have run on the batch, by `norm_inputs` or `linear_outputs`
        signal: Any = None
        layers = model.network.layers
        for i, layer in enumerate(layers):
            signal = self._add_layer(i, layer, signal, batch, out if i == len(layers) - 1 else None)
        self.outputs: Signal = signal

    @property
    def forward(self) -> list[Operation]:
        """The operations from the batch to the raw outputs, ``outputs.value``."""
        return [operation for stage in self.stages for operation in stage.forward()]

    @property
    def backward(self) -> list[Operation]:
        """The operations from the gradient on the raw outputs, ``outputs.gradient``, to those of all parameters."""
        return [operation for stage in reversed(self.stages) for operation in stage.backward()]

    @property
    def batch(self) -> Batch:
        """The batch that the pass runs on; another one of as many rows may take its place."""
        return self._projection.batch

    @batch.setter
    def batch(self, batch: Batch) -> None:
        self._projection.batch = batch
        self.restart()

    def restart(self) -> None:
        """Let `norm_inputs` and `linear_outputs` run from the start again."""
        self._n_run = 0

    def refresh_norms(self) -> None:
        """Take up running statistics that have changed."""
        for number in self._norm_stages.values():
            stage: Any = self.stages[number]
            stage.refresh()

    def run(self) -> Array:
        """Run forward and return the raw outputs."""
        self._model.backend.execute(*self.forward)
        return self.outputs.value

    def linear_outputs(self, i: int) -> Array:
        """Run forward up to the linear map of layer i and return its outputs."""
        return self._run_to(self._linear_stages[i]).out.value

    def norm_inputs(self, i: int) -> Array:
        """Run forward up to the norm of layer i, from where such a run has ended, and return the norm's inputs."""
        return self._run_to(self._norm_stages[i] - 1).out.value

    def _run_to(self, last: int) -> Stage:
        """Run the stages up to number ``last`` forward, but for those that have run, and return that one."""
        stages, self._n_run = self.stages[self._n_run : last + 1], last + 1
        self._model.backend.execute(*(operation for stage in stages for operation in stage.forward()))
        return self.stages[last]

    # ---- stages of a layer --------------------------------------------------------------

    def _add_layer(self, i: int, layer: Layer, below: Signal | None, batch: Batch, out: Array | None) -> Signal:
        """Append the stages of a layer, from the batch or from the signal of the layer below; return its signal."""
        position = layer.norm_position
        signal = self._add_linear(i, layer, below, batch, out)
        if position == "pre":
            signal = self._add_norm(i, layer, signal)
        signal = self._add_activation(i, layer, signal)
        if position == "post":
            signal = self._add_post_norm(i, layer, signal)
        return self._add_dropout(i + 1, signal)

    def _add_linear(self, i: int, layer: Layer, below: Signal | None, batch: Batch, out: Array | None) -> Signal:
        backend, learnt, gradients = self._model.backend, self._model.parameters[i], self._gradients(i)
        W, dW = learnt["weights"], gradients["weights"]
        z = self._signal(layer.width, out)
        if layer.norm_position == "weights":
            W, dW = (backend.xp.empty(W.shape, W.dtype) for _ in range(2))
            self.stages.append(WeightNormStage(backend, learnt, gradients, W, dW))
        if below is None:
            self._projection = ProjectionStage(batch, W, dW, z)
            self.stages.append(self._projection)
        else:
            self.stages.append(LinearStage(below, W, dW, z))
        self._linear_stages.append(len(self.stages) - 1)
        return z

    def _add_norm(self, i: int, layer: Layer, source: Signal) -> Signal:
        context, out, norm = self._context, self._with_shared_gradient(source), layer.norm
        assert norm is not None
        kinds = FIXED_NORMS if context is None or context.frozen else TRAINED_NORMS
        self._norm_stages[i] = len(self.stages)
        self.stages.append(
            kinds[norm.stage](
                self._model.backend,
                norm,
                source,
                out,
                learnt=self._model.parameters[i],
                kept=self._model.statistics[i],
                gradients=self._gradients(i),
                context=context,
            )
        )
        return out

    def _add_post_norm(self, i: int, layer: Layer, source: Signal) -> Signal:
        copied = self._with_shared_gradient(source)
        self.stages.append(CopyStage(source, copied))
        out = self._add_norm(i, layer, copied)
        if "shifts" in self._model.parameters[i]:
            shift, d_shift = self._model.parameters[i]["shifts"], self._gradients(i).get("shifts")
            self.stages.append(ActivationStage(out, shift, d_shift, Identity(), out))
        return out

    def _add_activation(self, i: int, layer: Layer, z: Signal) -> Signal:
        stage = layer.activation.stage
        if stage == "elementwise":
            return self._add_elementwise(i, layer, z)
        return self._add_prelu(i, layer, z) if stage == "prelu" else self._add_maxout(i, layer, z)

    def _add_elementwise(self, i: int, layer: Layer, z: Signal) -> Signal:
        y = z if layer.activation.in_place else self._with_shared_gradient(z)
        self.stages.append(ActivationStage(z, *self._bias(i), layer.activation, y))
        return y

    def _add_prelu(self, i: int, layer: Layer, z: Signal) -> Signal:
        y, slope = self._with_shared_gradient(z), self._model.parameters[i]["slopes"]
        self.stages.append(PReLUStage(z, *self._bias(i), slope, self._gradients(i).get("slopes"), y))
        return y

    def _add_maxout(self, i: int, layer: Layer, z: Signal) -> Signal:
        out = self._signal(layer.units)
        self.stages.append(ActivationStage(z, *self._bias(i), Identity(), z))
        self.stages.append(MaxoutStage(self._model.backend, z, out))
        return out

    def _add_dropout(self, stream: int, source: Signal) -> Signal:
        context = self._context
        if context is None or context.noise is None or stream not in context.dropped:
            return source
        out = self._with_shared_gradient(source)
        self.stages.append(DropoutStage(self._model.backend, source, context.noise, stream, out))
        return out

    # ---- buffers ------------------------------------------------------------------------

    def _bias(self, i: int) -> tuple[Array, Array | None]:
        return self._model.parameters[i]["biases"], self._gradients(i)["biases"]

    def _gradients(self, i: int) -> dict:
        return _NO_GRADIENTS if self._context is None else self._context.gradients[i]

    def _signal(self, units: int, value: Array | None = None) -> Signal:
        gradient = None if self._context is None else self._buffer(units)
        return Signal(self._buffer(units) if value is None else value, gradient)

    def _with_shared_gradient(self, signal: Signal) -> Signal:
        """Return a signal with values of its own and the same gradient buffer."""
        return signal._replace(value=self._buffer(signal.value.shape[-1]))

    def _buffer(self, units: int) -> Array:
        weights = self._model.parameters[0]["weights"]
        return self._model.backend.xp.empty((len(weights), self._n_rows, units), weights.dtype)


_NO_GRADIENTS: dict[str, None] = {"weights": None, "biases": None}


# ---- any number of rows -----------------------------------------------------------------


def raw_outputs(model: Model, rows: Rows) -> Array:
    """Return raw outputs, before the link, ``(models, n, outputs)``."""
    if rows.n_rows > most_rows(model, rows):
        return ChunkedPass(model, rows).outputs()
    # a few rows are not worth the preparation of a pass by chunks: a tenth of the time of one row
    return Pass(model, rows.batch(), rows.n_rows).run()


def predictions(model: Model, rows: Rows) -> Array:
    """Return outputs behind the link, ``(models, n, outputs)``, where the rows lie: they may be large, too."""
    backend, loss = model.backend, model.network.loss
    if rows.result_module is backend.xp:
        outputs = raw_outputs(model, rows)
        backend.execute(Link(loss, outputs))
        return outputs
    parts = []
    for _, chunk_pass in ChunkedPass(model, rows):
        outputs = chunk_pass.run()
        backend.execute(Link(loss, outputs))
        parts.append(np.array(rows.to_result_memory(outputs)))  # a copy, as buffers serve all chunks
    return np.concatenate(parts, axis=1)


class SmallPass:
    """A pass of one model over a few rows, with the link, compiled: for predictions that are asked for again and again.

    It has a copy of the rows, and reads parameters where they were when it was made.
    """

    def __init__(self, model: Model, n_rows: int) -> None:
        backend, network = model.backend, model.network
        weights = model.parameters[0]["weights"]
        rows = backend.xp.empty((1, n_rows, network.widths[0]), weights.dtype)
        self._pass = Pass(model, DenseBatch(rows), n_rows)
        out = self._pass.outputs.value
        self._rows, self._out = rows[0], out[0]
        self._compiled = backend.compile([*self._pass.forward, Link(network.loss, out)])

    def outputs(self, X: Array) -> Array:
        """Return outputs behind the link, ``(n, outputs)``."""
        self._rows[...] = X
        self._pass.refresh_norms()
        self._compiled.run(1)
        return self._out.copy()


def most_rows(model: Model, rows: Rows, is_gathered: bool = False) -> int:
    """Return the largest number of rows of a chunk, by the widest buffer that they need."""
    widest = max(layer.width for layer in model.network.layers)
    return max(LEAST_ROWS, model.backend.chunk_elements // max(widest, rows.buffer_width(is_gathered)))


class ChunkedPass:
    """A pass over rows, or over those that ``order (streams, n)`` numbers, in chunks of bounded memory.

    Buffers are made once for all chunks.
    """

    def __init__(self, model: Model, rows: Rows, order: Array | None = None) -> None:
        self._model, self._rows, self._order = model, rows, order
        self.n_rows = rows.n_rows if order is None else order.shape[1]
        n_chunks = -(-self.n_rows // most_rows(model, rows, is_gathered=order is not None))
        self._size = -(-self.n_rows // n_chunks)
        self._passes: dict[int, Pass] = {}  # by the number of rows

    def __iter__(self) -> Iterator[tuple[slice, Pass]]:
        """Yield slices of the rows, each with a pass that is ready to run on it."""
        for start in range(0, self.n_rows, self._size):
            chunk = slice(start, min(start + self._size, self.n_rows))
            yield chunk, self._pass_over(chunk)

    def _pass_over(self, chunk: slice) -> Pass:
        n_rows = chunk.stop - chunk.start
        known = self._passes.get(n_rows)
        if known is not None and n_rows == self.n_rows:
            return known  # it has the only chunk
        batch = self._rows.chunk(chunk, self._order, None if known is None else known.batch)
        if known is None:
            known = self._passes[n_rows] = Pass(self._model, batch, n_rows)
        known.batch = batch
        return known

    def refresh_norms(self) -> None:
        """Take up running statistics that have changed."""
        for chunk_pass in self._passes.values():
            chunk_pass.refresh_norms()

    def restart(self) -> None:
        """Let passes run from their start again, after parameters have changed."""
        for chunk_pass in self._passes.values():
            chunk_pass.restart()

    def outputs(self) -> Array:
        """Return raw outputs ``(models, n, outputs)``; they may be overwritten when they are asked for again."""
        out: Any = None
        for chunk, chunk_pass in self:
            part = chunk_pass.run()
            if chunk.stop - chunk.start == self.n_rows:
                return part
            if out is None:
                out = self._model.backend.xp.empty((len(part), self.n_rows, part.shape[2]), part.dtype)
            out[:, chunk] = part
        return out
