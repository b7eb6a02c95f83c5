"""Activations as plain formulas, the independent reference of the tests."""

import numpy as np
from scipy.special import expit, ndtr

from sknn.activations import ACTIVATIONS

FORMULAS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "prelu": lambda z, slope=0.25: np.where(z > 0, z, slope * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)),
    "gelu": lambda z: z * ndtr(z),
    "silu": lambda z: z * expit(z),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
    "softplus": lambda z: np.log(1 + np.exp(z)),
}
FORMULAS["sigmoid"] = FORMULAS["logistic"]
ELEMENTWISE = {name: activation for name, activation in ACTIVATIONS.items() if activation.pieces == 1}
