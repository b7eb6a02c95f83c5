"""Launches of CUDA kernels by operation: a function for each operation that kernels of ours, or cuBLAS, serve.

Each returns the launches of an operation, or None where its definition is to run, for example for an activation without
an element in `elements.h`. Grids, scratch memory and arguments are worked out here, once, so that a step does nothing
but launch. Scratch memory lives as long as the launches. `FUSED` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from .. import operations as ops
from ..typing import Array, ArrayModule, Call
from .sources import Matrix, PerModel, numbers_of

THREADS = 256  # of a block of one axis
MOST_BLOCKS = 2048  # that share the parameters of a model
COLUMNS, LANES, WARP = 32, 16, 32  # of a tile, see blocks.h
ROWS_OF_BLOCK = 8  # each worked on by a warp
ROWS_OF_CHUNK = 256  # that a block adds up, so that there are enough blocks for tall batches
MOST_NUMBERS = 2**31 - 1  # of a model in a buffer, which threads count in 32 bits


Grid = tuple[tuple[int, ...], tuple[int, ...]]  # blocks of the grid, and threads of a block


class Device(Protocol):
    """The parts of the CUDA backend that launches are made with."""

    xp: ArrayModule

    def launch(self, dtype: Any, name: str, grid: Any, block: Any, *arguments: Any) -> Call: ...
    def product(self, a: Array, b: Array, out: Array) -> Call: ...
    def bounds(self, bounds: Array) -> Array: ...


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def check_size(n: int) -> None:
    """Raise ValueError for more numbers than threads can count."""
    if n > MOST_NUMBERS:
        raise ValueError(
            f"a buffer on a GPU must have at most {MOST_NUMBERS} numbers per model; got {n}. Use a smaller "
            "batch_size, smaller layers, or a mini-batch solver."
        )


def elements(n: int, n_models: int = 1) -> Grid:
    """Return grid and block of one thread an element."""
    check_size(n)
    return (ceil_div(n, THREADS), n_models), (THREADS,)


def grid_stride(n: int, n_models: int) -> Grid:
    """Return grid and block of a grid-stride loop: threads take several elements each where there are many."""
    return (min(ceil_div(n, THREADS), MOST_BLOCKS), n_models), (THREADS,)


def tiles(n_columns: int, n_models: int, n_parts: int = 1) -> Grid:
    """Return grid and block of tiles of columns."""
    return (ceil_div(n_columns, COLUMNS), n_models, n_parts), (COLUMNS, LANES)


def sums_over_rows(backend: Device, name: str, shape: tuple[int, ...], *arguments: Any) -> list[Call]:
    """Return the launches that end in sums over the rows ``(models, rows, units)``, the last argument.

    Where there are so many rows that a block would take long for them, chunks of them are added up first.
    """
    (n_models, n_rows, units), (*given, sums) = shape, arguments
    n_chunks = max(1, min(ceil_div(n_rows, ROWS_OF_CHUNK), MOST_BLOCKS // ceil_div(units, COLUMNS)))
    parts = sums if n_chunks == 1 else backend.xp.empty((n_models, n_chunks, units), sums.dtype)
    grid = tiles(units, n_models, n_chunks)
    launches = [backend.launch(sums.dtype, name, *grid, *given, PerModel(parts), n_rows, units)]
    if n_chunks > 1:
        chunks = parts, n_chunks, PerModel(sums), units
        launches.append(backend.launch(sums.dtype, "fold", *tiles(units, n_models), *chunks))
    return launches


def warps(n_rows: int, n_models: int) -> Grid:
    """Return grid and block of a warp a row."""
    check_size(n_rows)
    return (ceil_div(n_rows, ROWS_OF_BLOCK), n_models), (WARP, ROWS_OF_BLOCK)


def two_floats(numbers: Sequence[float]) -> tuple[float, float]:
    """Return two numbers as floats, zero for those that are not there."""
    if len(numbers) > 2:
        raise ValueError(
            f"constants() of a block with an element must return at most 2 numbers; got {numbers}. Give the functions "
            "in elements.h, and the kernels that call them, one more argument."
        )
    first, second = (*numbers, 0, 0)[:2]
    return float(first), float(second)


# ---- batches ----------------------------------------------------------------------------


def gather(backend: Device, op: ops.Gather) -> list[Call] | None:
    """Words of four bytes are copied, of whatever type."""
    xp = backend.xp
    if op.table.itemsize % 4 or not (
        op.table.flags.c_contiguous and op.order.flags.c_contiguous and op.order.dtype == xp.int64
    ):
        return None
    n_rows, words = op.out.shape[1], op.out.view(xp.uint32)
    grid = elements(n_rows * words.shape[2], len(op.out))
    sizes = op.order.shape[1], n_rows, words.shape[2]
    return [backend.launch(xp.float32, "gather", *grid, op.table.view(xp.uint32), op.order, op.clock, words, *sizes)]


def advance(backend: Device, op: ops.Advance) -> list[Call]:
    """One thread does it."""
    return [backend.launch(backend.xp.float32, "advance", (1,), (1,), op.clock, int(op.n_rows))]


# ---- array functions --------------------------------------------------------------------


def copy(backend: Device, op: ops.Copy) -> list[Call]:
    """CuPy's own kernel."""
    return [partial(backend.xp.copyto, op.out, op.source)]


def fill(backend: Device, op: ops.Fill) -> list[Call]:
    """CuPy's own kernel."""
    return [partial(op.out.fill, op.value)]


def multiply(backend: Device, op: ops.Multiply) -> list[Call]:
    """CuPy's own kernel."""
    return [partial(backend.xp.multiply, op.a, op.b, out=op.out)]


def add(backend: Device, op: ops.Add) -> list[Call]:
    """CuPy's own kernel."""
    return [partial(backend.xp.add, op.a, op.b, out=op.out)]


# ---- layers -----------------------------------------------------------------------------


def matmul(backend: Device, op: ops.MatMul) -> list[Call]:
    """One product by cuBLAS for all models."""
    return [backend.product(op.a, op.b, op.out)]


def bias_activation(backend: Device, op: ops.BiasActivation) -> list[Call] | None:
    """A thread an element."""
    n, units = op.z.shape[1] * op.z.shape[2], op.z.shape[2]
    kind = numbers_of("Activation").get(op.activation.kernel)
    if kind is None:
        return None
    numbers = kind, *two_floats(op.activation.constants())
    return [
        backend.launch(
            op.z.dtype, "bias_activation", *elements(n, len(op.z)), op.z, PerModel(op.b), *numbers, op.y, n, units
        )
    ]


def activation_backward(backend: Device, op: ops.ActivationBackward) -> list[Call] | None:
    """A tile a block, which adds up its columns."""
    kind = numbers_of("Activation").get(op.activation.kernel)
    if kind is None:
        return None
    numbers = kind, *two_floats(op.activation.constants())
    values = op.y if op.activation.in_place else op.z
    return sums_over_rows(backend, "activation_backward", op.dz.shape, op.dz, values, *numbers, op.db)


def bias_prelu(backend: Device, op: ops.BiasPReLU) -> list[Call]:
    """A thread an element."""
    n, units = op.z.shape[1] * op.z.shape[2], op.z.shape[2]
    given = op.z, PerModel(op.b), PerModel(op.slope), op.slope.shape[2] == 1, op.y, n, units
    return [backend.launch(op.z.dtype, "bias_prelu", *elements(n, len(op.z)), *given)]


def prelu_backward(backend: Device, op: ops.PReLUBackward) -> list[Call]:
    """A tile a block, which adds up its columns; a slope that units share gets the sum of theirs."""
    n_models, n_rows, units = op.dz.shape
    is_shared = op.slope.shape[2] == 1
    by_unit = backend.xp.empty((n_models, 1, units), op.dz.dtype) if is_shared else op.d_slope
    given = op.dz, op.z, PerModel(op.slope), is_shared, PerModel(by_unit), PerModel(op.db), n_rows, units
    launches = [backend.launch(op.dz.dtype, "prelu_backward", *tiles(units, n_models), *given)]
    if is_shared:
        sums = PerModel(op.d_slope)
        launches.append(backend.launch(op.dz.dtype, "total", (1, n_models), (THREADS,), by_unit, units, sums))
    return launches


def maxout(backend: Device, op: ops.Maxout) -> list[Call]:
    """A thread a unit."""
    n, pieces = op.y.shape[1] * op.y.shape[2], op.z.shape[2] // op.y.shape[2]
    return [backend.launch(op.z.dtype, "maxout", *elements(n, len(op.z)), op.z, op.choice, op.y, n, pieces)]


def maxout_backward(backend: Device, op: ops.MaxoutBackward) -> list[Call]:
    """A thread a unit."""
    n, pieces = op.dy.shape[1] * op.dy.shape[2], op.dz.shape[2] // op.dy.shape[2]
    return [
        backend.launch(op.dz.dtype, "maxout_backward", *elements(n, len(op.dz)), op.dy, op.choice, op.dz, n, pieces)
    ]


def dropout(backend: Device, op: ops.Dropout) -> list[Call]:
    """A thread a counter, which gives four elements."""
    n = op.out.shape[1] * op.out.shape[2]
    drawn = op.noise.rates, op.noise.rates.shape[1], op.stream, op.noise.keys, op.noise.clock
    grid = elements(ceil_div(n, 4), len(op.out))
    return [backend.launch(op.out.dtype, "dropout", *grid, PerModel(op.x), *drawn, op.keep, op.out, n)]


def dropout_backward(backend: Device, op: ops.DropoutBackward) -> list[Call]:
    """A thread an element."""
    n = op.d.shape[1] * op.d.shape[2]
    drawn = op.noise.rates, op.noise.rates.shape[1], op.stream
    return [backend.launch(op.d.dtype, "dropout_backward", *elements(n, len(op.d)), op.d, *drawn, op.keep, n)]


# ---- normalisation ----------------------------------------------------------------------


def batch_moments(backend: Device, op: ops.BatchMoments) -> list[Call]:
    """A tile a block, for each part."""
    n_models, n_rows, units = op.x.shape
    grid, moments = tiles(units, n_models, len(op.bounds) - 1), (float(op.eps), op.mean, op.variance, op.inverse)
    batch = op.x, PerModel(op.weight), backend.bounds(op.bounds)
    return [backend.launch(op.x.dtype, "batch_moments", *grid, *batch, *moments, n_rows, units)]


def track_moments(backend: Device, op: ops.TrackMoments) -> list[Call]:
    """A block a model."""
    n_models, n_parts, units = op.mean.shape
    batch = op.mean, op.variance, PerModel(op.weight), backend.bounds(op.bounds), n_parts
    running = [PerModel(moments) for moments in op.running]
    grid = (1, n_models), (THREADS,)
    return [backend.launch(op.mean.dtype, "track_moments", *grid, *batch, float(op.momentum), *running, units)]


def standardize(backend: Device, op: ops.Standardize) -> list[Call]:
    """A thread an element."""
    n_models, n_rows, units = op.x.shape
    moments = PerModel(op.mean), op.inverse, PerModel(op.gain), backend.bounds(op.bounds), len(op.bounds) - 1
    return [
        backend.launch(
            op.x.dtype, "standardize", *elements(n_rows * units, n_models), op.x, *moments, op.y, n_rows, units
        )
    ]


def standardize_backward(backend: Device, op: ops.StandardizeBackward) -> list[Call]:
    """A tile a block, part after part."""
    n_models, n_rows, units = op.d.shape
    batch = op.inverse, PerModel(op.gain), PerModel(op.weight), backend.bounds(op.bounds), len(op.bounds) - 1
    grid = tiles(units, n_models)
    return [
        backend.launch(
            op.d.dtype, "standardize_backward", *grid, op.d, op.x, *batch, PerModel(op.d_gain), n_rows, units
        )
    ]


def scale_backward(backend: Device, op: ops.ScaleBackward) -> list[Call]:
    """A tile a block."""
    return sums_over_rows(backend, "scale_backward", op.d.shape, op.d, op.x, op.inverse, PerModel(op.gain), op.d_gain)


def renorm(backend: Device, op: ops.Renorm) -> list[Call]:
    """A thread a unit."""
    n_models, _, units = op.mean.shape
    running = [PerModel(moments) for moments in op.running]
    bounds = map(float, (op.norm.eps, op.norm.start_step, op.norm.r_end, op.norm.d_end, op.norm.r_max, op.norm.d_max))
    return [
        backend.launch(
            op.mean.dtype,
            "renorm",
            *elements(units, n_models),
            op.mean,
            op.inverse,
            *running,
            *bounds,
            op.r,
            op.d,
            units,
        )
    ]


def standardize_groups(backend: Device, op: ops.StandardizeGroups) -> list[Call]:
    """A warp a group."""
    n_models, n_rows, groups = op.inverse.shape
    grid, sizes = warps(n_rows * groups, n_models), (n_rows, groups, op.x.shape[2])
    return [
        backend.launch(
            op.x.dtype, "standardize_groups", *grid, op.x, float(op.eps), op.inverse, PerModel(op.gain), op.y, *sizes
        )
    ]


def standardize_groups_backward(backend: Device, op: ops.StandardizeGroupsBackward) -> list[Call]:
    """The gradient of the gain by tiles, then a warp a group."""
    (n_models, n_rows, groups), units = op.inverse.shape, op.x.shape[2]
    grid, given = warps(n_rows * groups, n_models), (op.d, op.x, op.inverse, PerModel(op.gain), n_rows, groups, units)
    return [
        *sums_over_rows(backend, "gain_gradient", op.d.shape, op.d, op.x, op.d_gain),
        backend.launch(op.d.dtype, "standardize_groups_backward", *grid, *given),
    ]


def normalize_weights(backend: Device, op: ops.NormalizeWeights) -> list[Call]:
    """A tile a block."""
    n_models, fan_in, units = op.v.shape
    given = PerModel(op.v), PerModel(op.gain), op.inverse, op.W, fan_in, units
    return [backend.launch(op.v.dtype, "normalize_weights", *tiles(units, n_models), *given)]


def normalize_weights_backward(backend: Device, op: ops.NormalizeWeightsBackward) -> list[Call]:
    """A tile a block."""
    n_models, fan_in, units = op.v.shape
    given = op.dW, PerModel(op.v), PerModel(op.gain), op.inverse, PerModel(op.dv), PerModel(op.d_gain), fan_in, units
    return [backend.launch(op.v.dtype, "normalize_weights_backward", *tiles(units, n_models), *given)]


# ---- loss and update --------------------------------------------------------------------

# Losses whose outputs belong together, by `kernel`: kernels that get the numbers of the loss. All others are elements.
LOSSES_OF_ROWS = {"softmax_log_loss": "softmax_loss"}


def loss_gradient(backend: Device, op: ops.LossGradient) -> list[Call] | None:
    """A warp a row; then a block a model adds up the losses of the rows."""
    kind = numbers_of("Loss").get(op.loss.kernel)
    if kind is None:
        return None
    n_models, n_rows, n_outputs = op.z.shape
    row_losses = backend.xp.empty((n_models, n_rows), backend.xp.float64)
    name, numbers = LOSSES_OF_ROWS.get(op.loss.kernel), tuple(map(float, op.loss.constants()))
    if name is None:
        name, numbers = "elementwise_loss", (kind, *two_floats(numbers))
    batch = (
        op.z,
        PerModel(op.y),
        PerModel(op.weight),
        op.scale,
        op.clock,
        *numbers,
        op.dz,
        row_losses,
        n_rows,
        n_outputs,
    )
    return [
        backend.launch(op.z.dtype, name, *warps(n_rows, n_models), *batch),
        add_up(backend, row_losses, op.clock, True, op.losses),
    ]


def add_up(backend: Device, parts: Array, clock: Array, is_first: bool, losses: Array) -> Call:
    """Return the launch that adds up parts ``(models, n)`` into the losses of the step."""
    grid = (1, len(parts)), (THREADS,)
    return backend.launch(backend.xp.float32, "add_up", *grid, parts, parts.shape[1], clock, is_first, losses)


def link(backend: Device, op: ops.Link) -> list[Call] | None:
    """By the table of links, else a thread an element."""
    return LINKS.get(op.loss.link_name, elementwise_link)(backend, op)


def no_link(backend: Device, op: ops.Link) -> list[Call]:
    """Outputs are left as they are."""
    return []


def softmax_link(backend: Device, op: ops.Link) -> list[Call]:
    """A warp a row."""
    n_models, n_rows, n_outputs = op.z.shape
    return [backend.launch(op.z.dtype, "softmax_link", *warps(n_rows, n_models), op.z, n_rows, n_outputs)]


def elementwise_link(backend: Device, op: ops.Link) -> list[Call] | None:
    """A thread an element, where `elements.h` has one."""
    kind = numbers_of("Link").get(f"link_{op.loss.link_name}")
    if kind is None:
        return None
    n_models, n = len(op.z), op.z.shape[1] * op.z.shape[2]
    return [backend.launch(op.z.dtype, "elementwise_link", *elements(n, n_models), op.z, kind, n)]


# Links that are no elements, by `link_name`.
LINKS: dict[str, Callable[[Device, ops.Link], list[Call] | None]] = {"identity": no_link, "softmax": softmax_link}


def update(backend: Device, op: ops.Update) -> list[Call] | None:
    """One pass over the parameters; then a block a model adds up the penalty."""
    kind = numbers_of("Optimizer").get(op.optimizer.kernel)
    if kind is None:
        return None
    t, (n_models, n) = op.tables, op.theta.shape
    grid = grid_stride(n, n_models)
    parts = backend.xp.empty(grid[0][::-1], backend.xp.float64)
    second_rate = t.rate if t.second_rate is None else t.second_rate
    moved = kind, op.theta, op.grad, op.slots, len(op.slots), op.constants, op.constants.shape[1]
    by_step = t.rate, second_rate, op.alpha, t.scale, op.n_decayed, t.clock
    return [
        backend.launch(op.theta.dtype, "update", *grid, *moved, *by_step, parts, n),
        add_up(backend, parts, t.clock, False, t.loss),
    ]


def add_l1(backend: Device, op: ops.AddL1) -> list[Call]:
    """As the penalty of an update."""
    n_models, n = op.theta.shape
    grid = grid_stride(op.n_decayed, n_models)
    parts = backend.xp.empty(grid[0][::-1], backend.xp.float64)
    return [
        backend.launch(
            op.theta.dtype, "add_l1", *grid, op.theta, op.grad, op.l1, op.scale, op.n_decayed, op.clock, parts, n
        ),
        add_up(backend, parts, op.clock, False, op.losses),
    ]


def clip_norm(backend: Device, op: ops.ClipNorm) -> list[Call]:
    """Squares are added up by blocks, and their sums by every block of the next launch."""
    n_models, n = op.grad.shape
    grid = grid_stride(n, n_models)
    parts = backend.xp.empty(grid[0][::-1], backend.xp.float64)
    return [
        backend.launch(op.grad.dtype, "sum_of_squares", *grid, op.grad, parts, n),
        backend.launch(op.grad.dtype, "shorten", *grid, op.grad, parts, parts.shape[1], op.limit, n),
    ]


def limit_norms(backend: Device, op: ops.LimitNorms) -> list[Call]:
    """A tile a block."""
    n_models, fan_in, units = op.W.shape
    return [backend.launch(op.W.dtype, "limit_norms", *tiles(units, n_models), PerModel(op.W), op.limit, fan_in, units)]


def shrink(backend: Device, op: ops.Shrink) -> list[Call]:
    """A thread some elements."""
    n_models, n = op.theta.shape
    grid = grid_stride(op.n_decayed, n_models)
    return [backend.launch(op.theta.dtype, "shrink", *grid, op.theta, op.shrinkage, op.clock, op.n_decayed, n)]


def average(backend: Device, op: ops.Average) -> list[Call]:
    """A thread some elements."""
    n_models, n = op.values.shape
    grid = grid_stride(n, n_models)
    return [backend.launch(op.values.dtype, "average", *grid, op.values, PerModel(op.mean), op.decay, op.clock, n)]


FUSED: dict[type[ops.Operation], Callable[[Any, Any], list[Call] | None]] = {
    ops.Gather: gather,
    ops.Advance: advance,
    ops.Copy: copy,
    ops.Fill: fill,
    ops.Multiply: multiply,
    ops.Add: add,
    ops.MatMul: matmul,
    ops.BiasActivation: bias_activation,
    ops.ActivationBackward: activation_backward,
    ops.BiasPReLU: bias_prelu,
    ops.PReLUBackward: prelu_backward,
    ops.Maxout: maxout,
    ops.MaxoutBackward: maxout_backward,
    ops.Dropout: dropout,
    ops.DropoutBackward: dropout_backward,
    ops.BatchMoments: batch_moments,
    ops.TrackMoments: track_moments,
    ops.Standardize: standardize,
    ops.StandardizeBackward: standardize_backward,
    ops.ScaleBackward: scale_backward,
    ops.Renorm: renorm,
    ops.StandardizeGroups: standardize_groups,
    ops.StandardizeGroupsBackward: standardize_groups_backward,
    ops.NormalizeWeights: normalize_weights,
    ops.NormalizeWeightsBackward: normalize_weights_backward,
    ops.LossGradient: loss_gradient,
    ops.Link: link,
    ops.Update: update,
    ops.AddL1: add_l1,
    ops.ClipNorm: clip_norm,
    ops.LimitNorms: limit_norms,
    ops.Shrink: shrink,
    ops.Average: average,
}


# ---- preprocessing ----------------------------------------------------------------------


def by_column(backend: Device, name: str, x: Array, *statistics: Array) -> list[Call] | None:
    """A thread an element of rows, with statistics of columns, where all have one float type."""
    is_served = x.ndim == 2 and x.flags.c_contiguous and x.size < 2**31
    if not is_served or {x.dtype, *(statistic.dtype for statistic in statistics)} - {x.dtype}:
        return None
    return [backend.launch(x.dtype, name, *elements(x.size), x, *statistics, x.shape[1], x.size)]


def _chunks(n_rows: int, n_columns: int) -> tuple[int, int]:
    """Return how many tiles of columns and how many chunks of rows blocks are made for."""
    n_tiles = ceil_div(n_columns, COLUMNS)
    return n_tiles, max(1, min(ceil_div(n_rows, 8 * LANES), MOST_BLOCKS // n_tiles))


def column_extremes(backend: Device, X: Array) -> tuple[Call, Array]:
    """Return the launch that finds the extremes of chunks of rows, and where: ``(chunks, 2, columns)``."""
    xp, (n_rows, n_columns) = backend.xp, X.shape
    n_tiles, n_chunks = _chunks(n_rows, n_columns)
    parts = xp.empty((n_chunks, 2, n_columns), X.dtype)
    given = Matrix(X), float("inf"), parts, xp.int64(n_rows), n_columns
    return backend.launch(X.dtype, "chunk_extremes", (n_tiles, n_chunks), (COLUMNS, LANES), *given), parts


def column_moments(backend: Device, X: Array, weight: Array | None, out: Array) -> list[Call]:
    """Chunks of rows, then the chunks together; ``out (4, columns)`` gets count, mean, rest and squares."""
    xp, (n_rows, n_columns) = backend.xp, X.shape
    n_tiles, n_chunks = _chunks(n_rows, n_columns)
    parts = xp.empty((n_chunks, 4, n_columns), xp.float64)
    weighed = (parts, False) if weight is None else (weight, True)
    given = Matrix(X), *weighed, parts, xp.int64(n_rows), n_columns
    return [
        backend.launch(X.dtype, "chunk_moments", (n_tiles, n_chunks), (COLUMNS, LANES), *given),
        backend.launch(X.dtype, "merge_chunks", (n_tiles,), (COLUMNS, LANES), parts, n_chunks, out, n_columns),
    ]
