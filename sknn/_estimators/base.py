"""Base class of the classifier and the regressor: training, fitted attributes, predictions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import isfinite
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._backend import to_numpy
from .._backend.typing import Array
from .._backend.warnings import warn
from .._common.blocks import NestedBlocksMixin
from .._common.callbacks import CallbackSupportMixin
from .._common.estimator import BackendMixin, unchanged_on_error
from .._common.rows import DenseRows, Rows, rows_of
from .._common.rules import Rule, check_parameters, is_named, shown
from .._common.validation import MatrixLike, check_sample_weight, check_training_weights, check_X
from .._core.passes import predictions
from .._core.statistics import Population, Sample
from . import training
from .attributes import ATTRIBUTES, are_equal, fitted_attributes, float_type, model_of, theta_of
from .curves import best_epoch, grown, lowest
from .hooks import HOOKS, ignored_hooks, warn_of_ignored
from .persistence import from_plain, to_plain
from .preparation import Fit, Preparation
from .recipe import RULES, TABLES, check_for_lbfgs
from .small_predictions import MOST_ROWS, SmallPredictions
from .small_trainings import SmallTrainings
from .tasks import Call, Task


class BaseMLP(NestedBlocksMixin, CallbackSupportMixin, BackendMixin, BaseEstimator):
    """Base class of :class:`MLPClassifier` and :class:`MLPRegressor`."""

    _rules = RULES
    _backend_rules: ClassVar[dict[str, Rule]] = {name: RULES[name] for name in ("backend", "precision")}
    _tables: ClassVar[Mapping[str, Mapping[str, Any]]] = TABLES
    _task: ClassVar[Task]
    _ignored_hooks: ClassVar[list[str]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._ignored_hooks = ignored_hooks(cls, BaseMLP)

    # ---- fitting ------------------------------------------------------------------------

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. float32 and float64 are used without conversion; other types are converted to float64, unless
            the parameter ``dtype`` is set. CSC matrices are converted to CSR; sparse matrices are never made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classification: class labels, or 0-1 indicators for multilabel targets. Regression: numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row in the loss; None means equal weights.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation set, at least 2 rows. It is scored after each epoch (``validation_scores_``). If
            ``early_stopping`` is True, it is monitored instead of a part of X. Not used by "lbfgs".
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Targets of ``X_val``, on the scale of y: ``TransformedTargetRegressor`` transforms y alone.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is invalid; the estimator is then unchanged. Also if training diverges
            before any epoch was validated by early stopping; the estimator then has the last finite weights.
        MemoryError
            If memory on the GPU runs out.

        Warns
        -----
        ConvergenceWarning
            If training ends at ``max_iter`` before the stopping rule is met, or diverges with ``early_stopping``, which
            keeps the best weights. For regression also if the scale of y was not reached: standardise y then.
        UserWarning
            For regression, if ``y_val`` may not be transformed as y is.
        """
        return self._train(Call(X, y, sample_weight, X_val, y_val))

    def _train(self, call: Call) -> Self:
        fit: Fit | None = None

        def has_not_trained(error: BaseException) -> bool:
            return fit is None or not fit.is_published or (isinstance(error, MemoryError) and fit.n_iter == 0)

        warn_of_ignored(type(self), self._ignored_hooks)
        kept = self._trainings.taken() if "_trainings" in vars(self) else None
        parameters = None if kept is None else kept.parameters_of(self)
        # to go on with known parameters takes no random number but those of training itself
        with unchanged_on_error(self, has_not_trained, draws=parameters is None):
            if parameters is None:
                parameters = SimpleNamespace(**check_parameters(self, self._rules))
                check_for_lbfgs(parameters)
            backend = self._get_backend(call.X)
            with backend.explained_memory_errors():
                fit = Preparation(self, parameters, backend, call, kept).prepare()
                self._publish_shape(fit)
                self._try_monitor(fit)
                run = training.run if fit.is_incremental else training.run_with_callbacks
                run(self, parameters, fit, self._publish_training)
            if fit.small is not None:
                fit.small.remember(self)
                self._trainings.append(fit.small)
        return self

    def _try_monitor(self, fit: Fit) -> None:
        """Score the start, so that a scorer that cannot serve is refused before anything is trained."""
        validation, state = fit.problem.data.validation, fit.state
        if validation is None or validation.score_model is None:
            return
        rows = slice(None) if state.validation_rows is None else state.validation_rows[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an untrained model may leave a class out
            try:
                float(validation.score_model(state.theta, state.statistics, rows))
            except (TypeError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"monitor={shown(self.monitor)} cannot score the validation rows: {error} (Set monitor to 'score', "
                    "'loss' or another scorer.)"
                ) from error

    def recalibrate_norm(self, X: MatrixLike, sample_weight: ArrayLike | None = None) -> Self:
        """Replace the running statistics of the norms by the statistics of X, computed by a prediction pass.

        Use this method if the rows to predict are distributed differently from the training rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows distributed like those to predict, at least 2. Targets are not needed.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weight of each row; None means equal weights.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If no layer has running statistics, or X is invalid.
        """
        check_is_fitted(self, "_network")
        if not self._network.statistics_layout.size:
            raise ValueError(
                "recalibrate_norm needs a layer with running statistics, for example by norm='batch'; got the norms "
                f"{self._network.norms}. Set norm, and call fit again."
            )
        backend, dtype, state, theta = (
            self._get_backend(X),
            float_type(self),
            self._state,
            theta_of(self, self._network),
        )
        checked = check_X(self, X, reset=False, dtype=[dtype], accept_sparse="csr", ensure_min_samples=2)
        weight = check_sample_weight(sample_weight, checked.shape[0], dtype)
        check_training_weights(weight)
        with backend.explained_memory_errors():
            sample = Sample(rows_of(backend, checked), weight)
            population = Population(backend, self._network, backend.asarray(theta), sample)
            statistics = population.measure(state.prediction_model[1])
        state.continue_from(theta)
        state.recalibrate(statistics)
        self.__dict__.update(fitted_attributes(self._network, *state.prediction_model))
        return self

    # ---- fitted attributes --------------------------------------------------------------

    def _publish_shape(self, fit: Fit) -> None:
        network = fit.problem.network
        if network is not vars(self).get("_network"):
            learnt = fitted_attributes(network, fit.state.theta, fit.state.statistics)
            for name in ATTRIBUTES.values() - learnt.keys():
                self.__dict__.pop(name, None)  # of an earlier network, which learnt more
            self._small = SmallPredictions()
        self._network, self._targets = network, fit.targets
        self.n_layers_ = len(network.widths)
        self.n_outputs_ = fit.targets.n_outputs
        self.out_activation_ = network.loss.link_name

    def _publish_training(self, fit: Fit) -> None:
        """Set the attributes of training, all at once: Ctrl-C finds all of them or none."""
        state, options, known = fit.state, fit.problem.options, self.__dict__
        remakes = not (fit.has_attributes and state.predicts_by_arrays_of(known["_state"]))
        losses = grown(known.get("loss_curve_"), state.loss_curve, fit.n_losses)
        new: dict[str, Any] = {
            "_state": state,
            **(fitted_attributes(fit.problem.network, *state.prediction_model) if remakes else {}),
            "n_iter_": fit.n_iter,
            "stopped_": fit.met_rule,
            "t_": state.samples_seen,
            "loss_curve_": losses,
            "loss_": losses[-1] if losses else np.inf,
            "best_loss_": None if options.early_stopping else lowest(known.get("best_loss_"), losses, fit.n_losses),
            **dict.fromkeys(
                ("validation_scores_", "validation_loss_curve_", "best_validation_score_", "best_validation_loss_")
            ),
        }
        if fit.problem.data.validation is not None:
            curves = state.validation_scores, state.validation_losses
            names = "validation_scores_", "validation_loss_curve_"
            scores, lost = (
                grown(known.get(name), curve, fit.n_scores) for name, curve in zip(names, curves, strict=True)
            )
            new |= {"validation_scores_": scores, "validation_loss_curve_": lost}
            if options.early_stopping:
                before = known.get("best_validation_score_"), known.get("best_validation_loss_")
                best = best_epoch(before, (scores, lost), fit.n_scores, options.monitors_loss)
                new["best_validation_score_"], new["best_validation_loss_"] = best
        if "_trainings" not in known:
            new["_trainings"] = SmallTrainings()
        known.update(new)
        fit.is_published = True

    def __getstate__(self) -> dict[str, Any]:
        """Keep the parameters once: coefs_ and intercepts_ are views of the state, unless they were replaced."""
        attributes = super().__getstate__()
        attributes.pop("_small", None)
        attributes.pop("_trainings", None)
        is_fitted = "_state" in attributes and "coefs_" in attributes
        if is_fitted and are_equal(self, fitted_attributes(self._network, *self._state.prediction_model)):
            attributes = {name: value for name, value in attributes.items() if name not in ATTRIBUTES.values()}
        return to_plain(attributes)

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        super().__setstate__(attributes)
        self.__dict__.update(from_plain(self.__dict__))
        if "_state" in attributes:
            self._small, self._trainings = SmallPredictions(), SmallTrainings()
        if "_state" in attributes and "coefs_" not in attributes:
            self.__dict__.update(fitted_attributes(self._network, *self._state.prediction_model))

    # ---- prediction ---------------------------------------------------------------------

    def _outputs(self, X: MatrixLike) -> tuple[Rows, Array]:
        """Return the rows of X, and their outputs behind the link, ``(n, outputs)``, where the rows lie."""
        if not hasattr(self, "coefs_"):  # asked first, as the check takes an eighth of the time of one row
            check_is_fitted(self)
        backend, dtype = self._get_backend(X), float_type(self)
        with backend.explained_memory_errors():
            rows = rows_of(backend, check_X(self, X, reset=False, dtype=[dtype], accept_sparse="csr"))
            is_small = backend.on_host and type(rows) is DenseRows and rows.n_rows <= MOST_ROWS
            with np.errstate(over="ignore", invalid="ignore"):
                if is_small and "_small" in vars(self):
                    outputs = self._small.outputs(self, rows)
                else:
                    outputs = predictions(model_of(self, rows), rows)[0]
                total = outputs.item() if outputs.size == 1 else float(outputs.sum())  # the sum takes 2 us
        if not isfinite(total):  # a small number that says it for nearly all outputs
            self._warn_of_overflow(outputs)
        return rows, outputs

    def _warn_of_overflow(self, outputs: Array) -> None:
        """Warn if outputs of finite rows and weights are not finite."""
        is_bad = ~np.isfinite(to_numpy(outputs)).all(axis=1)
        if is_bad.any():
            warn(
                f"Predictions of {np.count_nonzero(is_bad)} of {len(is_bad)} rows are not finite: sums of products "
                f"of rows of X and weights exceed {outputs.dtype}. Scale X as for fit, for example by StandardScaler "
                "in a pipeline; if rows of fit do it too, fit with a lower learning_rate_init.",
                RuntimeWarning,
            )

    def _targets_of(self, outputs: Array) -> Any:
        """Return the targets that outputs stand for; without a fit, as the attributes describe them."""
        targets, n_outputs = vars(self).get("_targets"), outputs.shape[1]
        return self._task.described_targets(self, n_outputs) if targets is None else targets

    if not TYPE_CHECKING:  # or every attribute would be known to exist

        def __getattr__(self, name: str) -> Any:
            if name not in HOOKS:
                return object.__getattribute__(self, name)  # which raises the error that led here
            message = f"{type(self).__name__!r} object has no attribute {name!r}. {HOOKS[name]}"
            raise AttributeError(message, name=name, obj=self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def has_partial_fit(estimator: Any) -> bool:
    """Return True, or raise AttributeError for a solver that needs all rows at once."""
    if is_named(estimator.solver, "lbfgs"):
        raise AttributeError(
            "partial_fit is only available for mini-batch solvers, such as 'adam'; got solver='lbfgs'."
        )
    return True
