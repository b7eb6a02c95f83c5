"""Which launches a kernel of the CUDA backend consists of, or None where there is no fused one.

Everything is worked out here: what a step does is to launch. Arrays that kernels need for themselves are made here too,
and live as long as the launches.
"""

from __future__ import annotations

from .sources import Matrix, PerModel, numbers_of

THREADS = 256  # of a block of one axis
MOST_BLOCKS = 2048  # that share the parameters of a model
COLUMNS, LANES, WARP = 32, 16, 32  # of a tile, see blocks.h
ROWS_OF_BLOCK = 8  # each worked on by a warp
ROWS_OF_CHUNK = 256  # that a block adds up, so that there are enough blocks for tall batches
MOST_NUMBERS = 2**31 - 1  # of a model in a buffer, which threads count in 32 bits


def ceil_div(a, b):
    """Return a / b, rounded up."""
    return -(-a // b)


def check_size(n):
    """Raise ValueError for more numbers than threads can count."""
    if n > MOST_NUMBERS:
        raise ValueError(
            f"a GPU works on buffers of at most {MOST_NUMBERS} numbers a model; got {n}. Take a smaller batch_size or "
            "smaller layers, and a solver by mini-batches."
        )


def elements(n, n_models=1):
    """Return grid and block of one thread an element."""
    check_size(n)
    return (ceil_div(n, THREADS), n_models), (THREADS,)


def shared_out(n, n_models):
    """Return grid and block of threads that take several elements each where there are many."""
    return (min(ceil_div(n, THREADS), MOST_BLOCKS), n_models), (THREADS,)


def tiles(n_columns, n_models, n_parts=1):
    """Return grid and block of tiles of columns."""
    return (ceil_div(n_columns, COLUMNS), n_models, n_parts), (COLUMNS, LANES)


def sums_over_rows(device, name, shape, *arguments):
    """Return the launches that end in sums over the rows ``(models, rows, units)``, the last argument.

    Where there are so many rows that a block would take long for them, chunks of them are added up first.
    """
    (n_models, n_rows, units), (*arguments, sums) = shape, arguments
    n_chunks = max(1, min(ceil_div(n_rows, ROWS_OF_CHUNK), MOST_BLOCKS // ceil_div(units, COLUMNS)))
    parts = sums if n_chunks == 1 else device.xp.empty((n_models, n_chunks, units), sums.dtype)
    grid = tiles(units, n_models, n_chunks)
    launches = [device.launch(sums.dtype, name, *grid, *arguments, PerModel(parts), n_rows, units)]
    if n_chunks > 1:
        given = parts, n_chunks, PerModel(sums), units
        launches.append(device.launch(sums.dtype, "fold", *tiles(units, n_models), *given))
    return launches


def warps(n_rows, n_models):
    """Return grid and block of a warp a row."""
    check_size(n_rows)
    return (ceil_div(n_rows, ROWS_OF_BLOCK), n_models), (WARP, ROWS_OF_BLOCK)


def two(numbers):
    """Return two numbers as floats, zero for those that are not there."""
    first, second = (*numbers, 0, 0)[:2]
    return float(first), float(second)


# ---- batches ----------------------------------------------------------------------------


def gather(device, table, order, clock, out):
    """Words of four bytes are copied, of whatever type."""
    xp = device.xp
    if table.itemsize % 4 or not (table.flags.c_contiguous and order.flags.c_contiguous and order.dtype == xp.int64):
        return None
    n_rows, words = out.shape[1], out.view(xp.uint32)
    grid = elements(n_rows * words.shape[2], len(out))
    sizes = order.shape[1], n_rows, words.shape[2]
    return [device.launch(xp.float32, "gather", *grid, table.view(xp.uint32), order, clock, words, *sizes)]


def advance(device, clock, n_rows):
    """One thread does it."""
    return [device.launch(device.xp.float32, "advance", (1,), (1,), clock, int(n_rows))]


# ---- layers -----------------------------------------------------------------------------


def matmul(device, a, b, out):
    """One product by cuBLAS for all models."""
    return [device.product(a, b, out)]


def bias_activation(device, z, b, activation, y):
    """A thread an element."""
    n, units = z.shape[1] * z.shape[2], z.shape[2]
    if activation.kernel == "bound_prelu":
        slope = PerModel(activation.slope), activation.slope.shape[2] == 1
        return [device.launch(z.dtype, "bias_prelu", *elements(n, len(z)), z, PerModel(b), *slope, y, n, units)]
    kind = numbers_of("Activation").get(activation.kernel)
    if kind is None:
        return None
    numbers = kind, *two(activation.numbers())
    return [device.launch(z.dtype, "bias_activation", *elements(n, len(z)), z, PerModel(b), *numbers, y, n, units)]


def activation_backward(device, dz, z, y, activation, db):
    """A tile a block, which adds up its columns."""
    if activation.kernel == "bound_prelu":
        return _prelu_backward(device, dz, z, activation, db)
    kind = numbers_of("Activation").get(activation.kernel)
    if kind is None:
        return None
    numbers = kind, *two(activation.numbers())
    values = y if activation.in_place else z
    return sums_over_rows(device, "activation_backward", dz.shape, dz, values, *numbers, db)


def _prelu_backward(device, dz, z, activation, db):
    """As for other activations; a slope that units share gets the sum of theirs."""
    n_models, _, units = dz.shape
    is_shared = activation.slope.shape[2] == 1
    by_unit = device.xp.empty((n_models, 1, units), dz.dtype) if is_shared else activation.d_slope
    slope = PerModel(activation.slope), is_shared, PerModel(by_unit)
    launches = [
        device.launch(dz.dtype, "prelu_backward", *tiles(units, n_models), dz, z, *slope, PerModel(db), *dz.shape[1:])
    ]
    if is_shared:
        sums = PerModel(activation.d_slope)
        launches.append(device.launch(dz.dtype, "total", (1, n_models), (THREADS,), by_unit, units, sums))
    return launches


def maxout(device, z, choice, y):
    """A thread a unit."""
    n, pieces = y.shape[1] * y.shape[2], z.shape[2] // y.shape[2]
    return [device.launch(z.dtype, "maxout", *elements(n, len(z)), z, choice, y, n, pieces)]


def maxout_backward(device, dy, choice, dz):
    """A thread a unit."""
    n, pieces = dy.shape[1] * dy.shape[2], dz.shape[2] // dy.shape[2]
    return [device.launch(dz.dtype, "maxout_backward", *elements(n, len(dz)), dy, choice, dz, n, pieces)]


def dropout(device, x, noise, stream, keep, out):
    """A thread a counter, which gives four elements."""
    n = out.shape[1] * out.shape[2]
    drawn = noise.rates, noise.rates.shape[1], stream, noise.keys, noise.clock
    grid = elements(ceil_div(n, 4), len(out))
    return [device.launch(out.dtype, "dropout", *grid, PerModel(x), *drawn, keep, out, n)]


def dropout_backward(device, d, noise, stream, keep):
    """A thread an element."""
    n = d.shape[1] * d.shape[2]
    drawn = noise.rates, noise.rates.shape[1], stream
    return [device.launch(d.dtype, "dropout_backward", *elements(n, len(d)), d, *drawn, keep, n)]


# ---- normalisation ----------------------------------------------------------------------


def batch_moments(device, x, weight, bounds, eps, mean, variance, inverse):
    """A tile a block, for each part."""
    n_models, n_rows, units = x.shape
    grid, moments = tiles(units, n_models, len(bounds) - 1), (float(eps), mean, variance, inverse)
    batch = x, PerModel(weight), device.bounds(bounds)
    return [device.launch(x.dtype, "batch_moments", *grid, *batch, *moments, n_rows, units)]


def track_moments(device, mean, variance, weight, bounds, momentum, kept):
    """A block a model."""
    n_models, n_parts, units = mean.shape
    batch = mean, variance, PerModel(weight), device.bounds(bounds), n_parts
    running = [PerModel(kept[kind]) for kind in ("means", "variances", "updates")]
    grid = (1, n_models), (THREADS,)
    return [device.launch(mean.dtype, "track_moments", *grid, *batch, float(momentum), *running, units)]


def standardize(device, x, mean, inverse, gain, bounds, y):
    """A thread an element."""
    n_models, n_rows, units = x.shape
    moments = PerModel(mean), inverse, PerModel(gain), device.bounds(bounds), len(bounds) - 1
    return [device.launch(x.dtype, "standardize", *elements(n_rows * units, n_models), x, *moments, y, n_rows, units)]


def standardize_backward(device, d, x, inverse, gain, weight, bounds, d_gain):
    """A tile a block, part after part."""
    n_models, n_rows, units = d.shape
    batch = inverse, PerModel(gain), PerModel(weight), device.bounds(bounds), len(bounds) - 1
    grid = tiles(units, n_models)
    return [device.launch(d.dtype, "standardize_backward", *grid, d, x, *batch, PerModel(d_gain), n_rows, units)]


def scale_backward(device, d, x, inverse, gain, d_gain):
    """A tile a block."""
    return sums_over_rows(device, "scale_backward", d.shape, d, x, inverse, PerModel(gain), d_gain)


def renorm(device, mean, inverse, kept, norm, r, d):
    """A thread a unit."""
    n_models, _, units = mean.shape
    running = [PerModel(kept[kind]) for kind in ("means", "variances", "updates")]
    bounds = map(float, (norm.eps, norm.start_step, norm.r_end, norm.d_end, norm.r_max, norm.d_max))
    return [
        device.launch(mean.dtype, "renorm", *elements(units, n_models), mean, inverse, *running, *bounds, r, d, units)
    ]


def standardize_groups(device, x, eps, inverse, gain, y):
    """A warp a group."""
    n_models, n_rows, groups = inverse.shape
    grid, sizes = warps(n_rows * groups, n_models), (n_rows, groups, x.shape[2])
    return [device.launch(x.dtype, "standardize_groups", *grid, x, float(eps), inverse, PerModel(gain), y, *sizes)]


def standardize_groups_backward(device, d, x, inverse, gain, d_gain):
    """The gradient of the gain by tiles, then a warp a group."""
    (n_models, n_rows, groups), units = inverse.shape, x.shape[2]
    grid, given = warps(n_rows * groups, n_models), (d, x, inverse, PerModel(gain), n_rows, groups, units)
    return [
        *sums_over_rows(device, "gain_gradient", d.shape, d, x, d_gain),
        device.launch(d.dtype, "standardize_groups_backward", *grid, *given),
    ]


def normalize_weights(device, v, gain, inverse, W):
    """A tile a block."""
    n_models, fan_in, units = v.shape
    given = PerModel(v), PerModel(gain), inverse, W, fan_in, units
    return [device.launch(v.dtype, "normalize_weights", *tiles(units, n_models), *given)]


def normalize_weights_backward(device, dW, v, gain, inverse, dv, d_gain):
    """A tile a block."""
    n_models, fan_in, units = v.shape
    given = dW, PerModel(v), PerModel(gain), inverse, PerModel(dv), PerModel(d_gain), fan_in, units
    return [device.launch(v.dtype, "normalize_weights_backward", *tiles(units, n_models), *given)]


# ---- loss and update --------------------------------------------------------------------


def loss_gradient(device, loss, z, y, weight, scale, clock, dz, losses):
    """A warp a row; then a block a model adds up what the rows lose."""
    kind = numbers_of("Loss").get(loss.kernel)
    if kind is None:
        return None
    n_models, n_rows, n_outputs = z.shape
    row_losses = device.xp.empty((n_models, n_rows), device.xp.float64)
    is_softmax = loss.kernel == "softmax_log_loss"
    name = "softmax_loss" if is_softmax else "elementwise_loss"
    first, second = two(loss.numbers())
    numbers = (first,) if is_softmax else (kind, first, second)
    batch = z, PerModel(y), PerModel(weight), scale, clock, *numbers, dz, row_losses, n_rows, n_outputs
    return [
        device.launch(z.dtype, name, *warps(n_rows, n_models), *batch),
        add_up(device, row_losses, clock, True, losses),
    ]


def add_up(device, parts, clock, is_first, losses):
    """Return the launch that adds up parts ``(models, n)`` into the losses of the step."""
    grid = (1, len(parts)), (THREADS,)
    return device.launch(device.xp.float32, "add_up", *grid, parts, parts.shape[1], clock, is_first, losses)


def link(device, loss, z):
    """A warp a row where outputs belong together, else a thread an element."""
    if loss.link_name == "identity":
        return []
    n_models, n_rows, n_outputs = z.shape
    if loss.link_name == "softmax":
        return [device.launch(z.dtype, "softmax_link", *warps(n_rows, n_models), z, n_rows, n_outputs)]
    kind = numbers_of("Link").get(f"link_{loss.link_name}")
    if kind is None:
        return None
    n = n_rows * n_outputs
    return [device.launch(z.dtype, "elementwise_link", *elements(n, n_models), z, kind, n)]


def update(device, optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables):
    """One pass over the parameters; then a block a model adds up the penalty."""
    kind = numbers_of("Optimizer").get(optimizer.kernel)
    if kind is None:
        return None
    t, (n_models, n) = tables, theta.shape
    grid = shared_out(n, n_models)
    parts = device.xp.empty(grid[0][::-1], device.xp.float64)
    second_rate = t.rate if t.second_rate is None else t.second_rate
    moved = kind, theta, grad, slots, len(slots), hyper, hyper.shape[1]
    by_step = t.rate, second_rate, alpha, t.scale, n_decayed, t.clock
    return [
        device.launch(theta.dtype, "update", *grid, *moved, *by_step, parts, n),
        add_up(device, parts, t.clock, False, t.loss),
    ]


def add_l1(device, theta, grad, l1, scale, n_decayed, clock, losses):
    """As the penalty of an update."""
    n_models, n = theta.shape
    grid = shared_out(n_decayed, n_models)
    parts = device.xp.empty(grid[0][::-1], device.xp.float64)
    return [
        device.launch(theta.dtype, "add_l1", *grid, theta, grad, l1, scale, n_decayed, clock, parts, n),
        add_up(device, parts, clock, False, losses),
    ]


def clip_norm(device, grad, limit):
    """Squares are added up by blocks, and their sums by every block of the next launch."""
    n_models, n = grad.shape
    grid = shared_out(n, n_models)
    parts = device.xp.empty(grid[0][::-1], device.xp.float64)
    return [
        device.launch(grad.dtype, "sum_of_squares", *grid, grad, parts, n),
        device.launch(grad.dtype, "shorten", *grid, grad, parts, parts.shape[1], limit, n),
    ]


def limit_norms(device, W, limit):
    """A tile a block."""
    n_models, fan_in, units = W.shape
    return [device.launch(W.dtype, "limit_norms", *tiles(units, n_models), PerModel(W), limit, fan_in, units)]


def shrink(device, theta, n_decayed, tables):
    """A thread some elements."""
    n_models, n = theta.shape
    grid = shared_out(n_decayed, n_models)
    return [device.launch(theta.dtype, "shrink", *grid, theta, tables.shrinkage, tables.clock, n_decayed, n)]


def average(device, values, mean, decay, clock):
    """A thread some elements."""
    n_models, n = values.shape
    grid = shared_out(n, n_models)
    return [device.launch(values.dtype, "average", *grid, values, PerModel(mean), decay, clock, n)]


# ---- preprocessing ----------------------------------------------------------------------


def shift_scale(device, x, shift, scale):
    """A thread an element, where all have one float type."""
    return _by_column(device, "shift_scale", x, shift, scale)


def scale_shift(device, x, scale, shift):
    """A thread an element, where all have one float type."""
    return _by_column(device, "scale_shift", x, scale, shift)


def _by_column(device, name, x, *statistics):
    is_served = x.ndim == 2 and x.flags.c_contiguous and x.size < 2**31
    if not is_served or {x.dtype, *(statistic.dtype for statistic in statistics)} - {x.dtype}:
        return None
    return [device.launch(x.dtype, name, *elements(x.size), x, *statistics, x.shape[1], x.size)]


def _chunks(n_rows, n_columns):
    """Return how many tiles of columns and how many chunks of rows blocks are made for."""
    n_tiles = ceil_div(n_columns, COLUMNS)
    return n_tiles, max(1, min(ceil_div(n_rows, 8 * LANES), MOST_BLOCKS // n_tiles))


def column_extremes(device, X):
    """Return the launch that finds the extremes of chunks of rows, and where: ``(chunks, 2, columns)``."""
    xp, (n_rows, n_columns) = device.xp, X.shape
    n_tiles, n_chunks = _chunks(n_rows, n_columns)
    parts = xp.empty((n_chunks, 2, n_columns), X.dtype)
    given = Matrix(X), float("inf"), parts, xp.int64(n_rows), n_columns
    return device.launch(X.dtype, "chunk_extremes", (n_tiles, n_chunks), (COLUMNS, LANES), *given), parts


def column_moments(device, X, weight, out):
    """Chunks of rows, then the chunks together; ``out (4, columns)`` gets what the reference returns."""
    xp, (n_rows, n_columns) = device.xp, X.shape
    n_tiles, n_chunks = _chunks(n_rows, n_columns)
    parts = xp.empty((n_chunks, 4, n_columns), xp.float64)
    weighed = (parts, False) if weight is None else (weight, True)
    given = Matrix(X), *weighed, parts, xp.int64(n_rows), n_columns
    return [
        device.launch(X.dtype, "chunk_moments", (n_tiles, n_chunks), (COLUMNS, LANES), *given),
        device.launch(X.dtype, "merge_chunks", (n_tiles,), (COLUMNS, LANES), parts, n_chunks, out, n_columns),
    ]
