"""NumPy arrays, with fused loops for the kernels where one pass pays."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

from .. import reference
from . import columns, loops, updates
from .program import ONE_THREAD, as_program

MOST_OUTPUTS = 2**14  # of a product, above which turning it takes longer than threads wait


class Backend(reference.Backend):
    """The reference kernels on NumPy, some of them replaced by fused loops."""

    def __init__(self):
        super().__init__(np)

    def prepare(self, plan):
        has_threads = max((library.num_threads for library in _blas().lib_controllers), default=1) > 1
        program = as_program(plan, self, has_threads)
        if program is None and has_threads:
            plan = [part for call in plan for part in self._shared_well(call)]
        return program or super().prepare(plan)

    def _shared_well(self, call):
        """Return a product of which threads could not share the work well as one of which they can.

        OpenBLAS has threads compute other columns of its output, which is ours transposed, or, where it has more rows
        than columns, other rows; then they wait for each other, which may take longer than what they do.
        """
        if getattr(call, "func", None) != self.matmul:
            return [call]
        a, b, out = call.args
        rows, columns = out.shape[-2:]
        is_small = rows * columns <= MOST_OUTPUTS and a.shape[-1] * rows * columns > ONE_THREAD
        if not is_small or columns < 1.5 * rows or a.flags.c_contiguous or len(a) != len(b):
            return [call]
        flipped = np.empty((len(out), columns, rows), out.dtype)
        return [
            partial(self.matmul, b.swapaxes(1, 2), a.swapaxes(1, 2), flipped),
            partial(self.transpose, flipped, out),
        ]

    def transpose(self, source, out):
        loops.transpose(source, out)

    def gather(self, table, order, clock, out):
        loops.gather(table, order, clock, out)

    def matmul(self, a, b, out):
        if a.shape[-1] == 1:
            loops.outer(a, b, out)  # which NumPy leaves to no BLAS
        else:
            np.matmul(a, b, out=out)

    def bias_activation(self, z, b, activation, y):
        fused = loops.FORWARD.get(activation.kernel)
        if fused is None:
            super().bias_activation(z, b, activation, y)
        elif activation.in_place:
            fused(z, b, *activation.numbers())
        else:
            fused(z, b, y, *activation.numbers())

    def activation_backward(self, dz, z, y, activation, db):
        fused = loops.BACKWARD.get(activation.kernel)
        if fused is None:
            super().activation_backward(dz, z, y, activation, db)
        else:
            fused(dz, y if activation.in_place else z, db, *activation.numbers())

    def maxout(self, z, choice, y):
        loops.maxout(z, choice, y)

    def maxout_backward(self, dy, choice, dz):
        loops.maxout_backward(dy, choice, dz)

    def dropout(self, x, noise, stream, keep, out):
        loops.dropout_keep(noise.rates, noise.keys, stream, noise.clock, keep.reshape(len(keep), -1))
        loops.dropout(x, noise.rates, stream, keep, out)

    def dropout_backward(self, d, noise, stream, keep):
        loops.dropout_backward(d, noise.rates, stream, keep)

    def batch_moments(self, x, weight, bounds, eps, mean, variance, inverse):
        loops.batch_moments(x, weight, bounds, x.dtype.type(eps), mean, variance, inverse)

    def track_moments(self, mean, variance, weight, bounds, momentum, kept):
        loops.track_moments(mean, variance, weight, bounds, momentum, kept["means"], kept["variances"], kept["updates"])

    def standardize(self, x, mean, inverse, gain, bounds, y):
        loops.standardize(x, mean, inverse, gain, bounds, y)

    def standardize_backward(self, d, x, inverse, gain, weight, bounds, d_gain):
        loops.standardize_backward(d, x, inverse, gain, weight, bounds, d_gain)

    def scale_backward(self, d, x, inverse, gain, d_gain):
        loops.scale_backward(d, x, inverse, gain, d_gain)

    def standardize_groups(self, x, eps, inverse, gain, y):
        loops.standardize_groups(x, x.dtype.type(eps), inverse, gain, y)

    def standardize_groups_backward(self, d, x, inverse, gain, d_gain):
        loops.standardize_groups_backward(d, x, inverse, gain, d_gain)

    def loss_gradient(self, loss, z, y, weight, scale, clock, dz, losses):
        fused = loops.LOSSES.get(loss.kernel)
        if fused is None:
            super().loss_gradient(loss, z, y, weight, scale, clock, dz, losses)
        else:
            fused(z, y, weight, scale, clock, dz, losses, *loss.numbers())

    def link(self, loss, z):
        fused = loops.LINKS.get(loss.link_name)
        if fused is None:
            super().link(loss, z)
        else:
            fused(z)

    def update(self, optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables):
        fused = updates.UPDATES.get(optimizer.kernel)
        if fused is None:
            super().update(optimizer, theta, grad, slots, hyper, alpha, n_decayed, tables)
        else:
            t = tables
            second_rate = t.rate if t.second_rate is None else t.second_rate
            fused(theta, grad, slots, hyper, t.rate, second_rate, alpha, t.scale, n_decayed, t.clock, t.loss)

    def average(self, values, mean, decay, clock):
        updates.average(values, mean, decay, clock)

    def clip_norm(self, grad, limit):
        updates.clip_norm(grad, limit)

    def add_l1(self, theta, grad, l1, scale, n_decayed, clock, losses):
        updates.add_l1(theta, grad, l1, scale, n_decayed, clock, losses)

    def limit_norms(self, W, limit):
        updates.limit_norms(W, limit)

    def run(self, work, pieces):
        n_threads = min(thread_count(), len(pieces))
        if n_threads < 2:
            return super().run(work, pieces)
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(work, pieces))

    def one_blas_thread(self):
        return _blas().limit(limits=1)

    def column_moments(self, X, weight=None):
        count, mean, rest, squares = np.zeros((4, X.shape[1]))
        weight = np.ones(columns.MOMENT_ROWS) if weight is None else np.ascontiguousarray(weight)
        if _is_stored_by_row(X):
            columns.moments_by_row(X, weight, count, mean, rest, squares)
        else:
            columns.moments_by_column(X.T, weight, count, mean, rest, squares)
        mean[count == 0] = 0
        return count, mean, rest, np.maximum(squares, 0)

    def column_extremes(self, X):
        least, greatest = _limits(X.dtype)
        low, high = np.full(X.shape[1], greatest, X.dtype), np.full(X.shape[1], least, X.dtype)
        if _is_stored_by_row(X):
            columns.extremes_by_row(X, low, high)
        else:
            columns.extremes_by_column(X.T, low, high)
        return low.astype(np.float64), high.astype(np.float64)

    def group_moments(self, x):
        count, mean, squares = np.empty((3, x.shape[0], x.shape[2]))
        columns.group_moments(x, count, mean, squares)
        return count, mean, squares

    def has_infinity(self, x):
        return columns.has_infinity(x.reshape(-1)) if x.flags.c_contiguous else super().has_infinity(x)

    def shift_scale(self, x, shift, scale):
        if x.ndim == 2:
            columns.shift_scale(x, shift, scale)
        else:
            columns.shift_scale_groups(x, shift, scale)

    def scale_shift(self, x, scale, shift):
        columns.scale_shift(x, scale, shift)

    def center(self, X, mean, out):
        columns.center(X, mean, out)


@functools.cache
def _blas():
    return ThreadpoolController().select(user_api="blas")  # looking for libraries takes milliseconds


def thread_count():
    """Return how many threads may share elementwise work: what Numba was told, or OpenMP where that is less."""
    limit, told = numba.config.NUMBA_NUM_THREADS, os.environ.get("OMP_NUM_THREADS", "")
    return min(limit, int(told)) if told.isdecimal() else limit


def _limits(dtype):
    return (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _is_stored_by_row(X):
    return abs(X.strides[0]) > abs(X.strides[1])
