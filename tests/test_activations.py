"""Activations against closed forms, numeric derivatives and PyTorch."""

import pickle

import numpy as np
import pytest
from scipy.special import expit

from sknn import activations
from sknn.activations import ACTIVATIONS, Activation
from tests.helpers import FORMULAS, all_subclasses, slope

each_activation = pytest.mark.parametrize("name", ACTIVATIONS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# At the ends of the axis the value is known without a formula.
LIMITS = {"identity": (-np.inf, np.inf), "logistic": (0, 1), "tanh": (-1, 1), "relu": (0, np.inf)}


def away_from_kinks(shape, seed=0):
    z = np.random.default_rng(seed).standard_normal(shape)
    return z + 0.1 * np.sign(z)


def forward(name, z):
    """Return the activation of z, without touching z."""
    y = np.full_like(z, np.nan)
    ACTIVATIONS[name].forward(np, z, y)
    return y


def derivative(name, z):
    """Return the derivative at z, from the output alone where that is all there will be."""
    activation, y = ACTIVATIONS[name], forward(name, z)
    dz, y_before = np.ones_like(z), y.copy()
    activation.backward(np, dz, np.full_like(z, np.nan) if activation.in_place else z, y)
    np.testing.assert_array_equal(y, y_before)
    return dz


def test_every_activation_is_in_the_table_and_tested():
    assert {type(activation) for activation in ACTIVATIONS.values()} == all_subclasses(Activation)
    assert set(ACTIVATIONS) == set(FORMULAS) == set(LIMITS)
    kernels = [activation.kernel for activation in ACTIVATIONS.values()]
    assert len(set(kernels)) == len(kernels)


@each_dtype
@each_activation
def test_value(name, dtype):
    z = away_from_kinks((2, 5, 4)).astype(dtype)
    y = forward(name, z)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, FORMULAS[name](z), rtol=4 * np.finfo(dtype).eps)


@each_dtype
@each_activation
def test_value_in_place(name, dtype):
    if not ACTIVATIONS[name].in_place:
        pytest.skip("needs its input for the derivative")
    z = away_from_kinks((2, 5, 4)).astype(dtype)
    y = z.copy()
    ACTIVATIONS[name].forward(np, y, y)
    np.testing.assert_array_equal(y, forward(name, z))


@each_activation
def test_derivative_by_differences(name):
    z, direction = away_from_kinks((3, 5, 4)), np.random.default_rng(1).standard_normal((3, 5, 4))
    numeric = slope(lambda z: forward(name, z), z, direction)
    np.testing.assert_allclose(derivative(name, z) * direction, numeric, rtol=1e-8, atol=1e-10)


@each_dtype
@each_activation
def test_derivative_scales_the_gradient_from_above(name, dtype):
    z, above = away_from_kinks((2, 2, 5, 4)).astype(dtype)
    dz = above.copy()
    ACTIVATIONS[name].backward(np, dz, z.copy(), forward(name, z))
    assert dz.dtype == dtype
    np.testing.assert_allclose(dz, above * derivative(name, z), rtol=4 * np.finfo(dtype).eps)


def test_derivative_of_relu_at_its_kink_is_zero():
    np.testing.assert_array_equal(derivative("relu", np.array([0.0, -0.0])), 0)


@each_dtype
@each_activation
@pytest.mark.parametrize("size", [1e3, 1e30, np.inf])
def test_extreme_inputs_reach_the_limits_without_a_warning(name, dtype, size):
    z = np.array([-size, size], dtype)
    limits = np.clip(LIMITS[name], -z[1], z[1])
    np.testing.assert_allclose(forward(name, z), limits, rtol=0, atol=np.finfo(dtype).tiny)
    slopes = derivative(name, z)
    assert np.isin(slopes, [0, 1]).all() or (np.abs(slopes) < np.finfo(dtype).tiny).all()


@each_dtype
@each_activation
def test_nan_goes_through(name, dtype):
    z = np.array([1, np.nan, -1], dtype)
    np.testing.assert_array_equal(np.isnan(forward(name, z)), np.isnan(z))
    dz = z.copy()
    ACTIVATIONS[name].backward(np, dz, np.ones_like(z), np.ones_like(z))
    np.testing.assert_array_equal(np.isnan(dz), np.isnan(z))


@each_dtype
def test_logistic_is_accurate_in_both_tails(dtype):
    z = np.linspace(-80, 80, 321, dtype=dtype)
    exact = expit(z.astype(np.float64))
    np.testing.assert_allclose(forward("logistic", z), exact, rtol=100 * np.finfo(dtype).eps)


@each_activation
def test_same_as_pytorch(name):
    torch = pytest.importorskip("torch")
    functions = {"identity": torch.clone, "logistic": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
    z = away_from_kinks((3, 5, 4))
    tensor = torch.tensor(z, requires_grad=True)
    peer = functions[name](tensor)
    peer.sum().backward()
    np.testing.assert_allclose(forward(name, z), peer.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(derivative(name, z), tensor.grad.numpy(), rtol=1e-13)


@each_activation
def test_an_activation_is_a_value(name):
    activation = ACTIVATIONS[name]
    assert pickle.loads(pickle.dumps(activation)) == activation == eval(repr(activation), vars(activations))
    assert len({activation, type(activation)()}) == 1
