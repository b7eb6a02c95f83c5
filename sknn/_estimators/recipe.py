"""Recipe: from an estimator's parameters to a network, and to the options of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._backend import BACKENDS
from .._common.blocks import last_of, resolve, resolve_layers, with_parameters_of
from .._common.rules import (
    block,
    boolean,
    either,
    float_type,
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
from .._core.options import Options
from ..activations import ACTIVATIONS, Activation
from ..initializers import INITIALIZERS, Auto, Initializer
from ..losses import REGRESSION_LOSSES, Loss
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
    "dtype": float_type(),
    "precision": one_of("float32", "tf32", "bfloat16"),
}
AUTO_BATCH_SIZE = 200
# By parameter: the building blocks that it may name.
TABLES: dict[str, Mapping[str, Any]] = {
    "activation": ACTIVATIONS,
    "init": INITIALIZERS,
    "norm": NORMS,
    "solver": OPTIMIZERS,
    "learning_rate": SCHEDULES,
    "loss": REGRESSION_LOSSES,
}


# ---- the network ------------------------------------------------------------------------


def build_network(estimator: Any, n_features: int, n_outputs: int, loss: Loss) -> Network:
    """Return the network that the parameters of an estimator describe."""
    sizes = np.atleast_1d(estimator.hidden_layer_sizes).tolist()
    network = Network(
        widths=(n_features, *map(int, sizes), n_outputs),
        activations=resolve_layers("activation", estimator.activation, ACTIVATIONS, len(sizes)),
        initializers=_initializers(estimator, len(sizes)),
        loss=loss,
        norms=resolve_layers("norm", estimator.norm, NORMS, len(sizes)),
    )
    for layer in network.layers:
        if layer.norm is not None:
            layer.norm.check_units(layer.normed_width)
    return network


def _initializers(estimator: Any, n_hidden: int) -> tuple[Initializer, ...]:
    """Return one for each layer; the output layer's is the last one, and "auto" is scikit-learn's there too."""
    output = resolve(last_of(estimator.init, "auto"), INITIALIZERS)
    if output == Auto():
        output = Auto(resolve(last_of(estimator.activation, "identity"), ACTIVATIONS).glorot_factor)
    return (*resolve_layers("init", estimator.init, INITIALIZERS, n_hidden), output)


# ---- the options of training ------------------------------------------------------------


def build_options(estimator: Any, network: Network, *, is_incremental: bool) -> Options:
    """Return the options of training that the parameters of an estimator describe, for a stack of one."""
    optimizer = _optimizer(estimator)
    decouples_decay = estimator.decoupled_decay
    return Options(
        optimizers=(optimizer,),
        learning_rate=np.array([float(estimator.learning_rate_init)]),
        alpha=np.array([float(estimator.alpha)]),
        batch_size=batch_size(estimator),
        schedule=_schedule(estimator, optimizer),
        n_epochs=estimator.max_iter,
        shuffle=estimator.shuffle,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        early_stopping=estimator.early_stopping and estimator.solver != "lbfgs",
        decouples_decay=optimizer.decouples_decay if decouples_decay is None else bool(decouples_decay),
        l1=np.array([float(estimator.l1)]) if estimator.l1 else None,
        clip_norm=_of_one_model(estimator.clip_norm),
        max_norm=_of_one_model(estimator.max_norm),
        dropout=_dropout(estimator),
        freezes_norms=estimator.freeze_norm,
        exact_norms=network.has_exact_norms and not is_incremental and not estimator.freeze_norm,
        ema_decay=_of_one_model(estimator.ema_decay),
        monitors_loss=estimator.monitor == "loss",
    )


def _of_one_model(value: float | None) -> np.ndarray | None:
    return None if value is None else np.array([float(value)])


def _dropout(estimator: Any) -> np.ndarray | None:
    n_hidden = len(np.atleast_1d(estimator.hidden_layer_sizes))
    rates = estimator.input_dropout, *resolve_layers("dropout", estimator.dropout, {}, n_hidden)
    return np.array([rates], float) if any(rates) else None


def batch_size(estimator: Any) -> int | BatchSchedule:
    """Return the batch size of an estimator, or its schedule."""
    return AUTO_BATCH_SIZE if estimator.batch_size == "auto" else estimator.batch_size


def _optimizer(estimator: Any) -> Optimizer:
    if not isinstance(estimator.solver, str):
        return estimator.solver
    named: Any = OPTIMIZERS.get(estimator.solver, FullBatch)
    return with_parameters_of(estimator, named, named.shared)


def _schedule(estimator: Any, optimizer: Optimizer) -> Schedule:
    if not isinstance(estimator.learning_rate, str):
        return estimator.learning_rate
    if estimator.learning_rate in SCIKIT_LEARNS and not isinstance(optimizer, SGD):
        return Constant()
    named: Any = SCHEDULES[estimator.learning_rate]
    return with_parameters_of(estimator, named, named.shared)


def check_for_lbfgs(estimator: Any) -> None:
    """Raise ValueError for a parameter that needs mini-batches, beside solver "lbfgs"."""
    given = {
        "l1": estimator.l1,
        "clip_norm": estimator.clip_norm,
        "max_norm": estimator.max_norm,
        "decoupled_decay": estimator.decoupled_decay,
        "dropout": np.any(estimator.dropout) and estimator.dropout,
        "norm": _follows_training(estimator.norm) and estimator.norm,
        "input_dropout": estimator.input_dropout,
        "ema_decay": estimator.ema_decay,
    }
    wrong = [name for name, value in given.items() if value]
    if estimator.solver == "lbfgs" and wrong:
        raise ValueError(
            f"{wrong[0]} must not be set for solver 'lbfgs', which does not train by mini-batches; got "
            f"{given[wrong[0]]!r}. Use another solver, for example 'adam'."
        )


def _follows_training(norm: Any) -> bool:
    norms = norm if isinstance(norm, list | tuple) else [norm]
    return any(norm is not None and resolve(norm, NORMS).follows_training for norm in norms)
