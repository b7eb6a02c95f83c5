"""Activations, optimisers and arrays for tests that compare kernels with definitions."""

import numpy as np
import pytest

from sknn.activations import ELU, GELU, LeakyReLU
from sknn.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, AMSGrad, Lion, NAdam, RMSprop
from tests.support.activations import ELEMENTWISE

COMPARED_ACTIVATIONS = {
    **ELEMENTWISE,
    **{"leaky_relu of 0.3": LeakyReLU(0.3), "elu of 0.5": ELU(0.5), "gelu by tanh": GELU("tanh")},
}
COMPARED_OPTIMIZERS = [
    *(SGD(), SGD(0.5, False), SGD(0.0), Adam(), Adam(0.5, 0.9, 1e-2), AdamW(), AMSGrad(), NAdam(), Adagrad(1e-2)),
    *(Adadelta(), Adadelta(0.5, 1e-2), RMSprop(), RMSprop(0.5, 0.5, 1e-2), RMSprop(0.9, 0.5, 1.0, True), Lion()),
]
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_stack = pytest.mark.parametrize("n_models", [1, 3])


def normal(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
