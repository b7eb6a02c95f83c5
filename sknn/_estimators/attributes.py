"""Fitted attributes: the parameters and running statistics of a network, as users see them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._backend.protocol import Backend
from .._backend.typing import Array
from .._core.layout import PARAMETERS, RUNNING, LayerViews, pack
from .._core.network import Network
from .._core.passes import Model

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


def theta_of(estimator: Any) -> Array:
    """Return the parameters that the attributes hold, as one row of theta."""
    return pack(*(getattr(estimator, ATTRIBUTES[kind], ()) for kind in PARAMETERS))


def model_of(estimator: Any, network: Network, backend: Backend) -> Model:
    """Return the model that the attributes hold, which may be the user's."""
    parameters: LayerViews = [{} for _ in estimator.coefs_]
    statistics: LayerViews = [{} for _ in estimator.coefs_]
    attributes, bring = vars(estimator), backend.xp.asarray
    for kind, name in ATTRIBUTES.items():
        arrays = attributes.get(name)
        if arrays is None:
            continue
        layers = statistics if kind in RUNNING else parameters
        for layer, array in zip(layers, arrays, strict=False):
            if array is not None:
                array = bring(array)
                layer[kind] = array[None] if array.ndim == 2 else array[None, None]
    return Model(backend, network, parameters, statistics)


def are_equal(estimator: Any, attributes: dict[str, list[Array | None]]) -> bool:
    """Return whether the estimator's attributes hold these arrays; a user may have replaced some."""
    pairs = [(pack(getattr(estimator, name)), pack(arrays)) for name, arrays in attributes.items()]
    return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)
