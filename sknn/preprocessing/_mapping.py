"""Transformations of rows: steps in place on blocks, and products; and the search for NaN and infinity on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import singledispatch
from typing import Any, NoReturn, TypeAlias

import numpy as np

from .._backend.operations import MatMul
from .._backend.protocol import Backend
from .._backend.typing import Array, ArrayModule
from .._common.rows import Rows, SparseRows

PRODUCT_ELEMENTS = 2**19  # of rows that are multiplied at a time


def refuse_infinity(rows: Rows) -> None:
    """Raise ValueError if dense rows hold infinity."""
    rows.examine(_refuse_infinity_in)


def _refuse_infinity_in(backend: Backend, block: Array) -> None:
    if block.dtype.kind == "f" and backend.has_infinity(block):
        raise ValueError(
            f"Input X contains infinity or a value too large for dtype('{block.dtype}'). Replace these values, or drop "
            "their rows."
        )


def float_type_of(X: Any, dtype: Any) -> np.dtype:
    """Return the float type of a transformed X: ``dtype``, else X's own, else float64."""
    return np.dtype(dtype or (X.dtype if X.dtype.kind == "f" else np.float64))


def precision_of(X: Any, dtype: Any) -> np.dtype:
    """Return the float type in which X is worked on, to be ``dtype`` in the end: no value of X is rounded before."""
    return np.result_type(X.dtype, dtype)


Step: TypeAlias = Callable[[Any], object]
"""A change of a block of rows in place."""

AcceptSparse: TypeAlias = bool | str | tuple[str, ...]
"""Sparse formats that validation accepts."""


@singledispatch
def map_rows(rows: Rows, steps: Sequence[Step], dtype: np.dtype, in_place: bool, hides_infinity: bool = True) -> Any:
    """Return rows after ``steps``, which change a block ``(rows, features)`` in place, as an array of float ``dtype``.

    ``in_place`` asks for X itself, which must have that type. Sparse rows, copied by validation or not, are one block.
    Results are examined for infinity, which tells of infinity in X too, unless steps may hide it.
    """
    backend, X = rows.backend, rows.X
    in_place = in_place and X.dtype == dtype
    if in_place:
        refuse_infinity(rows)  # before anything is written
    out = X if in_place else rows.result_module.empty_like(X, dtype=dtype, order="K" if X.ndim == 2 else "C")
    narrows = precision_of(X, dtype) != dtype
    is_native = not narrows and rows.result_module is backend.xp

    def work(piece: slice) -> None:
        source, target = backend.asarray(X[piece]), out[piece]
        is_direct = is_native and target.flags.c_contiguous
        block = target if is_direct else backend.xp.empty(target.shape, precision_of(X, dtype))
        if block is not target or not in_place:
            block[...] = source
        flat = block.reshape(-1, rows.n_features)
        if hides_infinity and not in_place:
            _refuse_infinity_in(backend, flat)
        with np.errstate(over="ignore", invalid="ignore"):
            for step in steps:
                step(flat)
            if not is_direct:
                target[...] = rows.to_result_memory(block)
        if in_place or (hides_infinity and not narrows):
            return
        if _has_infinity(rows, target) if narrows else backend.has_infinity(flat):
            _refuse_infinity_in(backend, backend.asarray(X[piece]))
            refuse_overflow(dtype)

    backend.map_pieces(work, rows.pieces(backend.block_elements))
    return out


@map_rows.register
def _map_sparse_rows(
    rows: SparseRows, steps: Sequence[Step], dtype: np.dtype, in_place: bool, hides_infinity: bool = True
) -> Any:
    precision = precision_of(rows.X, dtype)
    X = rows.X.astype(precision, copy=precision != dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in steps:
            step(X)
        X = X.astype(dtype, copy=False)
    if np.isinf(X.data).any():
        refuse_overflow(dtype)
    return X


@singledispatch
def map_products(rows: Rows, dtype: Any, mean: Array, weights: Array, shift: Array | None = None) -> Array:
    """Return ``(X - mean) weights + shift`` for rows of finite numbers, as an array of float ``dtype``.

    ``mean``, ``weights`` and ``shift`` have the precision in which X is worked on.
    """
    backend, xp = rows.backend, rows.backend.xp
    out = rows.result_module.empty((rows.X.shape[0], weights.shape[1]), dtype)

    def work(block: Array, piece: slice) -> None:
        centered = xp.empty(block.shape, weights.dtype)
        backend.center(block, mean, centered)
        with np.errstate(over="ignore", invalid="ignore"):
            made = xp.empty((len(block), weights.shape[1]), weights.dtype)
            backend.execute(MatMul(centered[None], weights[None], made[None]))
            if shift is not None:
                made += shift
            out[piece] = rows.to_result_memory(made)
            if not np.isfinite(float(out[piece].sum(dtype=np.float64))):
                refuse_unknown(backend, block)
                _refuse_unknown_result(rows.result_module, out[piece])

    size = max(PRODUCT_ELEMENTS, backend.product_elements)
    n_made = weights.shape[1]
    with backend.one_blas_thread() if len(rows.pieces(size, n_made)) > 1 else nullcontext():
        rows.over_pieces(work, size, n_made)
    return out


@map_products.register
def _sparse_products(rows: SparseRows, dtype: Any, mean: Array, weights: Array, shift: Array | None = None) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        made = rows.X @ weights - mean @ weights
        made = (made if shift is None else made + shift).astype(dtype, copy=False)
        if not np.isfinite(made.sum(dtype=np.float64)):
            _refuse_unknown_result(np, made)
    return made


def refuse_unknown(backend: Backend, block: Array) -> None:
    """Raise ValueError if a block of numbers holds NaN or infinity."""
    if backend.xp.isnan(block).any():
        raise ValueError("Input X contains NaN. Impute missing values, or drop those rows.")
    _refuse_infinity_in(backend, block)


def _has_infinity(rows: Rows, made: Array) -> bool:
    """Return whether results, which lie where those of rows do, hold infinity."""
    if rows.result_module is rows.backend.xp:
        return rows.backend.has_infinity(made)
    return bool(np.isinf(made).any())


def _refuse_unknown_result(xp: ArrayModule, made: Array) -> None:
    """Raise ValueError if results of finite numbers are not finite."""
    if not xp.isfinite(made).all():
        refuse_overflow(made.dtype)


def refuse_overflow(dtype: np.dtype) -> NoReturn:
    """Raise ValueError for results that a float type cannot hold."""
    ways_out = {"float16": ", or pass it in float32", "float32": ", or set dtype='float64'", "float64": ""}
    raise ValueError(
        f"X would contain a value too large for dtype('{dtype}') after the transformation. Scale X "
        f"down{ways_out[dtype.name]}."
    )
