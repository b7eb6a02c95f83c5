"""Operations: the kernels of a plan, each a record of its operands with its definition in plain array code.

A plan is a list of operations. Stages of a pass return operations, and a backend compiles a plan: into calls of fused
kernels, into a program, or into launches. ``define`` is an operation's definition: the oracle of the tests,
and the code that runs where a backend has no fused kernel.

Shapes: K models, S streams of row numbers (1 where all models share their batches, else K), r rows of a batch.
``z, y, dz (K, r, units)``, ``W (K, fan_in, units)``, ``b (K, 1, units)``, ``theta, grad (K, P)``. An operation
overwrites the operands that its docstring names, nothing else.

Numbers that change from step to step are read from arrays that a step shares with the training loop: see `Tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, dataclass_transform

import numpy as np

from . import philox
from .typing import Array, ArrayModule

# ---- operands ---------------------------------------------------------------------------


class Tables(NamedTuple):
    """Numbers of the steps of an epoch, in arrays that the operations of a plan hold on to.

    ``clock`` is [step, first row of the batch, steps before this epoch]; ``order (streams, n)`` the epoch's row
    numbers; ``scale`` one over each batch's sum of weights, ``rate`` the step sizes, ``loss`` the losses that the steps
    record, all three ``(steps, models)``; so are, where there are any, the ``second_rate`` of an optimiser and the
    ``shrinkage`` of weights by decoupled decay.
    """

    clock: Array
    order: Array
    scale: Array
    rate: Array
    loss: Array
    second_rate: Array | None = None
    shrinkage: Array | None = None


class DropoutNoise(NamedTuple):
    """Source of the random bits of dropout: ``rates (K, streams)``, ``keys (K, 2)`` and the clock of training.

    Stream 0 is the input, stream i the output of hidden layer i.
    """

    rates: Array
    keys: Array
    clock: Array


class RunningMoments(NamedTuple):
    """Running ``means, variances (K, 1, units)`` of a batch norm and its number of ``updates (K, 1, 1)``."""

    means: Array
    variances: Array
    updates: Array


class CSRStack:
    """CSR ``matrices``, one a stream, each of this ``shape``; an operation may replace them.

    ``row_nnz`` is the number of stored values of a row, on average.
    """

    def __init__(self, matrices: list[Any], shape: tuple[int, int], row_nnz: float) -> None:
        self.matrices, self.shape, self.row_nnz = matrices, shape, row_nnz

    @classmethod
    def of(cls, matrices: list[Any]) -> CSRStack:
        """Return a stack of these matrices."""
        first = matrices[0]
        return cls(matrices, first.shape, first.nnz / max(1, first.shape[0]))

    @classmethod
    def empty(cls, n_streams: int, shape: tuple[int, int], row_nnz: float) -> CSRStack:
        """Return a stack whose matrices are to be set by an operation."""
        return cls([None] * n_streams, shape, row_nnz)

    def of_model(self, model: int) -> Any:
        """Return the matrix of a model: all share one, or each has its own."""
        return self.matrices[min(model, len(self.matrices) - 1)]

    @property
    def nnz(self) -> int:
        """Number of stored values of one matrix, on average."""
        return round(self.shape[0] * self.row_nnz)

    def __repr__(self) -> str:
        return f"csr{[len(self.matrices), *self.shape]}"


class ActivationFunction(Protocol):
    """An elementwise activation: see `sknn.activations.Activation`."""

    @property
    def kernel(self) -> str: ...
    @property
    def in_place(self) -> bool: ...
    def forward(self, xp: ArrayModule, z: Array, y: Array) -> None: ...
    def backward(self, xp: ArrayModule, dz: Array, z: Array, y: Array) -> None: ...
    def constants(self) -> tuple[float, ...]: ...


class LossFunction(Protocol):
    """A loss on raw outputs: see `sknn.losses.Loss`."""

    @property
    def kernel(self) -> str: ...
    @property
    def link_name(self) -> str: ...
    def value_and_gradient(self, xp: ArrayModule, z: Array, y: Array, dz: Array) -> Array: ...
    def link(self, xp: ArrayModule, z: Array) -> None: ...
    def constants(self) -> tuple[float, ...]: ...


class UpdateRule(Protocol):
    """An optimiser: see `sknn.optimizers.Optimizer`."""

    @property
    def kernel(self) -> str: ...
    def update(
        self,
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None: ...


class RenormBounds(Protocol):
    """The numbers of batch renormalisation: see `sknn.normalization.BatchRenorm`."""

    @property
    def eps(self) -> float: ...
    @property
    def r_max(self) -> float: ...
    @property
    def d_max(self) -> float: ...
    @property
    def start_step(self) -> int: ...
    @property
    def r_end(self) -> int: ...
    @property
    def d_end(self) -> int: ...


# ---- plans ------------------------------------------------------------------------------


class Cost(NamedTuple):
    """Arithmetic operations, and bytes that are read or written."""

    operations: int
    bytes: int

    @classmethod
    def total(cls, costs: Iterable[Cost]) -> Cost:
        """Return the sum of several costs."""
        costs = list(costs)
        return cls(sum(cost.operations for cost in costs), sum(cost.bytes for cost in costs))


class Operation:
    """Base of all operations; ``operand_names`` are the annotations of a subclass."""

    operand_names: ClassVar[tuple[str, ...]]

    def define(self, xp: ArrayModule) -> None:
        """Run the operation in plain array code."""
        raise NotImplementedError

    def operands(self) -> Iterator[tuple[str, Any]]:
        """Yield name and value of each operand."""
        for name in self.operand_names:
            yield name, getattr(self, name)

    def arrays(self) -> list[Array]:
        """Return the operands that are arrays."""
        return [value for _, value in self.operands() if hasattr(value, "nbytes")]

    def cost(self) -> Cost:
        """Return the cost: by default one operation for each element of the largest array, and all arrays once."""
        arrays = self.arrays()
        return Cost(max((array.size for array in arrays), default=0), sum(array.nbytes for array in arrays))

    def __repr__(self) -> str:
        shown = (f"{name}={_described(value)}" for name, value in self.operands())
        return f"{type(self).__name__}({', '.join(shown)})"


def _described(value: Any) -> str:
    """Return type and shape of an array, anything else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value).__name__
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "dtype") else repr(value)


class Plan(list[Operation]):
    """Operations in the order in which they run."""

    def cost(self) -> Cost:
        """Return the cost of all operations."""
        return Cost.total(operation.cost() for operation in self)

    def __str__(self) -> str:
        return "\n".join(f"{operation!r}  {_readable(operation.cost())}" for operation in self)


def _readable(cost: Cost) -> str:
    return f"{cost.operations:,} operations, {cost.bytes:,} bytes"


T = TypeVar("T", bound=type)


@dataclass_transform(eq_default=False)
def operation(cls: T) -> T:
    """Make a class the record of an operation; two are the same only if they are one.

    ``__init__`` sets the operands, as that of a dataclass does. ``dataclass`` itself takes three times as long, which
    for all operations would add 4 ms to the import of sknn.
    """
    names = tuple(cls.__annotations__)
    source = f"def __init__(self, {', '.join(names)}):\n" + "".join(f"    self.{name} = {name}\n" for name in names)
    made: dict[str, Any] = {}
    exec(source, made)
    cls.operand_names, cls.__init__ = names, made["__init__"]  # type: ignore[attr-defined, misc]
    return cls


# ---- batches ----------------------------------------------------------------------------


@operation
class Gather(Operation):
    """out[s, i] = table[order[s, first + i]] for the batch that the clock points at."""

    table: Array
    order: Array
    clock: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        rows = xp.take(self.order, self.clock[1] + xp.arange(self.out.shape[1]), axis=1)
        self.out[...] = self.table[rows]

    def cost(self) -> Cost:
        return Cost(0, 2 * self.out.nbytes)


@operation
class Advance(Operation):
    """Move the clock on by one step of ``n_rows`` rows."""

    clock: Array
    n_rows: int

    def define(self, xp: ArrayModule) -> None:
        self.clock[0] += 1
        self.clock[1] += self.n_rows


# ---- array functions --------------------------------------------------------------------


@operation
class Copy(Operation):
    """out = source."""

    source: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        xp.copyto(self.out, self.source)


@operation
class Fill(Operation):
    """out = value everywhere."""

    value: float
    out: Array

    def define(self, xp: ArrayModule) -> None:
        self.out.fill(self.value)


@operation
class Multiply(Operation):
    """out = a * b."""

    a: Array
    b: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        xp.multiply(self.a, self.b, out=self.out)


@operation
class Add(Operation):
    """out = a + b."""

    a: Array
    b: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        xp.add(self.a, self.b, out=self.out)


# ---- layers -----------------------------------------------------------------------------


@operation
class MatMul(Operation):
    """out = a @ b over the last two axes."""

    a: Array
    b: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        xp.matmul(self.a, self.b, out=self.out)

    @property
    def n_multiplications(self) -> int:
        """Multiplications of the product."""
        return self.out.size * self.a.shape[-1]

    def cost(self) -> Cost:
        return Cost(2 * self.n_multiplications, self.a.nbytes + self.b.nbytes + self.out.nbytes)


@operation
class BiasActivation(Operation):
    """z += b; y = activation(z); y may be z itself where the activation allows it."""

    z: Array
    b: Array
    activation: ActivationFunction
    y: Array

    def define(self, xp: ArrayModule) -> None:
        xp.add(self.z, self.b, out=self.z)
        self.activation.forward(xp, self.z, self.y)


@operation
class ActivationBackward(Operation):
    """dz, the gradient on y, becomes the gradient on z; db = its sum over the rows."""

    dz: Array
    z: Array
    y: Array
    activation: ActivationFunction
    db: Array

    def define(self, xp: ArrayModule) -> None:
        self.activation.backward(xp, self.dz, self.z, self.y)
        xp.sum(self.dz, axis=-2, keepdims=True, out=self.db)


@operation
class BiasPReLU(Operation):
    """z += b; y = z, or slope * z below zero, for ``slope (K, 1, units or 1)``."""

    z: Array
    b: Array
    slope: Array
    y: Array

    def define(self, xp: ArrayModule) -> None:
        xp.add(self.z, self.b, out=self.z)
        self.y[...] = xp.where(self.z > 0, self.z, self.z * self.slope)


@operation
class PReLUBackward(Operation):
    """dz, the gradient on y, becomes the gradient on z; db = its sum over the rows; d_slope = sum of dy min(z, 0)."""

    dz: Array
    z: Array
    slope: Array
    d_slope: Array
    db: Array

    def define(self, xp: ArrayModule) -> None:
        dz, z = self.dz, self.z
        by_unit = (dz * xp.minimum(z, 0)).sum(axis=-2, keepdims=True)
        is_shared = self.slope.shape[-1] < by_unit.shape[-1]
        self.d_slope[...] = by_unit.sum(axis=-1, keepdims=True) if is_shared else by_unit
        dz *= xp.where(z > 0, dz.dtype.type(1), self.slope)
        xp.sum(dz, axis=-2, keepdims=True, out=self.db)


@operation
class Maxout(Operation):
    """y = the greatest of the neighbours that make a unit of ``z (K, r, units * pieces)``.

    ``choice`` is its number, the first of those that are equal.
    """

    z: Array
    choice: Array
    y: Array

    def define(self, xp: ArrayModule) -> None:
        pieces = self.z.reshape(*self.y.shape, -1)
        self.choice[...] = pieces.argmax(axis=-1)
        self.y[...] = pieces.max(axis=-1)


@operation
class MaxoutBackward(Operation):
    """dz = dy where z was chosen, else 0."""

    dy: Array
    choice: Array
    dz: Array

    def define(self, xp: ArrayModule) -> None:
        pieces = self.dz.reshape(*self.dy.shape, -1)
        pieces[...] = self.dy[..., None] * (self.choice[..., None] == xp.arange(pieces.shape[-1]))


@operation
class Dropout(Operation):
    """Set some of ``x (K or 1, r, units)`` to zero in ``out (K, r, units)``, the others to x / (1 - rate).

    Bool ``keep`` becomes True where a value is not set to zero.
    """

    x: Array
    noise: DropoutNoise
    stream: int
    keep: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        n = self.out.shape[1] * self.out.shape[2]
        self.keep[...] = philox.keeps(xp, xp.arange(n), n, self.noise, self.stream).reshape(self.out.shape)
        self.out[...] = self.x
        DropoutBackward(self.out, self.noise, self.stream, self.keep).define(xp)


@operation
class DropoutBackward(Operation):
    """d = d / (1 - rate) where ``keep`` is True, else 0."""

    d: Array
    noise: DropoutNoise
    stream: int
    keep: Array

    def define(self, xp: ArrayModule) -> None:
        d = self.d
        d *= self.keep / (1 - self.noise.rates[:, self.stream, None, None])


# ---- normalisation ----------------------------------------------------------------------

# A batch is cut into parts at ``bounds``; each has its ``mean, variance, inverse (K, parts, units)``, where inverse is
# one over the standard deviation. ``gain (K, 1, units)``.


def _shares(xp: ArrayModule, weight: Array, bounds: Array) -> Iterator[tuple[int, slice, Array]]:
    """Yield the number of each part, its rows, and each row's share of its weight, ``(S, r, 1)``."""
    for part in range(len(bounds) - 1):
        chosen = slice(int(bounds[part]), int(bounds[part + 1]))
        rows = weight[:, chosen, None]
        total = rows.sum(axis=1, keepdims=True)
        yield part, chosen, rows / xp.where(total > 0, total, 1)


@operation
class BatchMoments(Operation):
    """Weighted mean, biased variance and 1 / sqrt(variance + eps) of the units in each part of a batch.

    ``weight (S, r)``. A part without weight has mean and variance 0.
    """

    x: Array
    weight: Array
    bounds: Array
    eps: float
    mean: Array
    variance: Array
    inverse: Array

    def define(self, xp: ArrayModule) -> None:
        for part, chosen, share in _shares(xp, self.weight, self.bounds):
            rows = self.x[:, chosen]
            self.mean[:, part] = (share * rows).sum(axis=1)
            self.variance[:, part] = (share * (rows - self.mean[:, part, None]) ** 2).sum(axis=1)
        self.inverse[...] = 1 / xp.sqrt(self.variance + self.eps)


@operation
class TrackMoments(Operation):
    """Move running moments on by the parts of a batch, one after the other.

    The t-th update has the weight max(momentum, 1 / t). Variances are made unbiased by the sum of weights where that is
    2 or more, as if it were a number of rows. A part without weight is left out.
    """

    mean: Array
    variance: Array
    weight: Array
    bounds: Array
    momentum: float
    running: RunningMoments

    def define(self, xp: ArrayModule) -> None:
        means, variances, updates = self.running
        for part in range(self.mean.shape[1]):
            total = self.weight[:, self.bounds[part] : self.bounds[part + 1]].sum(axis=1)[:, None]
            correction = xp.where(total >= 2, total / xp.where(total >= 2, total - 1, 1), 1)
            updates += (total > 0)[..., None]
            rate = xp.maximum(self.momentum, 1 / xp.maximum(updates, 1)) * (total > 0)[..., None]
            means += rate * (self.mean[:, part, None] - means)
            variances += rate * (correction[..., None] * self.variance[:, part, None] - variances)


@operation
class Standardize(Operation):
    """x = (x - mean) * inverse in each part; y = gain * x."""

    x: Array
    mean: Array
    inverse: Array
    gain: Array
    bounds: Array
    y: Array

    def define(self, xp: ArrayModule) -> None:
        for part in range(len(self.bounds) - 1):
            rows = self.x[:, self.bounds[part] : self.bounds[part + 1]]
            rows -= self.mean[:, part, None]
            rows *= self.inverse[:, part, None]
        xp.multiply(self.x, self.gain, out=self.y)


@operation
class StandardizeBackward(Operation):
    """d, the gradient on gain * x, becomes that on the input that was standardised to x by its batch.

    With p a row's share of the weight of its part, ``d = gain inverse (d - p (sum d + x sum(d x)))``: Ioffe and
    Szegedy, section 3, for weighted moments. ``d_gain`` becomes the gradient on the gain.
    """

    d: Array
    x: Array
    inverse: Array
    gain: Array
    weight: Array
    bounds: Array
    d_gain: Array

    def define(self, xp: ArrayModule) -> None:
        xp.sum(self.d * self.x, axis=-2, keepdims=True, out=self.d_gain)
        for part, chosen, share in _shares(xp, self.weight, self.bounds):
            rows, standard = self.d[:, chosen], self.x[:, chosen]
            along = (rows * standard).sum(axis=1, keepdims=True)
            rows -= share * (rows.sum(axis=1, keepdims=True) + standard * along)
            rows *= self.gain * self.inverse[:, part, None]


@operation
class ScaleBackward(Operation):
    """d, the gradient on gain * x, becomes that on the input that was standardised to x by fixed moments."""

    d: Array
    x: Array
    inverse: Array
    gain: Array
    d_gain: Array

    def define(self, xp: ArrayModule) -> None:
        d = self.d
        xp.sum(d * self.x, axis=-2, keepdims=True, out=self.d_gain)
        d *= self.gain * self.inverse


@operation
class Renorm(Operation):
    """The correction of a batch towards the running moments: x-hat * r + d, within bounds that grow by the step."""

    mean: Array
    inverse: Array
    running: RunningMoments
    norm: RenormBounds
    r: Array
    d: Array

    def define(self, xp: ArrayModule) -> None:
        norm, (means, variances, updates) = self.norm, self.running
        running_std = xp.sqrt(variances + norm.eps)
        r_share, d_share = (_share_of_way(xp, updates, norm.start_step, end) for end in (norm.r_end, norm.d_end))
        r_max, d_max = 1 + r_share * (norm.r_max - 1), d_share * norm.d_max
        self.r[...] = xp.clip(1 / (self.inverse * running_std), 1 / r_max, r_max)
        self.d[...] = xp.clip((self.mean - means) / running_std, -d_max, d_max)


def _share_of_way(xp: ArrayModule, updates: Array, start: int, end: int) -> Array:
    """Return how far ``updates`` is on the way from start to end, in [0, 1]; 0 before the first update."""
    share = xp.clip((updates - start) / max(end - start, 1), 0, 1)
    return xp.where((updates >= end) & (updates > 0), 1, share * (updates > 0))


@operation
class StandardizeGroups(Operation):
    """Each row's groups of neighbouring units to mean 0 and variance 1, in place; y = gain * x.

    ``inverse (K, r, groups)`` becomes 1 / sqrt(variance + eps).
    """

    x: Array
    eps: float
    inverse: Array
    gain: Array
    y: Array

    def define(self, xp: ArrayModule) -> None:
        grouped = self.x.reshape(*self.inverse.shape, -1)
        grouped -= grouped.mean(axis=-1, keepdims=True)
        self.inverse[...] = 1 / xp.sqrt((grouped * grouped).mean(axis=-1) + self.eps)
        grouped *= self.inverse[..., None]
        xp.multiply(self.x, self.gain, out=self.y)


@operation
class StandardizeGroupsBackward(Operation):
    """d, the gradient on gain * x, becomes that on the input that was standardised to x by its group."""

    d: Array
    x: Array
    inverse: Array
    gain: Array
    d_gain: Array

    def define(self, xp: ArrayModule) -> None:
        d = self.d
        xp.sum(d * self.x, axis=-2, keepdims=True, out=self.d_gain)
        d *= self.gain
        rows, standard = (array.reshape(*self.inverse.shape, -1) for array in (d, self.x))
        along = (rows * standard).mean(axis=-1, keepdims=True)
        rows -= rows.mean(axis=-1, keepdims=True) + standard * along
        rows *= self.inverse[..., None]


@operation
class NormalizeWeights(Operation):
    """W = gain * v / |v| for each column of ``v (K, fan_in, units)``; 0 for a column of zeros.

    ``inverse (K, 1, units)`` becomes 1 / |v|, or 0.
    """

    v: Array
    gain: Array
    inverse: Array
    W: Array

    def define(self, xp: ArrayModule) -> None:
        squares = (self.v * self.v).sum(axis=-2, keepdims=True)
        self.inverse[...] = (squares > 0) / xp.sqrt(xp.where(squares > 0, squares, 1))
        xp.multiply(self.v, self.gain * self.inverse, out=self.W)


@operation
class NormalizeWeightsBackward(Operation):
    """dv and d_gain become the gradients on v and gain, by dW, that on W."""

    dW: Array
    v: Array
    gain: Array
    inverse: Array
    dv: Array
    d_gain: Array

    def define(self, xp: ArrayModule) -> None:
        self.d_gain[...] = (self.dW * self.v).sum(axis=-2, keepdims=True) * self.inverse
        self.dv[...] = self.gain * self.inverse * (self.dW - self.d_gain * self.inverse * self.v)


# ---- loss and update --------------------------------------------------------------------


@operation
class LossGradient(Operation):
    """Mean loss of a batch into ``losses[step]`` and its gradient on the raw outputs into dz.

    ``weight (S, r)``; ``scale (steps, K)`` is one over the batch's sum of weights.
    """

    loss: LossFunction
    z: Array
    y: Array
    weight: Array
    scale: Array
    clock: Array
    dz: Array
    losses: Array

    def define(self, xp: ArrayModule) -> None:
        dz, step = self.dz, self.clock[0]
        rows = self.loss.value_and_gradient(xp, self.z, self.y, dz)
        share = self.weight * self.scale[step][:, None]
        dz *= share[..., None]
        self.losses[step] = (rows * share).sum(axis=-1)


@operation
class Link(Operation):
    """Turn raw outputs z into predictions, in place."""

    loss: LossFunction
    z: Array

    def define(self, xp: ArrayModule) -> None:
        self.loss.link(xp, self.z)


@operation
class WeightDecay(Operation):
    """Add the L2 penalty ``alpha scale / 2 |theta|^2`` of the decayed parameters to loss and gradient."""

    theta: Array
    grad: Array
    alpha: Array
    scale: Array
    n_decayed: int
    clock: Array
    losses: Array

    def define(self, xp: ArrayModule) -> None:
        step = self.clock[0]
        decay = self.alpha * self.scale[step]
        decayed = self.theta[:, : self.n_decayed]
        self.grad[:, : self.n_decayed] += decay[:, None] * decayed
        self.losses[step] += 0.5 * decay * (decayed * decayed).sum(axis=-1)


@operation
class ClipNorm(Operation):
    """Shorten the gradient of each model to ``limit (K,)`` where it is longer."""

    grad: Array
    limit: Array

    def define(self, xp: ArrayModule) -> None:
        grad = self.grad
        length = xp.sqrt((grad * grad).sum(axis=1))
        grad *= (self.limit / xp.maximum(length, self.limit))[:, None]


@operation
class AddL1(Operation):
    """Add the penalty ``l1 scale |theta|_1`` of the decayed parameters to loss and gradient."""

    theta: Array
    grad: Array
    l1: Array
    scale: Array
    n_decayed: int
    clock: Array
    losses: Array

    def define(self, xp: ArrayModule) -> None:
        step = self.clock[0]
        strength = self.l1 * self.scale[step]
        decayed = self.theta[:, : self.n_decayed]
        self.grad[:, : self.n_decayed] += strength[:, None] * xp.sign(decayed)
        self.losses[step] += strength * abs(decayed).sum(axis=1)


@operation
class LimitNorms(Operation):
    """Shorten the incoming weights of each unit, columns of ``W (K, fan_in, units)``, to ``limit (K,)``."""

    W: Array
    limit: Array

    def define(self, xp: ArrayModule) -> None:
        W = self.W
        length = xp.sqrt((W * W).sum(axis=-2, keepdims=True))
        limit = self.limit[:, None, None]
        W *= limit / xp.maximum(length, limit)


@operation
class Shrink(Operation):
    """Multiply the decayed parameters by the ``shrinkage (steps, K)`` of this step: decoupled weight decay."""

    theta: Array
    n_decayed: int
    shrinkage: Array
    clock: Array

    def define(self, xp: ArrayModule) -> None:
        self.theta[:, : self.n_decayed] *= self.shrinkage[self.clock[0]][:, None]


@operation
class Update(Operation):
    """One step of the optimiser, the L2 penalty ``alpha`` included. Leaves grad undefined."""

    optimizer: UpdateRule
    theta: Array
    grad: Array
    slots: Array
    constants: Array
    alpha: Array
    n_decayed: int
    tables: Tables

    def define(self, xp: ArrayModule) -> None:
        tables, clock = self.tables, self.tables.clock
        penalty = self.theta, self.grad, self.alpha, tables.scale, self.n_decayed, clock, tables.loss
        WeightDecay(*penalty).define(xp)
        second = None if tables.second_rate is None else tables.second_rate[clock[0]][:, None]
        rate = tables.rate[clock[0]][:, None]
        self.optimizer.update(xp, self.theta, self.grad, self.slots, self.constants, rate, second)


@operation
class Average(Operation):
    """Move the average ``mean (K, n)`` of ``values`` after each step on; ``decay (K,)`` is its share.

    The average of the first steps is their plain mean, so that it does not remember where it began.
    """

    values: Array
    mean: Array
    decay: Array
    clock: Array

    def define(self, xp: ArrayModule) -> None:
        mean, step = self.mean, self.clock[0] + self.clock[2] + 1
        rate = xp.maximum(1 - self.decay, 1 / step)[:, None].astype(mean.dtype)
        mean += rate * (self.values - mean)


# ---- sparse rows ------------------------------------------------------------------------

# SciPy multiplies sparse matrices, on the host: no backend has fused kernels for these operations.

CSR_BYTES = 12  # of a stored value in float64 with its column number; 8 in float32


@operation
class SparseGather(Operation):
    """x[s] = the rows table[order[s, first + i]] of a CSR matrix, for the batch that the clock points at."""

    table: Any
    order: Array
    clock: Array
    x: CSRStack

    def define(self, xp: ArrayModule) -> None:
        first = int(self.clock[1])
        self.x.matrices = [self.table[numbers[first : first + self.x.shape[0]]] for numbers in self.order]

    def cost(self) -> Cost:
        return Cost(0, 2 * CSR_BYTES * len(self.order) * self.x.nnz)


@operation
class SparseDropout(Operation):
    """Set some values of the sparse rows x to zero in ``out``, the others to x / (1 - rate): `Dropout` of stream 0."""

    x: CSRStack
    noise: DropoutNoise
    out: CSRStack

    def define(self, xp: ArrayModule) -> None:
        self.out.matrices = [self._with_zeros(self.x.of_model(k).copy(), k) for k in range(len(self.noise.keys))]

    def _with_zeros(self, rows: Any, model: int) -> Any:
        noise = self.noise._replace(rates=self.noise.rates[[model]], keys=self.noise.keys[[model]])
        row_numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        elements = row_numbers * rows.shape[1] + rows.indices
        kept = philox.keeps(np, elements, rows.shape[0] * rows.shape[1], noise, 0)[0]
        rows.data *= kept / (1 - noise.rates[0, 0])
        return rows

    def cost(self) -> Cost:
        n_values = len(self.noise.keys) * self.x.nnz
        return Cost(n_values, 2 * CSR_BYTES * n_values)


@operation
class SparseProduct(Operation):
    """out = x @ W for sparse rows x."""

    x: CSRStack
    W: Array
    out: Array

    def define(self, xp: ArrayModule) -> None:
        for k in range(len(self.W)):
            self.out[k] = self.x.of_model(k) @ self.W[k]

    def cost(self) -> Cost:
        return _sparse_product_cost(self.x, self.W, self.out)


@operation
class TransposedSparseProduct(Operation):
    """dW = x^T @ d for sparse rows x."""

    x: CSRStack
    d: Array
    dW: Array

    def define(self, xp: ArrayModule) -> None:
        for k in range(len(self.d)):
            self.dW[k] = self.x.of_model(k).T @ self.d[k]

    def cost(self) -> Cost:
        return _sparse_product_cost(self.x, self.d, self.dW)


def _sparse_product_cost(x: CSRStack, factor: Array, out: Array) -> Cost:
    n_values = len(out) * x.nnz
    return Cost(2 * n_values * out.shape[-1], CSR_BYTES * n_values + factor.nbytes + out.nbytes)


OPERATIONS = tuple(Operation.__subclasses__())
