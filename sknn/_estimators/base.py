"""What the classifier and the regressor share: training, fitted attributes, predictions."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from .._backend import get_backend
from .._common.callbacks import CallbackSupportMixin, FitTasks, with_callbacks
from .._common.estimator import BackendMixin, unchanged_on_error
from .._common.rules import check_parameters
from .._common.validation import MatrixLike, check_sample_weight, check_X, to_backend
from .._core import lbfgs
from .._core.inference import population_statistics, predictions
from .._core.network import RUNNING, pack
from .._core.trainer import Trainer
from .attributes import SHOWN, as_stack, shown
from .preparation import PreparedJobs

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


class BaseMLP(PreparedJobs, CallbackSupportMixin, BackendMixin, BaseEstimator):
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
            (views, _), rows = self._views(backend), to_backend(backend, checked)
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
            X = to_backend(backend, check_X(self, X, reset=False, dtype=[dtype], accept_sparse="csr"))
            outputs = predictions(backend, self._network, *self._views(backend), X)[0]
        return backend if backend.holds(outputs) else get_backend("numpy"), outputs

    def _views(self, backend):
        """Return what predictions are made with, by kind for each layer: the attributes, which may be the user's."""
        parameters, statistics = [{} for _ in self.coefs_], [{} for _ in self.coefs_]
        for kind, name in SHOWN.items():
            layers = statistics if kind in RUNNING else parameters
            for layer, array in zip(layers, vars(self).get(name, ()), strict=False):
                if array is not None:
                    layer[kind] = as_stack(backend, array)
        return parameters, statistics

    def _shows_state(self):
        """Whether the attributes hold what the state serves; a user may have replaced them."""
        served = shown(self._network, *self._state.served)
        pairs = [(pack(getattr(self, name)), pack(arrays)) for name, arrays in served.items()]
        return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def has_partial_fit(estimator):
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for solvers by mini-batches; got solver='lbfgs'.")
    return True
