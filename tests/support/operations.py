"""An example of every operation of a plan, with operands of some float type for a stack of some models."""

import numpy as np
import scipy.sparse

from sknn._backend import operations as ops
from sknn.activations import GELU, ReLU
from sknn.losses import BinaryLogLoss, SoftmaxLogLoss
from sknn.normalization import BatchRenorm
from sknn.optimizers import Adam

ROWS, UNITS, OUTPUTS, PARAMETERS, DECAYED, STEPS = 7, 6, 3, 20, 15, 4


class Operands:
    """Random operands of the shapes that operations have."""

    def __init__(self, dtype, n_models):
        self.dtype, self.n_models, self._rng = dtype, n_models, np.random.default_rng(0)
        self.clock, self.bounds = np.array([1, 2, 5]), np.array([0, 3, ROWS])
        self.weight, self.scale = self.positive(1, ROWS), self.positive(STEPS, n_models)
        self.losses = np.zeros((STEPS, n_models))
        self.noise = ops.DropoutNoise(
            np.tile([0.0, 0.5], (n_models, 1)),
            np.arange(2 * n_models, dtype=np.uint32).reshape(n_models, 2),
            self.clock,
        )
        moments = self.units(), self.units(positive=True), np.full((n_models, 1, 1), 3, dtype)
        self.running = ops.RunningMoments(*moments)
        self.tables = ops.Tables(self.clock, None, self.scale, self.positive(STEPS, n_models), self.losses)

    def normal(self, *shape):
        return self._rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape):
        return self._rng.uniform(0.5, 1.5, shape).astype(self.dtype)

    def rows(self, width=UNITS):
        return self.normal(self.n_models, ROWS, width)

    def units(self, n_parts=1, positive=False):
        make = self.positive if positive else self.normal
        return make(self.n_models, n_parts, UNITS)

    def theta(self):
        return self.normal(self.n_models, PARAMETERS)

    def per_model(self):
        return self.positive(self.n_models)

    def csr(self, n_streams, n_rows=4):
        matrices = [scipy.sparse.random(n_rows, 5, 0.5, "csr", self.dtype, self._rng) for _ in range(n_streams)]
        return ops.CSRStack.of(matrices)

    def order(self):
        return np.array([[4, 0, 3, 1, 2, 9, 8, 7, 6, 5]])

    def choice(self):
        return self._rng.integers(2, size=(self.n_models, ROWS, UNITS))

    def keep(self):
        return self._rng.random((self.n_models, ROWS, UNITS)) < 0.5


EXAMPLES = {
    ops.Gather: lambda o: (o.normal(10, 5), o.order(), o.clock, o.normal(1, 4, 5)),
    ops.Advance: lambda o: (o.clock, 4),
    ops.Copy: lambda o: (o.rows(), o.rows()),
    ops.Fill: lambda o: (0, o.rows()),
    ops.Multiply: lambda o: (o.units(), o.units(), o.units()),
    ops.Add: lambda o: (o.units(), o.units(), o.units()),
    ops.MatMul: lambda o: (o.rows(5), o.normal(o.n_models, 5, UNITS), o.rows()),
    ops.BiasActivation: lambda o: (o.rows(), o.units(), GELU(), o.rows()),
    ops.ActivationBackward: lambda o: (o.rows(), o.rows(), abs(o.rows()), ReLU(), o.units()),
    ops.BiasPReLU: lambda o: (o.rows(), o.units(), o.units(), o.rows()),
    ops.PReLUBackward: lambda o: (o.rows(), o.rows(), o.units(), o.units(), o.units()),
    ops.Maxout: lambda o: (o.rows(2 * UNITS), o.choice(), o.rows()),
    ops.MaxoutBackward: lambda o: (o.rows(), o.choice(), o.rows(2 * UNITS)),
    ops.Dropout: lambda o: (o.rows(), o.noise, 1, o.keep(), o.rows()),
    ops.DropoutBackward: lambda o: (o.rows(), o.noise, 1, o.keep()),
    ops.BatchMoments: lambda o: (o.rows(), o.weight, o.bounds, 1e-3, *(o.units(2) for _ in range(3))),
    ops.TrackMoments: lambda o: (o.units(2), o.units(2, positive=True), o.weight, o.bounds, 0.1, o.running),
    ops.Standardize: lambda o: (o.rows(), o.units(2), o.units(2, positive=True), o.units(), o.bounds, o.rows()),
    ops.StandardizeBackward: lambda o: (
        *(o.rows(), o.rows(), o.units(2, positive=True), o.units(), o.weight, o.bounds),
        o.units(),
    ),
    ops.ScaleBackward: lambda o: (o.rows(), o.rows(), o.units(positive=True), o.units(), o.units()),
    ops.Renorm: lambda o: (
        *(o.units(), o.units(positive=True), o.running, BatchRenorm(start_step=1, r_end=9, d_end=9)),
        *(o.units(), o.units()),
    ),
    ops.StandardizeGroups: lambda o: (o.rows(), 1e-3, o.normal(o.n_models, ROWS, 2), o.units(), o.rows()),
    ops.StandardizeGroupsBackward: lambda o: (
        *(o.rows(), o.rows(), o.positive(o.n_models, ROWS, 2), o.units()),
        o.units(),
    ),
    ops.NormalizeWeights: lambda o: (o.rows(), o.units(), o.units(), o.rows()),
    ops.NormalizeWeightsBackward: lambda o: (
        *(o.rows(), o.rows(), o.units(), o.units(positive=True)),
        *(o.rows(), o.units()),
    ),
    ops.LossGradient: lambda o: (
        *(SoftmaxLogLoss(), o.rows(OUTPUTS), np.arange(ROWS).reshape(1, ROWS, 1) % OUTPUTS),
        *(o.weight, o.scale, o.clock, o.rows(OUTPUTS), o.losses),
    ),
    ops.Link: lambda o: (BinaryLogLoss(), o.rows(OUTPUTS)),
    ops.WeightDecay: lambda o: (o.theta(), o.theta(), o.per_model(), o.scale, DECAYED, o.clock, o.losses),
    ops.ClipNorm: lambda o: (o.theta(), o.per_model()),
    ops.AddL1: lambda o: (o.theta(), o.theta(), o.per_model(), o.scale, DECAYED, o.clock, o.losses),
    ops.LimitNorms: lambda o: (o.rows(), o.per_model()),
    ops.Shrink: lambda o: (o.theta(), DECAYED, o.positive(STEPS, o.n_models), o.clock),
    ops.Update: lambda o: (
        *(Adam(), o.theta(), o.theta(), abs(o.normal(2, o.n_models, PARAMETERS))),
        *(np.tile(np.array(Adam().constants(), o.dtype), (o.n_models, 1)), o.per_model(), DECAYED, o.tables),
    ),
    ops.SparseGather: lambda o: (o.csr(1, 10).matrices[0], o.order(), o.clock, o.csr(1)),
    ops.SparseDropout: lambda o: (o.csr(1), o.noise._replace(rates=o.noise.rates[:, ::-1]), o.csr(o.n_models)),
    ops.SparseProduct: lambda o: (o.csr(1), o.normal(o.n_models, 5, UNITS), o.normal(o.n_models, 4, UNITS)),
    ops.TransposedSparseProduct: lambda o: (
        *(o.csr(1), o.normal(o.n_models, 4, UNITS), o.normal(o.n_models, 5, UNITS)),
    ),
    ops.Average: lambda o: (o.theta(), o.theta(), np.full(o.n_models, 0.9), o.clock),
}


def example(operation, dtype=np.float64, n_models=3):
    """Return an operation of a class, on operands of its own."""
    return operation(*EXAMPLES[operation](Operands(dtype, n_models)))


def copied(operation):
    """Return an operation on copies of its operands."""
    return type(operation)(*(_copy(value) for _, value in operation.operands()))


def arrays_of(operation):
    """Return all arrays of an operation, also those within its operands, by name."""
    found = {}
    for name, value in operation.operands():
        if isinstance(value, np.ndarray):
            found[name] = value
        elif isinstance(value, ops.CSRStack):
            found |= {f"{name}.{stream}": matrix.toarray() for stream, matrix in enumerate(value.matrices)}
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            parts = value._asdict().items()
            found |= {f"{name}.{part}": array for part, array in parts if isinstance(array, np.ndarray)}
    return found


def _copy(value):
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copy, value))
    if isinstance(value, ops.CSRStack):
        return ops.CSRStack([matrix.copy() for matrix in value.matrices], value.shape, value.row_nnz)
    return value.copy() if isinstance(value, np.ndarray) else value
