"""Plans of small networks as programs: one compiled loop runs their kernels, so that a step has no Python in it.

A call from Python costs 0.5 to 1.5 microseconds, which is most of a step on a small network. A program is a table of
integers, one row a call: the code of its kernel and, for each operand, address and shape. A plan with a call that has
no code here, with operands that are not contiguous, or with so much work that calls do not matter, is no program.

Products go to the BLAS that Numba calls, which is SciPy's, but for some of thin matrices.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import loops, updates
from .compiling import kernel

COMPILED_IN = "e8e38e43abb6699e"  # stands for what is imported from here, see tests/backend/stamps.py
MOST_WORK = 2**22  # multiplications of a step
ONE_THREAD = 2**18  # multiplications of a product up to which OpenBLAS leaves it to one thread
STEPS_AT_ONCE = 1000  # between which Ctrl-C is heard
FEW = 16  # rows or columns of a gradient up to which own loops are faster than BLAS
VERY_FEW = 4  # columns of another product up to which they are

GATHER, GATHER_CODES, ADVANCE, PRODUCT, PRODUCT_OF_TRANSPOSED, PRODUCT_WITH_TRANSPOSED = range(6)
BIAS, BIAS_RELU, BIAS_LOGISTIC, BIAS_TANH, IDENTITY_BACK, RELU_BACK, LOGISTIC_BACK, TANH_BACK = range(6, 14)
SOFTMAX, BINARY, SQUARED, ADAM, SGD = range(14, 19)

# What operands are: T an array of the network's float type, i of int64, d of float64, n a number.
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


class Program:
    """What a plan does, as a table; it keeps the arrays that the table points at."""

    def __init__(self, rows, dtype):
        self._operands = [operands for _, operands in rows]
        self._table = np.array([_row(*row) for row in rows], np.int64)
        self._like = np.empty(0, dtype)

    def run(self, times):
        """Run the plan some times."""
        while times > 0:
            execute(self._table, self._like, min(times, STEPS_AT_ONCE))
            times -= STEPS_AT_ONCE


def as_program(plan, backend, has_threads=False):
    """Return a plan of a backend's kernels as a program, or None if it cannot be one.

    Where BLAS ``has_threads``, no product may be one that they would share: the threads are those of SciPy's BLAS, and
    those of NumPy's, which have the products outside programs, would spin against them.
    """
    calls = [(_name(call, backend), getattr(call, "args", ())) for call in plan]
    products = [args for name, args in calls if name == "matmul"]
    work = [out.shape[-2] * out.shape[-1] * a.shape[-1] for a, _, out in products]
    if not work or sum(work) > MOST_WORK or (has_threads and max(work) > ONE_THREAD):
        return None
    dtype = products[0][-1].dtype
    rows = [_encode(name, args, dtype) for name, args in calls]
    return None if None in rows else Program(rows, dtype)


def _name(call, backend):
    """Return the name of the kernel that is called, or None if it is something else."""
    function = getattr(call, "func", None)
    return function.__name__ if getattr(function, "__self__", None) is backend else None


def _encode(name, args, dtype):
    """Return the code's name and the operands of a call, or None."""
    encoder = ENCODERS.get(name)
    named, operands = encoder(*args) if encoder else (None, ())
    if named not in CODES:
        return None
    dtypes = {"T": dtype, "i": np.int64, "d": np.float64}
    kinds = CODES[named][1].split()
    fits = (kind == "n" or _is_plain(operand, dtypes[kind]) for kind, operand in zip(kinds, operands, strict=True))
    return (named, operands) if all(fits) else None


def _is_plain(array, dtype):
    return array.dtype == dtype and array.flags.c_contiguous


def _row(named, operands):
    """Return a row of the table: the code, and address and shape of each operand, or a number and no shape."""
    cells = [
        (operand.ctypes.data, *((1, 1, 1) + operand.shape)[-3:])
        if isinstance(operand, np.ndarray)
        else (operand, 0, 0, 0)
        for operand in operands
    ]
    cells += [(0, 0, 0, 0)] * (N_OPERANDS - len(cells))
    return [CODES[named][0], *(cell for four in cells for cell in four)]


# ---- from calls to codes ----------------------------------------------------------------


def _gather(table, order, clock, out):
    return "gather_codes" if table.dtype == np.int64 else "gather", (table, order, clock, out)


def _advance(clock, n_rows):
    return "advance", (clock, n_rows)


def _matmul(a, b, out):
    if len(out) > 1:
        return None, ()
    if not a.flags.c_contiguous:
        return "product_of_transposed", (a.swapaxes(1, 2), b, out)
    if not b.flags.c_contiguous:
        return "product_with_transposed", (a, b.swapaxes(1, 2), out)
    return "product", (a, b, out)


def _bias_activation(z, b, activation, y):
    return f"bias {activation.kernel}", (z, b)


def _activation_backward(dz, z, y, activation, db):
    return f"backward {activation.kernel}", (dz, y, db)


def _loss_gradient(loss, z, y, weight, scale, clock, dz, losses):
    return loss.kernel, (z, y, weight, scale, clock, dz, losses, np.array([*loss.numbers(), 0.0]))


def _update(optimizer, theta, grad, slots, hyper, alpha, n_decayed, t):
    second_rate = t.rate if t.second_rate is None else t.second_rate
    numbers = hyper, t.rate, second_rate, alpha, t.scale, n_decayed, t.clock, t.loss
    return optimizer.kernel, (theta, grad, slots, *numbers)


ENCODERS = {
    "gather": _gather,
    "advance": _advance,
    "matmul": _matmul,
    "bias_activation": _bias_activation,
    "activation_backward": _activation_backward,
    "loss_gradient": _loss_gradient,
    "update": _update,
}


# ---- the compiled loop ------------------------------------------------------------------


@intrinsic
def pointer(typing_context, address):
    """Return an integer as a pointer."""

    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


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
    """Run the kernels of a table, from its first row to its last, some times."""
    whole, exact = np.empty(0, np.int64), np.empty(0, np.float64)
    for _ in range(times):
        for number in range(table.shape[0]):
            row = table[number]
            code = row[0]
            if code < PRODUCT:
                draw(row, code, like, whole)
            elif code < BIAS:
                multiply(row, code, like)
            elif code < SOFTMAX:
                activate(row, code, like)
            elif code < ADAM:
                lose(row, code, like, whole, exact)
            else:
                update(row, code, like, whole, exact)


@numba.njit(inline="always")
def draw(row, code, like, whole):
    if code == GATHER:
        loops.gather(matrix(row, 1, like), matrix(row, 2, whole), vector(row, 3, whole), cube(row, 4, like))
    elif code == GATHER_CODES:
        loops.gather(matrix(row, 1, whole), matrix(row, 2, whole), vector(row, 3, whole), cube(row, 4, whole))
    else:
        clock = vector(row, 1, whole)
        clock[0] += 1
        clock[1] += row[5]


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
        loops.bias(first, second)
    elif code == BIAS_RELU:
        loops.bias_relu(first, second)
    elif code == BIAS_LOGISTIC:
        loops.bias_logistic(first, second)
    elif code == BIAS_TANH:
        loops.bias_tanh(first, second)
    elif code == IDENTITY_BACK:
        loops.identity_backward(first, second, cube(row, 3, like))
    elif code == RELU_BACK:
        loops.relu_backward(first, second, cube(row, 3, like))
    elif code == LOGISTIC_BACK:
        loops.logistic_backward(first, second, cube(row, 3, like))
    else:
        loops.tanh_backward(first, second, cube(row, 3, like))


@numba.njit(inline="always")
def lose(row, code, like, whole, exact):
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
    theta, grad, slots, hyper = matrix(row, 1, like), matrix(row, 2, like), cube(row, 3, like), matrix(row, 4, like)
    rate, second_rate = matrix(row, 5, like), matrix(row, 6, like)
    alpha, scale, n_decayed = vector(row, 7, like), matrix(row, 8, like), row[33]
    clock, losses = vector(row, 10, whole), matrix(row, 11, exact)
    if code == ADAM:
        updates.adam(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses)
    else:
        updates.sgd(theta, grad, slots, hyper, rate, second_rate, alpha, scale, n_decayed, clock, losses)
