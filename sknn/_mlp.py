"""What the classifier and the regressor share: from data to a job, training, fitted attributes, predictions."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from . import lbfgs
from ._callbacks import CallbackSupportMixin, FitTasks, callback_data, with_callbacks
from ._described import DescribedNetwork
from ._estimator import (
    FLOATS,
    BackendMixin,
    MatrixLike,
    check_sample_weight,
    check_X,
    check_X_y,
    unchanged_on_error,
)
from ._parameters import (
    check_parameters,
)
from ._targets import check_kinds
from .backend import get_backend, to_numpy
from .batches import by_row, is_sparse
from .inference import adapted, population_statistics, predictions
from .network import PARAMETERS, RUNNING, Network, pack
from .schedules import BatchSchedule
from .state import Data, Options, State, Validation, split_rows
from .training import Trainer

SHOWN = {  # the fitted attribute with the arrays of each kind, one a layer, None for a layer without any
    "weights": "coefs_",
    "biases": "intercepts_",
    "gains": "norm_gains_",
    "shifts": "norm_shifts_",
    "means": "norm_means_",
    "variances": "norm_variances_",
    "slopes": "activation_slopes_",
}
N_PROBED = 1024  # rows, evenly spread, that weights are adapted to before the first step
NOT_CONVERGED = (
    "Stochastic Optimizer: Maximum iterations ({}) reached and the optimization hasn't converged yet. "
    "Increase max_iter, or learning_rate_init."
)
LBFGS_NOT_CONVERGED = (
    "lbfgs failed to converge after {} iteration(s): {} Increase max_iter or max_fun, or scale the data."
)
DIVERGED = (
    "Training diverged at epoch {}: the solver produced a non-finite loss or non-finite parameter weights. Lower "
    "learning_rate_init, or scale X (for example with StandardScaler) and, for regression, y. The parameters of the "
    "last finite epoch are kept."
)


@dataclass
class Job:
    """One call of fit, validated: what to train, on what, where."""

    backend: object
    network: Network
    targets: object
    options: Options
    state: State
    data: Data
    max_iter: int
    told: dict | None
    first_epoch: int
    has_begun: bool = False
    stopped: bool = False
    met_rule: bool = False

    @property
    def n_iter(self):
        """How many epochs, or iterations, have been trained."""
        return self.state.epochs - self.first_epoch


class BaseMLP(DescribedNetwork, CallbackSupportMixin, BackendMixin, BaseEstimator):
    """What the classifier and the regressor share."""

    # ---- fitting ------------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows; float32 and float64 are used as they are, other types become float64. A CSC matrix becomes
            CSR; no sparse matrix is made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, 0-1 indicators of several labels, or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss; None stands for equal weights.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation rows. They are scored after each epoch (``validation_scores_``), and watched instead of a part
            of X if ``early_stopping`` is on. Not effective with solver "lbfgs".
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Targets of ``X_val``.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is not valid, the estimator being left as it was; or if training diverged, the
            estimator holding the last finite parameters.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    def _fit(self, X, y, sample_weight, X_val=None, y_val=None, *, incremental=False, classes=None):
        job = None

        def has_not_trained(error):
            is_at_start = job is None or not job.has_begun
            return is_at_start or (isinstance(error, MemoryError) and job.n_iter == 0)

        with unchanged_on_error(self, has_not_trained):
            check_parameters(self, self._rules)
            self._refuse_for_lbfgs()
            backend = self._get_backend(X)
            with backend.explained_lack():
                job = self._prepare(backend, X, y, sample_weight, X_val, y_val, incremental, classes)
                self._publish_shape(job)
                self._try_monitor(job)
                self._train(job)
        return self

    def _try_monitor(self, job):
        """Score the start, so that a scorer that cannot serve is refused before anything is trained."""
        validation, state = job.data.validation, job.state
        if validation is None or validation.judge is None:
            return
        rows = slice(None) if state.validation_rows is None else state.validation_rows[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an untrained model may leave a class out
            try:
                float(validation.judge(state.theta, state.statistics, rows))
            except (TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"monitor={self.monitor!r} cannot score the validation rows: {error}") from error

    # ---- from parameters and data to a job ----------------------------------------------

    def _prepare(self, backend, X, y, sample_weight, X_val, y_val, incremental, classes):
        fresh = not (hasattr(self, "coefs_") and (incremental or self.warm_start))
        told = None if incremental else callback_data(X, y, sample_weight)
        X, y = self._check_data(X, y, fresh)
        dtype = np.dtype(str(X.dtype))
        self._check_precision(backend, dtype)
        targets = self._find_targets(y, fresh, incremental, classes)
        targets.check(y, "y")
        shown_y, y = y, targets.encode(y, dtype)
        sample_weight = check_sample_weight(sample_weight, X, dtype)
        class_weights = self._class_weights(targets, y, sample_weight, incremental)
        sample_weight = by_class(sample_weight, class_weights, targets, y)
        network = self._make_network(X.shape[1], targets)
        self._check_frozen(network, fresh)
        options = self._make_options(network, incremental)
        validation = self._check_validation(backend, X_val, y_val, targets, dtype, class_weights)
        X = by_row(backend, _to_backend(backend, X))
        state = self._make_state(network, options, dtype, fresh)
        self._warn_of_ended_schedule(options, state)
        if self.solver == "lbfgs":
            validation = None
            self._check_batches_mix_rows(network, len(y), len(y))
        else:
            splits = self.early_stopping and validation is None
            self._number_rows(network, state, len(y), targets.strata(y), splits)
            if splits:
                _check_split_weights(sample_weight, state)
                judge = self._judge(X, shown_y, sample_weight)
                validation = Validation(X, y, targets.score, sample_weight, judge)
            if validation is not None:
                watched = self.monitor if isinstance(self.monitor, str) else repr(self.monitor)
                state.watch((splits, len(validation.y) if splits else validation.fingerprint(backend), watched))
        data = Data(X, y, sample_weight, validation)
        if fresh:
            self._adapt_to_data(backend, network, state, data)
        max_iter = 1 if incremental else self.max_iter
        return Job(backend, network, targets, options, state, data, max_iter, told, state.epochs)

    def _check_precision(self, backend, dtype):
        if self.precision == "float32":
            return
        if backend.name != "cupy":
            raise ValueError(
                f"precision must be 'float32' where NumPy computes; got {self.precision!r}, which asks for a GPU's "
                "tensor cores. Set backend='cupy', or give X as a CuPy array."
            )
        if dtype != np.float32:
            raise ValueError(
                f"precision must be 'float32' for data in {dtype}; got {self.precision!r}, which is how float32 is "
                "multiplied. Set dtype='float32', or give X in float32."
            )

    def _check_frozen(self, network, fresh):
        if fresh and self.freeze_norm and network.statistics_layout.size:
            raise ValueError(
                "freeze_norm must be False in a first fit, which has no running statistics yet; got True. Fit first, "
                "then go on with freeze_norm=True by warm_start=True or partial_fit."
            )

    def _check_data(self, X, y, fresh):
        if self.dtype is not None:
            dtype = [np.dtype(self.dtype)]
        else:
            dtype = FLOATS if fresh else [self._state.theta.dtype]
        return self._check_pair(X, y, reset=fresh, dtype=dtype)

    def _check_pair(self, X, y, **options):
        X, y = check_X_y(self, X, y, accept_sparse="csr", y_numeric=self._y_numeric, **options)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.dtype == object:
            check_kinds(y)
        return X, y

    def _class_weights(self, targets, y, sample_weight, incremental):
        """Return the weight of each class, or None."""
        return None

    def _check_validation(self, backend, X_val, y_val, targets, dtype, class_weights):
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val must be given together; got only one of them.")
        try:
            X_val, y_val = self._check_pair(X_val, y_val, reset=False, dtype=[dtype])
            targets.check(y_val, "y_val")
            encoded = targets.encode(y_val, dtype)
        except ValueError as error:
            raise ValueError(f"X_val and y_val must be valid as X and y are: {error}") from error
        if len(encoded) < 2:
            raise ValueError(f"X_val and y_val must have at least 2 rows; got {len(encoded)}.")
        X_val, weight = _to_backend(backend, X_val), by_class(None, class_weights, targets, encoded)
        return Validation(X_val, encoded, targets.score, weight, self._judge(X_val, y_val, weight))

    def _judge(self, X, y, sample_weight):
        """Return what scores the parameters of a model by the scorer to monitor, or None if there is none."""
        if self.monitor in ("score", "loss"):
            return None
        from sklearn.metrics import check_scoring  # which takes as long to import as all of sknn

        watcher = check_scoring(self, self.monitor)
        weighs = sample_weight is not None and "sample_weight" in inspect.signature(watcher).parameters

        def judge(theta, statistics, rows):
            model = object.__new__(type(self))  # as fitted so far; it is given arrays, which have no names of features
            vars(model).update(vars(self) | shown(self._network, theta, statistics))
            vars(model).pop("feature_names_in_", None)
            weights = {"sample_weight": sample_weight[rows]} if weighs else {}
            return watcher(model, X[rows], y[rows], **weights)

        return judge

    def _warn_of_ended_schedule(self, options, state):
        share = options.schedule.factors(np.array([options.n_epochs + 1]), 1, options.n_epochs)[0]
        if state.epochs >= options.n_epochs and share < 0.01:
            warnings.warn(
                f"learning_rate={self.learning_rate!r} came to its end after max_iter={self.max_iter} epochs: from "
                f"here on it is {share:.2g} of learning_rate_init. Set max_iter to the length of all training.",
                stacklevel=5,
            )

    def _make_state(self, network, options, dtype, fresh):
        if fresh:
            stream = check_random_state(self.random_state)
            theta, statistics = network.initial_parameters(stream, dtype), network.initial_statistics(1, dtype)
            return State.start(theta, [stream], options, statistics)
        if network.widths != self._network.widths:
            raise ValueError(
                "hidden_layer_sizes and the number of outputs must stay as they were to go on training; got layer "
                f"widths {network.widths} after {self._network.widths}. Set warm_start=False to start anew."
            )
        if network.shapes != self._network.shapes:
            raise ValueError(
                "norm and activation must stay ones that learn and keep the same in each layer to go on training; got "
                f"{network.norms} and {network.activations} after {self._network.norms} and "
                f"{self._network.activations}. Set warm_start=False to start anew."
            )
        state = replace(self._state)
        theta = self._shown_theta()
        if theta.shape != state.theta.shape:
            raise ValueError(f"coefs_ and intercepts_ must have the shapes that layer widths {network.widths} ask for.")
        state.adopt(theta)
        state.continue_with(options, dtype)
        return state

    def _adapt_to_data(self, backend, network, state, data):
        if not any(layer.follows_data for layer in network.layers):
            return
        rows = np.arange(len(data.y)) if state.order is None else state.order[0]
        if data.sample_weight is not None:
            rows = rows[data.sample_weight[rows] > 0]
        probe = rows[np.arange(min(len(rows), N_PROBED)) * len(rows) // min(len(rows), N_PROBED)]
        state.begin_at(adapted(backend, network, state.theta, state.statistics, data.X, data.sample_weight, probe))

    def _number_rows(self, network, state, n_rows, strata, splits):
        fraction = self.validation_fraction
        split = (lambda stream: split_rows(stream, n_rows, fraction, strata)) if splits else None
        state.number_rows(n_rows, split, fraction if splits else None)
        n_train, batch_size = state.order.shape[1], self._batch_size()
        smallest = batch_size.start if isinstance(batch_size, BatchSchedule) else batch_size
        self._check_batches_mix_rows(network, n_train, smallest)
        if isinstance(self.batch_size, Integral) and self.batch_size > n_train:
            warnings.warn(
                f"Got `batch_size` larger than the number of training rows, {self.batch_size} > {n_train}. "
                f"It is going to be clipped to {n_train}.",
                stacklevel=5,
            )

    def _check_batches_mix_rows(self, network, n_train, batch_size):
        if network.mixes_rows and not self.freeze_norm and min(n_train, batch_size) < 2:
            raise ValueError(
                f"norm={self.norm!r} must have training batches of 2 rows or more, as it normalises each by its own "
                f"mean; got batch_size={self.batch_size!r} and n_samples={n_train}. LayerNorm has no need of others."
            )

    # ---- training -----------------------------------------------------------------------

    def _train(self, job):
        def attributes():
            return shown(job.network, *(np.array(job.backend.to_host(part)) for part in job.state.last))

        job.has_begun = True
        tasks = FitTasks(self, job.told, job.max_iter, attributes)
        train = self._train_lbfgs if self.solver == "lbfgs" else self._train_epochs
        try:
            train(job, tasks)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        finally:
            self._work_out_exact_statistics(job)
            self._publish_training(job)
        tasks.finish()
        if job.state.diverged[0]:
            raise ValueError(DIVERGED.format(len(job.state.loss_curve)))

    def _train_epochs(self, job, tasks):
        trainer = Trainer(job.backend, job.network, job.options, job.state, job.data)
        try:
            for _ in range(job.max_iter):
                tasks.begin()
                trainer.epoch()
                self._end_epoch(job, trainer.message)
                job.met_rule = bool(trainer.stopped[0])
                if tasks.end() or job.met_rule:
                    return
        finally:
            trainer.store()
        if job.told is not None:
            warnings.warn(NOT_CONVERGED.format(job.max_iter), ConvergenceWarning, stacklevel=5)

    def _work_out_exact_statistics(self, job):
        state, data = job.state, job.data
        by_lbfgs = self.solver == "lbfgs" and job.network.statistics_layout.size and not self.freeze_norm
        # the best model so far has exact statistics already: it was scored with them
        if not (job.options.exact_norms or by_lbfgs) or state.best is not None or state.diverged[0]:
            return
        theta, statistics = state.served
        views = job.network.layout.views(job.backend.asarray(theta))
        rows = None if self.solver == "lbfgs" else state.order
        exact = population_statistics(job.backend, job.network, views, statistics, data.X, data.sample_weight, rows)
        state.exact = exact

    def recalibrate_norm(self, X: MatrixLike, sample_weight: ArrayLike | None = None) -> Self:
        """Replace the running statistics of batch norms by those of other rows, as they are there in prediction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows of the kind that the model is to serve, two or more; they need no targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If no layer has running statistics.
        """
        check_is_fitted(self)
        if not self._network.statistics_layout.size:
            raise ValueError("recalibrate_norm needs running statistics, as norm='batch' has them; got none.")
        backend, dtype, state = self._get_backend(X), self.coefs_[0].dtype, self._state
        checked = check_X(self, X, reset=False, dtype=[dtype], accept_sparse="csr", ensure_min_samples=2)
        sample_weight = check_sample_weight(sample_weight, checked, dtype)
        with backend.explained_lack():
            (views, _), rows = self._views(backend), _to_backend(backend, checked)
            statistics = population_statistics(backend, self._network, views, state.served[1], rows, sample_weight)
        state.adopt(self._shown_theta())
        state.recalibrate(statistics)
        vars(self).update(shown(self._network, *state.served))
        return self

    def _train_lbfgs(self, job, tasks):
        state = job.state

        def after_iteration(loss, parameters):
            tasks.begin()
            state.theta[0] = parameters
            state.loss_curve.append(np.array([loss]))
            state.epochs += 1
            self._end_epoch(job)
            job.stopped = tasks.end()
            return job.stopped

        objective = lbfgs.Objective(job.backend, job.network, job.options, state, job.data)
        result = lbfgs.minimize(
            objective,
            state.theta,
            max_iter=job.max_iter,
            max_fun=self.max_fun,
            tol=self.tol,
            after_iteration=after_iteration,
        )
        loss, _ = objective(result.x)
        state.diverged = np.array([not np.isfinite(loss)])
        if state.diverged[0]:
            return
        state.theta[0] = result.x
        job.met_rule = result.status == 0
        if not state.loss_curve:
            state.loss_curve.append(np.array([objective.loss]))
        if result.status != 0 and not job.stopped:
            warnings.warn(LBFGS_NOT_CONVERGED.format(job.n_iter, result.message), ConvergenceWarning, stacklevel=5)

    def _end_epoch(self, job, message=""):
        if not self.verbose:
            return
        print(f"Iteration {job.n_iter}, loss = {job.state.loss_curve[-1][0]:.8f}")
        if job.data.validation is not None:
            what = "score" if self.monitor in ("score", "loss") else self.monitor
            print(f"Validation {what}: {job.state.validation_scores[-1][0]:f}")
            if job.options.monitors_loss:
                print(f"Validation loss: {job.state.validation_losses[-1][0]:.8f}")
        if message:
            print(message)

    # ---- fitted attributes --------------------------------------------------------------

    def _publish_shape(self, job):
        for name in SHOWN.values() - shown(job.network, job.state.theta, job.state.statistics).keys():
            vars(self).pop(name, None)  # of an earlier network, which learnt more
        self._network, self._targets = job.network, job.targets
        self.n_layers_ = len(job.network.widths)
        self.n_outputs_ = job.targets.n_outputs
        self.out_activation_ = job.network.loss.link_name

    def _publish_training(self, job):
        state = self._state = job.state
        vars(self).update(shown(job.network, *state.served))
        self.n_iter_ = job.n_iter
        self.stopped_ = job.met_rule
        self.t_ = state.samples_seen
        self.loss_curve_ = [float(loss[0]) for loss in state.loss_curve]
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else np.inf
        scored = job.data.validation is not None
        self.validation_scores_ = [float(score[0]) for score in state.validation_scores] if scored else None
        self.validation_loss_curve_ = [float(loss[0]) for loss in state.validation_losses] if scored else None
        stops_early = job.options.early_stopping
        self.best_validation_score_, self.best_validation_loss_ = self._best_of_validation(job)
        self.best_loss_ = None if stops_early else min(self.loss_curve_, default=np.inf)

    def _best_of_validation(self, job):
        """Return score and loss of the epoch whose model is served."""
        if not job.options.early_stopping:
            return None, None
        scores, losses = self.validation_scores_, self.validation_loss_curve_
        watched = -np.array(losses) if job.options.monitors_loss else np.array(scores)
        if not np.isfinite(watched).any():
            return -np.inf, np.inf
        best = int(np.nanargmax(watched))
        return scores[best], losses[best]

    def __getstate__(self):
        """Keep the parameters once: coefs_ and intercepts_ are views of the state, unless they were replaced."""
        attributes = super().__getstate__()
        is_fitted = "_state" in attributes and "coefs_" in attributes
        if is_fitted and self._shows_state():
            return {name: value for name, value in attributes.items() if name not in SHOWN.values()}
        return attributes

    def __setstate__(self, attributes):
        super().__setstate__(attributes)
        if "_state" in attributes and "coefs_" not in attributes:
            vars(self).update(shown(self._network, *self._state.served))

    # ---- prediction ---------------------------------------------------------------------

    def _predictions(self, X):
        """Return what is said of X after the output link, ``(n, outputs)``, with the backend of where it is."""
        if not hasattr(self, "coefs_"):  # asked first, as the check takes an eighth of the time of one row
            check_is_fitted(self)
        backend, dtype = self._get_backend(X), self.coefs_[0].dtype
        with backend.explained_lack():
            X = _to_backend(backend, check_X(self, X, reset=False, dtype=[dtype], accept_sparse="csr"))
            outputs = predictions(backend, self._network, *self._views(backend), X)[0]
        return backend if backend.holds(outputs) else get_backend("numpy"), outputs

    def _views(self, backend):
        """Return what predictions are made with, by kind for each layer: the attributes, which may be the user's."""
        parameters, statistics = [{} for _ in self.coefs_], [{} for _ in self.coefs_]
        for kind, name in SHOWN.items():
            layers = statistics if kind in RUNNING else parameters
            for layer, array in zip(layers, vars(self).get(name, ()), strict=False):
                if array is not None:
                    layer[kind] = _as_stack(backend, array)
        return parameters, statistics

    def _shows_state(self):
        """Whether the attributes hold what the state serves; a user may have replaced them."""
        served = shown(self._network, *self._state.served)
        pairs = [(pack(getattr(self, name)), pack(arrays)) for name, arrays in served.items()]
        return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)

    def _shown_theta(self):
        """Return the parameters that the attributes hold, as one row of theta."""
        return pack(*(getattr(self, SHOWN[kind], ()) for kind in PARAMETERS))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def has_partial_fit(estimator):
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for solvers by mini-batches; got solver='lbfgs'.")
    return True


def by_class(sample_weight, class_weights, targets, encoded):
    """Return sample weights times those of the classes that the rows are of."""
    if class_weights is None:
        return sample_weight
    weight = class_weights[targets.true_codes(encoded)]
    if not (weight if sample_weight is None else weight * sample_weight).any():
        raise ValueError("class_weight, times sample_weight, must not be zero for every row.")
    return weight if sample_weight is None else (sample_weight * weight).astype(sample_weight.dtype)


def _check_split_weights(sample_weight, state):
    for rows, what in ((state.order[0], "training"), (state.validation_rows[0], "validation")):
        if sample_weight is not None and not sample_weight[rows].any():
            raise ValueError(f"sample_weight must not be zero for all {what} rows of the split by early_stopping.")


def _to_backend(backend, X):
    if not is_sparse(X):
        X = X if backend.name == "cupy" else to_numpy(X)
        return backend.asarray(X) if backend.has_room(X.nbytes) else X
    if backend.name == "cupy":
        raise ValueError("sparse X must be computed with backend='numpy'; got backend='cupy'.")
    return X


def shown(network, theta, statistics):
    """Return the fitted attributes with parameters and statistics of the first model, as views; those it has any of."""
    layers = [
        learnt | kept
        for learnt, kept in zip(network.layout.views(theta), network.statistics_layout.views(statistics), strict=True)
    ]
    return {
        name: [_without_stack(kind, layer.get(kind)) for layer in layers]
        for kind, name in SHOWN.items()
        if any(kind in layer for layer in layers)
    }


def _without_stack(kind, view):
    return view if view is None else view[0] if kind == "weights" else view[0, 0]


def _as_stack(backend, array):
    array = backend.asarray(array)
    return array[None] if array.ndim == 2 else array[None, None]
