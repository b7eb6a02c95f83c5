"""Initial weights: the same draws as scikit-learn, by hand, and what their distribution should be."""

import pickle

import numpy as np
import pytest
from scipy import stats
from sklearn.neural_network import MLPRegressor

from sknn import MLPClassifier, initializers
from sknn._core.layout import pack
from sknn.activations import ACTIVATIONS, LeakyReLU, ReLU, Tanh
from sknn.initializers import (
    INITIALIZERS,
    Auto,
    Constant,
    Initializer,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
)
from tests.support.classes import all_subclasses
from tests.support.networks import make_network


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
    np.testing.assert_array_equal(theta, pack(weights, biases).astype(dtype))
    assert stream.randint(2**31) == used.randint(2**31)  # nothing else is drawn


@pytest.mark.parametrize("activation, factor", [("tanh", 6.0), ("logistic", 2.0)])
def test_draws_are_scikit_learns(activation, factor):
    """Rows of zeros leave scikit-learn's first weights as they were drawn."""
    peer = MLPRegressor(hidden_layer_sizes=(7, 3), activation=activation, alpha=0, random_state=5)
    peer.partial_fit(np.zeros((4, 5)), np.arange(4))
    W, _ = Auto(factor).draw(np.random.RandomState(5), 5, 7, None)
    np.testing.assert_array_equal(W, peer.coefs_[0])


@pytest.mark.parametrize("factor", [6.0, 2.0])
@pytest.mark.parametrize("fan_in, fan_out", [(300, 50), (1, 4000), (4000, 1)])
def test_draws_are_uniform_between_the_bounds(fan_in, fan_out, factor):
    W, b = Auto(factor).draw(np.random.RandomState(0), fan_in, fan_out, None)
    bound = np.sqrt(factor / (fan_in + fan_out))
    assert W.shape == (fan_in, fan_out) and b.shape == (fan_out,)
    for drawn in (W, b):
        assert np.abs(drawn).max() <= bound
    assert stats.kstest(W.ravel(), "uniform", (-bound, 2 * bound)).pvalue > 0.01


def test_variance_is_that_of_the_paper():
    """Glorot and Bengio (2010, eq. 12): Var W = 2 / (fan_in + fan_out)."""
    W, _ = Auto().draw(np.random.RandomState(0), 400, 600, ReLU())
    assert W.var() == pytest.approx(2 / 1000, rel=0.01)
    assert W.mean() == pytest.approx(0, abs=4 * np.sqrt(2 / 1000 / W.size))


NORMAL, UNIFORM = stats.norm, stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))  # of variance 1
CUT = stats.truncnorm(-2, 2, scale=1 / stats.truncnorm(-2, 2).std())
GAIN = {"relu": 2**0.5, "tanh": 5 / 3, "leaky_relu": (2 / (1 + 0.01**2)) ** 0.5, "identity": 1}
# what is drawn, its standard deviation for 200 inputs, 50 units and gain g, and its shape
DRAWS = {
    "normal": (lambda g: 0.01, NORMAL),
    "truncated_normal": (lambda g: 0.01, CUT),
    "uniform": (lambda g: 0.05 / 3**0.5, UNIFORM),
    "inverse_sqrt": (lambda g: (1 / 600) ** 0.5, UNIFORM),
    "lecun_normal": (lambda g: (1 / 200) ** 0.5, NORMAL),
    "lecun_uniform": (lambda g: (1 / 200) ** 0.5, UNIFORM),
    "glorot_normal": (lambda g: (2 / 250) ** 0.5, NORMAL),
    "glorot_uniform": (lambda g: (2 / 250) ** 0.5, UNIFORM),
    "he_normal": (lambda g: g / 200**0.5, NORMAL),
    "he_uniform": (lambda g: g / 200**0.5, UNIFORM),
    VarianceScaling(2.0, "fan_out", "truncated_normal"): (lambda g: (2 / 50) ** 0.5, CUT),
    VarianceScaling(1.0, "fan_in", "truncated_normal", follow_gain=True): (lambda g: g / 200**0.5, CUT),
    Normal(3.0): (lambda g: 3.0, NORMAL),
    TruncatedNormal(3.0): (lambda g: 3.0, CUT),
    Uniform(2.0): (lambda g: 2 / 3**0.5, UNIFORM),
}


def named(init):
    return INITIALIZERS[init] if isinstance(init, str) else init


def test_every_initializer_is_in_the_table_and_tested():
    assert {type(item) for item in INITIALIZERS.values()} == all_subclasses(Initializer)
    aliases = {name for name in INITIALIZERS if name.startswith(("xavier", "kaiming"))}
    assert set(INITIALIZERS) - aliases - {"auto", "zeros", "orthogonal", "lsuv"} == {
        name for name in DRAWS if isinstance(name, str)
    }
    for alias in aliases:
        other = alias.replace("xavier", "glorot").replace("kaiming", "he")
        assert INITIALIZERS[alias] == INITIALIZERS[other]


@pytest.mark.parametrize("activation", GAIN)
@pytest.mark.parametrize("init", DRAWS, ids=str)
@pytest.mark.fast_share(4)
def test_distribution(init, activation):
    std, shape = DRAWS[init]
    W, b = named(init).draw(np.random.RandomState(0), 200, 50, ACTIVATIONS[activation])
    assert W.shape == (200, 50) and W.dtype == np.float64
    np.testing.assert_array_equal(b, np.zeros(50))
    assert stats.kstest(W.ravel() / std(GAIN[activation]), shape.cdf).pvalue > 0.01


@pytest.mark.parametrize("shape", [(200, 50), (50, 200), (7, 7), (1, 3)])
@pytest.mark.parametrize(
    "gain, activation, expected", [(None, Tanh(), 5 / 3), (2.0, Tanh(), 2.0), (None, LeakyReLU(1.0), 1)]
)
def test_orthogonal(shape, gain, activation, expected):
    W, b = Orthogonal(gain).draw(np.random.RandomState(0), *shape, activation)
    assert W.shape == shape and not b.any()
    product = W @ W.T if shape[0] < shape[1] else W.T @ W
    np.testing.assert_allclose(product, expected**2 * np.eye(min(shape)), atol=1e-12)


def test_orthogonal_has_no_favourite_direction():
    draws = [Orthogonal(1.0).draw(np.random.RandomState(seed), 3, 3, None)[0] for seed in range(1000)]
    # an entry of a uniform orthogonal matrix of size 3 is uniform in [-1, 1] (Archimedes)
    for entry in np.reshape(draws, (1000, 9)).T:
        assert stats.kstest(entry, stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("init", ["he_normal", "he_uniform", "glorot_normal", "lecun_normal"])
def test_signals_keep_their_size(init):
    """The second moment after eight layers of the activation that an initialiser was made for."""
    activation = {"he": ReLU(), "gl": ACTIVATIONS["identity"], "le": ACTIVATIONS["selu"]}[init[:2]]
    rng = np.random.RandomState(0)
    y = rng.normal(size=(300, 400))
    for _ in range(8):
        W, _ = named(init).draw(rng, 400, 400, activation)
        z = y @ W
        y = np.empty_like(z)
        activation.forward(np, z, y)
    assert 0.5 < np.sqrt((z**2).mean()) < 2


def test_zeros_never_break_the_symmetry():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 5)), rng.integers(3, size=100)
    model = MLPClassifier((8, 4), activation="tanh", init="zeros", max_iter=20, tol=0)
    with pytest.warns(match="hasn't converged"):
        model.fit(X, y)
    assert not any(W.any() for W in model.coefs_)
    with pytest.warns(match="hasn't converged"):
        model.set_params(init=Constant(0.1)).fit(X, y)
    for W in model.coefs_[:-1]:
        np.testing.assert_allclose(W, np.broadcast_to(W[:, :1], W.shape), rtol=1e-10)
    assert np.ptp(model.coefs_[0], axis=1).max() < 1e-12 < np.ptp(model.coefs_[0], axis=0).max()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Normal(0.0), "std must be a number > 0; got 0.0"),
        (lambda: TruncatedNormal(-1), "std must be a number > 0; got -1"),
        (lambda: Uniform(0), r"bound must be a number in \(0, 1e\+300\); got 0"),
        (lambda: VarianceScaling(0), "scale must be a number > 0; got 0"),
        (lambda: VarianceScaling(mode="in"), "mode must be one of 'fan_in', 'fan_out', 'fan_avg'; got 'in'"),
        (
            lambda: VarianceScaling(distribution="gauss"),
            "distribution must be one of 'normal', 'uniform', 'truncated_normal'; got 'gauss'",
        ),
        (lambda: VarianceScaling(follow_gain=1), "follow_gain must be True or False; got 1"),
        (lambda: Auto(0), "factor must be None or a number > 0; got 0"),
        (lambda: Constant(-np.inf), "value must be a finite number; got -inf"),
        (lambda: Orthogonal(0), "gain must be None or a number > 0; got 0"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("init", INITIALIZERS.values(), ids=INITIALIZERS)
def test_an_initializer_is_a_value(init):
    assert pickle.loads(pickle.dumps(init)) == init == eval(repr(init), vars(initializers))
    assert len({init, eval(repr(init), vars(initializers))}) == 1
    assert Auto(2) == Auto(2.0) != Auto()
