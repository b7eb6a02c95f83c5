"""From parameters and data to a job: what to train, on what, where."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state, column_or_1d

from .._common.callbacks import callback_data
from .._common.validation import FLOATS, check_sample_weight, check_X_y, to_backend
from .._core.batches import by_row
from .._core.inference import adapted
from .._core.network import PARAMETERS, Network, pack
from .._core.state import Data, Options, State, Validation, split_rows
from ..schedules import BatchSchedule
from .attributes import SHOWN, shown
from .recipe import DescribedNetwork
from .targets import check_kinds

N_PROBED = 1024  # rows, evenly spread, that weights are adapted to before the first step


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


class PreparedJobs(DescribedNetwork):
    """Checks data and joins it with what the parameters describe."""

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
        X = by_row(backend, to_backend(backend, X))
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
        X_val, weight = to_backend(backend, X_val), by_class(None, class_weights, targets, encoded)
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

    def _shown_theta(self):
        """Return the parameters that the attributes hold, as one row of theta."""
        return pack(*(getattr(self, SHOWN[kind], ()) for kind in PARAMETERS))


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
