"""The door of a transformer: rows come in checked, go to where they are computed, and go out as they came."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._backend import get_backend, is_device_array, to_numpy
from .._common.validation import check_images, check_X, to_backend

# What is computed on as it is; all else becomes float64. Kernels read integers without a float copy of them.
KEPT = [np.dtype(name) for name in ("f8", "f4", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")]
LOOKED_ELEMENTS = 2**21  # at least, of rows that are looked through at a time
MOVED_ELEMENTS = 2**25  # of rows that are brought to the backend at a time
PRODUCT_ELEMENTS = 2**19  # of rows that are multiplied at a time


@dataclass(frozen=True)
class Rows:
    """Checked rows where they are computed: a sparse matrix, a table, or images, whose values are features too."""

    backend: Any
    X: Any

    @property
    def n_features(self):
        """Number of features of a row."""
        return prod(self.X.shape[1:])

    @property
    def are_held(self):
        """Whether the rows lie where they are computed: a GPU may have no room for them."""
        return issparse(self.X) or self.backend.holds(self.X)

    @property
    def home(self):
        """The array module of what is made of the rows: they lie together."""
        return self.backend.xp if self.are_held else np

    def bring_home(self, made):
        """Return what the backend made of some rows where the rows lie."""
        return made if self.are_held else self.backend.to_host(made)

    def pieces(self, n_elements=None, n_made=0):
        """Return slices that cut the rows into pieces of at most ``n_elements``, or else of one row.

        ``n_made`` is how many numbers are made of a row, if that is more than it has.
        """
        n_elements = n_elements or self.backend.segment_elements
        if not self.are_held:
            n_elements = min(n_elements, MOVED_ELEMENTS)
        n_rows, size = self.X.shape[0], max(1, n_elements // max(self.n_features, n_made))
        return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]

    def flat(self, piece):
        """Return some rows as ``(rows, features)``; a copy only of those that lie elsewhere, or in several places."""
        return self.backend.asarray(self.X[piece]).reshape(-1, self.n_features)

    def over_pieces(self, work, n_elements=None, n_made=0):
        """Return what ``work(block, piece)`` makes of the pieces as flat rows, in their order."""
        pieces = self.pieces(n_elements, n_made)
        if self.are_held:
            return self.backend.run(lambda piece: work(self.flat(piece), piece), pieces)
        return [work(*brought) for brought in self._brought(pieces)]

    def look_through(self, refuse):
        """Call ``refuse(backend, block)`` for all rows."""
        size = max(LOOKED_ELEMENTS, self.backend.block_elements)
        self.over_pieces(lambda block, _: refuse(self.backend, block), size)

    def _brought(self, pieces):
        """Yield the blocks of pieces of rows that lie elsewhere, with the pieces."""
        rows = [piece.stop - piece.start for piece in pieces]
        ring = self.backend.ring((min(2, len(pieces)), max(rows), *self.X.shape[1:]), self.X.dtype)
        gathers = [partial(self._copy, piece) for piece in pieces]
        for buffer, piece, n_rows in zip(ring.stream(gathers), pieces, rows, strict=True):
            yield buffer[:n_rows].reshape(n_rows, -1), piece

    def _copy(self, piece, out):
        out[: piece.stop - piece.start] = self.X[piece]


def check_rows(estimator, X, *, reset, allow_nan, accept_sparse=False, **options):
    """Return X checked, but for NaN and infinity in a dense X, which are looked for where X is computed."""
    if _n_dimensions(X) > 2:
        return check_images(estimator, X, reset=reset, dtype=KEPT, **options)
    ensure_all_finite = ("allow-nan" if allow_nan else True) if issparse(X) else False
    options = {"accept_sparse": accept_sparse, "ensure_all_finite": ensure_all_finite, **options}
    return check_X(estimator, X, reset=reset, dtype=KEPT, **options)


def _n_dimensions(X):
    return len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim


def rows_of(backend, X, n_made=0):
    """Return checked rows where they are computed, if there is room for them and ``n_made`` bytes made of them."""
    return Rows(backend, to_backend(backend, X, n_made))


def refuse_infinity(rows):
    """Raise ValueError if dense rows hold infinity."""
    rows.look_through(_refuse_infinity_in)


def _refuse_infinity_in(backend, block):
    if block.dtype.kind == "f" and backend.has_infinity(block):
        raise ValueError(f"Input X contains infinity or a value too large for dtype('{block.dtype}').")


def like(X, array):
    """Return ``array`` in CuPy if X is, else in NumPy."""
    return get_backend("cupy").asarray(array) if is_device_array(X) else to_numpy(array)


def float_type_of(X, dtype):
    """Return the float type of what becomes of X: ``dtype``, else X's own, else float64."""
    return np.dtype(dtype or (X.dtype if X.dtype.kind == "f" else np.float64))


def precision_of(X, dtype):
    """Return the float type in which X is worked on, to be ``dtype`` in the end: no value of X is rounded before."""
    return np.result_type(X.dtype, dtype)


def map_rows(rows, steps, dtype, in_place):
    """Return rows after ``steps``, which change a block ``(rows, features)`` in place, as an array of float ``dtype``.

    ``in_place`` asks for X itself, which must have that type. Sparse rows, copied at the door or not, are one block.
    """
    backend, X = rows.backend, rows.X
    if issparse(X):
        X = X.astype(dtype, copy=False)
        for step in steps:
            step(X)
        return X
    in_place = in_place and X.dtype == dtype
    if in_place:
        refuse_infinity(rows)  # before anything is written
    out = X if in_place else rows.home.empty_like(X, dtype=dtype, order="K" if X.ndim == 2 else "C")
    is_native = precision_of(X, dtype) == dtype and rows.are_held

    def work(piece):
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
            target[...] = rows.bring_home(block)

    backend.run(work, rows.pieces(backend.block_elements))
    return out


def map_products(rows, dtype, mean, weights, shift=None):
    """Return ``(X - mean) weights + shift`` for rows of finite numbers, as an array of float ``dtype``.

    ``mean``, ``weights`` and ``shift`` have the precision in which X is worked on.
    """
    backend, xp = rows.backend, rows.backend.xp
    out = rows.home.empty((rows.X.shape[0], weights.shape[1]), dtype)

    def work(block, piece):
        centered = xp.empty(block.shape, weights.dtype)
        backend.center(block, mean, centered)
        with np.errstate(over="ignore", invalid="ignore"):
            made = xp.empty((len(block), weights.shape[1]), weights.dtype)
            backend.matmul(centered[None], weights[None], made[None])
            if shift is not None:
                made += shift
            if not np.isfinite(float(made.sum(dtype=np.float64))):
                refuse_unknown(backend, block)
        out[piece] = rows.bring_home(made)

    size = max(PRODUCT_ELEMENTS, backend.product_elements)
    n_made = weights.shape[1]
    with backend.one_blas_thread() if len(rows.pieces(size, n_made)) > 1 else nullcontext():
        rows.over_pieces(work, size, n_made)
    return out


def refuse_unknown(backend, block):
    """Raise ValueError if a block of numbers holds NaN or infinity."""
    if backend.xp.isnan(block).any():
        raise ValueError("Input X contains NaN. Impute missing values, or drop those rows.")
    _refuse_infinity_in(backend, block)
