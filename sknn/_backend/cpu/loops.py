"""Fused loops, compiled by Numba, for the forward and backward pass of a batch.

`updates.py` has the loops over parameters, `columns.py` those of transformers.
"""

from __future__ import annotations

import functools
import math

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from .. import philox
from . import elements, vector_math
from .compiling import kernel, named

COMPILED_IN = "5698df27e8fd868b"  # stands for the content of imported files, see tests/backend/stamps.py
WORD, WORD_BITS = np.uint64(philox.WORD), np.uint64(32)
PHILOX_MULTIPLIER_0, PHILOX_MULTIPLIER_2 = map(np.uint64, philox.MULTIPLIERS)
PHILOX_KEY_STEP_0, PHILOX_KEY_STEP_1 = map(np.uint64, philox.KEY_STEPS)

CACHE, NARROW, AHEAD = 2**21, 2**10, 24  # bytes of a table and of a row; rows


# ---- batches ----------------------------------------------------------------------------


@intrinsic
def prefetch(typing_context, table, row, column):
    """Ask the processor to load a value of a table of two axes into its cache."""

    def codegen(context, builder, signature, arguments):
        array_type, array = signature.args[0], context.make_array(signature.args[0])(context, builder, arguments[0])
        address = cgutils.get_item_pointer(context, builder, array_type, array, arguments[1:])
        number, place = ir.IntType(32), cgutils.voidptr_t
        function = ir.FunctionType(ir.VoidType(), [place, number, number, number])
        llvm = builder.module.declare_intrinsic("llvm.prefetch", [place], function)
        to_read, to_keep, data = number(0), number(3), number(1)
        builder.call(llvm, [builder.bitcast(address, place), to_read, to_keep, data])
        return context.get_dummy_value()

    return types.void(table, row, column), codegen


@kernel
def gather(table, order, clock, out):
    first, n_rows = clock[1], out.shape[1]
    line = 64 // table.itemsize
    # short rows in random places of a table that no cache holds would be waited for one by one
    ahead = AHEAD if table.size * table.itemsize > CACHE and out.shape[2] * table.itemsize <= NARROW else n_rows
    for s in range(out.shape[0]):
        for i in range(n_rows):
            if i + ahead < n_rows:
                for j in range(0, out.shape[2], line):
                    prefetch(table, order[s, first + i + ahead], j)
            row = order[s, first + i]
            for j in range(out.shape[2]):
                out[s, i, j] = table[row, j]


# ---- products ---------------------------------------------------------------------------


@kernel
def outer(a, b, out):
    for k in range(out.shape[0]):
        x, y = a[min(k, a.shape[0] - 1)], b[k]
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[k, i, j] = x[i, 0] * y[0, j]


@kernel
def transpose(source, out):
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[k, i, j] = source[k, j, i]


@kernel
def product_of_few(a, b, out):
    """Write ``out = a @ b`` for an ``a`` of a few rows: two rows of ``out`` at once, from four rows of ``b``."""
    for pair in range(0, out.shape[0], 2):
        i = min(pair, out.shape[0] - 2)
        _sum_rows(a[i], a[i + 1], b, out[i], out[i + 1])


@kernel
def _sum_rows(s, t, b, x, y):
    """Write the sum of the rows of b, multiplied by s, to x, and their sum, multiplied by t, to y."""
    n_fours = len(s) // 4 * 4
    x[:], y[:] = 0, 0
    for q in range(0, n_fours, 4):
        s0, s1, s2, s3 = s[q], s[q + 1], s[q + 2], s[q + 3]
        t0, t1, t2, t3 = t[q], t[q + 1], t[q + 2], t[q + 3]
        for j in range(b.shape[1]):
            b0, b1, b2, b3 = b[q, j], b[q + 1, j], b[q + 2, j], b[q + 3, j]
            x[j] += (s0 * b0 + s1 * b1) + (s2 * b2 + s3 * b3)
            y[j] += (t0 * b0 + t1 * b1) + (t2 * b2 + t3 * b3)
    for q in range(n_fours, len(s)):
        s0, t0 = s[q], t[q]
        for j in range(b.shape[1]):
            x[j] += s0 * b[q, j]
            y[j] += t0 * b[q, j]


@kernel
def product_with_few(a, b, out):
    """Write ``out = a @ b`` for a ``b`` of few columns, as sums along rows, for which BLAS has no fast routine."""
    columns = b.T.copy()
    for i in range(a.shape[0]):
        for j in range(columns.shape[0]):
            total = out.dtype.type(0)
            for q in range(a.shape[1]):
                total += a[i, q] * columns[j, q]
            out[i, j] = total


@kernel
def product_of_transposed(a, b, out):
    """Write ``out = a.T @ b`` for few columns of ``a`` or of ``b``."""
    if a.shape[1] <= b.shape[1]:
        product_of_few(a.T.copy(), b, out)
    else:
        transposed = np.empty((out.shape[1], out.shape[0]), out.dtype)
        product_of_few(b.T.copy(), a, transposed)
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = transposed[j, i]


# ---- bias and activation ----------------------------------------------------------------


# In place, on one array: with two names for the same memory LLVM's overlap check fails and the loop stays scalar.
@register_jitable(forceinline=True)
def bias_activation_in_place(z, b, element):
    for k in range(z.shape[0]):
        for i in range(z.shape[1]):
            for j in range(z.shape[2]):
                z[k, i, j] = elements.value(element, z[k, i, j] + b[k, 0, j])


@register_jitable(forceinline=True)
def bias_activation(z, b, y, element):
    for k in range(z.shape[0]):
        for i in range(z.shape[1]):
            for j in range(z.shape[2]):
                z[k, i, j] += b[k, 0, j]
                y[k, i, j] = elements.value(element, z[k, i, j])


@register_jitable(forceinline=True)
def activation_backward(dz, kept, db, element):
    db[:] = 0
    for k in range(dz.shape[0]):
        for i in range(dz.shape[1]):
            for j in range(dz.shape[2]):
                g = elements.gradient(element, dz[k, i, j], kept[k, i, j])
                dz[k, i, j] = g
                db[k, 0, j] += g


@functools.cache
def compile_for(loop, kind):
    """Return a kernel: the loop for one type of element. Its last arguments are the numbers of the element.

    From Python a call with an element takes a microsecond longer, and one with a tuple of numbers a tenth of that:
    Numba has to find out their types. Kernels that close over classes and plain functions can be kept on disk; those
    that close over compiled functions cannot.
    """
    n_arrays, n_numbers = loop.__code__.co_argcount - 1, len(kind._fields)
    functions = {
        (2, 0): lambda x, y: loop(x, y, kind()),
        (2, 1): lambda x, y, first: loop(x, y, kind(first)),
        (2, 2): lambda x, y, first, second: loop(x, y, kind(first, second)),
        (3, 0): lambda x, y, z: loop(x, y, z, kind()),
        (3, 1): lambda x, y, z, first: loop(x, y, z, kind(first)),
        (3, 2): lambda x, y, z, first, second: loop(x, y, z, kind(first, second)),
    }
    if (n_arrays, n_numbers) not in functions:
        raise TypeError(
            f"an element of an activation must have at most 2 fields; {kind.__name__} has {kind._fields}. Add a "
            "function with more numbers to the table of `compiled` in loops.py."
        )
    return kernel(named(functions[n_arrays, n_numbers], f"{loop.__name__}_{kind.__name__}"))


FORWARD = {
    **{name: compile_for(bias_activation_in_place, kind) for name, kind in elements.FROM_OUTPUT.items()},
    **{name: compile_for(bias_activation, kind) for name, kind in elements.FROM_INPUT.items()},
}
BACKWARD = {name: compile_for(activation_backward, kind) for name, kind in elements.ACTIVATIONS.items()}


@kernel
def maxout(z, choice, y):
    pieces = z.shape[2] // y.shape[2]
    for k in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                best = 0
                top = z[k, i, j * pieces]
                for piece in range(1, pieces):
                    value = z[k, i, j * pieces + piece]
                    if value > top or (value != value and top == top):  # the first NaN counts as greatest
                        best, top = piece, value
                choice[k, i, j], y[k, i, j] = best, top


@kernel
def maxout_backward(dy, choice, dz):
    pieces = dz.shape[2] // dy.shape[2]
    for k in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for piece in range(pieces):
                    dz[k, i, j * pieces + piece] = dy[k, i, j] * (piece == choice[k, i, j])


# ---- dropout ----------------------------------------------------------------------------


@numba.njit(inline="always")
def philox_words(c0, c1, c2, c3, k0, k1):
    for _ in range(philox.ROUNDS):
        product_0, product_2 = PHILOX_MULTIPLIER_0 * c0, PHILOX_MULTIPLIER_2 * c2
        c0, c1 = (product_2 >> WORD_BITS) ^ c1 ^ k0, product_2 & WORD
        c2, c3 = (product_0 >> WORD_BITS) ^ c3 ^ k1, product_0 & WORD
        k0, k1 = (k0 + PHILOX_KEY_STEP_0) & WORD, (k1 + PHILOX_KEY_STEP_1) & WORD
    return c0, c1, c2, c3


@kernel
def dropout_keep(rates, keys, stream, clock, keep):
    n = keep.shape[1]
    quarter = (n + 3) // 4
    step, stream_word = np.uint64(clock[0] + clock[2]), np.uint64(stream)
    low, high = step & WORD, step >> WORD_BITS
    for k in range(keep.shape[0]):
        bound = np.uint64(rates[k, stream] * 4294967296.0)
        k0, k1 = np.uint64(keys[k, 0]), np.uint64(keys[k, 1])
        for i in range(n - 3 * quarter):
            a, b, c, d = philox_words(np.uint64(i), stream_word, low, high, k0, k1)
            keep[k, i], keep[k, i + quarter] = a >= bound, b >= bound
            keep[k, i + 2 * quarter], keep[k, i + 3 * quarter] = c >= bound, d >= bound
        for i in range(max(n - 3 * quarter, 0), quarter):  # the last quarter is shorter
            words = philox_words(np.uint64(i), stream_word, low, high, k0, k1)
            for lane in range(4):
                if i + lane * quarter < n:
                    keep[k, i + lane * quarter] = words[lane] >= bound


@kernel
def dropout(x, rates, stream, keep, out):
    zero = out.dtype.type(0)
    for k in range(out.shape[0]):
        scale = out.dtype.type(1 / (1 - rates[k, stream]))
        source = min(k, x.shape[0] - 1)
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                value = x[source, i, j]
                out[k, i, j] = value * (scale if keep[k, i, j] else zero)  # times zero, so that NaN goes through


@kernel
def dropout_backward(d, rates, stream, keep):
    zero = d.dtype.type(0)
    for k in range(d.shape[0]):
        scale = d.dtype.type(1 / (1 - rates[k, stream]))
        for i in range(d.shape[1]):
            for j in range(d.shape[2]):
                d[k, i, j] *= scale if keep[k, i, j] else zero


# ---- normalisation ----------------------------------------------------------------------


@kernel
def part_weight(weight, start, stop):
    total = weight.dtype.type(0)
    for i in range(start, stop):
        total += weight[i]
    return total if total > 0 else weight.dtype.type(1)


@kernel
def batch_moments(x, weight, bounds, eps, mean, variance, inverse):
    mean[:], variance[:], inverse[:] = 0, 0, 0
    one = x.dtype.type(1)
    for k in range(x.shape[0]):
        s = min(k, weight.shape[0] - 1)
        for part in range(bounds.shape[0] - 1):
            start, stop = bounds[part], bounds[part + 1]
            share = one / part_weight(weight[s], start, stop)
            for i in range(start, stop):
                w = weight[s, i] * share
                for j in range(x.shape[2]):
                    mean[k, part, j] += w * x[k, i, j]
            for i in range(start, stop):
                w = weight[s, i] * share
                for j in range(x.shape[2]):
                    deviation = x[k, i, j] - mean[k, part, j]
                    variance[k, part, j] += w * deviation * deviation
            for j in range(x.shape[2]):
                inverse[k, part, j] = one / math.sqrt(variance[k, part, j] + eps)


@kernel
def track_moments(mean, variance, weight, bounds, momentum, means, variances, updates):
    for k in range(mean.shape[0]):
        s = min(k, weight.shape[0] - 1)
        for part in range(bounds.shape[0] - 1):
            total = 0.0
            for i in range(bounds[part], bounds[part + 1]):
                total += weight[s, i]
            if total > 0:
                updates[k, 0, 0] += 1
                rate = mean.dtype.type(max(momentum, 1 / updates[k, 0, 0]))
                correction = mean.dtype.type(total / (total - 1) if total >= 2 else 1.0)
                for j in range(mean.shape[2]):
                    means[k, 0, j] += rate * (mean[k, part, j] - means[k, 0, j])
                    variances[k, 0, j] += rate * (correction * variance[k, part, j] - variances[k, 0, j])


@kernel
def standardize(x, mean, inverse, gain, bounds, y):
    for k in range(x.shape[0]):
        for part in range(bounds.shape[0] - 1):
            for i in range(bounds[part], bounds[part + 1]):
                for j in range(x.shape[2]):
                    standard = (x[k, i, j] - mean[k, part, j]) * inverse[k, part, j]
                    x[k, i, j] = standard
                    y[k, i, j] = gain[k, 0, j] * standard


@kernel
def standardize_backward(d, x, inverse, gain, weight, bounds, d_gain):
    total, along = np.empty_like(d[0, 0]), np.empty_like(d[0, 0])
    d_gain[:] = 0
    for k in range(d.shape[0]):
        s = min(k, weight.shape[0] - 1)
        for part in range(bounds.shape[0] - 1):
            start, stop = bounds[part], bounds[part + 1]
            share = d.dtype.type(1) / part_weight(weight[s], start, stop)
            total[:], along[:] = 0, 0
            for i in range(start, stop):
                for j in range(d.shape[2]):
                    total[j] += d[k, i, j]
                    along[j] += d[k, i, j] * x[k, i, j]
            for j in range(d.shape[2]):
                d_gain[k, 0, j] += along[j]
            for i in range(start, stop):
                p = weight[s, i] * share
                for j in range(d.shape[2]):
                    step = d[k, i, j] - p * (total[j] + x[k, i, j] * along[j])
                    d[k, i, j] = gain[k, 0, j] * inverse[k, part, j] * step


@kernel
def scale_backward(d, x, inverse, gain, d_gain):
    d_gain[:] = 0
    for k in range(d.shape[0]):
        for i in range(d.shape[1]):
            for j in range(d.shape[2]):
                d_gain[k, 0, j] += d[k, i, j] * x[k, i, j]
                d[k, i, j] *= gain[k, 0, j] * inverse[k, 0, j]


@kernel
def standardize_groups(x, eps, inverse, gain, y):
    size = x.shape[2] // inverse.shape[2]
    share = x.dtype.type(1 / size)
    for k in range(x.shape[0]):
        for i in range(x.shape[1]):
            for g in range(inverse.shape[2]):
                total, squares = x.dtype.type(0), x.dtype.type(0)
                for j in range(g * size, (g + 1) * size):
                    total += x[k, i, j]
                mean = total * share
                for j in range(g * size, (g + 1) * size):
                    deviation = x[k, i, j] - mean
                    squares += deviation * deviation
                scale = x.dtype.type(1) / math.sqrt(squares * share + eps)
                inverse[k, i, g] = scale
                for j in range(g * size, (g + 1) * size):
                    standard = (x[k, i, j] - mean) * scale
                    x[k, i, j] = standard
                    y[k, i, j] = gain[k, 0, j] * standard


@kernel
def standardize_groups_backward(d, x, inverse, gain, d_gain):
    size = x.shape[2] // inverse.shape[2]
    share = x.dtype.type(1 / size)
    d_gain[:] = 0
    for k in range(x.shape[0]):
        for i in range(x.shape[1]):
            for g in range(inverse.shape[2]):
                total, along = x.dtype.type(0), x.dtype.type(0)
                for j in range(g * size, (g + 1) * size):
                    d_gain[k, 0, j] += d[k, i, j] * x[k, i, j]
                    step = d[k, i, j] * gain[k, 0, j]
                    total += step
                    along += step * x[k, i, j]
                    d[k, i, j] = step
                for j in range(g * size, (g + 1) * size):
                    d[k, i, j] = inverse[k, i, g] * (d[k, i, j] - share * (total + x[k, i, j] * along))


# ---- losses on raw outputs --------------------------------------------------------------


@kernel
def exponentials(z, out):
    for i in range(z.shape[0]):
        top = z[i, 0]
        for j in range(1, z.shape[1]):
            top = max(top, z[i, j])
        for j in range(z.shape[1]):
            out[i, j] = z[i, j] - top
    flat = out.reshape(-1)  # one long loop, for rows are often shorter than a vector
    for i in range(len(flat)):
        flat[i] = vector_math.exp(flat[i], flat.dtype.type(0))


@kernel
def softmax_log_loss(z, y, weight, scale, clock, dz, losses, label_smoothing):
    step = clock[0]
    for_all = z.dtype.type(label_smoothing / z.shape[2])
    for_one = z.dtype.type(1 - label_smoothing)
    for k in range(z.shape[0]):
        s = min(k, y.shape[0] - 1)
        total = 0.0
        exponentials(z[k], dz[k])
        for i in range(z.shape[1]):
            top = z[k, i, 0]
            norm, level = z.dtype.type(0), z.dtype.type(0)
            for j in range(z.shape[2]):
                top = max(top, z[k, i, j])
                norm += dz[k, i, j]
                level += z[k, i, j]
            share = weight[s, i] * scale[step, k]
            factor = share / norm
            for j in range(z.shape[2]):
                dz[k, i, j] = dz[k, i, j] * factor - for_all * share
            code = y[s, i, 0]
            dz[k, i, code] -= for_one * share
            loss = math.log(norm) + top - for_one * z[k, i, code]
            if label_smoothing > 0:  # or infinite outputs would make NaN of nothing
                loss -= for_all * level
            total += share * loss
        losses[step, k] = total


@kernel
def binary_log_loss(z, y, weight, scale, clock, dz, losses, label_smoothing):
    step = clock[0]
    one = z.dtype.type(1)
    half, for_one = z.dtype.type(label_smoothing / 2), z.dtype.type(1 - label_smoothing)
    for k in range(z.shape[0]):
        s = min(k, y.shape[0] - 1)
        total = 0.0
        flat, decays = z[k].reshape(-1), dz[k].reshape(-1)
        for i in range(len(flat)):
            decays[i] = vector_math.exp(-abs(flat[i]), z.dtype.type(0))
        for i in range(z.shape[1]):
            share = weight[s, i] * scale[step, k]
            for j in range(z.shape[2]):
                x, e, target = z[k, i, j], dz[k, i, j], for_one * y[s, i, j] + half
                p = (one if x >= 0 else e) / (one + e)
                dz[k, i, j] = share * (p - target)
                total += share * (max(x, z.dtype.type(0)) - target * x + vector_math.log1p(e))
        losses[step, k] = total


@kernel
def squared_error(z, y, weight, scale, clock, dz, losses):
    step = clock[0]
    for k in range(z.shape[0]):
        s = min(k, y.shape[0] - 1)
        total = 0.0
        for i in range(z.shape[1]):
            share = weight[s, i] * scale[step, k]
            for j in range(z.shape[2]):
                d = z[k, i, j] - y[s, i, j]
                dz[k, i, j] = share * d
                total += share * d * d
        losses[step, k] = 0.5 * total / z.shape[2]


@kernel
def softmax(z):
    for k in range(z.shape[0]):
        odds = np.empty_like(z[k])
        exponentials(z[k], odds)
        for i in range(z.shape[1]):
            total = z.dtype.type(0)
            for j in range(z.shape[2]):
                total += odds[i, j]
            for j in range(z.shape[2]):
                z[k, i, j] = odds[i, j] / total


@kernel
def logistic(z):
    for k in range(z.shape[0]):
        flat = z[k].reshape(-1)
        for i in range(len(flat)):
            flat[i] = vector_math.logistic(flat[i])


LINKS = {"softmax": softmax, "logistic": logistic}
LOSSES = {
    "softmax_log_loss": softmax_log_loss,
    "binary_log_loss": binary_log_loss,
    "squared_error": squared_error,
}
