"""Principal components and whitening."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, OneToOneFeatureMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._common.rules import boolean, check_parameters, either, integer, nothing, one_of, random_state, real
from .._common.validation import MatrixLike
from ._covariance import blas_threads, merge, principal_axes, row_scatter, scatter_of_axes
from ._decomposition import exact_axes, lanczos_axes, minka_rank, randomized_axes
from ._rows import float_type_of, like, map_products, precision_of, refuse_unknown, rows_of
from ._transformer import RowTransformer

SOLVERS = ("auto", "full", "covariance_eigh", "arpack", "randomized")
SPARSE_SOLVERS = ("auto", "covariance_eigh", "arpack")
FEW = ("arpack", "randomized")  # solvers that find the first components only


def can_go_on(transformer):
    """Return True, or raise AttributeError if fit would keep nothing that further rows could be added to."""
    solver = getattr(transformer, "svd_solver", None)
    if solver in FEW:
        raise AttributeError(f"partial_fit finds all components, and svd_solver={solver!r} the first only.")
    return True


class AxesTransformer(RowTransformer):
    """A transformer by the principal axes of rows, which any number of calls of ``partial_fit`` adds up to."""

    @available_if(can_go_on)
    def partial_fit(self, X: MatrixLike, y: Any = None) -> Self:
        """Learn from further rows; any number of calls gives what one ``fit`` on all rows gives.

        Each call adds to the scatter of the rows, which is exact, and finds its axes, which takes a time that grows
        with the cube of ``n_features``: give many rows at a time.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further rows; a call may have fewer rows than there are components.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or the data is not valid, or if ``fit`` found the first components only; the transformer is
            left as it was.
        """
        return self._take_in(X, None, reset=not self._has_learned(), learn=self._learn_more)

    def _learn_more(self, rows, weight, reset):
        with blas_threads(rows):
            scatter = self._finite_scatter(rows)
            self._scatter = scatter if reset else merge(self._known_scatter(), scatter)
            self._publish(principal_axes(rows.backend, self._scatter))

    def _known_scatter(self):
        return self._scatter

    def _finite_scatter(self, rows):
        scatter = row_scatter(rows)
        if not np.isfinite(scatter.products).all():
            self._refuse_rows(rows)
        return scatter

    def _refuse_rows(self, rows):
        rows.look_through(refuse_unknown)
        raise ValueError("the products of X do not fit float64: X holds too large numbers. Scale it down.")

    def _select(self, spectrum, n_components):
        """Publish the first components of a spectrum, and what else is known of it."""
        self.mean_, self._mean_rest = spectrum.mean, spectrum.rest
        self.components_ = spectrum.axes[:n_components].copy()
        self.explained_variance_ = spectrum.variances[:n_components].copy()
        self.n_samples_ = self.n_samples_seen_ = spectrum.count
        self.n_components_ = n_components
        self._rounding = spectrum.rounding

    def _deviations(self, eps):
        """Return ``sqrt(variance + eps)`` along the components; without eps infinite where the variance is rounding."""
        is_rounding = (eps == 0) & (self.explained_variance_ <= self._rounding)
        return np.where(is_rounding, np.inf, np.sqrt(np.where(is_rounding, 1.0, self.explained_variance_ + eps)))

    # ---- products with rows -------------------------------------------------------------

    def _map(self, X, checked, mean, weights, shift=None, dtype=None, precision=None):
        """Return ``(X - mean) weights + shift``, worked out in ``precision`` or what X and ``dtype`` ask for."""
        check_parameters(self, self._rules)
        backend = self._get_backend(checked)
        dtype = float_type_of(checked, dtype or self.dtype)
        precision = np.dtype(precision or precision_of(checked, dtype))
        mean, weights = mean.astype(precision), weights.astype(precision)
        with backend.explained_lack():
            rows = rows_of(backend, checked, dtype.itemsize * checked.shape[0] * weights.shape[1])
            if issparse(checked):
                return (checked @ weights - mean @ weights).astype(dtype, copy=False)
            shift = None if shift is None else backend.asarray(shift, precision)
            return like(X, map_products(rows, dtype, backend.asarray(mean), backend.asarray(weights), shift))

    def _smallest_seen(self):
        return min(self.n_samples_, self.n_features_in_)


def leading(spectrum, share):
    """Return how many axes it takes to explain more than a share of the variance."""
    ratios = np.cumsum(explained_ratios(spectrum.variances, spectrum.total_variance))
    return min(int(np.searchsorted(ratios, share, side="right")) + 1, len(ratios))


def explained_ratios(variances, total):
    """Return shares of a total variance: zero where there is none."""
    return variances / (total if total > 0 else 1.0)


def without_infinity(scales):
    """Return scales with 0 for those of axes that were removed."""
    return np.where(np.isinf(scales), 0.0, scales)


class PCA(ClassNamePrefixFeaturesOutMixin, AxesTransformer):
    """Principal component analysis: rotate rows to their axes of greatest variance, and keep the first of them.

    A drop-in for :class:`sklearn.decomposition.PCA`, and beyond it: ``partial_fit`` that is exact, ``eps`` for
    whitening that does not amplify noise, and CuPy. The scatter of the rows is float64 whatever their type, and about
    their mean; ``transform`` keeps float32 and float64.

    Parameters
    ----------
    n_components : int, float, "mle" or None, default=None
        How many components to keep: that many; as many as it takes to explain more than this share of the variance, in
        (0, 1); as many as Minka's estimate says; or all, the lesser of ``n_samples`` and ``n_features``.
    copy : bool, default=True
        scikit-learn's leave to overwrite X. X is never changed, whatever it is.
    whiten : bool, default=False
        Whether ``transform`` divides components by ``sqrt(explained_variance_ + eps)``.
    svd_solver : {"auto", "full", "covariance_eigh", "arpack", "randomized"}, default="auto"
        "full": singular values of the centred rows. "covariance_eigh": eigenvalues of their covariance, for rows many
        times as many as features; it does not copy X, and loses axes of less than 1e-16 of the greatest variance.
        "randomized": the first components only, nearly, for wide data. "arpack": the first components only, but not
        all, for sparse X of many features. "auto": "arpack" for sparse X; "covariance_eigh" for up to 1000 features and
        ten times as many rows; else "full" for up to 500 rows and features, or ``n_components`` not below 80 % of the
        lesser; else "randomized". ``partial_fit`` goes by the covariance, and is not there for "arpack" and
        "randomized".
    tol : float, default=0.0
        Relative accuracy of singular values by "arpack"; 0 is machine precision.
    iterated_power : int or "auto", default="auto"
        Power iterations of "randomized"; "auto" is 7 for fewer than a tenth of the components, else 4.
    n_oversamples : int, default=10
        Further random directions of "randomized".
    power_iteration_normalizer : {"auto", "QR", "LU", "none"}, default="auto"
        How "randomized" keeps directions apart; "auto" is "QR".
    random_state : int, RandomState or None, default=None
        Where "randomized" draws from.
    eps : float, default=0.0
        What whitening adds to variances, in the square of X's unit: a component of variance ``l`` comes to have
        variance ``l / (l + eps)``. With 0, components whose variance is rounding become zero.
    dtype : {"float32", "float64"} or None, default=None
        Float type of what ``transform`` returns; None keeps float32 and float64, and makes float64 of all else.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features)
        Axes of greatest variance first, orthonormal, float64; of each the entry of greatest magnitude is positive.
    explained_variance_ : ndarray of shape (n_components_,)
        Variance along each axis, divided by ``n_samples - 1``.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Its share of the whole variance.
    singular_values_ : ndarray of shape (n_components_,)
        ``sqrt(explained_variance_ * (n_samples - 1))``.
    mean_ : ndarray of shape (n_features,)
        Mean of each feature.
    noise_variance_ : float
        Mean variance along the axes that were left out: the noise of probabilistic PCA; 0 if none was.
    n_components_ : int
        Number of components.
    n_samples_, n_samples_seen_ : int
        Number of rows.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    Notes
    -----
    Where scikit-learn's class contradicts its own documentation, this one follows the documentation: covariance,
    precision and score do not depend on ``whiten``, and the score of rows without variance in some direction takes the
    rounding of the solver for that variance. Whitening makes zeros of components that have no variance but
    rounding, where scikit-learn divides rounding by rounding. Fitted attributes are float64 for float32 X too.

    "covariance_eigh" and ``partial_fit`` keep the scatter, ``n_features^2`` float64 numbers, in the fitted object and
    its pickle, so that ``partial_fit`` can go on. "full" works on a float64 copy of X, "randomized" on a few arrays of
    ``n_samples`` rows and ``n_components + n_oversamples`` columns. Products of sparse rows are taken about zero and
    not about their mean, so that features far from zero, which are not sparse, lose digits.

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

    _rules = {
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
    _accept_sparse = ("csr", "csc")

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
        dtype: str | None = None,
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

    def _learn(self, rows, weight, reset):
        solver = self._solver(rows)
        self._check_n_components(rows.X.shape, solver)
        if solver == "covariance_eigh":
            self._learn_more(rows, weight, reset=True)
            return
        self._scatter = None
        self._publish(exact_axes(rows) if solver == "full" else self._first_axes(rows, solver))

    def _known_scatter(self):
        if self._scatter is not None:
            return self._scatter
        if self.n_components_ < self._smallest_seen():
            raise ValueError(
                "partial_fit cannot go on from fit by a solver other than 'covariance_eigh', which has left out "
                f"components; got n_components={self.n_components!r}. Fit with svd_solver='covariance_eigh', or call "
                "partial_fit from the start on a new PCA."
            )
        return scatter_of_axes(self.n_samples_, self.mean_, self._mean_rest, self.explained_variance_, self.components_)

    def _solver(self, rows):
        X = rows.X
        if issparse(X) and self.svd_solver not in SPARSE_SOLVERS:
            raise TypeError(
                f"sparse X needs svd_solver 'arpack', 'covariance_eigh' or 'auto'; got {self.svd_solver!r}."
            )
        if self.svd_solver == "arpack" and rows.backend.name == "cupy":
            raise ValueError("svd_solver='arpack' must be computed with backend='numpy'; got backend='cupy'.")
        if self.svd_solver != "auto":
            return self.svd_solver
        if issparse(X):
            return "arpack"
        (n_rows, n_features), n_components = X.shape, self.n_components
        if n_features <= 1000 and n_rows >= 10 * n_features:
            return "covariance_eigh"
        is_few = not isinstance(n_components, str | None) and 1 <= n_components < 0.8 * min(X.shape)
        return "randomized" if is_few and max(X.shape) > 500 else "full"

    def _check_n_components(self, shape, solver):
        given, least = self.n_components, min(shape)
        if given is None:
            return
        is_whole = not isinstance(given, str) and (given == 0 or given >= 1)
        if solver in FEW:
            most = least - 1 if solver == "arpack" else least
            if not (is_whole and 1 <= given <= most):
                raise ValueError(
                    f"n_components must be None or an integer from 1 to {most} with svd_solver={solver!r} and X of "
                    f"shape {shape}; got {given!r}."
                )
        elif given == "mle" and shape[0] < shape[1]:
            raise ValueError(f"n_components='mle' needs at least as many rows as features; got X of shape {shape}.")
        elif is_whole and given > least:
            raise ValueError(
                f"n_components must be between 0 and min(n_samples, n_features)={least} with svd_solver={solver!r}; "
                f"got n_components={given}."
            )

    def _first_axes(self, rows, solver):
        least = min(rows.X.shape)
        n_axes = least - (solver == "arpack") if self.n_components is None else self.n_components
        if solver == "arpack":
            return lanczos_axes(rows, n_axes, self.tol, check_random_state(self.random_state))
        n_iter = self.iterated_power
        if n_iter == "auto":
            n_iter = 7 if n_axes < 0.1 * least else 4
        return randomized_axes(
            rows,
            n_axes,
            self.n_oversamples,
            n_iter,
            self.power_iteration_normalizer,
            check_random_state(self.random_state),
        )

    def _publish(self, spectrum):
        self._select(spectrum, self._count_components(spectrum))
        variances, total = self.explained_variance_, spectrum.total_variance
        self.explained_variance_ratio_ = explained_ratios(variances, total)
        self.singular_values_ = np.sqrt(variances * max(spectrum.count - 1, 1))
        self.noise_variance_ = 0.0
        if self.n_components_ < self._smallest_seen():
            n_axes = max(len(spectrum.variances), self._smallest_seen())
            self.noise_variance_ = float(max(total - variances.sum(), 0) / (n_axes - self.n_components_))

    def _count_components(self, spectrum):
        given, n_features = self.n_components, spectrum.axes.shape[1]
        if given is None:
            return min(spectrum.count, len(spectrum.axes))
        if given == "mle":
            return minka_rank(spectrum.variances, spectrum.count)
        if 0 < given < 1:
            return leading(spectrum, given)
        if given > n_features:
            raise ValueError(f"n_components must be at most n_features={n_features}; got n_components={given}.")
        return given

    # ---- transforming -------------------------------------------------------------------

    def transform(self, X: MatrixLike) -> Any:
        """Project rows on the components: ``(X - mean_) @ components_.T``, whitened if ``whiten``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components_)
            In X's float type or ``dtype``, on X's device.
        """
        checked = self._check_transformed(X)
        self._refuse_container(checked)
        return self._map(X, checked, self.mean_, self.components_.T / self._scales())

    def inverse_transform(self, X: MatrixLike) -> Any:
        """Undo ``transform``, but for the components that were left out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Projected rows.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In X's float type or ``dtype``, on X's device.
        """
        checked = self._check_restored(X, lambda: self.n_components_, "components")
        scales = without_infinity(self._scales())
        return self._map(X, checked, np.zeros(self.n_components_), self.components_ * scales[:, None], self.mean_)

    def _scales(self):
        return self._deviations(self.eps) if self.whiten else np.ones(self.n_components_)

    @property
    def _n_features_out(self):
        return self.components_.shape[0]

    # ---- the probabilistic model --------------------------------------------------------

    def get_covariance(self) -> np.ndarray:
        """Return the covariance of rows by probabilistic PCA: that of the components, and noise in all directions.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            Float64.
        """
        check_is_fitted(self)
        excess = np.maximum(self.explained_variance_ - self.noise_variance_, 0)
        return (self.components_.T * excess) @ self.components_ + self.noise_variance_ * np.eye(self.n_features_in_)

    def get_precision(self) -> np.ndarray:
        """Return the inverse of ``get_covariance()``.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            Float64; variances that are rounding count as large as rounding can be, so that there is an inverse.
        """
        check_is_fitted(self)
        root = self._precision_root()
        return root @ root.T

    def _precision_root(self):
        """Return ``R`` with ``R R^T`` the precision: the axes over their deviations, and noise in what they leave."""
        variances, noise = self._positive_variances()
        root = self.components_.T / np.sqrt(variances)
        if self.n_components_ == self.n_features_in_:
            return root
        rest = np.eye(self.n_features_in_) - self.components_.T @ self.components_
        return np.hstack([root, rest / np.sqrt(noise)])

    def _positive_variances(self):
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
            Float64, on X's device.
        """
        checked = self._check_transformed(X)
        whitened = self._map(X, checked, self.mean_, self._precision_root(), dtype="float64")
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.svd_solver in SPARSE_SOLVERS
        return tags


class ZCA(OneToOneFeatureMixin, AxesTransformer):
    """Whiten rows by the symmetric matrix that changes them least: ``(X - mean_) @ whitening_``.

    Rows are rotated to their principal axes, divided by ``sqrt(variance + eps)`` and rotated back, so that features
    keep their meaning and whitened images look like images. The scatter of the rows is float64 whatever their type, and
    any number of calls of ``partial_fit`` adds up to one ``fit``.

    Parameters
    ----------
    n_components : int, float or None, default=None
        How many axes to keep: that many; as many as it takes to explain more than this share of the variance, in
        (0, 1); or all. What lies along the other axes is removed: whitened rows then have a covariance of that rank, as
        many features as before, and no inverse but the projection on the axes that were kept.
    eps : float, default=1e-5
        What is added to variances, in the square of X's unit: whitened rows have variance ``l / (l + eps)`` along an
        axis of variance ``l``. A large ``eps`` leaves noise alone. With 0, axes whose variance is rounding are removed.
    dtype : {"float32", "float64"} or None, default=None
        Float type of what ``transform`` returns; None keeps float32 and float64, and makes float64 of all else.
    backend : {"auto", "numpy", "cupy"} or None, default=None
        Where to compute; None asks ``set_config``, then ``SKNN_BACKEND``; "auto" is where X lives.

    Attributes
    ----------
    whitening_ : ndarray of shape (n_features, n_features)
        The matrix ``U diag(1 / sqrt(l + eps)) U^T``, symmetric, float64.
    components_ : ndarray of shape (n_components_, n_features)
        The axes ``U^T``, of greatest variance first; of each the entry of greatest magnitude is positive.
    explained_variance_ : ndarray of shape (n_components_,)
        Variance ``l`` along each axis, divided by ``n_samples - 1``.
    mean_ : ndarray of shape (n_features,)
        Mean of each feature.
    n_components_ : int
        Number of axes.
    n_samples_, n_samples_seen_ : int
        Number of rows.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X had string column names.

    References
    ----------
    Bell and Sejnowski, "The 'Independent Components' of Natural Scenes are Edge Filters", Vision Research 37(23), 1997.
    Kessy, Lewin and Strimmer, "Optimal Whitening and Decorrelation", The American Statistician 72(4), 2018: ZCA changes
    rows least. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> from sknn.preprocessing import ZCA
    >>> X = np.array([[0.0, 0.0], [2.0, 1.0], [4.0, 3.0], [6.0, 2.0]])
    >>> zca = ZCA(eps=0.0).fit(X)
    >>> np.cov(zca.transform(X).T).round(6) + 0.0
    array([[1., 0.],
           [0., 1.]])
    >>> zca.inverse_transform(zca.transform(X)).round(6)
    array([[0., 0.],
           [2., 1.],
           [4., 3.],
           [6., 2.]])
    """

    _rules = {
        **RowTransformer._rules,
        "n_components": either(nothing(), integer(1), real(0, 1, closed="neither")),
        "eps": real(0),
    }

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        eps: float = 1e-5,
        dtype: str | None = None,
        backend: str | None = None,
    ) -> None:
        self.n_components = n_components
        self.eps = eps
        self.dtype = dtype
        self.backend = backend

    def _learn(self, rows, weight, reset):
        self._learn_more(rows, weight, reset=True)

    def _publish(self, spectrum):
        self._select(spectrum, self._count_components(spectrum))
        self._eps = self.eps
        self.whitening_ = self._symmetric(1 / self._deviations(self._eps))

    def _count_components(self, spectrum):
        given, n_features = self.n_components, spectrum.axes.shape[1]
        if given is None:
            return n_features
        if 0 < given < 1:
            return leading(spectrum, given)
        if given > n_features:
            raise ValueError(f"n_components must be at most n_features={n_features}; got n_components={given}.")
        return given

    def _symmetric(self, factors):
        product = (self.components_.T * factors) @ self.components_
        return (product + product.T) / 2

    def transform(self, X: MatrixLike) -> Any:
        """Whiten rows: ``(X - mean_) @ whitening_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features)
            In X's float type or ``dtype``, on X's device.
        """
        checked = self._check_transformed(X)
        self._refuse_container(checked)
        return self._map(X, checked, self.mean_, self.whitening_, precision=np.float64)

    def inverse_transform(self, X: MatrixLike) -> Any:
        """Undo ``transform``, but for what lies along axes that were left out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Whitened rows.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            In X's float type or ``dtype``, on X's device.
        """
        checked = self._check_restored(X, lambda: self.n_features_in_)
        coloring = self._symmetric(without_infinity(self._deviations(self._eps)))
        return self._map(X, checked, np.zeros(self.n_features_in_), coloring, self.mean_, precision=np.float64)
