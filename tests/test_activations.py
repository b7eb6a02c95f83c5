"""Activations against closed forms, numeric derivatives and PyTorch."""

import pickle

import numpy as np
import pytest
from scipy.special import expit

from sknn import activations
from sknn.activations import ACTIVATIONS, ELU, GELU, Activation, LeakyReLU
from tests.support.activations import ELEMENTWISE, FORMULAS
from tests.support.classes import all_subclasses
from tests.support.designs import all_pairs
from tests.support.differences import slope

each_activation = pytest.mark.parametrize("name", ELEMENTWISE)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# At the ends of the axis the value is known without a formula.
LIMITS = {
    "identity": (-np.inf, np.inf),
    "logistic": (0, 1),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "prelu": (-np.inf, np.inf),
    "elu": (-1, np.inf),
    "selu": (-activations.SELU_SCALE * activations.SELU_ALPHA, np.inf),
    "gelu": (0, np.inf),
    "silu": (0, np.inf),
    "mish": (0, np.inf),
    "softplus": (0, np.inf),
}
SLOPES = {  # at the ends, and at zero
    "identity": (1, 1, 1),
    "logistic": (0, 0, 0.25),
    "sigmoid": (0, 0, 0.25),
    "tanh": (0, 0, 1),
    "relu": (0, 1, 0),
    "leaky_relu": (0.01, 1, 0.01),
    "prelu": (0.25, 1, 0.25),
    "elu": (0, 1, 1),
    "selu": (0, activations.SELU_SCALE, activations.SELU_SCALE * activations.SELU_ALPHA),
    "gelu": (0, 1, 0.5),
    "silu": (0, 1, 0.5),
    "mish": (0, 1, 0.6),
    "softplus": (0, 1, 0.5),
}
OTHERS = {  # fields that are not the default
    "leaky_relu": LeakyReLU(0.3),
    "absolute leak": LeakyReLU(0.0),
    "elu": ELU(0.5),
    "gelu": GELU("tanh"),
}


def away_from_kinks(shape, seed=0):
    z = np.random.default_rng(seed).standard_normal(shape)
    return z + 0.1 * np.sign(z)


def named(name):
    return ACTIVATIONS[name] if isinstance(name, str) else name


def forward(name, z):
    """Return the activation of z, without touching z."""
    y = np.full_like(z, np.nan)
    named(name).forward(np, z, y)
    return y


def derivative(name, z):
    """Return the derivative at z, from the output alone where that is all there will be."""
    activation, y = named(name), forward(name, z)
    dz, y_before = np.ones_like(z), y.copy()
    activation.backward(np, dz, np.full_like(z, np.nan) if activation.in_place else z, y)
    np.testing.assert_array_equal(y, y_before)
    return dz


def test_every_activation_is_in_the_table_and_tested():
    assert {type(activation) for activation in ACTIVATIONS.values()} == all_subclasses(Activation)
    assert set(ACTIVATIONS) - {"maxout"} == set(FORMULAS) == set(LIMITS) == set(SLOPES)
    kernels = {activation.kernel for activation in ACTIVATIONS.values()}
    assert len(kernels) == len(ACTIVATIONS) - 1  # "sigmoid" is another name
    assert ACTIVATIONS["sigmoid"] == ACTIVATIONS["logistic"]


@each_dtype
@each_activation
def test_value(name, dtype):
    z = away_from_kinks((2, 5, 4)).astype(dtype)
    y = forward(name, z)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, FORMULAS[name](z.astype(float)), rtol=20 * np.finfo(dtype).eps)


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


@each_dtype
@each_activation
def test_derivative_at_zero(name, dtype):
    slopes = derivative(name, np.array([0.0, -0.0], dtype))
    np.testing.assert_allclose(slopes, SLOPES[name][2], rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("activation", OTHERS.values(), ids=OTHERS)
def test_fields(activation):
    z, direction = away_from_kinks((3, 5, 4)), np.random.default_rng(1).standard_normal((3, 5, 4))
    numeric = slope(lambda z: forward(activation, z), z, direction)
    np.testing.assert_allclose(derivative(activation, z) * direction, numeric, rtol=1e-8, atol=1e-10)
    assert forward(activation, np.zeros(1)) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_forms_of_gelu_far_out(kind, dtype):
    z = np.array([-1000, -30, 30, 1000], dtype)
    np.testing.assert_allclose(forward(GELU(kind), z), np.maximum(z, 0), atol=1e-30)
    np.testing.assert_allclose(derivative(GELU(kind), z), z > 0, atol=1e-30)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LeakyReLU(-0.1), "negative_slope must be a number >= 0; got -0.1"),
        (lambda: ELU(0.0), "alpha must be a number > 0; got 0.0"),
        (lambda: GELU("erf"), "approximate must be one of 'none', 'tanh'; got 'erf'"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@each_activation
def test_gain(name):
    """PyTorch's where it has one, else what keeps the second moment of a standard normal z."""
    torchs = {
        "identity": 1,
        "logistic": 1,
        "sigmoid": 1,
        "tanh": 5 / 3,
        "relu": 2**0.5,
        "leaky_relu": (2 / 1.0001) ** 0.5,
    }
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    second_moment = (forward(name, nodes) ** 2 * weights).sum() / weights.sum()
    expected = torchs.get(name, second_moment**-0.5)
    np.testing.assert_allclose(named(name).gain, expected, rtol=1e-3)


@all_pairs(each_dtype, each_activation, pytest.mark.parametrize("size", [1e3, 1e30, np.inf]))
def test_extreme_inputs_reach_the_limits_without_a_warning(name, dtype, size):
    z = np.array([-size, size], dtype)
    limits = [side if np.isfinite(side) else s * x for side, s, x in zip(LIMITS[name], SLOPES[name], z, strict=False)]
    np.testing.assert_allclose(forward(name, z), limits, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(derivative(name, z), SLOPES[name][:2], rtol=1e-6, atol=1e-37)


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
    named_otherwise = {"identity": torch.clone, "logistic": torch.sigmoid}
    z = away_from_kinks((3, 5, 4))
    z[0, 0] = 0
    tensor = torch.tensor(z, requires_grad=True)
    if name == "prelu":
        named_otherwise["prelu"] = lambda z: torch.nn.functional.prelu(z, torch.tensor([0.25], dtype=z.dtype))
    peer = (named_otherwise.get(name) or getattr(torch.nn.functional, name))(tensor)
    peer.sum().backward()
    np.testing.assert_allclose(forward(name, z), peer.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(derivative(name, z), tensor.grad.numpy(), rtol=1e-13)


@each_activation
def test_an_activation_is_a_value(name):
    activation = ACTIVATIONS[name]
    assert pickle.loads(pickle.dumps(activation)) == activation == eval(repr(activation), vars(activations))
    assert len({activation, type(activation)()}) == 1
