"""The fitted attributes of a network, and what they are in a stack."""

from __future__ import annotations

SHOWN = {  # the fitted attribute with the arrays of each kind, one a layer, None for a layer without any
    "weights": "coefs_",
    "biases": "intercepts_",
    "gains": "norm_gains_",
    "shifts": "norm_shifts_",
    "means": "norm_means_",
    "variances": "norm_variances_",
    "slopes": "activation_slopes_",
}


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


def as_stack(backend, array):
    array = backend.asarray(array)
    return array[None] if array.ndim == 2 else array[None, None]
