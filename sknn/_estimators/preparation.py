"""Preparation: from an estimator and the arguments of ``fit`` to a `Fit`, everything that training works on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._backend.warnings import warn
from .._common.callbacks import callback_data
from .._common.rows import Rows, rows_of
from .._common.rules import shown
from .._common.validation import FLOATS, check_sample_weight, check_training_weights, check_X_y
from .._core.data import SAMPLE_ROWS, Data, Problem, Validation, evenly_spread, split_rows
from .._core.network import Network
from .._core.options import Options
from .._core.state import State
from .._core.statistics import Sample, adapt_to_data
from ..schedules import BatchSchedule
from .attributes import fitted_attributes, theta_of
from .failures import unlike_validation
from .recipe import batch_size, build_network, build_options
from .small_trainings import SmallTraining, copied_data, is_small
from .targets import Labels, Numbers, Targets, check_kinds, plain_targets
from .tasks import Call

COLUMN = (  # scikit-learn's, which would name a line of sknn
    "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples, ), for "
    "example using ravel()."
)


@dataclass(eq=False)
class Fit:
    """One call of fit, checked: the problem to train on, the state to start from, and how far it went."""

    problem: Problem
    state: State
    targets: Targets
    max_iter: int
    callback_data: dict[str, Any] | None  # None for partial_fit, which calls none
    first_epoch: int
    n_losses: int  # of training and of validation, recorded by earlier calls
    n_scores: int
    small: SmallTraining | None = None
    has_attributes: bool = False  # whether the fitted attributes are, for sure, views of the state
    is_published: bool = False
    stopped_by_callback: bool = False
    met_rule: bool = False

    @property
    def is_incremental(self) -> bool:
        """Whether the call is one of ``partial_fit``."""
        return self.callback_data is None

    @property
    def n_iter(self) -> int:
        """Number of epochs, or iterations, trained so far."""
        return self.state.epochs - self.first_epoch


@dataclass(frozen=True, eq=False)
class Preparation:
    """The checks that make a `Fit` of an estimator, the plain values of its parameters, and the arguments of a call."""

    estimator: Any
    parameters: Any
    backend: Backend
    call: Call
    kept: SmallTraining | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether training starts anew instead of continuing from an earlier call."""
        return not (self._continues and hasattr(self.estimator, "_state"))

    @property
    def _continues(self) -> bool:
        """Whether training goes on from the weights that there are, of an earlier call or set without one."""
        estimator = self.estimator
        return hasattr(estimator, "coefs_") and (self.call.progress.is_incremental or self.parameters.warm_start)

    def prepare(self) -> Fit:
        """Return the fit, after all checks."""
        estimator, parameters, call = self.estimator, self.parameters, self.call
        task = estimator._task
        X, y = self._check_X_y(call.X, plain_targets(call.y), reset=self.is_fresh, dtype=self._allowed_dtypes())
        dtype = np.dtype(str(X.dtype))
        self._check_precision(dtype)
        known, progress = self._known_targets(), call.progress
        targets = task.find_targets(parameters, y, known, progress)
        targets.check(y, "y")
        encoded = targets.encode(y, dtype)
        weight = check_sample_weight(call.sample_weight, len(encoded), dtype)
        class_weights = task.class_weights(parameters, targets, encoded, weight, progress)
        weight = times_class_weights(weight, class_weights, targets, encoded)
        check_training_weights(weight)
        small = self._known_training((X, encoded, weight))
        if small is not None:
            network, options, data = small.problem.network, small.problem.options, small.problem.data
        else:
            network = build_network(parameters, X.shape[1], targets.n_outputs, task.loss(parameters, targets))
            self._check_frozen(network)
            options = build_options(parameters, network, is_incremental=call.progress.is_incremental)
            if self._has_rows_only and is_small(self.backend, X, network.layout.size):
                data = copied_data(self.backend, X, encoded, weight)
                small = SmallTraining(parameters, Problem(self.backend, network, options, data))
            else:
                validation = self._given_validation(network, targets, class_weights, dtype)
                self._compare_targets(targets, encoded, validation)
                data = Data(rows_of(self.backend, X).by_row(), encoded, weight, validation)
        state = self._initial_state(network, options, dtype)
        self._warn_of_ended_schedule(options, state)
        if parameters.solver == "lbfgs":
            data = replace(data, validation=None)
            self._check_batches_mix_rows(network, len(encoded), len(encoded))
        else:
            data = self._split(network, state, data, targets, y)
        problem = Problem(self.backend, network, options, data)
        if self.is_fresh and not self._continues:
            _adapt_to_data(problem, state)
        recorded = state.epochs, len(state.loss_curve), len(state.validation_scores)
        if call.progress.is_incremental:
            return Fit(problem, state, targets, 1, None, *recorded, small, self._has_attributes)
        told = callback_data(call.X, call.y, call.sample_weight)
        return Fit(problem, state, targets, parameters.max_iter, told, *recorded)

    @property
    def _has_rows_only(self) -> bool:
        """Whether the call is one of ``partial_fit`` without validation."""
        call, incremental = self.call, self.call.progress.is_incremental
        return incremental and not self.parameters.early_stopping and call.X_val is None and call.y_val is None

    def _known_training(self, arrays: tuple[Any, ...]) -> SmallTraining | None:
        """Return the training that the last call has kept, with the values of this one, or None."""
        kept = self.kept
        if kept is None or self.is_fresh or not self._has_rows_only:
            return None
        if not kept.fits(self.parameters, self.backend, arrays):
            return None
        kept.take(arrays)
        return kept

    # ---- X and y ------------------------------------------------------------------------

    def _allowed_dtypes(self) -> Sequence[Any]:
        if self.parameters.dtype is not None:
            return [np.dtype(self.parameters.dtype)]
        return FLOATS if self.is_fresh else [self.estimator._state.theta.dtype]

    def _check_X_y(self, X: Any, y: Any, *, reset: bool, dtype: Sequence[Any]) -> tuple[Any, Array]:
        y_numeric = self.estimator._task.y_numeric
        X, y = check_X_y(self.estimator, X, y, reset=reset, dtype=dtype, accept_sparse="csr", y_numeric=y_numeric)
        if y.ndim == 2 and y.shape[1] == 1:
            warn(COLUMN, DataConversionWarning)
            y = y.ravel()
        if y.dtype == object:
            check_kinds(y)
        return X, y

    def _check_precision(self, dtype: np.dtype) -> None:
        precision = self.parameters.precision
        if precision not in self.backend.precisions:
            raise ValueError(
                f"precision must be 'float32' for computation with NumPy; got {precision!r}, which needs the "
                "tensor cores of a GPU. Set backend='cupy', or pass X as a CuPy array."
            )
        if precision != "float32" and dtype != np.float32:
            raise ValueError(
                f"precision must be 'float32' for data in {dtype}; got {precision!r}, which applies to float32 "
                "data only. Set dtype='float32', or pass X in float32."
            )

    def _known_targets(self) -> Targets | None:
        """Return the targets of the weights that training goes on from, if they are known."""
        estimator = self.estimator
        if not self.is_fresh:
            return estimator._targets
        if not (self._continues and hasattr(estimator, "classes_")):
            return None
        return estimator._task.described_targets(estimator, np.shape(estimator.coefs_[-1])[1])

    # ---- the network and its state ------------------------------------------------------

    def _check_frozen(self, network: Network) -> None:
        if self.is_fresh and self.parameters.freeze_norm and network.statistics_layout.size:
            raise ValueError(
                "freeze_norm must be False in a first fit, which has no running statistics yet; got True. Fit with "
                "freeze_norm=False first, then continue with freeze_norm=True and warm_start=True or partial_fit."
            )

    def _initial_state(self, network: Network, options: Options, dtype: np.dtype) -> State:
        if self.is_fresh:
            stream = check_random_state(self.parameters.random_state)
            theta, statistics = network.initial_parameters(stream, dtype), network.initial_statistics(1, dtype)
            if self._continues:
                self._check_given_weights(network)
                theta = theta_of(self.estimator, network).astype(dtype)
            return State.start(theta, [stream], options, statistics)
        self._check_same_shapes(network)
        state = self.estimator._state.shallow_copy()
        if not self._has_attributes:
            state.continue_from(theta_of(self.estimator, network))
        state.continue_with(options, dtype)
        return state

    def _check_given_weights(self, network: Network) -> None:
        """Raise ValueError for weights, set without a fit, of other layers than the parameters describe."""
        widths = [*(np.shape(weights)[0] for weights in self.estimator.coefs_), network.widths[-1]]
        if tuple(widths) != network.widths:
            raise ValueError(
                f"hidden_layer_sizes must be those of coefs_, to train on from weights that were set without a fit: "
                f"layers of coefs_ have the widths {widths}; got {self.parameters.hidden_layer_sizes}, for the widths "
                f"{list(network.widths)}. Set hidden_layer_sizes={tuple(widths[1:-1])}, or other weights."
            )

    @property
    def _has_attributes(self) -> bool:
        """Whether the fitted attributes that training goes on from are, for sure, views of the state."""
        return self.kept is not None and self.kept.has_published(self.estimator)

    def _check_same_shapes(self, network: Network) -> None:
        known = self.estimator._network
        if network is known:
            return
        if network.widths != known.widths:
            raise ValueError(
                "hidden_layer_sizes and the number of outputs must stay the same to continue training; got layer "
                f"widths {network.widths} after {known.widths}. Set warm_start=False to start again."
            )
        if network.shapes != known.shapes:
            raise ValueError(
                "norm and activation must keep the number and shapes of their parameters in each layer to continue "
                "training; got "
                f"{network.norms} and {network.activations} after {known.norms} and "
                f"{known.activations}. Set warm_start=False to start again."
            )

    def _warn_of_ended_schedule(self, options: Options, state: State) -> None:
        share = options.schedule.factors(np.array([options.n_epochs + 1]), 1, options.n_epochs)[0]
        if state.epochs >= options.n_epochs and share < 0.01:
            warn(
                f"learning_rate={self.parameters.learning_rate!r} ended after max_iter={self.parameters.max_iter} "
                f"epochs: in the following epochs, the learning rate is {share:.2g} times learning_rate_init. Set "
                "max_iter to the total number of epochs."
            )

    # ---- validation rows ----------------------------------------------------------------

    def _given_validation(
        self, network: Network, targets: Targets, class_weights: Array | None, dtype: np.dtype
    ) -> Validation | None:
        """Return the validation rows that the caller gave, or None."""
        X_val, y_val = self.call.X_val, self.call.y_val
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
            raise ValueError(f"X_val and y_val must be given together; got {given} alone. Pass {missing} too.")
        try:
            X_val, y_val = self._check_X_y(X_val, plain_targets(y_val, "y_val"), reset=False, dtype=[dtype])
            targets.check(y_val, "y_val")
            encoded = targets.encode(y_val, dtype)
        except ValueError as error:
            raise ValueError(f"X_val and y_val must be valid like X and y: {error}") from error
        if len(encoded) < 2:
            raise ValueError(f"X_val and y_val must have at least 2 rows; got {len(encoded)}. Pass more rows.")
        rows, weight = rows_of(self.backend, X_val), times_class_weights(None, class_weights, targets, encoded)
        return Validation(rows, encoded, targets.score, weight, self._model_scorer(network, rows, y_val, weight))

    def _compare_targets(self, targets: Targets, y: Array, validation: Validation | None) -> None:
        """Warn if y_val does not look like the y of a whole fit."""
        if validation is None or not isinstance(targets, Numbers) or self.call.progress.is_incremental:
            return
        message = unlike_validation(y, validation.y)
        if message:
            warn(message)

    def _model_scorer(
        self, network: Network, rows: Rows, y: Array, sample_weight: Array | None
    ) -> Callable[..., float] | None:
        """Return a function that scores the parameters of a model by the scorer to monitor, or None without one."""
        estimator, monitor = self.estimator, self.parameters.monitor
        if monitor in ("score", "loss"):
            return None
        from sklearn.metrics import check_scoring  # which takes as long to import as all of sknn

        scorer = check_scoring(estimator, monitor)
        weighs = sample_weight is not None and "sample_weight" in inspect.signature(scorer).parameters

        def score_model(theta: Array, statistics: Array, chosen: Any) -> float:
            model = object.__new__(type(estimator))  # as fitted so far; rows are arrays, which have no feature names
            model.__dict__.update(vars(estimator) | fitted_attributes(network, theta, statistics))
            for name in ("feature_names_in_", "_small"):
                model.__dict__.pop(name, None)
            weights = {"sample_weight": sample_weight[chosen]} if weighs and sample_weight is not None else {}
            return scorer(model, rows.X[chosen], y[chosen], **weights)

        return score_model

    def _split(self, network: Network, state: State, data: Data, targets: Targets, y: Array) -> Data:
        """Number the training rows in the state; return the data with validation rows, if any are asked for."""
        parameters, validation = self.parameters, data.validation
        splits = parameters.early_stopping and validation is None
        self._number_rows(network, state, data, targets, splits)
        if splits:
            _check_split_weights(data.sample_weight, state)
            scorer = self._model_scorer(network, data.rows, y, data.sample_weight)
            validation = Validation(data.rows, data.y, targets.score, data.sample_weight, scorer)
        if validation is not None:
            monitor = parameters.monitor if isinstance(parameters.monitor, str) else repr(parameters.monitor)
            state.mark_validation((splits, len(validation.y) if splits else validation.fingerprint(), monitor))
        return data if validation is None else replace(data, validation=validation)

    def _number_rows(self, network: Network, state: State, data: Data, targets: Targets, splits: bool) -> None:
        fraction, size, n_rows = self.parameters.validation_fraction, batch_size(self.parameters), len(data.y)

        def draw(stream: np.random.RandomState) -> tuple[Array, Array]:
            classes = targets.classes if isinstance(targets, Labels) else None
            return split_rows(stream, n_rows, fraction, targets.strata(data.y), classes)

        split = draw if splits else None
        state.number_rows(n_rows, split, fraction if splits else None)
        n_train = state.order.shape[1]
        smallest = size.size_in(0) if isinstance(size, BatchSchedule) else size
        self._check_batches_mix_rows(network, n_train, smallest)
        if isinstance(self.parameters.batch_size, int) and size > n_train:
            warn(
                f"Got `batch_size` larger than the number of training rows, {size} > {n_train}. "
                f"It is going to be clipped to {n_train}."
            )

    def _check_batches_mix_rows(self, network: Network, n_train: int, smallest: int) -> None:
        parameters = self.parameters
        if network.mixes_rows and not parameters.freeze_norm and min(n_train, smallest) < 2:
            raise ValueError(
                f"norm={shown(parameters.norm)} must have training batches of 2 rows or more, because it uses the mean "
                f"of each batch; got batch_size={parameters.batch_size!r} and n_samples={n_train}. Use norm='layer', "
                "which works on single rows."
            )


def _adapt_to_data(problem: Problem, state: State) -> None:
    """Let initial parameters follow evenly spread training rows, where a layer asks for it."""
    if not any(layer.follows_data for layer in problem.network.layers):
        return
    data = problem.data
    numbers = np.arange(len(data.y)) if state.order is None else state.order[0]
    if data.sample_weight is not None:
        numbers = numbers[data.sample_weight[numbers] > 0]
    probe = numbers[evenly_spread(len(numbers), SAMPLE_ROWS)]
    sample = Sample(data.rows[probe], None if data.sample_weight is None else data.sample_weight[probe])
    try:
        with np.errstate(over="raise", invalid="raise"):
            theta = adapt_to_data(problem, state, sample)
    except FloatingPointError as error:
        raise ValueError(
            "X contains too large numbers for norm='weight' or init='lsuv', which start from the variance of a layer's "
            "outputs: it overflows. Scale X down, for example with StandardScaler."
        ) from error
    state.set_initial(theta)


def times_class_weights(
    sample_weight: Array | None, class_weights: Array | None, targets: Any, encoded: Array
) -> Array | None:
    """Return sample weights times the weight of each row's class."""
    if class_weights is None:
        return sample_weight
    weight = class_weights[targets.true_codes(encoded)]
    if not (weight if sample_weight is None else weight * sample_weight).any():
        raise ValueError(
            "class_weight times sample_weight must not be zero for every row; got only zeros. Give a class of y a "
            "positive weight."
        )
    return weight if sample_weight is None else (sample_weight * weight).astype(sample_weight.dtype)


def _check_split_weights(sample_weight: Array | None, state: State) -> None:
    validation_rows: Any = state.validation_rows
    for rows, name in ((state.order[0], "training"), (validation_rows[0], "validation")):
        if sample_weight is not None and not sample_weight[rows].any():
            raise ValueError(
                f"sample_weight must not be zero for all {name} rows of the split by early_stopping; got only zeros. "
                "Change random_state, or pass X_val and y_val."
            )
