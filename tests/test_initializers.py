"""Initial weights: the same draws as scikit-learn, by hand, and what their distribution should be."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neural_network import MLPRegressor

from sknn.initializers import GlorotUniform
from tests.helpers import make_network


def by_hand(seed, widths, factor=6.0):
    """Return weights and biases in the order of drawing: layer by layer, weights before biases."""
    stream = np.random.RandomState(seed)
    drawn = []
    for fan_in, fan_out in zip(widths, widths[1:], strict=False):
        bound = (factor / (fan_in + fan_out)) ** 0.5
        drawn.append(stream.uniform(-bound, bound, (fan_in, fan_out)))
        drawn.append(stream.uniform(-bound, bound, fan_out))
    return drawn[::2], drawn[1::2], stream


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("widths", [(4, 3), (5, 7, 2), (5, 7, 3, 1)])
def test_a_network_draws_weights_then_biases_layer_by_layer(widths, dtype):
    stream, network = np.random.RandomState(3), make_network(widths)
    theta = network.initial_parameters(stream, dtype)
    weights, biases, used = by_hand(3, widths)
    assert theta.shape == (1, network.layout.size) and theta.dtype == dtype
    np.testing.assert_array_equal(theta, network.layout.pack(weights, biases).astype(dtype))
    assert stream.randint(2**31) == used.randint(2**31)  # nothing else is drawn


@pytest.mark.parametrize("activation, factor", [("tanh", 6.0), ("logistic", 2.0)])
def test_draws_are_scikit_learns(activation, factor):
    """Rows of zeros leave scikit-learn's first weights as they were drawn."""
    peer = MLPRegressor(hidden_layer_sizes=(7, 3), activation=activation, alpha=0, random_state=5)
    peer.partial_fit(np.zeros((4, 5)), np.arange(4))
    W, _ = GlorotUniform(factor).draw(np.random.RandomState(5), 5, 7)
    np.testing.assert_array_equal(W, peer.coefs_[0])


@pytest.mark.parametrize("factor", [6.0, 2.0])
@pytest.mark.parametrize("fan_in, fan_out", [(300, 50), (1, 4000), (4000, 1)])
def test_draws_are_uniform_between_the_bounds(fan_in, fan_out, factor):
    W, b = GlorotUniform(factor).draw(np.random.RandomState(0), fan_in, fan_out)
    bound = np.sqrt(factor / (fan_in + fan_out))
    assert W.shape == (fan_in, fan_out) and b.shape == (fan_out,)
    for drawn in (W, b):
        assert np.abs(drawn).max() <= bound
    assert stats.kstest(W.ravel(), "uniform", (-bound, 2 * bound)).pvalue > 0.01


def test_variance_is_that_of_the_paper():
    """Glorot and Bengio (2010, eq. 12): Var W = 2 / (fan_in + fan_out)."""
    W, _ = GlorotUniform().draw(np.random.RandomState(0), 400, 600)
    assert W.var() == pytest.approx(2 / 1000, rel=0.01)
    assert W.mean() == pytest.approx(0, abs=4 * np.sqrt(2 / 1000 / W.size))


def test_an_initializer_is_a_value():
    assert GlorotUniform(2) == GlorotUniform(2.0) != GlorotUniform()
    assert eval(repr(GlorotUniform(2.0))) == GlorotUniform(2.0)
