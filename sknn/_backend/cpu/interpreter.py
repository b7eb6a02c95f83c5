"""The compiled loop that runs a program: a table of codes, addresses and shapes (see `program.py`)."""

from __future__ import annotations

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import elements, loops, updates
from .compiling import kernel

COMPILED_IN = "1ede4fa3bce2f2ee"  # stands for the content of imported files, see tests/backend/stamps.py
FEW = 16  # rows or columns of a gradient up to which own loops are faster than BLAS
VERY_FEW = 4  # columns of another product up to which they are

GATHER, GATHER_CODES, ADVANCE, PRODUCT, PRODUCT_OF_TRANSPOSED, PRODUCT_WITH_TRANSPOSED = range(6)
BIAS, BIAS_RELU, BIAS_LOGISTIC, BIAS_TANH, IDENTITY_BACK, RELU_BACK, LOGISTIC_BACK, TANH_BACK = range(6, 14)
SOFTMAX, BINARY, SQUARED, ADAM, SGD = range(14, 19)

# Types of operands: T an array of the network's float type, i of int64, d of float64, n a number.
CODES = {
    "gather": (GATHER, "T i i T"),
    "gather_codes": (GATHER_CODES, "i i i i"),
    "advance": (ADVANCE, "i n"),
    "product": (PRODUCT, "T T T"),
    "product_of_transposed": (PRODUCT_OF_TRANSPOSED, "T T T"),
    "product_with_transposed": (PRODUCT_WITH_TRANSPOSED, "T T T"),
    "bias identity": (BIAS, "T T"),
    "bias relu": (BIAS_RELU, "T T"),
    "bias logistic": (BIAS_LOGISTIC, "T T"),
    "bias tanh": (BIAS_TANH, "T T"),
    "backward identity": (IDENTITY_BACK, "T T T"),
    "backward relu": (RELU_BACK, "T T T"),
    "backward logistic": (LOGISTIC_BACK, "T T T"),
    "backward tanh": (TANH_BACK, "T T T"),
    "softmax_log_loss": (SOFTMAX, "T i T T i T d d"),
    "binary_log_loss": (BINARY, "T T T T i T d d"),
    "squared_error": (SQUARED, "T T T T i T d d"),
    "adam": (ADAM, "T T T T T T T T n i d"),
    "sgd": (SGD, "T T T T T T T T n i d"),
}
N_OPERANDS = max(len(kinds.split()) for _, kinds in CODES.values())


@intrinsic
def pointer(typing_context, address):
    """Return an integer as a pointer."""

    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@numba.njit(inline="always")
def number(row, operand):
    """Return an operand that is a number."""
    return row[4 * operand - 3]


@numba.njit(inline="always")
def cube(row, operand, like):
    """Return an operand as an array of three axes."""
    i = 4 * operand - 3
    return numba.carray(pointer(row[i]), (row[i + 1], row[i + 2], row[i + 3]), like.dtype)


@numba.njit(inline="always")
def matrix(row, operand, like):
    """Return an operand as an array of two axes."""
    i = 4 * operand - 3
    return numba.carray(pointer(row[i]), (row[i + 2], row[i + 3]), like.dtype)


@numba.njit(inline="always")
def vector(row, operand, like):
    """Return an operand as an array of one axis."""
    i = 4 * operand - 3
    return numba.carray(pointer(row[i]), (row[i + 3],), like.dtype)


@kernel
def execute(table, like, times):
    """Run the kernels of a table, from its first row to its last, ``times`` times."""
    whole, exact = np.empty(0, np.int64), np.empty(0, np.float64)
    for _ in range(times):
        for number in range(table.shape[0]):
            row = table[number]
            code = row[0]
            if code < PRODUCT:
                gather_or_advance(row, code, like, whole)
            elif code < BIAS:
                multiply(row, code, like)
            elif code < SOFTMAX:
                activate(row, code, like)
            elif code < ADAM:
                loss_gradient(row, code, like, whole, exact)
            else:
                update(row, code, like, whole, exact)


@numba.njit(inline="always")
def gather_or_advance(row, code, like, whole):
    if code == GATHER:
        loops.gather(matrix(row, 1, like), matrix(row, 2, whole), vector(row, 3, whole), cube(row, 4, like))
    elif code == GATHER_CODES:
        loops.gather(matrix(row, 1, whole), matrix(row, 2, whole), vector(row, 3, whole), cube(row, 4, whole))
    else:
        clock = vector(row, 1, whole)
        clock[0] += 1
        clock[1] += number(row, 2)


@numba.njit(inline="always")
def multiply(row, code, like):
    a, b, out = matrix(row, 1, like), matrix(row, 2, like), matrix(row, 3, like)
    if code == PRODUCT:
        if 1 < out.shape[1] <= VERY_FEW:
            loops.product_with_few(a, b, out)
        else:
            np.dot(a, b, out)
    elif code == PRODUCT_OF_TRANSPOSED:
        if 1 < min(out.shape[0], out.shape[1]) <= FEW:
            loops.product_of_transposed(a, b, out)
        else:
            np.dot(a.T, b, out)
    else:
        np.dot(a, b.T, out)


@numba.njit(inline="always")
def activate(row, code, like):
    first, second = cube(row, 1, like), cube(row, 2, like)
    if code == BIAS:
        loops.bias_activation_in_place(first, second, elements.Identity())
    elif code == BIAS_RELU:
        loops.bias_activation_in_place(first, second, elements.ReLU())
    elif code == BIAS_LOGISTIC:
        loops.bias_activation_in_place(first, second, elements.Logistic())
    elif code == BIAS_TANH:
        loops.bias_activation_in_place(first, second, elements.Tanh())
    elif code == IDENTITY_BACK:
        loops.activation_backward(first, second, cube(row, 3, like), elements.Identity())
    elif code == RELU_BACK:
        loops.activation_backward(first, second, cube(row, 3, like), elements.ReLU())
    elif code == LOGISTIC_BACK:
        loops.activation_backward(first, second, cube(row, 3, like), elements.Logistic())
    else:
        loops.activation_backward(first, second, cube(row, 3, like), elements.Tanh())


@numba.njit(inline="always")
def loss_gradient(row, code, like, whole, exact):
    z, weight, scale, clock = cube(row, 1, like), matrix(row, 3, like), matrix(row, 4, like), vector(row, 5, whole)
    dz, losses, numbers = cube(row, 6, like), matrix(row, 7, exact), vector(row, 8, exact)
    if code == SOFTMAX:
        loops.softmax_log_loss(z, cube(row, 2, whole), weight, scale, clock, dz, losses, numbers[0])
    elif code == BINARY:
        loops.binary_log_loss(z, cube(row, 2, like), weight, scale, clock, dz, losses, numbers[0])
    else:
        loops.squared_error(z, cube(row, 2, like), weight, scale, clock, dz, losses)


@numba.njit(inline="always")
def update(row, code, like, whole, exact):
    theta, grad, slots, constants = matrix(row, 1, like), matrix(row, 2, like), cube(row, 3, like), matrix(row, 4, like)
    rate, second_rate = matrix(row, 5, like), matrix(row, 6, like)
    alpha, scale, n_decayed = vector(row, 7, like), matrix(row, 8, like), number(row, 9)
    clock, losses = vector(row, 10, whole), matrix(row, 11, exact)
    if code == ADAM:
        updates.update(
            theta, grad, slots, constants, rate, second_rate, alpha, scale, n_decayed, clock, losses, elements.Adam
        )
    else:
        updates.update(
            theta, grad, slots, constants, rate, second_rate, alpha, scale, n_decayed, clock, losses, elements.SGD
        )
