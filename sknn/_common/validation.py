"""Validation of data, on the host by scikit-learn, on a GPU where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.sparse import issparse, sparray, spmatrix
from sklearn.utils import validation
from sklearn.utils.validation import check_array, validate_data

from .._backend import is_device_array, to_numpy
from .._backend.typing import Array

FLOATS = (np.float64, np.float32)
# Types that transformers keep; all others become float64. Kernels read integers without a float copy of them.
KEPT = [np.dtype(name) for name in ("f8", "f4", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")]
KEPT_AND_HALF = [*KEPT, np.dtype("f2")]
WAY_OUT_OF_FLOAT32 = "Scale {} down, or fit with dtype='float64' on rows in float64."
MatrixLike: TypeAlias = ArrayLike | spmatrix | sparray
"""Rows by features: array-like, frame, or SciPy sparse."""

Matrix: TypeAlias = Array | spmatrix | sparray
"""Checked rows: an array, or SciPy sparse."""


def check_X(estimator: Any, X: Any, *, reset: bool, dtype: Sequence[DTypeLike] = FLOATS, **options: Any) -> Matrix:
    """Validate X as scikit-learn does; CuPy arrays are checked where they live."""
    if not reset and _is_known_to_be_valid(estimator, X, dtype, options):
        return X
    if not is_device_array(X):
        X = X if options.get("force_writeable") else without_duplicates(X)
        with numbers_of("X"):
            return validate_data(estimator, X, reset=reset, dtype=types_for(X, dtype), **options)
    X = _check_device_array(X, dtype, options.get("ensure_all_finite", True))
    return validate_data(estimator, X, reset=reset, skip_check_array=True)


@contextmanager
def numbers_of(name: str) -> Iterator[None]:
    """Let errors about values that are no real numbers say which argument has them, and not show all of it.

    Numbers that a smaller float type cannot hold become infinity, which is refused: NumPy need not warn of it.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except (TypeError, ValueError) as error:
        words, _, _ = str(error).partition("\n")
        if "a value too large for dtype('float32')" in words:
            raise ValueError(f"{words} {WAY_OUT_OF_FLOAT32.format(name)}") from None
        if words.startswith("Complex data not supported"):
            raise ValueError(f"{words}. {name} must have real numbers; pass real and imaginary parts apart.") from None
        if "could not convert string to float" in words and name not in words:
            raise ValueError(f"{words}. {name} must have numbers; encode text, as OneHotEncoder does.") from error
        raise
    except OverflowError as error:
        raise ValueError(
            f"Input {name} contains infinity or a value too large for dtype('float64'). {name} must have numbers that "
            "floats can hold; got an integer beyond them. Scale it."
        ) from error


def _is_known_to_be_valid(estimator: Any, X: Any, dtype: Sequence[DTypeLike], options: dict[str, Any]) -> bool:
    """Return whether validation would return X unchanged: a plain array of the type and width seen in fit, and finite.

    It costs 60 microseconds, more than all else there is to do for one row.
    """
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in dtype or not options.keys() <= {"accept_sparse"}:
        return False
    known = vars(estimator)
    if not X.shape[0] or X.shape[1] != known.get("n_features_in_") or "feature_names_in_" in known:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def without_duplicates(X: Any) -> Any:
    """Return sparse rows with entries of the same place added up, in order, as a copy if they were not; else X.

    Other formats have no such entries, or add them up when they are converted to CSR.
    """
    if issparse(X) and X.format in ("csr", "csc", "bsr") and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def types_for(X: Any, dtype: Sequence[DTypeLike]) -> Any:
    """Return the types to validate X for: float32 alone if X has it in a way that scikit-learn takes for another."""
    return np.float32 if np.float32 in dtype and _is_float32(X) else dtype


def _is_float32(X: Any) -> bool:
    """Return whether X, or all columns of a frame together, are float32.

    Also in foreign byte order, and frames with nullable types or Arrow's in pandas, of polars and of Arrow.
    """
    if isinstance(getattr(X, "dtype", None), np.dtype):
        return X.dtype.newbyteorder("=") == np.float32
    if hasattr(X, "dtype") or not hasattr(X, "columns"):
        return False
    if hasattr(X, "iloc"):
        types = [getattr(kind, "numpy_dtype", kind) for kind in X.dtypes]
        is_known = bool(types) and all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in types)
        return is_known and np.result_type(*types) == np.float32
    return hasattr(X, "__array__") and np.asarray(X[:0]).dtype == np.float32


def _is_plain(X: Any, dtype: Sequence[np.dtype]) -> bool:
    """Return whether X is a plain array of rows or images that transformers take as it is."""
    return type(X) is np.ndarray and X.ndim > 1 and X.dtype in dtype and 0 not in X.shape


def _learn_or_compare_width(estimator: Any, n_features: int, reset: bool) -> bool:
    """Let the estimator learn the width of nameless rows, or return whether it is the one that it knows.

    Validation by scikit-learn, which does the same, takes 60 to 150 microseconds, more than all other work on a few
    rows.
    """
    known = vars(estimator)
    if reset:
        known["n_features_in_"] = n_features
        known.pop("feature_names_in_", None)
    return known.get("n_features_in_") == n_features and "feature_names_in_" not in known


def check_images(estimator: Any, X: Any, *, reset: bool, dtype: Sequence[DTypeLike] = FLOATS, **options: Any) -> Array:
    """Validate an X of more than two dimensions in all but infinities; each value of an image counts as a feature."""
    if is_device_array(X):
        X = _check_device_array(X, dtype, ensure_all_finite=False, flat=False)
    else:
        with numbers_of("X"):
            X = check_array(X, dtype=dtype, allow_nd=True, ensure_all_finite=False, estimator=estimator, **options)
    shape = X.shape[0], prod(X.shape[1:])
    if 0 in shape:
        raise ValueError(f"X must have at least one image, and each image at least one value; got shape {X.shape}.")
    validate_data(estimator, np.broadcast_to(0.0, shape), reset=reset, skip_check_array=True)
    return X


def check_rows(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    allow_nan: bool,
    accept_sparse: Any = False,
    in_place: bool | None = None,
    dtype: Sequence[np.dtype] = KEPT,
) -> Matrix:
    """Return X checked, but for NaN and infinity in a dense X, which are looked for where X is computed.

    ``in_place`` is for rows that will be transformed: whether a dense X itself, which a sparse one always is, is
    changed, so that it must be writeable. ``dtype`` has the types that are kept; all others become float64.
    """
    if (
        _is_plain(X, dtype)
        and (X.flags.writeable or not in_place)
        and _learn_or_compare_width(estimator, prod(X.shape[1:]), reset)
    ):
        return X
    options: dict[str, Any] = {}
    if in_place is not None:
        options = {"copy": not in_place and issparse(X), "force_writeable": in_place}
    if _n_dimensions(X) > 2:
        return check_images(estimator, X, reset=reset, dtype=dtype, **options)
    ensure_all_finite = ("allow-nan" if allow_nan else True) if issparse(X) else False
    options |= {"accept_sparse": accept_sparse, "ensure_all_finite": ensure_all_finite}
    dtype = KEPT if issparse(X) else dtype  # SciPy cannot compute with float16
    return check_X(estimator, X, reset=reset, dtype=dtype, **options)


def _n_dimensions(X: Any) -> int:
    return len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim


def check_X_y(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    reset: bool,
    dtype: Sequence[DTypeLike] = FLOATS,
    y_numeric: bool = False,
    **options: Any,
) -> tuple[Matrix, np.ndarray]:
    """Validate X and y together; y comes back as a NumPy array."""
    y = to_numpy(y)
    if not reset and _is_plain_target(y, X) and _is_known_to_be_valid(estimator, X, dtype, options):
        return X, y
    if not is_device_array(X):
        X, dtype = without_duplicates(X), types_for(X, dtype)
        with numbers_of("y" if np.iscomplexobj(y) else "X"):
            return validate_data(
                estimator, X, y, reset=reset, dtype=dtype, multi_output=True, y_numeric=y_numeric, **options
            )
    X = check_X(estimator, X, reset=reset, dtype=dtype)
    rows = np.zeros((X.shape[0], 1))  # stand for X, so that y is checked as it always is
    return X, validation.check_X_y(rows, y, multi_output=True, y_numeric=y_numeric, estimator=estimator)[1]


def _is_plain_target(y: np.ndarray, X: Any) -> bool:
    """Return whether validation would return y unchanged: finite numbers, one or several a row of X."""
    if type(X) is not np.ndarray or type(y) is not np.ndarray or y.dtype.kind not in "fiub" or y.ndim not in (1, 2):
        return False
    return len(y) == len(X) and y.size > 0 and (y.dtype.kind != "f" or bool(np.isfinite(y).all()))


def _check_device_array(
    X: Array, dtype: Sequence[DTypeLike], ensure_all_finite: bool | str, flat: bool = True
) -> Array:
    if flat and X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead. Reshape X to (n_samples, n_features).")
    for length, axis in zip(X.shape, ("sample", "feature"), strict=False):
        if length == 0:
            raise ValueError(f"Found array with 0 {axis}(s) (shape={X.shape}) while a minimum of 1 is required.")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"X must hold real numbers; got dtype {X.dtype}. Complex data not supported.")
    allowed = [np.dtype(item) for item in dtype]
    with np.errstate(over="ignore"):
        checked = X if X.dtype in allowed else X.astype(allowed[0])
    allow_nan = ensure_all_finite == "allow-nan"
    if ensure_all_finite and not _is_finite(checked, allow_nan):
        if checked.dtype == np.float32 and _is_finite(X, allow_nan):
            way_out = WAY_OUT_OF_FLOAT32.format("X")
            raise ValueError(f"Input X contains infinity or a value too large for dtype('float32'). {way_out}")
        raise ValueError("Input X contains NaN or infinity. Impute missing values, or drop those rows.")
    return checked


def _is_finite(X: Array, allow_nan: bool) -> bool:
    # NaN and infinity survive a sum, so one small number says it for most arrays; yet large numbers may overflow there
    if np.isfinite(float(X.sum(dtype=np.float64))):
        return True
    if allow_nan:
        return not bool((abs(X) == np.inf).any())
    return bool(np.isfinite([float(X.min()), float(X.max())]).all())


def check_sample_weight(sample_weight: Any, n_rows: int, dtype: DTypeLike) -> np.ndarray | None:
    """Return weights ``(n,)`` of ``dtype``: non-negative, not all zero; None stays None."""
    if sample_weight is None:
        return None
    with numbers_of("sample_weight"):
        if isinstance(sample_weight, Real):
            sample_weight = np.full(n_rows, sample_weight, np.float64)
        weight = check_array(to_numpy(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {weight.ndim}D array of shape {weight.shape}."
        )
    if len(weight) != n_rows:
        raise ValueError(f"sample_weight must have one entry per row, shape ({n_rows},); got shape {weight.shape}.")
    if (weight < 0).any():
        raise ValueError(f"sample_weight must be non-negative; got {weight.min()}. Use weight 0 to ignore a row.")
    if not weight.any():
        raise ValueError("sample_weight must not be zero for every row; got only zeros. Give a row a positive weight.")
    with np.errstate(over="ignore", under="ignore"):
        narrow = weight.astype(dtype, copy=False)
    if not (narrow.any() and np.isfinite(narrow).all()):
        raise ValueError(f"sample_weight must fit the float type of X, {dtype}; got {weight.max()}. Rescale it.")
    check_weight_sum(narrow)
    return narrow


def plain_sample_weight(sample_weight: Any) -> Any:
    """Return weights as scikit-learn's scores take them: on the host, and numbers where they are text or objects."""
    weight = to_numpy(sample_weight)
    if weight is None or np.asarray(weight).dtype.kind in "fiub":
        return weight
    with numbers_of("sample_weight"):
        return check_array(weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")


def check_weight_sum(weight: np.ndarray | None) -> None:
    """Raise ValueError if the sum of weights is too large for their float type."""
    if weight is None:
        return
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"sample_weight, times class_weight, must have a finite sum in the float type of X, {weight.dtype}; got "
            f"weights of up to {weight.max()} for {len(weight)} rows. Divide all weights by the same number."
        )


def check_training_weights(weight: np.ndarray | None) -> None:
    """Raise ValueError for weights whose sum, or whose inverse of a sum, is beyond the numbers of their float type."""
    check_weight_sum(weight)
    if weight is None:
        return
    least = np.finfo(weight.dtype).tiny
    if weight.max() < least:
        raise ValueError(
            f"sample_weight, times class_weight, must be at least {least:.3g} in a row, the smallest {weight.dtype} of "
            f"all digits; got weights of up to {weight.max():.3g}. Multiply all weights by the same number."
        )
