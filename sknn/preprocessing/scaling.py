"""Scaling of features and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.metaestimators import available_if
from sklearn.utils.sparsefuncs import inplace_column_scale

from .._common.rules import boolean, either, interval, nothing, one_of, real
from .._common.validation import MatrixLike
from ._images import feature_groups
from ._moments import column_extremes
from ._rows import refuse_infinity
from ._transformer import (
    MomentScaler,
    Scaler,
    beside,
    is_invertible,
    scale_shift_step,
    shift_scale_step,
    standard_deviation,
    standardize_step,
)

SPARSE_CENTERED = (
    "Cannot {} sparse matrices: pass `with_mean=False` instead. See docstring for motivation and alternatives."
)


class StandardScaler(MomentScaler):
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
    per : {"feature", "image", "channel", "sample"}, default="feature"
        What has a mean and a standard deviation of its own: each column of a table; each value of an image; each
        channel, over all its pixels; or each sample, over all its values, for which nothing is learned.
    image_shape : tuple of int or None, default=None
        Shape of an image as it is stored, for flat rows: ``(height, width)``, ``(height, width, channels)``, or
        ``(channels, height, width)`` with ``channels="first"``. Two numbers mean one channel. None takes it from X.
    channels : {"last", "first"}, default="last"
        Where the channels of an image are.
    dtype : {"float32", "float64"} or None, default=None
        Float type of what ``transform`` returns; None keeps float32 and float64, and makes float64 of all else.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    mean_ : ndarray or None
        Mean, float64: of shape ``(n_features,)`` per feature, of the image's shape per image (flat if that is not
        known), ``(n_channels,)`` per channel; not there per sample. None if ``with_mean`` and ``with_std`` are False.
    var_ : ndarray of the shape of ``mean_``, or None
        Variance, float64, divided by the number of values; None if ``with_std=False``.
    scale_ : ndarray of the shape of ``mean_``, or None
        Standard deviation, or 1 where it is zero but for rounding; None if ``with_std=False``.
    n_samples_seen_ : int, float or ndarray of the shape of ``mean_``
        Samples seen since ``fit`` or the first ``partial_fit``, missing values left out; with sample weights their sum,
        a float. One number if it is the same for all means.
    image_shape_ : tuple of int or None
        Shape of an image, where it is known.
    n_features_in_ : int
        Number of features, all the values of an image.
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

    _rules = {**MomentScaler._rules, "with_mean": boolean(), "with_std": boolean()}
    _accept_sparse = ("csr", "csc")

    def __init__(
        self,
        *,
        copy: bool = True,
        with_mean: bool = True,
        with_std: bool = True,
        per: str = "feature",
        image_shape: Sequence[int] | None = None,
        channels: str = "last",
        dtype: str | None = None,
        backend: str | None = None,
    ) -> None:
        self.copy = copy
        self.with_mean = with_mean
        self.with_std = with_std
        self.per = per
        self.image_shape = image_shape
        self.channels = channels
        self.dtype = dtype
        self.backend = backend

    def transform(self, X: MatrixLike, copy: bool | None = None) -> Any:
        """Standardize rows or images: ``(X - mean_) / scale_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, or images of the shape that ``fit`` saw; sparse formats other than CSR become CSR.
        copy : bool, default=None
            Whether to leave X alone; None asks the parameter ``copy``.

        Returns
        -------
        X_scaled : {ndarray, sparse matrix} of the shape of X
            In X's float type or ``dtype``, on X's device.
        """
        return self._transform(X, self.copy if copy is None else copy)

    @available_if(is_invertible)
    def inverse_transform(self, X: MatrixLike, copy: bool | None = None) -> Any:
        """Undo ``transform``: ``X * scale_ + mean_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Standardized rows or images; sparse formats other than CSR become CSR.
        copy : bool, default=None
            Whether to leave X alone; None asks the parameter ``copy``.

        Returns
        -------
        X_original : {ndarray, sparse matrix} of the shape of X
            In X's float type or ``dtype``, on X's device.
        """
        return self._inverse_transform(X, self.copy if copy is None else copy)

    def _learn_groups(self, rows, groups, weight, reset):
        self._refuse_to_center_sparse(rows, "center")
        if not reset:
            self._check_switches()
        super()._learn_groups(rows, groups, weight, reset)

    def _publish(self, moments, shape):
        mean = np.where(moments.count > 0, moments.mean, np.nan).reshape(shape)
        self.mean_ = mean if self.with_mean or self.with_std else None
        self.var_ = self.scale_ = None
        if self.with_std:
            self.var_ = moments.variance().reshape(shape)
            with np.errstate(invalid="ignore"):
                self.scale_ = standard_deviation(np, moments.count, moments.mean, moments.squares).reshape(shape)

    def _forward(self, rows, groups, precision):
        self._refuse_to_center_sparse(rows, "center")
        if self.per == "sample":
            return [standardize_step(rows.backend, groups, with_mean=self.with_mean, with_std=self.with_std)]
        shift, scale = self._shift_and_scale()
        if issparse(rows.X):
            return [lambda X: inplace_column_scale(X, 1 / groups.spread(scale))]
        return [shift_scale_step(rows.backend, groups, precision, shift, scale)]

    def _backward(self, rows, groups, precision):
        self._refuse_to_center_sparse(rows, "uncenter")
        shift, scale = self._shift_and_scale()
        if issparse(rows.X):
            return [lambda X: inplace_column_scale(X, groups.spread(scale))]
        return [scale_shift_step(rows.backend, groups, precision, scale, shift)]

    def _shift_and_scale(self):
        self._check_switches()
        return self.mean_ if self.with_mean else 0.0, self.scale_ if self.with_std else 1.0

    def _check_switches(self):
        if (self.with_mean and self.mean_ is None) or (self.with_std and self.scale_ is None):
            raise ValueError(
                "with_mean and with_std must not be switched on after fit, which did not look for what they need; "
                f"got with_mean={self.with_mean}, with_std={self.with_std}. Call fit again."
            )

    def _refuse_to_center_sparse(self, rows, verb):
        if self.with_mean and issparse(rows.X):
            raise ValueError(SPARSE_CENTERED.format(verb))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = not self.with_mean and self.per != "sample"
        return tags


class MinMaxScaler(Scaler):
    """Scale features or images to a range: the least value to its start, the greatest to its end.

    A drop-in for :class:`sklearn.preprocessing.MinMaxScaler`: the same parameters, fitted attributes and results. With
    ``data_range``, a range that is known beforehand, nothing is learned: ``data_range=(0, 255)`` makes ``x / 255`` of
    pixels, and with ``feature_range=(0.01, 1)`` it makes ``x / 255 * 0.99 + 0.01``, to the bit. NaN is a missing value:
    left out in fit, kept in transform. CuPy arrays come back as CuPy arrays.

    Parameters
    ----------
    feature_range : tuple of float (start, end), default=(0, 1)
        Where values go.
    copy : bool, default=True
        Whether to leave the input of ``transform`` and ``inverse_transform`` alone. False scales in place where that
        can be done: a writeable float array that is computed where it lives.
    clip : bool, default=False
        Whether ``transform`` moves values outside ``feature_range`` to its nearer end.
    data_range : tuple of float (low, high) or None, default=None
        The range of values in X, where it is known: the same for all features, for rows and images of any shape. None
        learns it.
    per : {"feature", "image", "channel", "sample"}, default="feature"
        What has a range of its own, if ``data_range`` is None: each column of a table; each value of an image; each
        channel, over all its pixels; or each sample, over all its values, for which nothing is learned.
    image_shape : tuple of int or None, default=None
        Shape of an image as it is stored, for flat rows: ``(height, width)``, ``(height, width, channels)``, or
        ``(channels, height, width)`` with ``channels="first"``. Two numbers mean one channel. None takes it from X.
    channels : {"last", "first"}, default="last"
        Where the channels of an image are.
    dtype : {"float32", "float64"} or None, default=None
        Float type of what ``transform`` returns; None keeps float32 and float64, and makes float64 of all else. Integer
        images become "float32" without a float64 copy of them on the way.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    data_min_, data_max_ : ndarray, float64
        Least and greatest value: of shape ``(n_features,)`` per feature, of the image's shape per image (flat if that
        is not known), ``(n_channels,)`` per channel. NaN where nothing was seen. Neither these nor the four below are
        there per sample, or where ``data_range`` is known.
    data_range_ : ndarray of the shape of ``data_min_``
        ``data_max_ - data_min_``.
    scale_ : ndarray of the shape of ``data_min_``
        ``(end - start) / data_range_``, with 1 for a ``data_range_`` that is zero but for rounding.
    min_ : ndarray of the shape of ``data_min_``
        ``start - data_min_ * scale_``.
    n_samples_seen_ : int
        Samples seen since ``fit`` or the first ``partial_fit``.
    image_shape_ : tuple of int or None
        Shape of an image, where it is known.
    n_features_in_ : int
        Number of features, all the values of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    Notes
    -----
    ``transform`` computes ``(x - data_min_) / data_range_ * (end - start) + start`` from left to right, so that the
    ends of the data are those of ``feature_range`` but for the rounding of ``end - start``. What scikit-learn computes,
    ``x * scale_ + min_``, misses them by more. Statistics are float64 whatever the type of X, and a feature that is
    missing in one call of ``partial_fit`` does not spoil what the others found.

    References
    ----------
    T. Rashid, "Make Your Own Neural Network", 2016: pixels from 0.01 to 1, so that no input is zero.

    Examples
    --------
    >>> from sknn.preprocessing import MinMaxScaler
    >>> MinMaxScaler().fit_transform([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    array([[0. , 0. ],
           [1. , 0. ],
           [0.5, 0. ]])
    >>> MinMaxScaler((0.01, 1), data_range=(0, 255)).transform([[0, 51, 255]])
    array([[0.01 , 0.208, 1.   ]])
    """

    _rules = {
        **Scaler._rules,
        "feature_range": interval(),
        "clip": boolean(),
        "data_range": either(nothing(), interval()),
    }

    def __init__(
        self,
        feature_range: tuple[float, float] = (0, 1),
        *,
        copy: bool = True,
        clip: bool = False,
        data_range: tuple[float, float] | None = None,
        per: str = "feature",
        image_shape: Sequence[int] | None = None,
        channels: str = "last",
        dtype: str | None = None,
        backend: str | None = None,
    ) -> None:
        self.feature_range = feature_range
        self.copy = copy
        self.clip = clip
        self.data_range = data_range
        self.per = per
        self.image_shape = image_shape
        self.channels = channels
        self.dtype = dtype
        self.backend = backend

    def _takes_images(self):
        return self.data_range is not None or super()._takes_images()

    def _forgets_statistics(self):
        return self.data_range is None and super()._forgets_statistics()

    def _is_stateless(self):
        return self.data_range is not None or super()._is_stateless()

    def _learn_groups(self, rows, groups, weight, reset):
        low, high = groups.pool_extremes(*column_extremes(rows))
        if np.isinf(low).any() or np.isinf(high).any():
            refuse_infinity(rows)
        n_samples = rows.X.shape[0]
        if not reset:
            low, high = np.fmin(self.data_min_.ravel(), low), np.fmax(self.data_max_.ravel(), high)
            n_samples += self.n_samples_seen_
        self.n_samples_seen_ = n_samples
        self._publish(low.reshape(groups.shape), high.reshape(groups.shape))

    def _publish(self, low, high):
        start, end = self._range = tuple(self.feature_range)
        self.data_min_, self.data_max_, self.data_range_ = low, high, high - low
        self.scale_ = (end - start) / _width(np, self.data_range_)
        self.min_ = start - low * self.scale_

    def _forward(self, rows, groups, precision):
        backend, start, end = rows.backend, *self._target()
        steps = [self._to_unit_range(backend, groups, precision)]
        if (start, end) != (0, 1):
            steps.append(scale_shift_step(backend, groups, precision, end - start, start))
        if self.clip:
            steps.append(lambda block: backend.xp.clip(block, start, end, out=block))
        return steps

    def _to_unit_range(self, backend, groups, precision):
        if self._forgets_statistics():
            return _sample_range_step(backend, groups)
        low, width = self._known_range()
        return shift_scale_step(backend, groups, precision, low, width)

    def _backward(self, rows, groups, precision):
        backend, start, end = rows.backend, *self._target()
        steps = [scale_shift_step(backend, groups, precision, *reversed(self._known_range()))]
        if (start, end) != (0, 1):
            steps.insert(0, shift_scale_step(backend, groups, precision, start, end - start))
        return steps

    def _target(self):
        """Return the range that values go to: that of fit, where it was learned by what scale."""
        return tuple(self.feature_range if self._is_stateless() else getattr(self, "_range", self.feature_range))

    def _kind(self):
        return {**super()._kind(), "data_range is known": self.data_range is not None}

    def _known_range(self):
        if self.data_range is not None:
            low, high = self.data_range
            return low, high - low
        return self.data_min_, _width(np, self.data_range_)


class InstanceNormalizer(Scaler):
    """Standardize each image, or each channel of it, by the mean and the variance of its own pixels.

    Nothing is learned: ``transform`` works without ``fit``. It removes brightness and contrast that differ from image
    to image. NaN is a missing value: left out of mean and variance, and kept.

    Parameters
    ----------
    eps : float, default=1e-5
        What is added to the variance, so that a flat image becomes zero and not noise. 0 leaves out images without
        variance: they are centred only.
    per : {"image", "channel"}, default="image"
        Whether an image has one mean and one variance, or each channel of it. Tables are images of one row each for
        "image".
    image_shape : tuple of int or None, default=None
        Shape of an image as it is stored, for flat rows: ``(height, width)``, ``(height, width, channels)``, or
        ``(channels, height, width)`` with ``channels="first"``. Two numbers mean one channel. None takes it from X.
    channels : {"last", "first"}, default="last"
        Where the channels of an image are.
    copy : bool, default=True
        Whether to leave the input of ``transform`` alone. False works in place where that can be done: a writeable
        float array that is computed where it lives.
    dtype : {"float32", "float64"} or None, default=None
        Float type of what ``transform`` returns; None keeps float32 and float64, and makes float64 of all else.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    image_shape_ : tuple of int or None
        Shape of an image, where it is known.
    n_features_in_ : int
        Number of features, all the values of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization",
    arXiv:1607.08022, equation 4: per channel. Variances are divided by the number of values.

    Examples
    --------
    >>> from sknn.preprocessing import InstanceNormalizer
    >>> InstanceNormalizer(eps=0.0).transform([[1.0, 3.0], [10.0, 30.0]])
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    _rules = {**Scaler._rules, "eps": real(0), "per": one_of("image", "channel")}

    def __init__(
        self,
        eps: float = 1e-5,
        per: str = "image",
        *,
        image_shape: Sequence[int] | None = None,
        channels: str = "last",
        copy: bool = True,
        dtype: str | None = None,
        backend: str | None = None,
    ) -> None:
        self.eps = eps
        self.per = per
        self.image_shape = image_shape
        self.channels = channels
        self.copy = copy
        self.dtype = dtype
        self.backend = backend

    def _forgets_statistics(self):
        return True

    def _groups(self, rows, reset=False):
        groups = super()._groups(rows, reset)
        return groups if self.per == "channel" else feature_groups("sample", groups.image_shape, None, rows.n_features)

    def _forward(self, rows, groups, precision):
        return [standardize_step(rows.backend, groups, eps=self.eps)]


def _sample_range_step(backend, groups):
    """Return the step to (0, 1) by the least and the greatest value of each row."""

    def step(block):
        view = groups.view(block)
        low, high = backend.group_extremes(view)
        backend.shift_scale(view, beside(low), beside(_width(backend.xp, high - low)))

    return step


def _width(xp, data_range):
    """Return ranges of data, with 1 for those that are zero but for rounding, as scikit-learn's scalers see it."""
    return xp.where(data_range < 10 * np.finfo(np.float64).eps, 1.0, data_range)
