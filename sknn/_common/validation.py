"""Validation of data, on the host by scikit-learn, on a GPU where it lies."""

from __future__ import annotations

from math import prod
from numbers import Real
from typing import TypeAlias

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from scipy.sparse import issparse, sparray, spmatrix
from sklearn.utils import validation
from sklearn.utils.validation import check_array, validate_data

from .._backend import get_backend, is_device_array, to_numpy

FLOATS = (np.float64, np.float32)
MatrixLike: TypeAlias = ArrayLike | spmatrix | sparray
"""Rows by features: array-like, frame, or SciPy sparse."""


def check_X(estimator, X, *, reset, dtype=FLOATS, **options):
    """Validate X as scikit-learn does; CuPy arrays are checked where they live."""
    if not reset and _is_known_to_be_valid(estimator, X, dtype, options):
        return X
    if not is_device_array(X):
        return validate_data(estimator, X, reset=reset, dtype=dtype, **options)
    X = _check_device_array(X, dtype, options.get("ensure_all_finite", True))
    return validate_data(estimator, X, reset=reset, skip_check_array=True)


def _is_known_to_be_valid(estimator, X, dtype, options):
    """Whether validation would return X as it is: a plain array of the type and width seen in fit, and finite.

    It costs 60 microseconds, more than all else there is to do for one row.
    """
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in dtype or not options.keys() <= {"accept_sparse"}:
        return False
    if (
        not X.shape[0]
        or X.shape[1] != getattr(estimator, "n_features_in_", None)
        or hasattr(estimator, "feature_names_in_")
    ):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def check_images(estimator, X, *, reset, dtype=FLOATS, **options):
    """Validate an X of more than two dimensions in all but infinities; each value of an image counts as a feature."""
    if is_device_array(X):
        X = _check_device_array(X, dtype, ensure_all_finite=False, flat=False)
    else:
        X = check_array(X, dtype=dtype, allow_nd=True, ensure_all_finite=False, estimator=estimator, **options)
    shape = X.shape[0], prod(X.shape[1:])
    if 0 in shape:
        raise ValueError(f"X must have at least one image and each at least one value; got shape {X.shape}.")
    validate_data(estimator, np.broadcast_to(0.0, shape), reset=reset, skip_check_array=True)
    return X


def check_X_y(estimator, X, y, *, reset, dtype=FLOATS, y_numeric=False, **options):
    """Validate X and y together; y comes back as a NumPy array."""
    y = to_numpy(y)
    if not is_device_array(X):
        return validate_data(
            estimator, X, y, reset=reset, dtype=dtype, multi_output=True, y_numeric=y_numeric, **options
        )
    X = check_X(estimator, X, reset=reset, dtype=dtype)
    rows = np.zeros((X.shape[0], 1))  # stand for X, so that y is checked as it always is
    return X, validation.check_X_y(rows, y, multi_output=True, y_numeric=y_numeric, estimator=estimator)[1]


def _check_device_array(X, dtype, ensure_all_finite, flat=True):
    if flat and X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead; reshape X to (n_samples, n_features).")
    for length, what in zip(X.shape, ("sample", "feature"), strict=False):
        if length == 0:
            raise ValueError(f"Found array with 0 {what}(s) (shape={X.shape}) while a minimum of 1 is required.")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"X must hold real numbers; got dtype {X.dtype}. Complex data not supported.")
    allowed = [np.dtype(item) for item in dtype]
    X = X if X.dtype in allowed else X.astype(allowed[0])
    if ensure_all_finite and not _is_finite(X, ensure_all_finite == "allow-nan"):
        raise ValueError("Input X contains NaN or infinity; impute or drop those rows.")
    return X


def _is_finite(X, allow_nan):
    # NaN and infinity survive a sum, so one small number says it for most arrays; yet large numbers may overflow there
    if np.isfinite(float(X.sum(dtype=np.float64))):
        return True
    if allow_nan:
        return not bool((abs(X) == np.inf).any())
    return np.isfinite([float(X.min()), float(X.max())]).all()


def to_backend(backend, X, n_made=0):
    """Return checked rows where they are computed; on the host if there is no room for them and ``n_made`` bytes more.

    Sparse rows are computed by SciPy, which has its matrices on the host.
    """
    if not issparse(X):
        X = X if backend.name == "cupy" else to_numpy(X)
        return backend.asarray(X) if backend.has_room(X.nbytes + n_made) else X
    if backend.name == "cupy":
        raise ValueError("sparse X must be computed with backend='numpy'; got backend='cupy'.")
    return X


def check_sample_weight(sample_weight, X, dtype):
    """Return weights ``(n,)`` of ``dtype``: non-negative, not all zero; None stays None."""
    if sample_weight is None:
        return None
    n_rows = X.shape[0]
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_rows, sample_weight, np.float64)
    weight = check_array(to_numpy(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array.")
    if len(weight) != n_rows:
        raise ValueError(f"sample_weight must have one entry a row, shape ({n_rows},); got shape {weight.shape}.")
    if (weight < 0).any():
        raise ValueError(f"sample_weight must be non-negative; got {weight.min()}. Drop the rows instead.")
    if not weight.any():
        raise ValueError("sample_weight must not be zero for every row: there is nothing to learn from.")
    with np.errstate(over="ignore", under="ignore"):
        narrow = weight.astype(dtype, copy=False)
    if not (narrow.any() and np.isfinite(narrow).all()):
        raise ValueError(f"sample_weight must fit the float type of X, {dtype}; got {weight.max()}. Rescale it.")
    return narrow


def like_input(array, X):
    """Return predictions as NumPy, or with X on its device where scikit-learn's array API dispatch is on."""
    if is_device_array(X) and sklearn.get_config()["array_api_dispatch"]:
        return get_backend("cupy").asarray(array)
    return to_numpy(array)
