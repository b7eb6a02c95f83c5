"""Elements of the CPU's loops, and the entries that a new activation, optimiser or loss needs."""

from typing import ClassVar, NamedTuple

import numba
import numpy as np
import pytest
from sklearn.datasets import load_iris

from sknn import MLPRegressor, building_block
from sknn._backend.cpu import elements, loops, updates
from sknn._backend.cpu.vector_math import like
from sknn.activations import Activation
from sknn.losses import RegressionLoss
from sknn.optimizers import SGD, Optimizer
from tests.support.kernels import COMPARED_ACTIVATIONS, COMPARED_OPTIMIZERS

X = load_iris().data
X = (X - X.mean(axis=0)) / X.std(axis=0)
y = X[:, 0] * X[:, 1]


def test_elements_fit_their_blocks():
    """Elements have as many numbers as their blocks, and those of FROM_OUTPUT belong to blocks that are in place."""
    activations = [block for block in COMPARED_ACTIVATIONS.values() if block.kernel in elements.ACTIVATIONS]
    assert {block.kernel for block in activations} == set(elements.ACTIVATIONS)
    for block in activations:
        assert len(elements.ACTIVATIONS[block.kernel]._fields) == len(block.constants())
        assert (block.kernel in elements.FROM_OUTPUT) == block.in_place
    for block in COMPARED_OPTIMIZERS:
        assert len(elements.OPTIMIZERS[block.kernel]._fields) == len(block.constants())


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
        loops.compile_for(loops.activation_backward, Wide)


# ---- blocks of one's own ----------------------------------------------------------------


@building_block
class Ramp(Activation):
    """A ramp: f(z) = steepness * max(z, 0). Its derivative needs y alone."""

    steepness: float = 0.5
    kernel: ClassVar[str] = "ramp"

    def forward(self, xp, z, y):
        y[...] = self.steepness * xp.maximum(z, 0)

    def backward(self, xp, dz, z, y):
        dz *= self.steepness * (y > 0)

    def constants(self):
        return (self.steepness,)


@building_block
class RampOfInput(Ramp):
    """The same function, with a derivative that is computed from z."""

    kernel: ClassVar[str] = "ramp_of_input"
    in_place: ClassVar[bool] = False

    def backward(self, xp, dz, z, y):
        dz *= self.steepness * (z > 0)


@building_block
class Descent(Optimizer):
    """Steps against the gradient; the only state is the length of the way so far."""

    kernel: ClassVar[str] = "descent"
    n_slots: ClassVar[int] = 1

    def constants(self):
        return (1.0,)

    @staticmethod
    def update(xp, theta, grad, slots, constants, rate, second_rate):
        theta -= rate * constants * grad
        slots[0] += abs(rate * grad)


@building_block
class Square(RegressionLoss):
    """Half the squared error."""

    kernel: ClassVar[str] = "square"
    link_name: ClassVar[str] = "identity"

    def value_and_gradient(self, xp, z, y, dz):
        dz[...] = z - y
        return (dz * dz).sum(axis=-1) / 2

    def link(self, xp, z):
        pass


class RampElement(NamedTuple):
    steepness: float

    def value(self, z):
        return like(z, self.steepness) * (like(z, 0.0) if z < like(z, 0.0) else z)

    def gradient(self, d, y_or_z):
        return d * (like(d, self.steepness) if y_or_z > like(d, 0.0) else like(d, 0.0))


class RampOfInputElement(RampElement):
    pass


class DescentElement(NamedTuple):
    factor: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        slots[0, k, i] += abs(rate * g)
        return w - rate * self.factor * g


@numba.njit
def square(z, y, weight, scale, clock, dz, losses):
    loops.squared_error(z, y, weight, scale, clock, dz, losses)


@pytest.fixture
def fused(monkeypatch):
    """Add entries to the tables of elements.py, and compile kernels from these tables; none is kept on disk."""
    for module in (loops, updates):
        monkeypatch.setattr(module, "kernel", numba.njit)
    monkeypatch.setitem(elements.FROM_OUTPUT, "ramp", RampElement)
    monkeypatch.setitem(elements.FROM_INPUT, "ramp_of_input", RampOfInputElement)
    monkeypatch.setitem(elements.OPTIMIZERS, "descent", DescentElement)
    monkeypatch.setitem(loops.LOSSES, "square", square)
    kernels = [square]
    for loop, table in (
        (loops.bias_activation_in_place, elements.FROM_OUTPUT),
        (loops.bias_activation, elements.FROM_INPUT),
    ):
        for name in table.keys() - loops.FORWARD.keys():
            kernels += [loops.compile_for(loop, table[name]), loops.compile_for(loops.activation_backward, table[name])]
            monkeypatch.setitem(loops.FORWARD, name, kernels[-2])
            monkeypatch.setitem(loops.BACKWARD, name, kernels[-1])
    for name in elements.OPTIMIZERS.keys() - updates.UPDATES.keys():
        kernels.append(updates.compile_for(elements.OPTIMIZERS[name]))
        monkeypatch.setitem(updates.UPDATES, name, kernels[-1])
    return kernels


def fitted(**parameters):
    common = {"hidden_layer_sizes": (8, 8), "max_iter": 5, "random_state": 0, "alpha": 0.1, "learning_rate_init": 0.01}
    with pytest.warns(match="did not converge|reached"):
        return MLPRegressor(**common, **parameters).fit(X, y)


OWN = {"activation": [Ramp(1.0), RampOfInput(1.0)], "solver": Descent(), "loss": Square()}
THE_SAME = {"activation": "relu", "solver": SGD(0.0, False), "loss": "squared_error"}


def assert_same_fit(mine, other):
    for coefs, expected in zip(mine.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(coefs, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(mine.loss_curve_, other.loss_curve_, rtol=1e-10)


def test_a_block_without_a_fused_kernel_runs_on_its_definition():
    """A ramp of 1 is a rectifier, this descent is SGD without momentum, and this loss is the squared error."""
    assert_same_fit(fitted(**OWN), fitted(**THE_SAME))


@pytest.mark.slow
def test_a_block_with_an_entry_in_the_tables_is_fused(fused):
    """The entries are those that CONTRIBUTING.md asks for."""
    model = fitted(**OWN)
    assert len(fused) == 6 and all(kernel.signatures for kernel in fused)
    assert_same_fit(model, fitted(**THE_SAME))
