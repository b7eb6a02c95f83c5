"""What the parameters describe: a network, and how to train it."""

from __future__ import annotations

import numpy as np

from .._backend import BACKENDS
from .._common.blocks import NestedBlocksMixin, last_of, resolve, resolve_layers, with_parameters_of
from .._common.rules import (
    block,
    boolean,
    either,
    infinity,
    instance,
    integer,
    layer_sizes,
    nothing,
    one_of,
    per_layer,
    random_state,
    real,
    scorer,
)
from .._core.network import Network
from .._core.state import Options
from ..activations import ACTIVATIONS, Activation
from ..initializers import INITIALIZERS, Auto, Initializer
from ..losses import REGRESSION_LOSSES
from ..normalization import NORMS, Norm
from ..optimizers import OPTIMIZERS, SGD, FullBatch, Optimizer
from ..schedules import SCHEDULES, SCIKIT_LEARNS, BatchSchedule, Constant, Schedule

RULES = {
    "hidden_layer_sizes": layer_sizes(),
    "activation": per_layer(block(ACTIVATIONS, Activation)),
    "solver": block({"lbfgs": None, **OPTIMIZERS}, Optimizer),
    "alpha": real(0),
    "batch_size": either(one_of("auto"), integer(1), instance(BatchSchedule)),
    "learning_rate": block(SCHEDULES, Schedule),
    "learning_rate_init": real(0, closed="neither"),
    "power_t": real(0),
    "max_iter": integer(1),
    "shuffle": boolean(),
    "random_state": random_state(),
    "tol": real(0),
    "verbose": either(boolean(), integer(0)),
    "warm_start": boolean(),
    "momentum": real(0, 1, closed="both"),
    "nesterovs_momentum": boolean(),
    "early_stopping": boolean(),
    "validation_fraction": real(0, 1, closed="neither"),
    "beta_1": real(0, 1),
    "beta_2": real(0, 1),
    "epsilon": real(0, closed="neither"),
    "n_iter_no_change": either(integer(1), infinity()),
    "max_fun": integer(1),
    "init": per_layer(block(INITIALIZERS, Initializer)),
    "l1": real(0),
    "decoupled_decay": either(nothing(), boolean()),
    "clip_norm": either(nothing(), real(0, closed="neither")),
    "max_norm": either(nothing(), real(0, closed="neither")),
    "norm": per_layer(either(nothing(), block(NORMS, Norm, "GroupNorm(groups=4)"))),
    "freeze_norm": boolean(),
    "dropout": per_layer(real(0, 1)),
    "input_dropout": real(0, 1),
    "ema_decay": either(nothing(), real(0, 1)),
    "monitor": scorer("score", "loss"),
    "backend": one_of(None, *BACKENDS),
    "dtype": one_of(None, "float32", "float64"),
    "precision": one_of("float32", "tf32", "bfloat16"),
}
AUTO_BATCH_SIZE = 200


class DescribedNetwork(NestedBlocksMixin):
    """Turns parameters into what the network and its training are made of."""

    _rules = RULES
    _tables = {
        "activation": ACTIVATIONS,
        "init": INITIALIZERS,
        "norm": NORMS,
        "solver": OPTIMIZERS,
        "learning_rate": SCHEDULES,
        "loss": REGRESSION_LOSSES,
    }

    def _make_network(self, n_features, targets):
        sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
        network = Network(
            widths=(n_features, *map(int, sizes), targets.n_outputs),
            activations=resolve_layers("activation", self.activation, ACTIVATIONS, len(sizes)),
            initializers=self._initializers(len(sizes)),
            loss=self._loss(targets),
            norms=resolve_layers("norm", self.norm, NORMS, len(sizes)),
        )
        for layer in network.layers:
            if layer.norm is not None:
                layer.norm.check_units(layer.normed_width)
        return network

    def _loss(self, targets):
        return targets.loss

    def _initializers(self, n_hidden):
        """Return one for each layer; the output layer's is the last one, and "auto" is scikit-learn's there too."""
        output = resolve(last_of(self.init, "auto"), INITIALIZERS)
        if output == Auto():
            output = Auto(resolve(last_of(self.activation, "identity"), ACTIVATIONS).glorot_factor)
        return (*resolve_layers("init", self.init, INITIALIZERS, n_hidden), output)

    def _make_options(self, network, incremental):
        optimizer = self._optimizer()
        return Options(
            optimizers=(optimizer,),
            learning_rate=np.array([float(self.learning_rate_init)]),
            alpha=np.array([float(self.alpha)]),
            batch_size=self._batch_size(),
            schedule=self._schedule(optimizer),
            n_epochs=self.max_iter,
            shuffle=self.shuffle,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            early_stopping=self.early_stopping and self.solver != "lbfgs",
            decouples_decay=self._decouples_decay(optimizer),
            l1=np.array([float(self.l1)]) if self.l1 else None,
            clip_norm=None if self.clip_norm is None else np.array([float(self.clip_norm)]),
            max_norm=None if self.max_norm is None else np.array([float(self.max_norm)]),
            dropout=self._dropout(),
            freezes_norms=self.freeze_norm,
            exact_norms=network.has_exact_norms and not incremental and not self.freeze_norm,
            ema_decay=None if self.ema_decay is None else np.array([float(self.ema_decay)]),
            monitors_loss=self.monitor == "loss",
        )

    def _dropout(self):
        n_hidden = len(np.atleast_1d(self.hidden_layer_sizes))
        rates = self.input_dropout, *resolve_layers("dropout", self.dropout, {}, n_hidden)
        return np.array([rates], float) if any(rates) else None

    def _batch_size(self):
        return AUTO_BATCH_SIZE if self.batch_size == "auto" else self.batch_size

    def _optimizer(self):
        if not isinstance(self.solver, str):
            return self.solver
        named = OPTIMIZERS.get(self.solver, FullBatch)
        return with_parameters_of(self, named, named.shared)

    def _decouples_decay(self, optimizer):
        return optimizer.decouples_decay if self.decoupled_decay is None else bool(self.decoupled_decay)

    def _refuse_for_lbfgs(self):
        asked = {
            "l1": self.l1,
            "clip_norm": self.clip_norm,
            "max_norm": self.max_norm,
            "decoupled_decay": self.decoupled_decay,
            "dropout": np.any(self.dropout) and self.dropout,
            "norm": self._follows_training() and self.norm,
            "input_dropout": self.input_dropout,
            "ema_decay": self.ema_decay,
        }
        wrong = [name for name, value in asked.items() if value]
        if self.solver == "lbfgs" and wrong:
            raise ValueError(
                f"{wrong[0]} must not be set for solver 'lbfgs', which takes no steps; got {asked[wrong[0]]!r}."
            )

    def _follows_training(self):
        norms = self.norm if isinstance(self.norm, list | tuple) else [self.norm]
        return any(norm is not None and resolve(norm, NORMS).follows_training for norm in norms)

    def _schedule(self, optimizer):
        if not isinstance(self.learning_rate, str):
            return self.learning_rate
        if self.learning_rate in SCIKIT_LEARNS and not isinstance(optimizer, SGD):
            return Constant()
        named = SCHEDULES[self.learning_rate]
        return with_parameters_of(self, named, named.shared)
