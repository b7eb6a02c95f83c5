"""Recipe: from an estimator's parameters, as plain values, to a network, and to the options of its training."""

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
    require,
    scorer,
    shown,
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
MOST_PARAMETERS = 10**12  # beyond all memories
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


def build_network(parameters: Any, n_features: int, n_outputs: int, loss: Loss) -> Network:
    """Return the network that the parameters of an estimator describe."""
    sizes = parameters.hidden_layer_sizes
    network = Network(
        widths=(n_features, *sizes, n_outputs),
        activations=resolve_layers("activation", parameters.activation, ACTIVATIONS, len(sizes)),
        initializers=_initializers(parameters, len(sizes)),
        loss=loss,
        norms=resolve_layers("norm", parameters.norm, NORMS, len(sizes)),
    )
    if network.layout.size > MOST_PARAMETERS:
        raise ValueError(
            f"hidden_layer_sizes must give at most {MOST_PARAMETERS:.0e} weights and biases; got layer widths "
            f"{shown(network.widths)}. Choose fewer units."
        )
    for layer in network.layers:
        if layer.norm is not None:
            layer.norm.check_units(layer.normed_width)
    return network


def _initializers(parameters: Any, n_hidden: int) -> tuple[Initializer, ...]:
    """Return one for each layer; the output layer's is the last one, and "auto" is scikit-learn's there too."""
    output = resolve(last_of(parameters.init, "auto"), INITIALIZERS)
    if output == Auto():
        output = Auto(resolve(last_of(parameters.activation, "identity"), ACTIVATIONS).glorot_factor)
    return (*resolve_layers("init", parameters.init, INITIALIZERS, n_hidden), output)


# ---- the options of training ------------------------------------------------------------


def build_options(parameters: Any, network: Network, *, is_incremental: bool) -> Options:
    """Return the options of training that the parameters of an estimator describe, for a stack of one."""
    optimizer = _optimizer(parameters)
    decouples_decay = parameters.decoupled_decay
    return Options(
        optimizers=(optimizer,),
        learning_rate=np.array([parameters.learning_rate_init]),
        alpha=np.array([parameters.alpha]),
        batch_size=batch_size(parameters),
        schedule=_schedule(parameters, optimizer),
        n_epochs=parameters.max_iter,
        shuffle=parameters.shuffle,
        tol=parameters.tol,
        n_iter_no_change=parameters.n_iter_no_change,
        early_stopping=parameters.early_stopping and parameters.solver != "lbfgs",
        decouples_decay=optimizer.decouples_decay if decouples_decay is None else decouples_decay,
        l1=np.array([parameters.l1]) if parameters.l1 else None,
        clip_norm=_of_one_model(parameters.clip_norm),
        max_norm=_of_one_model(parameters.max_norm),
        dropout=_dropout(parameters),
        freezes_norms=parameters.freeze_norm,
        streams_rows=is_incremental,
        exact_norms=() if is_incremental or parameters.freeze_norm else _exact_norms(parameters, network),
        ema_decay=_of_one_model(parameters.ema_decay),
        monitors_loss=parameters.monitor == "loss",
    )


def _exact_norms(parameters: Any, network: Network) -> tuple[int, ...]:
    # L-BFGS has no batches, and so no running statistics
    return network.tracking_layers if parameters.solver == "lbfgs" else network.exact_layers


def _of_one_model(value: float | None) -> np.ndarray | None:
    return None if value is None else np.array([value])


def _dropout(parameters: Any) -> np.ndarray | None:
    n_hidden = len(parameters.hidden_layer_sizes)
    rates = parameters.input_dropout, *resolve_layers("dropout", parameters.dropout, {}, n_hidden)
    return np.array([rates], float) if any(rates) else None


def batch_size(parameters: Any) -> int | BatchSchedule:
    """Return the batch size of an estimator, or its schedule."""
    return AUTO_BATCH_SIZE if parameters.batch_size == "auto" else parameters.batch_size


def _optimizer(parameters: Any) -> Optimizer:
    if not isinstance(parameters.solver, str):
        is_placeholder = isinstance(parameters.solver, FullBatch)
        require(not is_placeholder, "solver", f"{RULES['solver'].allowed} other than FullBatch", parameters.solver)
        return parameters.solver
    named: Any = OPTIMIZERS.get(parameters.solver, FullBatch)
    return with_parameters_of(parameters, named, named.shared)


def _schedule(parameters: Any, optimizer: Optimizer) -> Schedule:
    if not isinstance(parameters.learning_rate, str):
        return parameters.learning_rate
    if parameters.learning_rate in SCIKIT_LEARNS and not isinstance(optimizer, SGD):
        return Constant()
    named: Any = SCHEDULES[parameters.learning_rate]
    return with_parameters_of(parameters, named, named.shared)


def check_for_lbfgs(parameters: Any) -> None:
    """Raise ValueError for a parameter that needs mini-batches, beside solver "lbfgs"."""
    given = {
        "l1": parameters.l1,
        "clip_norm": parameters.clip_norm,
        "max_norm": parameters.max_norm,
        "decoupled_decay": parameters.decoupled_decay,
        "dropout": np.any(parameters.dropout) and parameters.dropout,
        "norm": _follows_training(parameters.norm) and parameters.norm,
        "input_dropout": parameters.input_dropout,
        "ema_decay": parameters.ema_decay,
    }
    wrong = [name for name, value in given.items() if value]
    if parameters.solver == "lbfgs" and wrong:
        raise ValueError(
            f"{wrong[0]} must not be set for solver 'lbfgs', which does not train by mini-batches; got "
            f"{shown(given[wrong[0]])}. Use another solver, for example 'adam'."
        )


def _follows_training(norm: Any) -> bool:
    norms = norm if isinstance(norm, tuple) else [norm]
    return any(norm is not None and resolve(norm, NORMS).follows_training for norm in norms)
