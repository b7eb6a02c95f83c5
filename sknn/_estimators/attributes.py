"""Fitted attributes: the parameters and running statistics of a network, as users see them and may replace them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._backend import to_numpy
from .._backend.typing import Array, Arrays
from .._common.blocks import resolve, resolve_layers
from .._common.rows import Rows
from .._common.rules import REFUSED, check_parameters, integer, require, shown
from .._common.validation import FLOATS
from .._core.layout import PARAMETERS, RUNNING, LayerViews, pack
from .._core.network import Network
from .._core.passes import Model
from ..activations import ACTIVATIONS, Activation, Identity
from ..initializers import Auto
from ..losses import BinaryLogLoss, Loss, Poisson, SoftmaxLogLoss, SquaredError
from ..normalization import NORMS
from .recipe import RULES

ATTRIBUTES = {  # the attribute with the arrays of each kind, one a layer, None for a layer without any
    "weights": "coefs_",
    "biases": "intercepts_",
    "gains": "norm_gains_",
    "shifts": "norm_shifts_",
    "means": "norm_means_",
    "variances": "norm_variances_",
    "slopes": "activation_slopes_",
}


def fitted_attributes(network: Network, theta: Array, statistics: Array) -> dict[str, list[Array | None]]:
    """Return the attributes with the arrays of the first model of a stack, as views; those that it has any of."""
    layers = [
        learnt | kept
        for learnt, kept in zip(network.layout.views(theta), network.statistics_layout.views(statistics), strict=True)
    ]
    return {
        name: [_without_stack(kind, layer.get(kind)) for layer in layers]
        for kind, name in ATTRIBUTES.items()
        if any(kind in layer for layer in layers)
    }


def _without_stack(kind: str, view: Array | None) -> Array | None:
    return view if view is None else view[0] if kind == "weights" else view[0, 0]


def are_equal(estimator: Any, attributes: dict[str, list[Array | None]]) -> bool:
    """Return whether the estimator's attributes hold these arrays; a user may have replaced some."""
    pairs = [(pack(getattr(estimator, name)), pack(arrays)) for name, arrays in attributes.items()]
    return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)


# ---- attributes that a user may have set ------------------------------------------------


def theta_of(estimator: Any, network: Network) -> Array:
    """Return the parameters that the attributes hold, as one row of theta of a network.

    Raises
    ------
    ValueError
        If they are not of the shapes that the network has.
    """
    layers = _arrays(estimator, network, float_type(estimator))
    return pack(*([layer.get(kind) for layer in layers] for kind in PARAMETERS))


def model_of(estimator: Any, rows: Rows) -> Model:
    """Return the model that the attributes describe, where rows to predict for are computed.

    Raises
    ------
    ValueError
        If the attributes, or the rows, do not belong together.
    """
    network, backend = network_of(estimator), rows.backend
    if rows.X.shape[1] != network.widths[0]:  # after weights that were set by hand
        raise ValueError(
            f"X has {rows.X.shape[1]} features, but {type(estimator).__name__} is expecting {network.widths[0]} "
            "features as input, the length of coefs_[0]."
        )
    bring = backend.xp.asarray
    parameters: LayerViews = []
    statistics: LayerViews = []
    for arrays in _arrays(estimator, network, float_type(estimator)):
        learnt: Arrays = {}
        kept: Arrays = {}
        for kind, array in arrays.items():
            array = bring(array)
            (kept if kind in RUNNING else learnt)[kind] = array[None] if array.ndim == 2 else array[None, None]
        parameters.append(learnt)
        statistics.append(kept)
    return Model(backend, network, parameters, statistics)


def float_type(estimator: Any) -> np.dtype:
    """Return the type to compute in: that of ``coefs_``, or that of the fit where ``coefs_`` hold no such floats."""
    dtype = getattr(estimator.coefs_[0], "dtype", None)
    if dtype in FLOATS:
        return dtype
    state = vars(estimator).get("_state")
    return np.dtype(np.float64) if state is None else state.theta.dtype


def _arrays(estimator: Any, network: Network, dtype: np.dtype) -> list[Arrays]:
    """Return the arrays of each layer, by kind; those that users set may be of any type that converts to ``dtype``."""
    attributes, layers = vars(estimator), []
    for i, shapes in enumerate(network.shapes):
        layer = {}
        for kind, shape in shapes.items():
            name = ATTRIBUTES.get(kind)
            if name is None:
                continue
            arrays, expected = attributes.get(name, ()), shape if kind == "weights" else shape[1:]
            array = arrays[i] if i < len(arrays) else None
            if type(array) is not np.ndarray or array.dtype != dtype or array.shape != expected:
                array = _converted(f"{name}[{i}]", array, dtype, expected)
            layer[kind] = array
        layers.append(layer)
    return layers


def _converted(name: str, value: Any, dtype: np.dtype, shape: tuple[int, ...]) -> Array:
    """Return an array that a user set as one of ``dtype``; one number stands for all of a vector, as NumPy adds it."""
    allowed = f"an array of real numbers of shape {shape}"
    try:
        array = np.asarray(to_numpy(value))
    except ValueError as error:  # rows of unequal lengths
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}.") from error
    require(array.dtype.kind in "fiub", name, allowed, value)
    if array.size == 1 and len(shape) == 1:
        array = np.full(shape, array.item())
    if array.shape != shape:
        raise ValueError(
            f"{name} must be {allowed}; got shape {array.shape}. Set coefs_, intercepts_ and n_layers_ of all layers "
            "together, or fit anew with warm_start=False."
        )
    return np.ascontiguousarray(array, dtype)


# ---- the network that they describe -----------------------------------------------------


def network_of(estimator: Any) -> Network:
    """Return the network that the attributes describe.

    It is that of the fit, unless a user has set ``activation``, ``out_activation_``, ``n_layers_`` or the shapes of
    ``coefs_`` by hand, as scripts for scikit-learn do, or has set weights without a fit.
    """
    attributes = vars(estimator)
    fitted, shapes = attributes.get("_network"), _weight_shapes(estimator)
    if (
        fitted is not None
        and shapes == [layer["weights"] for layer in fitted.shapes]
        and attributes.get("out_activation_") == fitted.loss.link_name
        and _has_activations(fitted, estimator.activation)
    ):
        return fitted
    return _described_network(estimator, fitted, shapes)


def _weight_shapes(estimator: Any) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of the layers in use: the first ``n_layers_ - 1``."""
    attributes = vars(estimator)
    shapes = [w.shape if type(w) is np.ndarray else np.shape(w) for w in attributes["coefs_"]]
    n_layers = attributes.get("n_layers_", len(shapes) + 1)
    if type(n_layers) is int and n_layers == len(shapes) + 1:
        return shapes
    allowed = f"an integer in [2, {len(shapes) + 1}], as coefs_ has {len(shapes)} arrays"
    n_used = integer(2).plain(n_layers)
    require(n_used is not REFUSED and n_used <= len(shapes) + 1, "n_layers_", allowed, n_layers)
    return shapes[: n_used - 1]


def _has_activations(network: Network, activation: Any) -> bool:
    """Return whether the parameter ``activation`` stands for the activations of a network."""
    if isinstance(activation, str):
        return network.activations == (ACTIVATIONS.get(activation),) * len(network.activations)
    plain = RULES["activation"].plain(activation)
    given = plain if isinstance(plain, tuple) else (plain,) * len(network.activations)
    return plain is not REFUSED and tuple(resolve(item, ACTIVATIONS) for item in given) == network.activations


def _described_network(estimator: Any, fitted: Network | None, shapes: list[tuple[int, ...]]) -> Network:
    for i, shape in enumerate(shapes):
        require(len(shape) == 2, f"coefs_[{i}]", "an array of shape (inputs, units)", estimator.coefs_[i])
    parameters = check_parameters(estimator, {name: RULES[name] for name in ("activation", "norm")})
    n_hidden = len(shapes) - 1
    activations = _of_hidden_layers("activation", parameters, ACTIVATIONS, n_hidden)
    units = [shape[1] // activation.pieces for shape, activation in zip(shapes, activations, strict=False)]
    loss, outputs = _described_outputs(estimator, fitted, shapes[-1][1])
    if fitted is not None and n_hidden <= len(fitted.norms):
        norms = fitted.norms[: len(shapes)]  # also that of a hidden layer which is the last now
    else:
        norms = _of_hidden_layers("norm", parameters, NORMS, n_hidden)
    return Network(
        widths=(shapes[0][0], *units, shapes[-1][1]),
        activations=(*activations, outputs),
        initializers=(Auto(),) * len(shapes),
        loss=loss,
        norms=norms,
    )


def _of_hidden_layers(name: str, parameters: dict[str, Any], table: Any, n_hidden: int) -> tuple[Any, ...]:
    """Return a building block for each hidden layer; of a tuple for more layers, the first ones."""
    value = parameters[name]
    return resolve_layers(name, value[:n_hidden] if isinstance(value, tuple) else value, table, n_hidden)


def _described_outputs(estimator: Any, fitted: Network | None, n_outputs: int) -> tuple[Loss, Activation]:
    """Return a loss with the link that ``out_activation_`` names, or an activation of the outputs and no link."""
    loss = estimator._task.usual_loss(estimator, n_outputs) if fitted is None else fitted.loss
    name = vars(estimator).get("out_activation_", loss.link_name)
    if name == loss.link_name:
        return loss, Identity()
    elementwise = {key: activation for key, activation in ACTIVATIONS.items() if activation.stage == "elementwise"}
    known = {**LINKS, **elementwise}
    require(name in known, "out_activation_", f"one of {list(known)}", name)
    return (LINKS[name], Identity()) if name in LINKS else (SquaredError(), elementwise[name])


LINKS: dict[str, Loss] = {
    loss.link_name: loss for loss in (SquaredError(), BinaryLogLoss(), SoftmaxLogLoss(), Poisson())
}
