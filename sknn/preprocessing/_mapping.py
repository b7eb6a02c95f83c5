"""Transformations of rows: steps in place on blocks, and products; and the search for NaN and infinity on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import singledispatch
from typing import Any, TypeAlias

import numpy as np

from .._backend.operations import MatMul
from .._backend.protocol import Backend
from .._backend.typing import Array
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
def map_rows(rows: Rows, steps: Sequence[Step], dtype: np.dtype, in_place: bool) -> Any:
    """Return rows after ``steps``, which change a block ``(rows, features)`` in place, as an array of float ``dtype``.

    ``in_place`` asks for X itself, which must have that type. Sparse rows, copied by validation or not, are one block.
    """
    backend, X = rows.backend, rows.X
    in_place = in_place and X.dtype == dtype
    if in_place:
        refuse_infinity(rows)  # before anything is written
    out = X if in_place else rows.result_module.empty_like(X, dtype=dtype, order="K" if X.ndim == 2 else "C")
    is_native = precision_of(X, dtype) == dtype and rows.result_module is backend.xp

    def work(piece: slice) -> None:
        source, target = backend.asarray(X[piece]), out[piece]
        is_direct = is_native and target.flags.c_contiguous
        block = target if is_direct else backend.xp.empty(target.shape, precision_of(X, dtype))
        if block is not target or not in_place:
            block[...] = source
        flat = block.reshape(-1, rows.n_features)
        if not in_place:
            _refuse_infinity_in(backend, flat)
        for step in steps:
            step(flat)
        if not is_direct:
            target[...] = rows.to_result_memory(block)

    backend.map_pieces(work, rows.pieces(backend.block_elements))
    return out


@map_rows.register
def _map_sparse_rows(rows: SparseRows, steps: Sequence[Step], dtype: np.dtype, in_place: bool) -> Any:
    X = rows.X.astype(dtype, copy=False)
    for step in steps:
        step(X)
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
            if not np.isfinite(float(made.sum(dtype=np.float64))):
                refuse_unknown(backend, block)
        out[piece] = rows.to_result_memory(made)

    size = max(PRODUCT_ELEMENTS, backend.product_elements)
    n_made = weights.shape[1]
    with backend.one_blas_thread() if len(rows.pieces(size, n_made)) > 1 else nullcontext():
        rows.over_pieces(work, size, n_made)
    return out


@map_products.register
def _sparse_products(rows: SparseRows, dtype: Any, mean: Array, weights: Array, shift: Array | None = None) -> Array:
    made = rows.X @ weights - mean @ weights
    return (made if shift is None else made + shift).astype(dtype, copy=False)


def refuse_unknown(backend: Backend, block: Array) -> None:
    """Raise ValueError if a block of numbers holds NaN or infinity."""
    if backend.xp.isnan(block).any():
        raise ValueError("Input X contains NaN. Impute missing values, or drop those rows.")
    _refuse_infinity_in(backend, block)
