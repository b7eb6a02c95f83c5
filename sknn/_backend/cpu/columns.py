"""Fused loops for transformers: moments and extremes of columns and groups, centring and scaling."""

from __future__ import annotations

import numpy as np

from .compiling import exact_kernel, kernel

COMPILED_IN = "57307ec903024c2c"  # stands for the content of imported files, see tests/backend/stamps.py

# ---- column moments: a block of rows at a time, relative to the mean so far --------------

# The first block is taken relative to a value of its own. Comparisons with itself find NaN without a branch. Weights
# are used cyclically, so that one block of ones serves all rows. Sums over blocks must not be reassociated:
# that would make ``rest``, the rounding error of the mean in double-double, zero. ``trace`` is None where no square
# vanishes; Numba compiles that apart.

MOMENT_ROWS = 1024


@kernel
def first_counted(x, weight):
    for i in range(x.shape[0]):
        if x[i] == x[i] and weight[i] > 0:
            return np.float64(x[i])
    return 0.0


@exact_kernel
def add_block(j, seen, drift, spread, count, mean, rest, squares):
    drift += count[j] * rest[j]
    spread += count[j] * rest[j] * rest[j]
    count[j] += seen
    step = drift / count[j] if count[j] > 0 else 0.0
    squares[j] += spread - drift * step
    before = mean[j]
    mean[j] += step
    rest[j] = step - (mean[j] - before)


@kernel
def moments_by_row(X, weight, trace, count, mean, rest, squares):
    seen, drift, spread = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    for first in range(0, X.shape[0], MOMENT_ROWS):
        block, block_weight = X[first : first + MOMENT_ROWS], weight[first % weight.shape[0] :]
        seen[:], drift[:], spread[:] = 0, 0, 0
        for j in range(X.shape[1]):
            if count[j] == 0:
                mean[j] = first_counted(block[:, j], block_weight)
        for i in range(block.shape[0]):
            row_weight = block_weight[i]
            for j in range(X.shape[1]):
                is_known = block[i, j] == block[i, j]
                w = row_weight if is_known else 0.0
                deviation = block[i, j] - mean[j] if is_known else 0.0
                seen[j] += w
                moved = w * deviation
                drift[j] += moved
                if trace is None:
                    spread[j] += moved * deviation
                else:
                    spread[j] += moved * deviation + (trace if moved != 0 else 0.0)
        for j in range(X.shape[1]):
            add_block(j, seen[j], drift[j], spread[j], count, mean, rest, squares)


@kernel
def moments_by_column(columns, weight, trace, count, mean, rest, squares):
    for j in range(columns.shape[0]):
        for first in range(0, columns.shape[1], MOMENT_ROWS):
            block, block_weight = columns[j, first : first + MOMENT_ROWS], weight[first % weight.shape[0] :]
            if count[j] == 0:
                mean[j] = first_counted(block, block_weight)
            center = mean[j]
            seen, drift, spread = 0.0, 0.0, 0.0
            for i in range(block.shape[0]):
                is_known = block[i] == block[i]
                w = block_weight[i] if is_known else 0.0
                deviation = block[i] - center if is_known else 0.0
                seen += w
                drift += w * deviation
                spread += w * deviation * deviation
            if trace is not None and spread == 0:
                has_moved = False
                for i in range(block.shape[0]):
                    has_moved |= (block_weight[i] * (block[i] - center) != 0) & (block[i] == block[i])
                spread = trace if has_moved else 0.0
            add_block(j, seen, drift, spread, count, mean, rest, squares)


# ---- extremes ----------------------------------------------------------------------------

# Comparisons are False for NaN, which leaves it out. A minimum of two accumulators is vectorised, a branch is not.


@kernel
def extremes_by_row(X, low, high):
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            x = X[i, j]
            low[j] = x if x < low[j] else low[j]
            high[j] = x if x > high[j] else high[j]


@kernel
def extremes_by_column(columns, low, high):
    for j in range(columns.shape[0]):
        least, greatest = low[j], high[j]
        for i in range(columns.shape[1]):
            x = columns[j, i]
            least = x if x < least else least
            greatest = x if x > greatest else greatest
        low[j], high[j] = least, greatest


# ---- groups of the features of a row -----------------------------------------------------


@kernel
def group_moments(x, count, mean, squares):
    for k in range(x.shape[0]):
        for g in range(x.shape[2]):
            seen, total = 0, 0.0
            for a in range(x.shape[1]):
                for b in range(x.shape[3]):
                    value = x[k, a, g, b]
                    is_known = value == value
                    seen += is_known
                    total += value if is_known else 0.0
            center = total / max(seen, 1)
            drift, spread = 0.0, 0.0
            for a in range(x.shape[1]):
                for b in range(x.shape[3]):
                    value = x[k, a, g, b]
                    deviation = value - center if value == value else 0.0
                    drift += deviation
                    spread += deviation * deviation
            rest = drift / max(seen, 1)  # of a sum of many equal values, to which rounding adds up
            count[k, g], mean[k, g], squares[k, g] = seen, center + rest, spread - drift * rest


# ---- elementwise -------------------------------------------------------------------------


@kernel
def has_infinity(x):
    found = False
    for i in range(x.shape[0]):
        found |= abs(x[i]) == np.inf
    return found


@kernel
def center(X, mean, out):
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = X[i, j] - mean[j]


# In place, as activations are, and without fastmath: the bits of NumPy and scikit-learn.


@exact_kernel
def shift_scale(x, shift, scale):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = (x[i, j] - shift[j]) / scale[j]


@exact_kernel
def scale_shift(x, scale, shift):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = x[i, j] * scale[j] + shift[j]


@exact_kernel
def shift_scale_groups(x, shift, scale):
    for k in range(x.shape[0]):
        for a in range(x.shape[1]):
            for g in range(x.shape[2]):
                for b in range(x.shape[3]):
                    x[k, a, g, b] = (x[k, a, g, b] - shift[k, 0, g, 0]) / scale[k, 0, g, 0]
