"""Scaling of features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.sparsefuncs import inplace_column_scale
from sklearn.utils.validation import check_is_fitted

from .._callbacks import CallbackSupportMixin, FitTasks, callback_data, with_callbacks
from .._estimator import BackendMixin, MatrixLike, check_sample_weight, unchanged_on_error
from .._parameters import boolean, check_parameters, one_of
from ..backend import BACKENDS
from ._door import check_rows, like, refuse_infinity, to_backend
from ._moments import column_moments, merge, moments_from_statistics

SPARSE_CENTERED = (
    "Cannot {} sparse matrices: pass `with_mean=False` instead. See docstring for motivation and alternatives."
)


class StandardScaler(CallbackSupportMixin, OneToOneFeatureMixin, TransformerMixin, BackendMixin, BaseEstimator):
    """Standardize features: subtract the mean, divide by the standard deviation.

    A drop-in for :class:`sklearn.preprocessing.StandardScaler`: the same parameters, fitted attributes and results.
    Statistics are float64 and come from one pass over the data. float32 and float64 are kept, other types become
    float64. NaN is a missing value: left out in fit, kept in transform. CuPy arrays come back as CuPy arrays.

    Parameters
    ----------
    copy : bool, default=True
        Whether to leave the input of ``transform`` and ``inverse_transform`` alone. False scales in place where that
        can be done: a writeable float array that is computed where it lives, or a CSR matrix.
    with_mean : bool, default=True
        Whether to subtract the mean. Must be False for sparse input, which centring would make dense.
    with_std : bool, default=True
        Whether to divide by the standard deviation.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,) or None
        Mean of each feature, float64; None if ``with_mean`` and ``with_std`` are False.
    var_ : ndarray of shape (n_features,) or None
        Variance of each feature, float64, divided by the number of rows; None if ``with_std=False``.
    scale_ : ndarray of shape (n_features,) or None
        Standard deviation of each feature, or 1 where it is zero but for rounding; None if ``with_std=False``.
    n_samples_seen_ : int, float or ndarray of shape (n_features,)
        Rows seen since ``fit`` or the first ``partial_fit``, missing values left out; with sample weights their sum,
        a float. One number if it is the same for all features, else one for each.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    Notes
    -----
    Where scikit-learn's class contradicts its own documentation, this one follows the documentation: a feature that is
    missing in one call of ``partial_fit`` does not spoil what the others found, ``n_samples_seen_`` is an integer
    without weights and the sum of weights with them, and weights are not rounded to the type of X. Negative weights are
    refused.

    References
    ----------
    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", Stanford
    University, STAN-CS-79-773, 1979.
    Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance: Analysis and Recommendations", The American
    Statistician 37(3), 1983: the bound below which a variance is rounding.

    Examples
    --------
    >>> from sknn.preprocessing import StandardScaler
    >>> X = [[0.0, 1.0], [2.0, 1.0], [4.0, 1.0], [6.0, 1.0]]
    >>> scaler = StandardScaler().fit(X)
    >>> scaler.mean_
    array([3., 1.])
    >>> scaler.var_
    array([5., 0.])
    >>> scaler.transform([[3.0, 1.0]])
    array([[0., 0.]])
    """

    _rules = {
        "copy": boolean(),
        "with_mean": boolean(),
        "with_std": boolean(),
        "backend": one_of(None, *BACKENDS),
    }

    def __init__(
        self,
        *,
        copy: bool = True,
        with_mean: bool = True,
        with_std: bool = True,
        backend: str | None = None,
    ) -> None:
        self.copy = copy
        self.with_mean = with_mean
        self.with_std = with_std
        self.backend = backend

    # ---- fitting ------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find mean and standard deviation of each feature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; CSR and CSC matrices are used as they are, other sparse formats become CSR.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row; None counts each row once.

        Returns
        -------
        self : object
            The fitted scaler.

        Raises
        ------
        ValueError
            If a parameter or the data is not valid; the scaler is left as it was.
        """
        tasks = FitTasks(self, callback_data(X, y, sample_weight), max_epochs=0, attributes=dict)
        self._fit(X, sample_weight, reset=True)
        tasks.finish()
        return self

    def partial_fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Take in more rows; any number of calls gives what one ``fit`` on all rows gives.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row; None counts each row once.

        Returns
        -------
        self : object
            The fitted scaler.

        Raises
        ------
        ValueError
            If a parameter or the data is not valid; the scaler is left as it was.
        """
        return self._fit(X, sample_weight, reset=not hasattr(self, "n_samples_seen_"))

    def _fit(self, X, sample_weight, reset):
        with unchanged_on_error(self):
            check_parameters(self, self._rules)
            backend = self._get_backend(X)
            X = to_backend(backend, check_rows(self, X, reset=reset))
            self._refuse_to_center_sparse(X, "center")
            moments = self._finite_moments(backend, X, check_sample_weight(sample_weight, X, np.float64))
            counts_rows = sample_weight is None
            if not reset:
                counts_rows &= np.asarray(self.n_samples_seen_).dtype.kind in "iu"
                moments = merge(self._known_moments(), moments)
            self._publish(moments, counts_rows)
        return self

    def _finite_moments(self, backend, X, weight):
        moments = column_moments(backend, X, weight)
        if not np.isfinite(moments.mean).all():
            refuse_infinity(backend, X)
        return moments

    def _known_moments(self):
        self._check_switches()
        count = np.broadcast_to(np.asarray(self.n_samples_seen_, np.float64), self.n_features_in_)
        mean, variance = (0.0 if known is None else known for known in (self.mean_, self.var_))
        return moments_from_statistics(count, mean, variance)

    def _publish(self, moments, counts_rows):
        count = moments.count.astype(np.int64 if counts_rows else np.float64)
        self.n_samples_seen_ = count[0] if (count == count[0]).all() else count
        mean = np.where(count > 0, moments.mean, np.nan)
        self.mean_ = mean if self.with_mean or self.with_std else None
        self.var_ = moments.variance() if self.with_std else None
        self.scale_ = _standard_deviation(moments) if self.with_std else None

    # ---- transforming -------------------------------------------------------------------

    def transform(self, X: MatrixLike, copy: bool | None = None) -> Any:
        """Standardize rows: ``(X - mean_) / scale_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; sparse formats other than CSR become CSR.
        copy : bool, default=None
            Whether to leave X alone; None asks the parameter ``copy``.

        Returns
        -------
        X_scaled : {ndarray, sparse matrix} of shape (n_samples, n_features)
            In X's float type, on X's device.
        """
        check_is_fitted(self)
        copy = self.copy if copy is None else copy
        rows = check_rows(self, X, reset=False, **_check_options(X, copy))
        return like(X, self._scale(rows, copy, inverse=False))

    def inverse_transform(self, X: MatrixLike, copy: bool | None = None) -> Any:
        """Undo ``transform``: ``X * scale_ + mean_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Standardized rows; sparse formats other than CSR become CSR.
        copy : bool, default=None
            Whether to leave X alone; None asks the parameter ``copy``.

        Returns
        -------
        X_original : {ndarray, sparse matrix} of shape (n_samples, n_features)
            In X's float type, on X's device.
        """
        check_is_fitted(self)
        copy = self.copy if copy is None else copy
        # by a scaler that knows no feature names: what transform returned may have none
        rows = check_rows(type(self)(), X, reset=True, **_check_options(X, copy))
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        return like(X, self._scale(rows, copy, inverse=True))

    def _scale(self, rows, copy, inverse):
        self._check_switches()
        self._refuse_to_center_sparse(rows, "uncenter" if inverse else "center")
        backend = self._get_backend(rows)
        X = to_backend(backend, rows)
        if issparse(X):
            return self._scale_sparse(X, inverse)
        refuse_infinity(backend, X)
        return self._scale_dense(backend, X, backend.xp.empty_like(X) if copy else X, inverse)

    def _scale_sparse(self, X, inverse):
        if self.with_std:
            inplace_column_scale(X, self.scale_ if inverse else 1 / self.scale_)
        return X

    def _scale_dense(self, backend, X, out, inverse):
        n_features = X.shape[1]
        shift = backend.asarray(self.mean_ if self.with_mean else np.zeros(n_features), X.dtype)
        scale = backend.asarray(self.scale_ if self.with_std else np.ones(n_features), X.dtype)
        if inverse:
            backend.scale_shift(X, scale, shift, out)
        else:
            backend.shift_scale(X, shift, scale, out)
        return out

    def _refuse_to_center_sparse(self, X, verb):
        if self.with_mean and issparse(X):
            raise ValueError(SPARSE_CENTERED.format(verb))

    def _check_switches(self):
        if (self.with_mean and self.mean_ is None) or (self.with_std and self.scale_ is None):
            raise ValueError(
                "with_mean and with_std must not be switched on after fit, which did not look for what they need; "
                f"got with_mean={self.with_mean}, with_std={self.with_std}. Call fit again."
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = not self.with_mean
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_options(X, copy):
    """Return how to check rows that will be scaled: a sparse X always in place, a dense one only without ``copy``."""
    return {"accept_sparse": "csr", "copy": copy and issparse(X), "force_writeable": not copy}


def _standard_deviation(moments):
    """Return it, or 1 where the variance is within the rounding error of the two-pass algorithm."""
    variance = moments.variance()
    relative_error = moments.count * np.finfo(np.float64).eps
    is_constant = variance <= relative_error * variance + (relative_error * moments.mean) ** 2
    return np.where(is_constant, 1.0, np.sqrt(variance))
