"""Activations with parameters of their own, and with several linear maps a unit: PReLU and maxout."""

import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import operations as ops
from sknn.activations import Maxout, PReLU
from sknn.normalization import BatchNorm
from tests.support.backends import BACKENDS
from tests.support.designs import shared_out
from tests.support.networks import make_network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
X, y = load_iris(return_X_y=True)
X = scale(X)


def fitted(estimator=MLPClassifier, **parameters):
    defaults = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "random_state": 0, "tol": 0, "batch_size": 40}
    return estimator(**{**defaults, **parameters}).fit(X, y)


# ---- PReLU ------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("shared", [False, True])
def test_slopes_and_their_gradients_are_pytorchs(shared, backend):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    z, dy, slope = (
        rng.standard_normal((1, 9, 5)),
        rng.standard_normal((1, 9, 5)),
        rng.random((1, 1, 1 if shared else 5)),
    )
    z[0, 0] = 0
    tensor, weight = (torch.tensor(array, requires_grad=True) for array in (z[0], slope.ravel()))
    peer = torch.nn.functional.prelu(tensor, weight)
    peer.backward(torch.tensor(dy[0]))
    out, dz, d_slope, b, db = (
        np.empty_like(z),
        dy.copy(),
        np.empty_like(slope),
        np.zeros((1, 1, 5)),
        np.empty((1, 1, 5)),
    )
    backend.execute(ops.BiasPReLU(z, b, slope, out))
    backend.execute(ops.PReLUBackward(dz, z, slope, d_slope, db))
    np.testing.assert_array_equal(out[0], peer.detach())
    np.testing.assert_allclose(dz[0], tensor.grad, rtol=1e-15)
    np.testing.assert_allclose(d_slope.ravel(), weight.grad, rtol=1e-13)


@pytest.mark.parametrize("shared, shapes", [(False, [(8,), (6,)]), (True, [(1,), (1,)])])
def test_slopes_start_and_are_learnt(shared, shapes):
    activation = PReLU(0.1, shared)
    start = fitted(activation=activation, learning_rate_init=1e-12)
    assert [slope.shape for slope in start.activation_slopes_[:2]] == shapes
    assert start.activation_slopes_[2] is None
    np.testing.assert_allclose(np.concatenate(start.activation_slopes_[:2]), 0.1, atol=1e-9)
    learnt = fitted(activation=activation, learning_rate_init=0.01)
    assert all((slope != 0.1).all() for slope in learnt.activation_slopes_[:2])


def test_slopes_do_not_decay():
    """Where the gradient is zero, decay moves weights and leaves slopes."""
    rows, labels = np.zeros((40, 3)), np.arange(40) % 2
    model = MLPClassifier((4,), activation="prelu", alpha=1.0, max_iter=20, random_state=0).fit(rows, labels)
    layout, decayed = model._network.layout, np.zeros((1, model._network.layout.size))
    decayed[:, : layout.n_decayed] = 1
    assert all((slope == 0).all() for slope in layout.of_kind("slopes", decayed))
    assert model._network.layout.n_decayed == 3 * 4 + 4


def test_only_layers_with_slopes_have_them():
    model = fitted(activation=["relu", "prelu"])
    assert [slope is None for slope in model.activation_slopes_] == [True, False, True]
    assert not hasattr(fitted(), "activation_slopes_")


# ---- maxout -----------------------------------------------------------------------------


def maxed(backend, z, pieces):
    shape = *z.shape[:-1], z.shape[-1] // pieces
    choice, out = np.empty(shape, np.intp), np.empty(shape, z.dtype)
    backend.execute(ops.Maxout(z, choice, out))
    return choice, out


@each_backend
def test_the_first_of_the_greatest(backend):
    z = np.array([[[1.0, 3, 2, 2, 5, 4], [0, 0, -1, -2, np.nan, 7]]])
    choice, out = maxed(backend, z, 2)
    np.testing.assert_array_equal(out, [[[3, 2, 5], [0, -1, np.nan]]])
    np.testing.assert_array_equal(choice, [[[1, 0, 0], [0, 0, 0]]])
    dz = np.empty_like(z)
    backend.execute(ops.MaxoutBackward(np.array([[[1.0, 2, 3], [4, 5, 6]]]), choice, dz))
    np.testing.assert_array_equal(dz, [[[0, 1, 2, 0, 3, 0], [4, 0, 5, 0, 6, 0]]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("pieces", [2, 3])
def test_fused_kernels_are_their_definitions(pieces, n_models, dtype):
    rng = np.random.default_rng(0)
    z, dy = rng.integers(-3, 3, (n_models, 7, 4 * pieces)).astype(dtype), rng.standard_normal((n_models, 7, 4))
    z[:, 0, 1] = np.nan
    found = []
    for backend in BACKENDS.values():
        choice, out = maxed(backend, z, pieces)
        dz = np.empty_like(z)
        backend.execute(ops.MaxoutBackward(dy.astype(dtype), choice, dz))
        found.append((choice, out, dz))
    for each in zip(*found, strict=True):
        for other in each[1:]:
            np.testing.assert_array_equal(other, each[0])


def test_a_network_of_maxout_units_is_pytorchs():
    torch = pytest.importorskip("torch")
    model = fitted(activation=Maxout(3), solver="lbfgs")
    assert [W.shape for W in model.coefs_] == [(4, 24), (8, 18), (6, 3)]
    hidden = torch.tensor(X)
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        z = hidden @ torch.tensor(W) + torch.tensor(b)
        hidden = z.reshape(len(X), -1, 3).amax(dim=2)
    raw = hidden @ torch.tensor(model.coefs_[-1]) + torch.tensor(model.intercepts_[-1])
    np.testing.assert_allclose(model.predict_proba(X), torch.softmax(raw, 1), rtol=1e-10)


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_gain_keeps_the_second_moment(pieces):
    second_moment, _ = quad(lambda x: x**2 * pieces * norm.pdf(x) * norm.cdf(x) ** (pieces - 1), -20, 20)
    assert Maxout(pieces).gain == pytest.approx(second_moment**-0.5, rel=1e-10)


def test_norms_before_the_activation_are_for_pieces_and_behind_it_for_units():
    before, behind = (fitted(activation="maxout", norm=BatchNorm(position=side)) for side in ("pre", "post"))
    assert [gain.shape for gain in before.norm_gains_[:2]] == [(16,), (12,)]
    assert [gain.shape for gain in behind.norm_gains_[:2]] == [(8,), (6,)]


def test_bad_pieces():
    with pytest.raises(ValueError, match="pieces must be an integer >= 2; got 1"):
        Maxout(1)


# ---- both -------------------------------------------------------------------------------

KINDS = {"prelu": "prelu", "shared": PReLU(0.1, shared=True), "maxout": "maxout", "three": Maxout(3)}
each_kind = pytest.mark.parametrize("activation", KINDS.values(), ids=KINDS)


@each_kind
def test_training_in_two_goes_is_training_in_one(activation):
    model = fitted(activation=activation, max_iter=6)
    resumed = fitted(activation=activation, max_iter=3, warm_start=True)
    resumed = pickle.loads(pickle.dumps(resumed)).fit(X, y)
    for mine, expected in zip(resumed.coefs_, model.coefs_, strict=True):
        np.testing.assert_array_equal(mine, expected)
    np.testing.assert_array_equal(resumed.predict_proba(X), model.predict_proba(X))


@each_kind
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.fast_share(3)
def test_every_solver_learns(solver, activation):
    rates = {"learning_rate_init": 0.05, "max_iter": 60}
    assert fitted(activation=activation, solver=solver, **rates).score(X, y) > 0.93


def test_shapes_of_a_layer():
    network = make_network((5, 4, 3), "maxout")
    assert network.layers[0].parameter_shapes() == {"weights": (5, 8), "biases": (1, 8)}
    assert network.layers[1].parameter_shapes() == {"weights": (4, 3), "biases": (1, 3)}


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)
@shared_out(
    parametrize_with_checks(
        [estimator(activation=kind) for estimator in (MLPClassifier, MLPRegressor) for kind in KINDS.values()]
    ),
    every=4,
)
def test_estimator(estimator, check):
    check(estimator)
