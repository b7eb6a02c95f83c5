"""Elements of the CPU's loops, and what a new activation and a new optimiser take."""

from typing import ClassVar, NamedTuple

import numba
import numpy as np
import pytest
from sklearn.datasets import load_iris

from sknn import MLPRegressor, building_block
from sknn._backend.cpu import elements, loops, updates
from sknn._backend.cpu.vector_math import like
from sknn.activations import Activation
from sknn.optimizers import SGD, Optimizer
from tests.support.kernels import COMPARED_ACTIVATIONS, COMPARED_OPTIMIZERS

X = load_iris().data
X = (X - X.mean(axis=0)) / X.std(axis=0)
y = X[:, 0] * X[:, 1]


def test_elements_fit_their_blocks():
    """They have as many numbers, and need z where the blocks do."""
    activations = [block for block in COMPARED_ACTIVATIONS.values() if block.kernel in elements.ACTIVATIONS]
    assert {block.kernel for block in activations} == set(elements.ACTIVATIONS)
    for block in activations:
        assert len(elements.ACTIVATIONS[block.kernel]._fields) == len(block.numbers())
        assert (block.kernel in elements.FROM_OUTPUT) == block.in_place
    for block in COMPARED_OPTIMIZERS:
        assert len(elements.OPTIMIZERS[block.kernel]._fields) == len(block.hyper())


def test_an_element_whose_numbers_are_no_floats():
    z, b, y = np.array([[[-2.0, 3.0]]], np.float32), np.zeros((1, 1, 2), np.float32), np.zeros((1, 1, 2), np.float32)
    loops.FORWARD["leaky_relu"](z, b, 2)
    loops.BACKWARD["leaky_relu"](y, z, b, np.float32(2))
    np.testing.assert_array_equal(z, [[[-4.0, 3.0]]])


def test_more_fields_than_a_loop_takes_are_refused():
    class Wide(NamedTuple):
        a: float
        b: float
        c: float

    with pytest.raises(TypeError, match=r"at most 2 fields; Wide has \('a', 'b', 'c'\)"):
        loops.compiled(loops.activation_backward, Wide)


# ---- blocks of one's own ----------------------------------------------------------------


@building_block
class Ramp(Activation):
    """f(z) = steepness * max(z, 0)."""

    steepness: float = 0.5
    kernel: ClassVar[str] = "ramp"

    def forward(self, xp, z, y):
        y[...] = self.steepness * xp.maximum(z, 0)

    def backward(self, xp, dz, z, y):
        dz *= self.steepness * (y > 0)

    def numbers(self):
        return (self.steepness,)


@building_block
class Descent(Optimizer):
    """Steps against the gradient, with the way so far as memory."""

    kernel: ClassVar[str] = "descent"
    n_slots: ClassVar[int] = 1

    def hyper(self):
        return (1.0,)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        theta -= rate * hyper * grad
        slots[0] += abs(rate * grad)


class RampElement(NamedTuple):
    steepness: float

    def value(self, z):
        return like(z, self.steepness) * (z if z > like(z, 0.0) else like(z, 0.0))

    def gradient(self, d, y):
        return d * (like(y, self.steepness) if y > like(y, 0.0) else like(y, 0.0))


class DescentElement(NamedTuple):
    factor: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        slots[0, k, i] += abs(rate * g)
        return w - rate * self.factor * g


@pytest.fixture
def fused(monkeypatch):
    """Give the blocks above their elements, in kernels that are not kept on disk."""
    for module in (loops, updates):
        monkeypatch.setattr(module, "kernel", numba.njit)
    monkeypatch.setitem(loops.FORWARD, "ramp", loops.compiled(loops.bias_activation_in_place, RampElement))
    monkeypatch.setitem(loops.BACKWARD, "ramp", loops.compiled(loops.activation_backward, RampElement))
    monkeypatch.setitem(updates.UPDATES, "descent", updates.compiled(DescentElement))
    return [loops.FORWARD["ramp"], loops.BACKWARD["ramp"], updates.UPDATES["descent"]]


def fitted(**parameters):
    common = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "alpha": 0.1, "learning_rate_init": 0.01}
    with pytest.warns(match="did not converge|reached"):
        return MLPRegressor(**common, **parameters).fit(X, y)


def assert_same_fit(mine, other):
    for coefs, expected in zip(mine.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(coefs, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(mine.loss_curve_, other.loss_curve_, rtol=1e-10)


def test_a_block_without_an_element_runs_as_it_is_defined():
    """The block is all that it takes; a ramp of 1 is a rectifier, and this descent is that of SGD without momentum."""
    model = fitted(activation=Ramp(1.0), solver=Descent())
    assert_same_fit(model, fitted(activation="relu", solver=SGD(0.0, False)))


def test_a_block_with_an_element_is_fused(fused):
    """The element, and its row in the table of elements.py, are all that it takes more."""
    model = fitted(activation=Ramp(1.0), solver=Descent())
    assert all(kernel.signatures for kernel in fused)
    assert_same_fit(model, fitted(activation="relu", solver=SGD(0.0, False)))
