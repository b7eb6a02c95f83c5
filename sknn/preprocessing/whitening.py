"""Principal component analysis (PCA) and whitening (PCA, ZCA)."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._backend.typing import Array
from .._common.rows import Rows, SparseRows, rows_of
from .._common.rules import Rule, boolean, either, integer, is_named, nothing, one_of, random_state, real, shown
from .._common.validation import Matrix, MatrixLike
from ._covariance import Scatter, Spectrum, blas_threads, merge, principal_axes, row_scatter, scatter_of_axes
from ._decomposition import exact_axes, few_axes, lanczos_axes, minka_rank, randomized_axes
from ._mapping import float_type_of, map_products, precision_of
from ._moments import check_squares
from ._transformer import AcceptSparse, RowTransformer

SOLVERS = ("auto", "full", "covariance_eigh", "arpack", "randomized")
SPARSE_SOLVERS = ("auto", "covariance_eigh", "arpack")
SMALL = 64  # features up to which a matrix is made in less time than rows are multiplied twice
FEW = ("arpack", "randomized", "gram")  # solvers that find the first components only


def can_go_on(transformer: Any) -> bool:
    """Return True, or raise AttributeError if fit would keep nothing that further rows could be added to."""
    solver = getattr(transformer, "svd_solver", None)
    if is_named(solver, *FEW):
        raise AttributeError(
            f"partial_fit is not available for svd_solver={shown(solver)}, which computes the first components only. "
            "Use svd_solver='covariance_eigh'."
        )
    return True


class AxesTransformer(RowTransformer):
    """Base class of transformers by principal axes, with an exact ``partial_fit``."""

    _scatter: tuple | None

    @available_if(can_go_on)
    def partial_fit(self, X: MatrixLike, y: Any = None) -> Self:
        """Update the covariance with further rows; the result equals one ``fit`` on all rows, up to rounding.

        Each call also computes the eigenvectors of the covariance, in a time that grows with the cube of
        ``n_features``. Pass many rows per call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows. A call may have fewer rows than ``n_components``.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid, or if ``fit`` computed the first components only; the transformer is
            then unchanged.
        """
        return self._take_in(X, y, reset=not self._has_learned(), learn=type(self)._learn_more)

    def _learn_more(self, rows: Rows, weight: Array | None, reset: bool) -> None:
        with blas_threads(rows):
            scatter = row_scatter(rows)
            if not reset:
                with np.errstate(over="ignore", invalid="ignore"):
                    scatter = merge(self._known_scatter(), scatter)
            check_squares(rows, scatter.total())
            dtype = self._float_type(rows, reset)
            self._scatter = tuple(scatter)  # a plain one, so that no private class is named in pickles
            self._publish(principal_axes(rows.backend, scatter), dtype)

    def _float_type(self, rows: Rows, reset: bool) -> np.dtype:
        """Return the float type of fitted attributes."""
        return np.dtype(np.float64)

    def _known_scatter(self) -> Scatter:
        return Scatter(*self._scatter)  # type: ignore[misc]  # kept since fit

    def _select(self, spectrum: Spectrum, n_components: Any, dtype: np.dtype) -> None:
        """Publish the first components of a spectrum, and its mean and count, in a float type."""
        self.mean_ = in_type(spectrum.mean, dtype)
        self._mean_rest = (spectrum.mean - self.mean_) + spectrum.rest
        self.components_ = spectrum.first_axes(n_components).astype(dtype)
        self.explained_variance_ = in_type(spectrum.variances[:n_components], dtype)
        self.n_samples_ = self.n_samples_seen_ = spectrum.count
        self.n_components_ = n_components
        self._rounding = spectrum.rounding

    def _deviations(self, eps: float) -> Array:
        """Return ``sqrt(variance + eps)`` along the components; without eps infinite where the variance is rounding."""
        variances = self.explained_variance_.astype(np.float64)
        is_rounding = (eps == 0) & (variances <= getattr(self, "_rounding", 0.0))  # not there without a fit
        return np.where(is_rounding, np.inf, np.sqrt(np.where(is_rounding, 1.0, variances + eps)))

    # ---- products with rows -------------------------------------------------------------

    def _map(
        self,
        checked: Matrix,
        mean: Array,
        weights: Array,
        shift: Array | None = None,
        *,
        dtype: DTypeLike | None = None,
        precision: DTypeLike | None = None,
    ) -> Any:
        """Return ``(X - mean) weights + shift``, worked out in ``precision``, by default that of X and ``dtype``."""
        backend = self._get_backend(checked)
        dtype = float_type_of(checked, dtype or self.dtype)
        precision = np.dtype(precision or precision_of(checked, dtype))
        mean, weights = mean.astype(precision), weights.astype(precision)
        with backend.explained_memory_errors():
            rows = rows_of(backend, checked, dtype.itemsize * checked.shape[0] * weights.shape[1])
            shift = None if shift is None else backend.asarray(shift, precision)
            return rows.as_input(map_products(rows, dtype, backend.asarray(mean), backend.asarray(weights), shift))

    def _smallest_seen(self) -> int:
        return min(self.n_samples_, self.n_features_in_)


def leading(spectrum: Spectrum, share: float) -> np.int64:
    """Return how many axes it takes to explain more than a share of the variance: one where there is none."""
    if not spectrum.total_variance > 0:
        return np.int64(1)
    ratios = np.cumsum(explained_ratios(spectrum.variances, spectrum.total_variance))
    return np.minimum(np.searchsorted(ratios, share, side="right") + 1, len(ratios))


def in_type(values: Array, dtype: np.dtype) -> Array:
    """Return a copy of float64 values in a float type, or in float64 if that type is too narrow for the greatest."""
    greatest, limits = np.abs(values).max(initial=0), np.finfo(dtype)
    fits = greatest == 0 or limits.tiny / limits.eps <= greatest <= limits.max
    return values.astype(dtype if fits else np.float64)


def explained_ratios(variances: Array, total: float) -> Array:
    """Return shares of a total variance: zero where there is none."""
    return variances / (total if total > 0 else 1.0)


def without_infinity(scales: Array) -> Array:
    """Return scales with 0 for those of axes that were removed."""
    return np.where(np.isinf(scales), 0.0, scales)


class PCA(ClassNamePrefixFeaturesOutMixin, AxesTransformer):
    """Principal component analysis: project rows on their axes of largest variance.

    A drop-in replacement for :class:`sklearn.decomposition.PCA`. In addition, it has an exact ``partial_fit``, ``eps``
    for whitening that does not amplify noise, and computation with CuPy. The covariance is computed in float64 for
    every type of X, from products about the mean. The output of ``transform`` keeps float32 and float64.

    Parameters
    ----------
    n_components : int, float, "mle" or None, default=None
        Number of components to keep. An int is this number. A float in (0, 1) keeps as many components as are needed to
        explain more than this fraction of the variance. "mle" uses Minka's estimate. None keeps all components,
        ``min(n_samples, n_features)``.
    copy : bool, default=True
        Accepted for compatibility with scikit-learn. X is never changed, for either value.
    whiten : bool, default=False
        Whether ``transform`` divides components by ``sqrt(explained_variance_ + eps)``.
    svd_solver : {"auto", "full", "covariance_eigh", "arpack", "randomized"}, default="auto"
        Algorithm.

        - "full": singular value decomposition of the centred rows.
        - "covariance_eigh": eigendecomposition of the covariance, for data with many more rows than features. It does
          not copy X, and cannot resolve axes with less than 1e-16 of the largest variance. Rows that are at most half
          as many as features are decomposed themselves, as by "full".
        - "randomized": approximation of the first components, for data with many features.
        - "arpack": the first components, fewer than ``min(n_samples, n_features)``, for sparse X with many features.
        - "auto": "arpack" for sparse X. "covariance_eigh" for at most 1000 features and at least 10 times as many rows.
          Otherwise "full" if neither rows nor features exceed 500, or if ``n_components`` is not an integer below 80 %
          of the smaller of the two numbers. Otherwise, if the smaller one is at most 500, or at most 1000 and the other
          one at least 10 times as large, exact components: by "covariance_eigh", or by the products of rows with each
          other where these are fewer than features. Otherwise "randomized" with 20 power iterations.

        ``partial_fit`` always uses the covariance, and is not available for "arpack" and "randomized".
    tol : float, default=0.0
        Relative accuracy of the singular values for "arpack", at least 0; 0 means machine precision.
    iterated_power : int or "auto", default="auto"
        Number of power iterations for "randomized". "auto" uses 7 if less than a tenth of all components are computed,
        otherwise 4; and 20 if ``svd_solver`` is "auto".
    n_oversamples : int, default=10
        Number of additional random directions for "randomized", at least 1.
    power_iteration_normalizer : {"auto", "QR", "LU", "none"}, default="auto"
        Normalisation of the directions between power iterations for "randomized"; "auto" is "LU" on the CPU and "QR"
        on a GPU.
    random_state : int, RandomState or None, default=None
        Seed or random stream for "randomized" and "arpack".
    eps : float, default=0.0
        Constant that whitening adds to the variances, in the squared unit of X, at least 0. A component of variance
        ``l`` has variance ``l / (l + eps)`` after whitening. With 0, components whose variance is zero up to rounding
        become zero.
    dtype : {"float32", "float64"} or None, default=None
        Float type of the output of ``transform``. None keeps float32 and float64, and converts other types to float64.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features)
        Orthonormal principal axes, sorted by decreasing variance. In each axis, the entry of largest magnitude is
        positive; of several entries equal to it but for 1e-6 of it, the first one.
    explained_variance_ : ndarray of shape (n_components_,)
        Unbiased variance along each axis: sum of squares divided by ``n_samples - 1``.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Fraction of the total variance along each axis.
    singular_values_ : ndarray of shape (n_components_,)
        ``sqrt(explained_variance_ * (n_samples - 1))``.
    mean_ : ndarray of shape (n_features,)
        Mean of each feature.
    noise_variance_ : float
        Noise variance of probabilistic PCA: mean variance along the discarded axes; 0 if no axis was discarded.
    n_components_ : int
        Number of components. If all rows are alike, a fraction of the variance is explained by one.
    n_samples_, n_samples_seen_ : int
        Number of rows.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

    Notes
    -----
    Where scikit-learn's class contradicts its own documentation, this class follows the documentation: covariance,
    precision and score do not depend on ``whiten``. If the data has no variance in some direction, the score uses the
    rounding error of the solver as the variance in this direction. Whitening sets components without variance to zero,
    where scikit-learn divides one rounding error by another. ``explained_variance_`` is the variance of the rows along
    the components also for "randomized", where scikit-learn leaves a part of it out.

    All is computed in float64. If X is float32 and ``dtype`` is not "float64", then fitted arrays are float32, but for
    those whose largest value float32 cannot hold; ``partial_fit`` goes on in float64 nevertheless.

    "covariance_eigh" and ``partial_fit`` store ``n_features^2`` float64 numbers (sums of products about the mean), or
    the centred rows where these are few, in the fitted object and in its pickle, so that ``partial_fit`` can continue.
    "full" makes a float64 copy of X. "randomized" makes a few arrays of ``n_samples`` rows and ``n_components +
    n_oversamples`` columns, a float64 copy of X up to 64 MB, and a square matrix of the smaller side of X where this
    takes less time. For sparse X, products are computed about zero instead of the mean; features with a mean far from
    zero therefore lose precision.

    References
    ----------
    Tipping and Bishop, "Mixtures of Probabilistic Principal Component Analyzers", Neural Computation 11(2), 1999: the
    likelihood. Minka, "Automatic Choice of Dimensionality for PCA", NIPS 13, 2000. Halko, Martinsson and Tropp,
    "Finding Structure with Randomness", SIAM Review 53(2), 2011. Whitening with eps: course notes of CS231n, "Neural
    Networks Part 2: Setting up the Data and the Loss".

    Examples
    --------
    >>> import numpy as np
    >>> from sknn.preprocessing import PCA
    >>> X = np.array([[-1.0, -1.0], [-2.0, -1.0], [-3.0, -2.0], [1.0, 1.0], [2.0, 1.0], [3.0, 2.0]])
    >>> PCA(n_components=1).fit(X).explained_variance_ratio_.round(4)
    array([0.9924])
    >>> pca = PCA(whiten=True)
    >>> for rows in np.array_split(X, 3):
    ...     pca = pca.partial_fit(rows)
    >>> np.cov(pca.transform(X).T).round(6) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """

    _rules: ClassVar[dict[str, Rule]] = {
        **RowTransformer._rules,
        "n_components": either(nothing(), one_of("mle"), integer(0), real(0, 1, closed="neither")),
        "copy": boolean(),
        "whiten": boolean(),
        "svd_solver": one_of(*SOLVERS),
        "tol": real(0),
        "iterated_power": either(one_of("auto"), integer(0)),
        "n_oversamples": integer(1),
        "power_iteration_normalizer": one_of("auto", "QR", "LU", "none"),
        "random_state": random_state(),
        "eps": real(0),
    }
    _accept_sparse: ClassVar[AcceptSparse] = ("csr", "csc")

    def __init__(
        self,
        n_components: int | float | str | None = None,
        *,
        copy: bool = True,
        whiten: bool = False,
        svd_solver: str = "auto",
        tol: float = 0.0,
        iterated_power: int | str = "auto",
        n_oversamples: int = 10,
        power_iteration_normalizer: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        eps: float = 0.0,
        dtype: DTypeLike | None = None,
        backend: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.copy = copy
        self.whiten = whiten
        self.svd_solver = svd_solver
        self.tol = tol
        self.iterated_power = iterated_power
        self.n_oversamples = n_oversamples
        self.power_iteration_normalizer = power_iteration_normalizer
        self.random_state = random_state
        self.eps = eps
        self.dtype = dtype
        self.backend = backend

    # ---- fitting ------------------------------------------------------------------------

    def _learn(self, rows: Rows, weight: Array | None, reset: bool) -> None:
        solver = self._solver(rows)
        self._check_n_components(rows.X.shape, solver)
        if solver == "covariance_eigh":
            self._learn_more(rows, weight, reset=True)
            return
        spectrum = exact_axes(rows) if solver == "full" else self._first_axes(rows, solver)
        self._publish(spectrum, self._float_type(rows, reset=True))
        self._scatter = None
        if self.n_components_ == self._smallest_seen() and self.components_.dtype != np.float64:
            self._scatter = tuple(spectrum.scatter())  # what partial_fit goes on from is not rounded

    def _float_type(self, rows: Rows, reset: bool) -> np.dtype:
        dtype = precision_of(rows.X, float_type_of(rows.X, self.dtype))
        return dtype if reset else np.result_type(dtype, self.components_.dtype)

    def _known_scatter(self) -> Scatter:
        if self._scatter is not None:
            return Scatter(*self._scatter)
        if self.n_components_ < self._smallest_seen():
            raise ValueError(
                "partial_fit cannot continue a fit that discarded components with a solver other than "
                f"'covariance_eigh'; got n_components={self.n_components!r}. Fit with svd_solver='covariance_eigh', "
                "or call partial_fit on a new PCA from the start."
            )
        return scatter_of_axes(self.n_samples_, self.mean_, self._mean_rest, self.explained_variance_, self.components_)

    def _solver(self, rows: Rows) -> str:
        if self.svd_solver == "arpack" and not rows.backend.on_host:
            raise ValueError(
                "svd_solver='arpack' must be computed with backend='numpy'; got "
                f"backend={rows.backend.name!r}. Set svd_solver='randomized'."
            )
        return choose_solver(rows, self.svd_solver, self.n_components)

    def _check_n_components(self, shape: tuple[int, ...], solver: str) -> None:
        given: Any = self.n_components
        least = min(shape)
        if given is None:
            return
        if given == "mle":
            if solver in FEW:
                raise ValueError(
                    f"n_components='mle' cannot be a string with svd_solver={solver!r}. Set svd_solver='full', or "
                    "n_components to an integer."
                )
            if shape[0] < shape[1]:
                raise ValueError(
                    f"n_components='mle' is only supported if n_samples >= n_features; got X of shape {shape}. Pass "
                    "more rows, or an integer as n_components."
                )
        elif solver in FEW and not 1 <= given <= least:
            self._refuse_count("must be between 1 and", shape, solver)
        elif solver == "arpack" and given == least > 1:
            self._refuse_count("must be strictly less than", shape, solver)
        elif given > least:
            self._refuse_count("must be between 0 and", shape, solver)

    def _refuse_count(self, demand: str, shape: tuple[int, ...], solver: str) -> NoReturn:
        raise ValueError(
            f"n_components={self.n_components} {demand} min(n_samples, n_features)={min(shape)} with "
            f"svd_solver={solver!r}; got X of shape {shape}. Change n_components or svd_solver, or pass more rows."
        )

    def _first_axes(self, rows: Rows, solver: str) -> Spectrum:
        least = min(rows.X.shape)
        n_axes: Any = max(least - (solver == "arpack"), 1) if self.n_components is None else self.n_components
        if solver == "arpack":
            return lanczos_axes(rows, n_axes, self.tol, check_random_state(self.random_state))
        if solver == "gram":
            return few_axes(rows, n_axes)
        n_iter: Any = self.iterated_power
        if n_iter == "auto" and self.svd_solver == "auto":
            n_iter = 20
        elif n_iter == "auto":
            n_iter = 7 if n_axes < 0.1 * least else 4
        return randomized_axes(
            rows,
            n_axes,
            self.n_oversamples,
            n_iter,
            self.power_iteration_normalizer,
            check_random_state(self.random_state),
        )

    def _publish(self, spectrum: Spectrum, dtype: np.dtype) -> None:
        self._select(spectrum, self._count_components(spectrum), dtype)
        variances, total = spectrum.variances[: self.n_components_], spectrum.total_variance
        self.explained_variance_ratio_ = explained_ratios(variances, total).astype(dtype)
        self.singular_values_ = in_type(np.sqrt(variances * max(spectrum.count - 1, 1)), dtype)
        self.noise_variance_ = np.float64(0)
        if self.n_components_ < self._smallest_seen():
            n_axes = max(len(spectrum.variances), self._smallest_seen())
            noise = max(total - variances.sum(), 0) / (n_axes - self.n_components_)
            (self.noise_variance_,) = in_type(np.array([noise]), dtype)

    def _count_components(self, spectrum: Spectrum) -> Any:
        given: Any = self.n_components
        n_features = spectrum.axes.shape[1]
        if given is None:
            return min(spectrum.count, len(spectrum.variances))
        if given == "mle":
            return np.int64(minka_rank(spectrum.variances, spectrum.count))
        if 0 < given < 1:
            return leading(spectrum, given)
        if given > n_features:
            raise ValueError(f"n_components must be at most n_features={n_features}; got n_components={given}.")
        return given

    # ---- transforming -------------------------------------------------------------------

    def transform(self, X: MatrixLike) -> Any:
        """Project rows on the components: ``(X - mean_) @ components_.T``, then whiten if ``whiten`` is True.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components_)
            In the float type of X or ``dtype``, on the device of X.
        """
        plain = self._plain()
        checked = plain._check_transformed(X)
        plain._refuse_container(checked)
        weights = self.components_.T
        return plain._map(checked, self.mean_, weights / plain._deviations(plain.eps) if plain.whiten else weights)

    def inverse_transform(self, X: MatrixLike) -> Any:
        """Map projected rows back to feature space; the part along discarded components is lost.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Projected rows.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In the float type of X or ``dtype``, on the device of X.
        """
        plain = self._plain()
        checked = plain._check_restored(X, lambda: len(self.components_), "components")
        weights = self.components_
        if plain.whiten:
            weights = weights * without_infinity(plain._deviations(plain.eps))[:, None]
        return plain._map(checked, np.zeros(len(weights)), weights, self.mean_)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    # ---- the probabilistic model --------------------------------------------------------

    def get_covariance(self) -> np.ndarray:
        """Return the covariance of probabilistic PCA: covariance of the components plus isotropic noise.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            Covariance matrix, in float64.
        """
        check_is_fitted(self)
        excess = np.maximum(self.explained_variance_ - self.noise_variance_, 0)
        return (self.components_.T * excess) @ self.components_ + self.noise_variance_ * np.eye(self.n_features_in_)

    def get_precision(self) -> np.ndarray:
        """Return the inverse of ``get_covariance()``.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            Precision matrix, in float64. Variances that are zero up to rounding are replaced by the bound of their
            rounding error, so that the inverse exists.
        """
        check_is_fitted(self)
        root = self._precision_root()
        return root @ root.T

    def _precision_root(self) -> Array:
        """Return ``R`` with ``R R^T`` the precision: the axes over their deviations, and noise in the rest."""
        variances, noise = self._positive_variances()
        root = self.components_.T / np.sqrt(variances)
        if self.n_components_ == self.n_features_in_:
            return root
        rest = np.eye(self.n_features_in_) - self.components_.T @ self.components_
        return np.hstack([root, rest / np.sqrt(noise)])

    def _positive_variances(self) -> tuple[Array, float]:
        least = max(self._rounding, np.finfo(np.float64).tiny)
        noise = max(self.noise_variance_, least)
        return np.maximum(self.explained_variance_, noise), noise

    def score_samples(self, X: MatrixLike) -> Any:
        """Return the log-likelihood of each row under probabilistic PCA.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            Log-likelihoods in float64, on the device of X.
        """
        plain = self._plain()
        checked = plain._check_transformed(X)
        whitened = plain._map(checked, self.mean_, self._precision_root(), dtype="float64")
        variances, noise = self._positive_variances()
        n_left_out = self.n_features_in_ - self.n_components_
        log_determinant = np.log(variances).sum() + n_left_out * np.log(noise)
        constant = log_determinant + self.n_features_in_ * np.log(2 * np.pi)
        return -0.5 * (whitened * whitened).sum(axis=1) - 0.5 * float(constant)

    def score(self, X: MatrixLike, y: Any = None) -> float:
        """Return the mean log-likelihood of rows under probabilistic PCA.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : None
            Ignored.

        Returns
        -------
        log_likelihood : float
            Mean of ``score_samples``.
        """
        return float(self.score_samples(X).mean())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = is_named(self.svd_solver, *SPARSE_SOLVERS)
        return tags


@singledispatch
def choose_solver(rows: Rows, svd_solver: str, n_components: int | float | str | None) -> str:
    """Return the solver for rows, by their shape where ``svd_solver`` is "auto".

    "gram" is the exact one for few of the components of rows that are fewer than features. The bounds are those up to
    which exact axes take no longer than random directions with enough power iterations (20) for the same axes.
    """
    if svd_solver != "auto":
        return svd_solver
    n_rows, n_features = rows.n_rows, rows.n_features
    least, most = sorted((n_rows, n_features))
    if n_features <= 1000 and n_rows >= 10 * n_features:
        return "covariance_eigh"
    is_few = not isinstance(n_components, str | None) and 1 <= n_components < 0.8 * least
    if not is_few or most <= 500:
        return "full"
    if least <= 500 or (least <= 1000 and most >= 10 * least):
        return "covariance_eigh" if n_features == least else "gram"
    return "randomized"


@choose_solver.register
def _choose_sparse_solver(rows: SparseRows, svd_solver: str, n_components: int | float | str | None) -> str:
    if svd_solver not in SPARSE_SOLVERS:
        raise TypeError(
            'PCA only support sparse inputs with the "arpack" and "covariance_eigh" solvers, while '
            f'"{svd_solver}" was passed. Set svd_solver to one of them or to "auto", or make X dense.'
        )
    return "arpack" if svd_solver == "auto" else svd_solver


class ZCA(OneToOneFeatureMixin, AxesTransformer):
    """ZCA whitening (zero-phase component analysis): ``(X - mean_) @ whitening_`` with a symmetric matrix.

    Rows are rotated to their principal axes, divided by ``sqrt(variance + eps)`` and rotated back. Of all whitening
    transformations, this one changes the rows least: features keep their meaning, and whitened images still look like
    images. The covariance is computed in float64 for every type of X. Any number of calls of ``partial_fit`` gives the
    same result as one ``fit`` on all rows, up to rounding.

    Parameters
    ----------
    n_components : int, float or None, default=None
        Number of principal axes to keep. An int is this number. A float in (0, 1) keeps as many axes as are needed to
        explain more than this fraction of the variance. None keeps all axes. Components along the other axes are set to
        zero: whitened rows keep their number of features, their covariance has rank ``n_components_``, and
        ``inverse_transform`` gives the projection on the kept axes.
    eps : float, default=1e-5
        Constant added to the variances, in the squared unit of X, at least 0. An axis of variance ``l`` has variance
        ``l / (l + eps)`` after whitening, so a larger ``eps`` amplifies noise less. With 0, axes whose variance is zero
        up to rounding are removed.
    dtype : {"float32", "float64"} or None, default=None
        Float type of the output of ``transform``. None keeps float32 and float64, and converts other types to float64.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Library that computes: "numpy" on the CPU, "cupy" on a GPU. "auto" uses CuPy if X is a CuPy array, and NumPy
        otherwise. None uses the setting of ``config_context``, ``set_config`` or the environment variable
        ``SKNN_BACKEND``.

    Attributes
    ----------
    whitening_ : ndarray of shape (n_features, n_features)
        Symmetric whitening matrix ``U diag(1 / sqrt(l + eps)) U^T``, in float64.
    components_ : ndarray of shape (n_components_, n_features)
        Principal axes ``U^T``, sorted by decreasing variance, with signs as those of :class:`PCA`.
    explained_variance_ : ndarray of shape (n_components_,)
        Unbiased variance ``l`` along each axis: sum of squares divided by ``n_samples - 1``.
    mean_ : ndarray of shape (n_features,)
        Mean of each feature.
    n_components_ : int
        Number of kept axes.
    n_samples_, n_samples_seen_ : int
        Number of rows.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features; exists only if X had string column names.

    References
    ----------
    Bell and Sejnowski, "The 'Independent Components' of Natural Scenes are Edge Filters", Vision Research 37(23), 1997.
    Kessy, Lewin and Strimmer, "Optimal Whitening and Decorrelation", The American Statistician 72(4), 2018: ZCA
    changes rows least. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> from sknn.preprocessing import ZCA
    >>> X = np.array([[0.0, 0.0], [2.0, 1.0], [4.0, 3.0], [6.0, 2.0]])
    >>> zca = ZCA(eps=0.0).fit(X)
    >>> np.cov(zca.transform(X).T).round(6) + 0.0
    array([[1., 0.],
           [0., 1.]])
    >>> zca.inverse_transform(zca.transform(X)).round(6) + 0.0
    array([[0., 0.],
           [2., 1.],
           [4., 3.],
           [6., 2.]])
    """

    _rules: ClassVar[dict[str, Rule]] = {
        **RowTransformer._rules,
        "n_components": either(nothing(), integer(1), real(0, 1, closed="neither")),
        "eps": real(0),
    }

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        eps: float = 1e-5,
        dtype: DTypeLike | None = None,
        backend: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.eps = eps
        self.dtype = dtype
        self.backend = backend

    def _learn(self, rows: Rows, weight: Array | None, reset: bool) -> None:
        self._learn_more(rows, weight, reset=True)

    def _publish(self, spectrum: Spectrum, dtype: np.dtype) -> None:
        self._select(spectrum, self._count_components(spectrum), dtype)
        self._eps = self.eps
        self.whitening_ = self._symmetric(1 / self._deviations(self._eps))

    def _count_components(self, spectrum: Spectrum) -> Any:
        given: Any = self.n_components
        n_features = spectrum.axes.shape[1]
        if given is None:
            return n_features
        if 0 < given < 1:
            return leading(spectrum, given)
        if given > n_features:
            raise ValueError(f"n_components must be at most n_features={n_features}; got n_components={given}.")
        return given

    def _symmetric(self, factors: Array) -> Array:
        """Return ``U diag(factors) U^T``, for factors that fall or rise along the axes.

        Axes without variance share a factor: they add up to a multiple of the unit matrix. NumPy makes products of a
        matrix with itself symmetric bit for bit.
        """
        if len(factors) < self.n_features_in_ or self.explained_variance_[-1] > 0:
            roots = self.components_ * np.sqrt(factors)[:, None]
            return roots.T @ roots
        common = factors[-1]
        differs = factors != common
        roots = self.components_[differs] * np.sqrt(np.abs(factors[differs] - common))[:, None]
        product = roots.T @ roots if factors[0] >= common else -(roots.T @ roots)
        product[np.diag_indices_from(product)] += common
        return product

    def transform(self, X: MatrixLike) -> Any:
        """Whiten rows: ``(X - mean_) @ whitening_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features)
            In the float type of X or ``dtype``, on the device of X.
        """
        plain = self._plain()
        checked = plain._check_transformed(X)
        plain._refuse_container(checked)
        return plain._map(checked, self.mean_, self.whitening_, precision=np.float64)

    def inverse_transform(self, X: MatrixLike) -> Any:
        """Compute the inverse of ``transform``; the part along discarded axes is lost.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whitened rows.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In the float type of X or ``dtype``, on the device of X.
        """
        plain = self._plain()
        checked = plain._check_restored(X, lambda: self.n_features_in_)
        deviations, zeros = without_infinity(self._deviations(self._eps)), np.zeros(self.n_features_in_)
        if max(checked.shape[0], SMALL) > self.n_features_in_:
            return plain._map(checked, zeros, self._symmetric(deviations), self.mean_, precision=np.float64)
        dtype = float_type_of(checked, plain.dtype)
        scores = plain._map(checked, zeros, self.components_.T * deviations, dtype=np.float64, precision=np.float64)
        return plain._map(
            scores, zeros[: self.n_components_], self.components_, self.mean_, dtype=dtype, precision=np.float64
        )
