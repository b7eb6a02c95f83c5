"""Base classes of transformers: fit, partial_fit and transform, around the statistics and steps of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce, singledispatch
from math import prod
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import sklearn
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.sparsefuncs import inplace_column_scale
from sklearn.utils.validation import check_is_fitted

from .._backend import BACKENDS, is_device_array
from .._backend.protocol import Backend
from .._backend.typing import Array, ArrayModule
from .._common.callbacks import CallbackSupportMixin, FitTasks, callback_data, with_callbacks
from .._common.estimator import BackendMixin, unchanged_on_error
from .._common.moments import Moments, are_in_range, merge, moments_from_statistics, power_of_two
from .._common.rows import Rows, SparseRows, rows_of
from .._common.rules import (
    REFUSED,
    Rule,
    boolean,
    check_parameters,
    either,
    float_type,
    image_shape,
    is_named,
    nothing,
    one_of,
    require,
    shown,
)
from .._common.validation import KEPT, KEPT_AND_HALF, Matrix, MatrixLike, check_rows, check_sample_weight
from ._images import CHANNELS, PER, FeatureGroups, check_image_shape, feature_groups
from ._mapping import AcceptSparse, Step, float_type_of, map_rows, precision_of, refuse_infinity, refuse_overflow
from ._moments import column_moments

Statistic: TypeAlias = Array | float
MakeSteps: TypeAlias = Callable[[Rows, FeatureGroups, np.dtype], list[Step]]


class RowTransformer(CallbackSupportMixin, TransformerMixin, BackendMixin, BaseEstimator):
    """Base of transformers; a subclass computes its statistics of rows in ``_learn(rows, weight, reset)``."""

    _rules: ClassVar[dict[str, Rule]] = {"dtype": float_type(), "backend": one_of(None, *BACKENDS)}
    _accept_sparse: ClassVar[AcceptSparse] = False
    _allow_nan: ClassVar[bool] = False
    _kept_types: ClassVar[list[np.dtype]] = KEPT
    _way_out_for_images = "Flatten images: X.reshape(len(X), -1)."
    _output_container: str | None = None
    dtype: DTypeLike | None

    def fit(self, X: MatrixLike, y: Any = None) -> Self:
        """Compute the statistics of X, and discard those of earlier calls.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images if the transformer accepts them.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid; the transformer is then unchanged.
        """
        return self._take_in(X, y, reset=True)

    def partial_fit(self, X: MatrixLike, y: Any = None) -> Self:
        """Update the statistics with further rows; the result equals one ``fit`` on all rows, up to rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images if the transformer accepts them.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid; the transformer is then unchanged.
        """
        return self._take_in(X, y, reset=not self._has_learned())

    @with_callbacks
    def _take_in(
        self,
        X: MatrixLike,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        reset: bool,
        learn: Callable[[Any, Rows, Array | None, bool], None] | None = None,
    ) -> Self:
        """Check X, and learn its statistics by the method ``learn``, usually ``_learn``."""
        tasks = FitTasks(self, callback_data(X, y, sample_weight), max_epochs=0, attributes=dict)
        with unchanged_on_error(self):
            plain = self._plain()
            backend = plain._get_backend(X)
            with backend.explained_memory_errors():
                rows = rows_of(backend, without_half(plain._check(plain, X, reset=reset, **plain._fit_options())))
                weight = check_sample_weight(sample_weight, rows.n_rows, np.float64)
                (learn or type(plain)._learn)(plain, rows, weight, reset)
            self._adopt(plain)
        tasks.finish()
        return self

    def _plain(self) -> Self:
        """Return a copy whose parameters are checked, and plain Python values; it shares all other attributes."""
        plain = self._copy()
        plain.__dict__ |= check_parameters(self, self._rules)
        return plain

    def _copy(self) -> Self:
        """Return a copy that shares all attributes."""
        made = object.__new__(type(self))
        made.__dict__ |= self.__dict__
        return made

    def _adopt(self, plain: Self) -> None:
        """Take the attributes of a plain copy, but for parameters, which stay as they were given."""
        for name in self.__dict__.keys() - plain.__dict__.keys():
            del self.__dict__[name]
        self.__dict__ |= {name: value for name, value in plain.__dict__.items() if name not in self._rules}

    def _fit_options(self) -> dict[str, Any]:
        """Return how to check rows to learn from."""
        return {"accept_sparse": self._accept_sparse}

    def _has_learned(self) -> bool:
        return hasattr(self, "n_features_in_")

    def _check_transformed(self, X: MatrixLike, **options: Any) -> Matrix:
        """Return rows to be transformed, checked against those of fit."""
        has_learned = self._has_learned()
        if not has_learned:
            check_is_fitted(self)
        estimator = self if has_learned else self._copy()  # without fit there are no names to compare
        return self._check(estimator, X, reset=not has_learned, accept_sparse=self._accept_sparse and "csr", **options)

    def _check_restored(
        self, X: MatrixLike, n_features: Callable[[], int | None], noun: str = "features", **options: Any
    ) -> Matrix:
        """Return rows to be transformed back, of ``n_features()`` unless that is None; they may have no names."""
        if not self._has_learned():
            check_is_fitted(self)
        X = self._check(self._copy(), X, reset=True, accept_sparse=self._accept_sparse and "csr", **options)
        n_given, n_expected = prod(X.shape[1:]), n_features()
        if n_expected not in (None, n_given):
            raise ValueError(
                f"X has {n_given} {noun}, but {type(self).__name__} is expecting {n_expected} {noun} as input."
            )
        return X

    def _check(self, estimator: Any, X: Any, **options: Any) -> Matrix:
        shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
        if len(shape) > 2 and not self._takes_images():
            raise ValueError(
                f"{self!r} takes a table of shape (n_samples, n_features) as X; got an array of shape {shape}. "
                f"{self._way_out_for_images}"
            )
        return check_rows(estimator, X, allow_nan=self._allow_nan, dtype=self._kept_types, **options)

    def _takes_images(self) -> bool:
        return False

    # ---- frames -------------------------------------------------------------------------

    def set_output(self, *, transform: str | None = None) -> Self:
        """Set the container type that ``transform`` and ``fit_transform`` return.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Container of transformed tables; None leaves the setting unchanged. Images and CuPy arrays must have
            "default".

        Returns
        -------
        self : object
            The transformer.
        """
        super().set_output(transform=transform)
        if transform is not None:
            self._output_container = transform
        return self

    def __sklearn_clone__(self) -> Self:
        clone = super().__sklearn_clone__()
        if self._output_container is not None:
            clone._output_container = self._output_container
        return clone

    def _refuse_container(self, X: Matrix) -> None:
        container = self._output_container or sklearn.get_config()["transform_output"]
        if container == "default" or (len(X.shape) == 2 and not is_device_array(X)):
            return
        kind = "a CuPy array" if is_device_array(X) else f"images, an array of shape {X.shape}"
        raise ValueError(
            f"set_output(transform={container!r}) takes tables of shape (n_samples, n_features) on the CPU; got "
            f"{kind}. Use set_output(transform='default'), or pass flat NumPy rows."
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        dtype = self._rules["dtype"].plain(self.dtype)  # not checked yet
        tags.transformer_tags.preserves_dtype = [dtype] if isinstance(dtype, str) else ["float64", "float32"]
        return tags


def without_half(X: Matrix) -> Matrix:
    """Return float16 rows as float32, in which kernels compute; all others as they are."""
    return X.astype(np.float32) if X.dtype == np.float16 else X


def is_invertible(scaler: Any) -> bool:
    """Return True, or raise AttributeError if the statistics that ``transform`` used are not kept."""
    if scaler._forgets_statistics():
        raise AttributeError(
            f"inverse_transform is not available for {type(scaler).__name__}(per={shown(scaler.per)}), which does not "
            "keep the statistics of the samples. Use another value of per."
        )
    return True


class Scaler(OneToOneFeatureMixin, RowTransformer):
    """A transformer that shifts and scales each feature, by statistics of a group of features or of a sample."""

    _rules: ClassVar[dict[str, Rule]] = {
        **RowTransformer._rules,
        "per": one_of(*PER),
        "image_shape": either(nothing(), image_shape()),
        "channels": one_of(*CHANNELS),
        "copy": boolean(),
    }
    _allow_nan = True
    _kept_types = KEPT_AND_HALF
    _way_out_for_images = "For images, set per='image', 'channel' or 'sample'."
    _map_attributes: ClassVar[tuple[str, ...]] = ("mean_", "scale_")
    per: str
    image_shape: Sequence[int] | None
    channels: str
    copy: bool

    def transform(self, X: MatrixLike) -> Any:
        """Transform rows or images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, or images of the same shape as in ``fit``.

        Returns
        -------
        X_new : ndarray of the shape of X
            Transformed X, in the float type of X or ``dtype``, on the device of X.
        """
        return self._transform(X)

    @available_if(is_invertible)
    def inverse_transform(self, X: MatrixLike) -> Any:
        """Compute the inverse of ``transform``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Transformed rows or images.

        Returns
        -------
        X_original : ndarray of the shape of X
            Original values, in the float type of X or ``dtype``, on the device of X.
        """
        return self._inverse_transform(X)

    def _transform(self, X: MatrixLike, copy: bool | None = None) -> Matrix:
        plain = self._plain(copy)
        checked = plain._check_transformed(X, in_place=not plain.copy)
        plain._refuse_container(checked)
        return plain._map(checked, plain._forward)

    def _inverse_transform(self, X: MatrixLike, copy: bool | None = None) -> Matrix:
        plain = self._plain(copy)
        checked = plain._check_restored(X, self._n_features_restored, in_place=not plain.copy)
        return plain._map(checked, plain._backward)

    def _n_features_restored(self) -> int | None:
        """Return the number of features that transformed rows have; None, for any, after a user has set numbers.

        Scripts set ``scale_`` to that of the target column, so as to transform predictions back.
        """
        attributes = vars(self)
        given: list[Any] = [attributes[name] for name in self._map_attributes if attributes.get(name) is not None]
        are_numbers = bool(given) and all(np.ndim(value) == 0 for value in given)
        return None if are_numbers else attributes.get("n_features_in_")

    def _plain(self, copy: bool | None = None) -> Self:
        plain = super()._plain()
        if copy is not None:
            plain.copy = boolean().plain(copy)
            require(plain.copy is not REFUSED, "copy", "True, False or None", copy)
        return plain

    def _map(self, checked: Matrix, make_steps: MakeSteps) -> Any:
        backend, dtype = self._get_backend(checked), float_type_of(checked, self.dtype)
        if dtype == np.float16:
            return self._map_half(checked, make_steps)
        checked = without_half(checked)
        with backend.explained_memory_errors():
            rows = rows_of(backend, checked, np.dtype(dtype).itemsize * prod(checked.shape))
            steps = make_steps(rows, self._groups(rows), precision_of(checked, dtype))
            return rows.as_input(map_rows(rows, steps, dtype, not self.copy, self._hides_infinity()))

    def _map_half(self, checked: Array, make_steps: MakeSteps) -> Array:
        """Return float16 rows after the steps, which compute in float32."""
        with np.errstate(over="ignore"):
            made = self._map(without_half(checked), make_steps).astype(np.float16)
        if np.isinf(made).any():
            refuse_overflow(made.dtype)
        if self.copy:
            return made
        checked[...] = made
        return checked

    def _groups(self, rows: Rows, reset: bool = False) -> FeatureGroups:
        """Return which features of the rows share statistics, after a look at their shape."""
        if self.per == "sample":
            rows.require_dense(
                "per must be 'feature', 'image' or 'channel' for sparse X; got 'sample'. Change per, or make X dense."
            )
        if not reset and getattr(self, "_fitted_as", self._kind()) != self._kind():
            raise ValueError(
                f"per, channels and data_range must stay as they were in fit, {self._fitted_as}; got {self._kind()}. "
                "Call fit again."
            )
        known = None if reset else getattr(self, "image_shape_", None)
        if known is None and self.image_shape is not None:
            known = tuple(self.image_shape)
        shape = check_image_shape(rows.X.shape, known)
        return feature_groups(self.per, shape, self.channels, rows.n_features)

    def _kind(self) -> dict[str, Any]:
        """Return the parameters that decide which statistics there are."""
        return {"per": self.per, "channels": self.channels}

    def _takes_images(self) -> bool:
        return not is_named(self.per, "feature")

    def _forgets_statistics(self) -> bool:
        return is_named(self.per, "sample")

    def _hides_infinity(self) -> bool:
        """Return whether results may be finite although X holds infinity."""
        return self._forgets_statistics()

    def _is_stateless(self) -> bool:
        return self._forgets_statistics()

    def _learn(self, rows: Rows, weight: Array | None, reset: bool) -> None:
        groups = self._groups(rows, reset)
        self.image_shape_, self._fitted_as = groups.image_shape, self._kind()
        if self._is_stateless():
            refuse_infinity(rows)
        else:
            self._learn_groups(rows, groups, weight, reset)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = not self._is_stateless()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = self._takes_images()
        return tags


class MomentScaler(Scaler):
    """Base of scalers by means and variances; a subclass keeps its attributes in ``_publish(moments, shape)``."""

    n_samples_seen_: Any

    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Compute the statistics of X, and discard those of earlier calls.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows or images. CSR and CSC matrices are used without conversion, if the transformer accepts sparse X.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row; None means weight 1 for every row.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid; the transformer is then unchanged.
        """
        return self._take_in(X, y, sample_weight, reset=True)

    def partial_fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Update the statistics with further rows; the result equals one ``fit`` on all rows, up to rounding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows or images.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row; None means weight 1 for every row.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid; the transformer is then unchanged.
        """
        return self._take_in(X, y, sample_weight, reset=not self._has_learned())

    def _learn_groups(self, rows: Rows, groups: FeatureGroups, weight: Array | None, reset: bool) -> None:
        moments = groups.pool_moments(column_moments(rows, weight))
        if not np.isfinite(moments.mean).all():
            refuse_infinity(rows)
        counts_rows = weight is None
        if not reset:
            counts_rows &= np.asarray(self.n_samples_seen_).dtype.kind in "iu"
            moments = merge(self._known_moments(groups), moments)
        if not np.isfinite(moments.count).all():
            raise ValueError(
                f"sample_weight must have a finite sum over all values of a feature, {groups.size} of a row, and over "
                "all calls of partial_fit; got a sum of infinity. Divide all weights by the same number."
            )
        self.n_samples_seen_ = _samples_seen(moments.count / groups.size, counts_rows, groups.shape)
        self._mean_rest, self._deviations = moments.rest, moments.deviations
        self._publish(moments, groups.shape)

    def _known_moments(self, groups: FeatureGroups) -> Moments:
        count, mean, variance = (
            np.broadcast_to(np.asarray(0.0 if known is None else known).ravel(), groups.n_groups)
            for known in (self.n_samples_seen_, self.mean_, getattr(self, "var_", None))
        )
        rest, deviations = getattr(self, "_mean_rest", 0.0), getattr(self, "_deviations", None)
        return moments_from_statistics(count * groups.size, mean, variance, rest, deviations)


ONE = np.ones(())
MOST_ROWS_OF_ERROR = 2.0**26  # so that an error is at most 1.5e-8 of the mean
ROOM = 2.0**64  # between statistics and the ends of a float type, so that no difference overflows and no digit is lost


def unit_of(precision: DTypeLike, *statistics: Any) -> Array:
    """Return powers of two near the greatest statistic where it is near an end of a float type; ONE if none is."""
    limits = np.finfo(precision)
    least, most = float(limits.tiny) * ROOM, float(limits.max) / ROOM
    size = reduce(np.maximum, map(np.abs, statistics))
    if least <= float(size.min()) and float(size.max()) <= most:
        return ONE
    is_extreme = (size > most) | ((size < least) & (size > 0))
    return power_of_two(np, np.where(is_extreme, size, 1.0), limits.maxexp - 24) if is_extreme.any() else ONE


def in_units(precision: DTypeLike, shift: Any, scale: Any) -> tuple[Any, Any, Array]:
    """Return shift and scale divided by a unit, and the unit: ONE unless they are near the ends of a float type."""
    unit = unit_of(precision, shift, scale)
    return (shift, scale, unit) if unit is ONE else (shift / unit, scale / unit, unit)


@singledispatch
def shift_scale_step(
    rows: Rows, groups: FeatureGroups, precision: DTypeLike, shift: Any, scale: Any, unit: Array
) -> Step:
    """Return the step ``(x / unit - shift) / scale`` by statistics of groups of features."""
    backend = rows.backend
    shift, scale = (backend.asarray(groups.spread(statistic), precision) for statistic in (shift, scale))
    if unit is ONE:
        return lambda block: backend.shift_scale(block, shift, scale)
    to_units = _multiplication(backend, groups, precision, 1 / unit)

    def step(block: Array) -> None:
        to_units(block)
        backend.shift_scale(block, shift, scale)

    return step


@shift_scale_step.register
def _sparse_scale_step(
    rows: SparseRows, groups: FeatureGroups, precision: DTypeLike, shift: Any, scale: Any, unit: Array
) -> Step:
    def step(X: Any) -> None:  # sparse rows are not shifted
        if unit is not ONE:
            inplace_column_scale(X, 1 / groups.spread(unit))
        inplace_column_scale(X, 1 / groups.spread(scale))

    return step


@singledispatch
def scale_shift_step(
    rows: Rows, groups: FeatureGroups, precision: DTypeLike, shift: Any, scale: Any, unit: Array
) -> Step:
    """Return the inverse of ``shift_scale_step``, ``(x * scale + shift) * unit``."""
    backend = rows.backend
    scale, shift = (backend.asarray(groups.spread(statistic), precision) for statistic in (scale, shift))
    if unit is ONE:
        return lambda block: backend.scale_shift(block, scale, shift)
    from_units = _multiplication(backend, groups, precision, unit)

    def step(block: Array) -> None:
        backend.scale_shift(block, scale, shift)
        from_units(block)

    return step


@scale_shift_step.register
def _sparse_unscale_step(
    rows: SparseRows, groups: FeatureGroups, precision: DTypeLike, shift: Any, scale: Any, unit: Array
) -> Step:
    def step(X: Any) -> None:
        inplace_column_scale(X, groups.spread(scale))
        if unit is not ONE:
            inplace_column_scale(X, groups.spread(unit))

    return step


def _multiplication(backend: Backend, groups: FeatureGroups, precision: DTypeLike, factor: Array) -> Step:
    by_feature = backend.asarray(groups.spread(factor), precision)
    nothing = backend.xp.zeros_like(by_feature)
    return lambda block: backend.scale_shift(block, by_feature, nothing)


def standardize_step(
    backend: Backend, groups: FeatureGroups, *, with_mean: bool = True, with_std: bool = True, eps: float = 0.0
) -> Step:
    """Return the step ``(x - mean) / sqrt(variance + eps)`` by the mean and variance of each group in each row."""
    xp = backend.xp

    def step(block: Array) -> None:
        view = groups.view(block)
        with np.errstate(over="ignore", invalid="ignore"):
            count, mean, squares = backend.group_moments(view)
        unit = _unit_of_groups(backend, view, count, squares, eps)
        if unit is not None:
            view /= beside(unit)
            count, mean, squares = backend.group_moments(view)
        unit = xp.ones_like(mean) if unit is None else unit
        shift = mean if with_mean else xp.zeros_like(mean)
        scale = 1 / unit
        if with_std:
            variance = squares / xp.where(count > 0, count, xp.nan)
            deviation = xp.sqrt(variance + eps / unit / unit)
            scale = deviation if eps > 0 else xp.where(is_constant(xp, count, mean, deviation), scale, deviation)
        backend.shift_scale(view, beside(shift), beside(scale))

    return step


def _unit_of_groups(backend: Backend, view: Array, count: Array, squares: Array, eps: float) -> Array | None:
    """Return powers of two for groups whose squares overflow or vanish, and 1 for the others; None if none does."""
    xp = backend.xp
    doubtful = (count > 0) & ~are_in_range(squares)
    if view.dtype != np.float64 or not doubtful.any():
        return None  # float64 has room for the squares of all float32 numbers
    rows = xp.flatnonzero(doubtful.any(axis=1))
    low, high = backend.group_extremes(view[rows])
    varies = doubtful[rows] & (low < high)
    if not varies.any():
        return None
    unit = xp.ones_like(squares)
    size = xp.maximum(xp.maximum(abs(low), abs(high)), eps**0.5)  # smaller squares do not matter beside eps
    unit[rows] = xp.where(varies, power_of_two(xp, size), 1.0)
    return unit


def beside(statistic: Array) -> Array:
    """Return a statistic ``(rows, groups)`` shaped to meet rows seen as groups, in float64: no mean is rounded."""
    return statistic.astype(np.float64)[:, None, :, None]


def is_constant(xp: ArrayModule, count: Array, mean: Array, deviation: Array) -> Array:
    """Return where a standard deviation is zero within its rounding error; False where nothing was seen.

    The bound is that of the two-pass algorithm: Chan, Golub and LeVeque, The American Statistician 37(3), 1983. A sum
    of weights stands for a number of rows, but only as far as rounding errors of that many rows are small.
    """
    error = xp.clip(count, 1, MOST_ROWS_OF_ERROR) * np.finfo(np.float64).eps
    return deviation * xp.sqrt(1 - error) <= error * abs(mean)


def _samples_seen(count: Array, counts_rows: bool, shape: tuple[int, ...]) -> Any:
    """Return numbers of samples of groups as they are published: integers unless weighted, or pixels were left out."""
    if counts_rows and (count == np.floor(count)).all():
        count = count.astype(np.int64)
    return count[0] if (count == count[0]).all() else count.reshape(shape)
