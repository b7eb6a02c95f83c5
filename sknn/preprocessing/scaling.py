"""Scaling and standardization of features and images."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from .._backend.typing import Array
from .._common.moments import Moments
from .._common.rows import Rows
from .._common.rules import Rule, boolean, either, interval, is_named, nothing, one_of, plain_value, real
from .._common.validation import MatrixLike
from ._images import FeatureGroups, feature_groups
from ._mapping import Step, refuse_infinity
from ._moments import column_extremes
from ._transformer import (
    ONE,
    AcceptSparse,
    MomentScaler,
    Scaler,
    Statistic,
    beside,
    in_units,
    is_constant,
    is_invertible,
    scale_shift_step,
    shift_scale_step,
    standardize_step,
    unit_of,
)

if TYPE_CHECKING:
    from .._backend.protocol import Backend

SPARSE_CENTERED = (
    "Cannot {} sparse matrices: pass `with_mean=False` instead. See docstring for motivation and alternatives."
)


class StandardScaler(MomentScaler):
    """Standardize features or images: subtract the mean and divide by the standard deviation.

    A drop-in replacement for :class:`sklearn.preprocessing.StandardScaler` with the same parameters, fitted attributes
    and results. Statistics are computed in float64, in one pass over the data. The output keeps float16, float32 and
    float64; other types are converted to float64. NaN is treated as a missing value: ignored in fit, kept in
    transform. The output for a CuPy array is a CuPy array.

    Parameters
    ----------
    copy : bool, default=True
        If True, ``transform`` and ``inverse_transform`` do not change their input. If False, they scale in place where
        possible: a writeable float array on the device of the computation, or a CSR matrix.
    with_mean : bool, default=True
        Whether to subtract the mean. Must be False for sparse input, because centring would make it dense.
    with_std : bool, default=True
        Whether to divide by the standard deviation.
    per : {"feature", "image", "channel", "sample"}, default="feature"
        Values that share a mean and a standard deviation. "feature": one pair per column of a table. "image": one per
        position in the image. "channel": one per channel, over all pixels. "sample": one per sample, over all its
        values; this needs no fit.
    image_shape : tuple of int or None, default=None
        Shape of one image, needed if X has flat rows: ``(height, width)`` for one channel,
        ``(height, width, channels)``, or ``(channels, height, width)`` with ``channels="first"``. None uses the shape
        of the images in X.
    channels : {"last", "first"}, default="last"
        Position of the channel axis in an image.
    dtype : {"float32", "float64"} or None, default=None
        Float type of the output of ``transform``. None keeps float16, float32 and float64, and converts other types to
        float64.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.

    Attributes
    ----------
    mean_ : ndarray or None
        Means in float64, of shape ``(n_features,)`` for "feature", the shape of an image for "image" (flat if it is
        unknown) and ``(n_channels,)`` for "channel". Does not exist for "sample". None if ``with_mean`` and
        ``with_std`` are False.
    var_ : ndarray of the shape of ``mean_``, or None
        Biased variances in float64: sums of squares divided by the number of values; infinity or 0 where a variance is
        too large or too small for float64, though its square root, ``scale_``, is not. None if ``with_std=False``.
    scale_ : ndarray of the shape of ``mean_``, or None
        Standard deviations; 1 where the standard deviation is zero up to rounding. None if ``with_std=False``.
    n_samples_seen_ : int, float or ndarray of the shape of ``mean_``
        Number of samples since ``fit`` or the first ``partial_fit``, without missing values; with sample weights, the
        sum of weights (float). A single number if it is the same for all means.
    image_shape_ : tuple of int or None
        Shape of one image; None if it is unknown.
    n_features_in_ : int
        Number of features; for images, the number of values of one image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

    Notes
    -----
    Where scikit-learn's class contradicts its own documentation, this class follows the documentation. A feature that
    is missing in all rows of one ``partial_fit`` call does not affect the statistics of the other calls.
    ``n_samples_seen_`` is an integer without sample weights, and the sum of weights with them. Weights are not rounded
    to the type of X. Negative weights raise ``ValueError``.

    References
    ----------
    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", Stanford
    University, STAN-CS-79-773, 1979.
    Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance: Analysis and Recommendations", The American
    Statistician 37(3), 1983: the bound up to which a variance is a rounding error.

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

    _rules: ClassVar[dict[str, Rule]] = {**MomentScaler._rules, "with_mean": boolean(), "with_std": boolean()}
    _accept_sparse: ClassVar[AcceptSparse] = ("csr", "csc")

    def __init__(
        self,
        *,
        copy: bool = True,
        with_mean: bool = True,
        with_std: bool = True,
        per: str = "feature",
        image_shape: Sequence[int] | None = None,
        channels: str = "last",
        dtype: DTypeLike | None = None,
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
            Rows, or images of the same shape as in ``fit``. Sparse formats other than CSR are converted to CSR.
        copy : bool, default=None
            If True, X is not changed. None uses the parameter ``copy`` of the scaler.

        Returns
        -------
        X_scaled : {ndarray, sparse matrix} of the shape of X
            Standardized X, in the float type of X or ``dtype``, on the device of X.
        """
        return self._transform(X, copy)

    @available_if(is_invertible)
    def inverse_transform(self, X: MatrixLike, copy: bool | None = None) -> Any:
        """Compute the inverse of ``transform``: ``X * scale_ + mean_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Standardized rows or images. Sparse formats other than CSR are converted to CSR.
        copy : bool, default=None
            If True, X is not changed. None uses the parameter ``copy`` of the scaler.

        Returns
        -------
        X_original : {ndarray, sparse matrix} of the shape of X
            Original values, in the float type of X or ``dtype``, on the device of X.
        """
        return self._inverse_transform(X, copy)

    def _learn_groups(self, rows: Rows, groups: FeatureGroups, weight: Array | None, reset: bool) -> None:
        self._refuse_to_center_sparse(rows, "center")
        if not reset:
            self._check_switches()
        super()._learn_groups(rows, groups, weight, reset)

    def _publish(self, moments: Moments, shape: tuple[int, ...]) -> None:
        mean = np.where(moments.count > 0, moments.mean, np.nan).reshape(shape)
        self.mean_ = mean if self.with_mean or self.with_std else None
        self.var_ = self.scale_ = None
        if self.with_std:
            self.var_, deviation = moments.variance().reshape(shape), moments.deviation()
            constant = is_constant(np, moments.count, moments.mean, deviation)
            self.scale_ = np.where(constant, 1.0, deviation).reshape(shape)

    def _forward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        self._refuse_to_center_sparse(rows, "center")
        if self.per == "sample":
            return [standardize_step(rows.backend, groups, with_mean=self.with_mean, with_std=self.with_std)]
        return [shift_scale_step(rows, groups, precision, *in_units(precision, *self._shift_and_scale()))]

    def _backward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        self._refuse_to_center_sparse(rows, "uncenter")
        return [scale_shift_step(rows, groups, precision, *in_units(precision, *self._shift_and_scale()))]

    def _shift_and_scale(self) -> tuple[Statistic, Statistic]:
        self._check_switches()
        return self.mean_ if self.with_mean else 0.0, self.scale_ if self.with_std else 1.0  # type: ignore[return-value]

    def _check_switches(self) -> None:
        if (self.with_mean and self.mean_ is None) or (self.with_std and self.scale_ is None):
            raise ValueError(
                "with_mean and with_std must not be switched on after fit, which did not compute the statistics for "
                f"them; got with_mean={self.with_mean}, with_std={self.with_std}. Call fit again."
            )

    def _refuse_to_center_sparse(self, rows: Rows, verb: str) -> None:
        if self.with_mean:
            rows.require_dense(SPARSE_CENTERED.format(verb))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = plain_value(self.with_mean) is False and not is_named(self.per, "sample")
        return tags


class MinMaxScaler(Scaler):
    """Scale features or images linearly, so that their minimum and maximum are the ends of a given range.

    A drop-in replacement for :class:`sklearn.preprocessing.MinMaxScaler` with the same parameters, fitted attributes
    and results. If the range of the data is known beforehand, pass it as ``data_range``; then no fit is needed. For
    example, ``data_range=(0, 255)`` computes ``x / 255``, and together with ``feature_range=(0.01, 1)`` it computes
    ``x / 255 * 0.99 + 0.01``, bit for bit. NaN is treated as a missing value: ignored in fit, kept in transform. The
    output for a CuPy array is a CuPy array.

    Parameters
    ----------
    feature_range : tuple of float (start, end), default=(0, 1)
        Range of the output, with start < end.
    copy : bool, default=True
        If True, ``transform`` and ``inverse_transform`` do not change their input. If False, they scale in place where
        possible: a writeable float array on the device of the computation.
    clip : bool, default=False
        Whether ``transform`` clips its output to ``feature_range``.
    data_range : tuple of float (low, high) or None, default=None
        Known range of the values in X, the same for all features, for rows and images of any shape. None computes the
        range from the data in ``fit``.
    per : {"feature", "image", "channel", "sample"}, default="feature"
        Values that share a range, if ``data_range`` is None. "feature": one range per column of a table. "image": one
        per position in the image. "channel": one per channel, over all pixels. "sample": one per sample, over all its
        values; this needs no fit.
    image_shape : tuple of int or None, default=None
        Shape of one image, needed if X has flat rows: ``(height, width)`` for one channel,
        ``(height, width, channels)``, or ``(channels, height, width)`` with ``channels="first"``. None uses the shape
        of the images in X.
    channels : {"last", "first"}, default="last"
        Position of the channel axis in an image.
    dtype : {"float32", "float64"} or None, default=None
        Float type of the output of ``transform``. None keeps float16, float32 and float64, and converts other types to
        float64.
        With "float32", integer images are converted without an intermediate float64 copy.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.

    Attributes
    ----------
    data_min_, data_max_ : ndarray, float64
        Minimum and maximum, of shape ``(n_features,)`` for "feature", the shape of an image for "image" (flat if it is
        unknown) and ``(n_channels,)`` for "channel". NaN if all values are missing. ``data_min_``, ``data_max_``,
        ``data_range_``, ``scale_``, ``min_`` and ``n_samples_seen_`` do not exist for "sample" or with ``data_range``.
    data_range_ : ndarray of the shape of ``data_min_``
        ``data_max_ - data_min_``.
    scale_ : ndarray of the shape of ``data_min_``
        ``(end - start) / data_range_``. If ``data_range_`` is zero, 1 is used instead of it.
    min_ : ndarray of the shape of ``data_min_``
        ``start - data_min_ * scale_``.
    n_samples_seen_ : int
        Number of samples since ``fit`` or the first ``partial_fit``.
    image_shape_ : tuple of int or None
        Shape of one image; None if it is unknown.
    n_features_in_ : int
        Number of features; for images, the number of values of one image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

    Notes
    -----
    ``transform`` computes ``(x - data_min_) / data_range_ * (end - start) + start`` from left to right, so that the
    minimum and the maximum of the data map to the ends of ``feature_range``, up to the rounding of ``end - start``.
    scikit-learn computes ``x * scale_ + min_``, which has a larger rounding error at the ends. Statistics are float64
    for every type of X. A feature that is missing in all rows of one ``partial_fit`` call does not affect the
    statistics of the other calls.

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

    n_samples_seen_: int
    _map_attributes = ("min_", "scale_")
    _rules: ClassVar[dict[str, Rule]] = {
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
        dtype: DTypeLike | None = None,
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

    def _takes_images(self) -> bool:
        return self.data_range is not None or super()._takes_images()

    def _forgets_statistics(self) -> bool:
        return self.data_range is None and super()._forgets_statistics()

    def _is_stateless(self) -> bool:
        return self.data_range is not None or super()._is_stateless()

    def _learn_groups(self, rows: Rows, groups: FeatureGroups, weight: Array | None, reset: bool) -> None:
        low, high = groups.pool_extremes(*column_extremes(rows))
        if np.isinf(low).any() or np.isinf(high).any():
            refuse_infinity(rows)
        n_samples = rows.X.shape[0]
        if not reset:
            low, high = np.fmin(self.data_min_.ravel(), low), np.fmax(self.data_max_.ravel(), high)
            n_samples += self.n_samples_seen_
        self.n_samples_seen_ = n_samples
        self._publish(low.reshape(groups.shape), high.reshape(groups.shape))

    def _publish(self, low: Array, high: Array) -> None:
        self._range = self.feature_range
        with np.errstate(over="ignore", invalid="ignore"):
            self.data_min_, self.data_max_, self.data_range_ = low, high, high - low
        self.min_, self.scale_ = self._map_of(low, high)
        self._fitted_map = self._map_checksum()

    def _map_of(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Return ``min_`` and ``scale_`` for these extremes."""
        start, end = self._target()
        shift, width, unit = range_in_units(np.float64, low, high)
        _, span, target_unit = range_in_units(np.float64, start, end)
        with np.errstate(over="ignore", invalid="ignore"):
            scale = span / width * (target_unit / unit)
            return start - np.where(np.isinf(scale), shift / width * span * target_unit, low * scale), scale

    def _map_checksum(self) -> int:
        return zlib.crc32(np.asarray(self.scale_).tobytes(), zlib.crc32(np.asarray(self.min_).tobytes()))

    def _has_given_map(self) -> bool:
        """Return whether a user has set other ``scale_`` and ``min_``, by which scikit-learn's class transforms."""
        attributes = vars(self)
        if "scale_" not in attributes or self._map_checksum() == attributes.get("_fitted_map"):
            return False
        if not {"data_min_", "data_max_"} <= attributes.keys():
            return True
        implied = self._map_of(self.data_min_, self.data_max_)
        given = self.min_, self.scale_
        return not all(
            np.allclose(*pair, rtol=1e-12, atol=0, equal_nan=True) for pair in zip(given, implied, strict=True)
        )

    def _forward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        backend, start, end = rows.backend, *self._target()
        is_given = self._has_given_map()
        if is_given:
            steps = [scale_shift_step(rows, groups, precision, self.min_, self.scale_, ONE)]
        else:
            steps = [self._to_unit_range(rows, groups, precision)]
        if not is_given and (start, end) != (0, 1):
            steps.append(scale_shift_step(rows, groups, precision, *range_in_units(precision, start, end)))
        if self.clip:
            steps.append(lambda block: backend.xp.clip(block, start, end, out=block))
        return steps

    def _to_unit_range(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> Step:
        if self._forgets_statistics():
            return _sample_range_step(rows.backend, groups)
        return shift_scale_step(rows, groups, precision, *range_in_units(precision, *self._known_range()))

    def _hides_infinity(self) -> bool:
        return self.clip or super()._hides_infinity()

    def _backward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        if self._has_given_map():
            return [shift_scale_step(rows, groups, precision, self.min_, self.scale_, ONE)]
        start, end = self._target()
        steps = [scale_shift_step(rows, groups, precision, *range_in_units(precision, *self._known_range()))]
        if (start, end) != (0, 1):
            steps.insert(0, shift_scale_step(rows, groups, precision, *range_in_units(precision, start, end)))
        return steps

    def _target(self) -> tuple[float, float]:
        """Return the range of transformed values: that of fit, where the scale was learned for it."""
        return tuple(self.feature_range if self._is_stateless() else getattr(self, "_range", self.feature_range))

    def _kind(self) -> dict[str, Any]:
        return {**super()._kind(), "data_range is known": self.data_range is not None}

    def _known_range(self) -> tuple[Statistic, Statistic]:
        return self.data_range or (self.data_min_, self.data_max_)


class InstanceNormalizer(Scaler):
    """Standardize each image, or each channel of each image, by the mean and the variance of its own pixels.

    This removes differences of brightness and contrast between images. No fit is needed: ``transform`` works without
    ``fit``. NaN is treated as a missing value: ignored in mean and variance, and kept.

    Parameters
    ----------
    eps : float, default=1e-5
        Constant added to the variance, so that a constant image becomes zero instead of amplified noise; at least 0.
        With 0, images without variance are centred but not scaled.
    per : {"image", "channel"}, default="image"
        "image": one mean and one variance per image. "channel": one mean and one variance per channel of each image.
        For tables, "image" standardizes each row.
    image_shape : tuple of int or None, default=None
        Shape of one image, needed if X has flat rows: ``(height, width)`` for one channel,
        ``(height, width, channels)``, or ``(channels, height, width)`` with ``channels="first"``. None uses the shape
        of the images in X.
    channels : {"last", "first"}, default="last"
        Position of the channel axis in an image.
    copy : bool, default=True
        If True, ``transform`` does not change its input. If False, it works in place where possible: a writeable float
        array on the device of the computation.
    dtype : {"float32", "float64"} or None, default=None
        Float type of the output of ``transform``. None keeps float16, float32 and float64, and converts other types to
        float64.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.

    Attributes
    ----------
    image_shape_ : tuple of int or None
        Shape of one image; None if it is unknown.
    n_features_in_ : int
        Number of features; for images, the number of values of one image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

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

    _rules: ClassVar[dict[str, Rule]] = {**Scaler._rules, "eps": real(0), "per": one_of("image", "channel")}

    def __init__(
        self,
        eps: float = 1e-5,
        per: str = "image",
        *,
        image_shape: Sequence[int] | None = None,
        channels: str = "last",
        copy: bool = True,
        dtype: DTypeLike | None = None,
        backend: str | None = None,
    ) -> None:
        self.eps = eps
        self.per = per
        self.image_shape = image_shape
        self.channels = channels
        self.copy = copy
        self.dtype = dtype
        self.backend = backend

    def _forgets_statistics(self) -> bool:
        return True

    def _groups(self, rows: Rows, reset: bool = False) -> FeatureGroups:
        groups = super()._groups(rows, reset)
        return groups if self.per == "channel" else feature_groups("sample", groups.image_shape, None, rows.n_features)

    def _forward(self, rows: Rows, groups: FeatureGroups, precision: np.dtype) -> list[Step]:
        return [standardize_step(rows.backend, groups, eps=self.eps)]


def _sample_range_step(backend: Backend, groups: FeatureGroups) -> Step:
    """Return the step to (0, 1) by the least and the greatest value of each row."""
    xp = backend.xp

    def step(block: Array) -> None:
        view = groups.view(block)
        low, high = backend.group_extremes(view)
        with np.errstate(over="ignore"):
            width = high - low
        overflows = width == np.inf
        if overflows.any():
            unit = xp.where(overflows, 4.0, 1.0)
            view /= beside(unit)
            low, width = low / unit, high / unit - low / unit
        backend.shift_scale(view, beside(low), beside(xp.where(width == 0, 1.0, width)))

    return step


def range_in_units(precision: DTypeLike, low: Statistic, high: Statistic) -> tuple[Statistic, Statistic, Array]:
    """Return the lower end and the width of ranges divided by a unit, and the unit; a width of zero is one unit of X.

    The unit is ONE unless a range is near the ends of a float type.
    """
    unit = unit_of(precision, low, high)
    if unit is not ONE:
        low, high = low / unit, high / unit
    width = high - low
    return low, np.where(width == 0, 1 / unit, width), unit
