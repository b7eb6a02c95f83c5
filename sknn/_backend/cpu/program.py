"""Programs: plans of small networks whose kernels one compiled loop runs, without calls from Python.

A call from Python costs 0.5 to 1.5 microseconds, which is most of a step on a small network. A program is a table of
integers, one row an operation: the code of its kernel and, for each operand, address and shape. A plan with an
operation that has no code here, with operands that are not contiguous, or with so much work that calls do not matter,
is no program.

Products go to the BLAS that Numba calls, which is SciPy's, but for some of thin matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import operations as ops
from ..typing import Array
from .interpreter import CODES, N_OPERANDS, execute

MOST_WORK = 2**22  # multiplications of a step
ONE_THREAD = 2**18  # multiplications of a product up to which OpenBLAS leaves it to one thread
STEPS_AT_ONCE = 1000  # between which Ctrl-C is heard


class Program:
    """A plan as a table of integers, with references to the arrays whose addresses are in the table."""

    def __init__(self, rows: list[Row], dtype: np.dtype) -> None:
        self._rows = rows
        self._table = np.array([row.cells() for row in rows], np.int64)
        self._like = np.empty(0, dtype)

    def run(self, times: int) -> None:
        """Run the plan ``times`` times."""
        while times > 0:
            execute(self._table, self._like, min(times, STEPS_AT_ONCE))
            times -= STEPS_AT_ONCE


class Row(NamedTuple):
    """An operation in a program: the name of its code, and its operands."""

    name: str
    operands: tuple[Array | int, ...]

    def fits(self, dtype: np.dtype) -> bool:
        """Return whether the operation has a code, and its operands have the types and layout that it reads."""
        if self.name not in CODES:
            return False
        dtypes, kinds = {"T": dtype, "i": np.int64, "d": np.float64}, CODES[self.name][1].split()
        pairs = zip(kinds, self.operands, strict=True)
        return all(kind == "n" or _is_plain(operand, dtypes[kind]) for kind, operand in pairs)

    def cells(self) -> list[int]:
        """Return the row of the table: the code, then address and shape of each operand, or its number and zeros."""
        cells = [CODES[self.name][0]]
        for operand in self.operands:
            if isinstance(operand, np.ndarray):
                cells += [operand.ctypes.data, *((1, 1, 1) + operand.shape)[-3:]]
            else:
                cells += [operand, 0, 0, 0]
        return cells + [0] * (1 + 4 * N_OPERANDS - len(cells))


def _is_plain(array: Any, dtype: Any) -> bool:
    return array.dtype == dtype and array.flags.c_contiguous


def as_program(plan: Sequence[ops.Operation], has_threads: bool = False) -> Program | None:
    """Return a plan as a program, or None if it cannot be one.

    Where BLAS ``has_threads``, no product may be one that they would share: the threads are those of SciPy's BLAS, and
    those of NumPy's, which have the products outside programs, would spin against them.
    """
    products = [op for op in plan if isinstance(op, ops.MatMul)]
    work = [product.n_multiplications for product in products]
    if not work or sum(work) > MOST_WORK or (has_threads and max(work) > ONE_THREAD):
        return None
    rows, dtype = [], products[0].out.dtype
    for op in plan:
        encode = ENCODERS.get(type(op))
        row = encode(op) if encode else None
        if row is None or not row.fits(dtype):
            return None
        rows.append(row)
    return Program(rows, dtype)


# ---- from operations to rows ------------------------------------------------------------


def _gather(op: ops.Gather) -> Row:
    return Row("gather_codes" if op.table.dtype == np.int64 else "gather", (op.table, op.order, op.clock, op.out))


def _advance(op: ops.Advance) -> Row:
    return Row("advance", (op.clock, op.n_rows))


def _matmul(op: ops.MatMul) -> Row | None:
    if len(op.out) > 1:
        return None
    if not op.a.flags.c_contiguous:
        return Row("product_of_transposed", (op.a.swapaxes(1, 2), op.b, op.out))
    if not op.b.flags.c_contiguous:
        return Row("product_with_transposed", (op.a, op.b.swapaxes(1, 2), op.out))
    return Row("product", (op.a, op.b, op.out))


def _bias_activation(op: ops.BiasActivation) -> Row:
    return Row(f"bias {op.activation.kernel}", (op.z, op.b))


def _activation_backward(op: ops.ActivationBackward) -> Row:
    return Row(f"backward {op.activation.kernel}", (op.dz, op.y, op.db))


def _loss_gradient(op: ops.LossGradient) -> Row:
    batch = op.z, op.y, op.weight, op.scale, op.clock
    return Row(op.loss.kernel, (*batch, op.dz, op.losses, np.array([*op.loss.constants(), 0.0])))


def _update(op: ops.Update) -> Row:
    t = op.tables
    second_rate = t.rate if t.second_rate is None else t.second_rate
    numbers = op.constants, t.rate, second_rate, op.alpha, t.scale, op.n_decayed, t.clock, t.loss
    return Row(op.optimizer.kernel, (op.theta, op.grad, op.slots, *numbers))


ENCODERS: dict[type[ops.Operation], Callable[[Any], Row | None]] = {
    ops.Gather: _gather,
    ops.Advance: _advance,
    ops.MatMul: _matmul,
    ops.BiasActivation: _bias_activation,
    ops.ActivationBackward: _activation_backward,
    ops.LossGradient: _loss_gradient,
    ops.Update: _update,
}
