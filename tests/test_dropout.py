"""Dropout: random bits, kernels, gradients with the mask held, whole fits."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import operations as ops
from sknn._backend.cpu import loops
from sknn._backend.operations import DropoutNoise
from sknn._backend.philox import philox
from tests.support.backends import BACKENDS
from tests.support.designs import all_pairs
from tests.support.differences import assert_gradient
from tests.support.networks import make_case
from tests.support.random_bits import each_known_answer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
X, y = load_iris(return_X_y=True)
X = scale(X)
RATES = np.array([[0.1, 0.5, 0.3], [0.0, 0.9, 0.2], [0.25, 0.0, 0.99]])


def make_noise(n_models=3, step=5, epochs=7, rates=RATES):
    keys = np.random.RandomState(0).randint(2**32, size=(3, 2), dtype=np.uint32)
    return DropoutNoise(rates[:n_models], keys[:n_models], np.array([step, 0, epochs]))


def dropped(backend, x, noise, stream):
    shape = len(noise.keys), *x.shape[1:]
    keep, out = np.empty(shape, bool), np.full(shape, np.nan, x.dtype)
    backend.execute(ops.Dropout(x, noise, stream, keep, out))
    return keep, out


# ---- random bits ------------------------------------------------------------------------


@pytest.mark.parametrize("function", [philox, loops.philox_words.py_func], ids=["reference", "cpu"])
@each_known_answer
def test_known_answers(counter, key, words, function):
    if function is philox:
        found = philox(counter, key)
    else:
        found = function(*(np.uint64(word) for word in (*counter, *key)))
    assert " ".join(f"{int(word):08x}" for word in found) == words


@each_backend
def test_which_word_decides_on_which_element(backend):
    noise = make_noise(1)
    keep, _ = dropped(backend, np.ones((1, 3, 7)), noise, 1)
    for element, kept in enumerate(keep.ravel().tolist()):
        counter = element % 6, 1, 12, 0
        word = philox(counter, noise.keys[0].tolist())[element // 6]
        assert kept == (word >= 0.5 * 2**32)


@each_backend
def test_steps_beyond_one_word(backend):
    near, far = (dropped(backend, np.ones((1, 8, 8)), make_noise(1, 0, step), 1)[0] for step in (5, 5 + 2**32))
    assert (near != far).any()


@each_backend
def test_bits_depend_on_step_stream_and_key_and_nothing_else(backend):
    x, noise = np.ones((3, 9, 11)), make_noise(rates=np.full((3, 3), 0.5))
    first, _ = dropped(backend, x, noise, 1)
    again, _ = dropped(backend, 2 * x.astype(np.float32), noise._replace(clock=np.array([12, 99, 0])), 1)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).mean() == pytest.approx(0.5, abs=0.15)
    for other in (dropped(backend, x, noise, 2)[0], dropped(backend, x, make_noise(step=6), 1)[0]):
        assert (first != other).mean() == pytest.approx(0.5, abs=0.15)


# ---- kernels ----------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.99])
def test_shares_and_expectation(rate, backend):
    x = np.random.default_rng(0).uniform(1, 2, (1, 500, 400))
    keep, out = dropped(backend, x, make_noise(1, rates=np.full((1, 2), rate)), 1)
    spread = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(keep.mean() - (1 - rate)) <= 4 * spread
    np.testing.assert_allclose(out, np.where(keep, x / (1 - rate), 0), rtol=1e-14)
    assert abs((out.sum() / x.sum()) - 1) <= 6 * spread / (1 - rate)


@all_pairs(
    each_dtype,
    pytest.mark.parametrize("n_models", [1, 3]),
    pytest.mark.parametrize("shared", [True, False]),
    pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 5), (7, 13), (8, 16)]),
)
def test_fused_kernels_are_their_definitions(shape, shared, n_models, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1 if shared else n_models, *shape)).astype(dtype)
    d = rng.standard_normal((n_models, *shape)).astype(dtype)
    for stream in range(3):
        found = []
        for backend in BACKENDS.values():
            noise, gradient = make_noise(n_models), d.copy()
            keep, out = dropped(backend, x, noise, stream)
            backend.execute(ops.DropoutBackward(gradient, noise, stream, keep))
            assert out.dtype == dtype
            found.append((keep, out, gradient))
        for kept, *numbers in found[1:]:
            np.testing.assert_array_equal(kept, found[0][0])
            for ours, theirs in zip(numbers, found[0][1:], strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=3 * np.finfo(dtype).eps)


@each_backend
def test_nan_goes_through(backend):
    keep, out = dropped(backend, np.full((1, 4, 4), np.nan), make_noise(1), 1)
    assert np.isnan(out).all() and not keep.all()


# ---- networks ---------------------------------------------------------------------------


@all_pairs(
    each_backend,
    pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"]),
    pytest.mark.parametrize("dropped", [(1, 2), (2,)], ids=str),
)
def test_gradient_with_the_mask_held(dropped, activation, backend):
    objective, theta = make_case(backend, (6, 4), activation, "softmax_log_loss", 3)
    plain = objective(theta)[0]
    objective.noise, objective.dropped = make_noise(), dropped
    assert (np.abs(objective(theta)[0] - plain) > 1e-3).all()
    assert_gradient(objective, theta)


# ---- estimators -------------------------------------------------------------------------


def fitted(rows=X, estimator=MLPClassifier, **parameters):
    defaults = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "random_state": 0, "tol": 0, "batch_size": 40}
    return estimator(**{**defaults, **parameters}).fit(rows, y)


def assert_same(ours, theirs, rtol=0.0):
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_dropout_depends_on_the_random_state_alone(estimator):
    parameters = {"dropout": [0.5, 0.2], "input_dropout": 0.1, "estimator": estimator}
    model = fitted(**parameters)
    assert_same(fitted(**parameters), model)
    assert np.abs(fitted(**{**parameters, "random_state": 1}).coefs_[0] - model.coefs_[0]).max() > 1e-3
    assert np.abs(fitted(estimator=estimator).coefs_[0] - model.coefs_[0]).max() > 1e-3


def test_without_dropout_nothing_is_drawn():
    model = fitted(dropout=[0.0, 0], input_dropout=0.0)
    assert_same(model, fitted())
    assert model._state.keys is None


def test_one_rate_is_one_for_each_layer():
    assert_same(fitted(dropout=0.3), fitted(dropout=(0.3, 0.3)))


def test_predictions_take_all_units():
    model = fitted(dropout=0.5, input_dropout=0.5)
    hidden = X
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ W + b, 0)
    raw = hidden @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_array_equal(model.predict(X), raw.argmax(axis=1))


def test_a_linear_unit_expects_what_it_learns_without_dropout():
    """Dropout of inputs adds a ridge to a linear least-squares fit and no bias: Wager, Wang and Liang, NIPS 2013."""
    rng = np.random.RandomState(0)
    rows = rng.standard_normal((400, 3))
    target = rows @ [1.0, -2.0, 0.5] + 3
    options = {"solver": "sgd", "alpha": 0, "learning_rate_init": 0.01, "max_iter": 300, "n_iter_no_change": np.inf}
    model = MLPRegressor(hidden_layer_sizes=(), input_dropout=0.2, batch_size=50, random_state=0, **options).fit(
        rows, target
    )
    gram, rate = rows.T @ rows, 0.2
    centered = np.linalg.solve(gram + rate / (1 - rate) * np.diag(np.diag(gram)), rows.T @ (target - 3))
    np.testing.assert_allclose(model.coefs_[0][:, 0], centered, atol=0.1)
    assert model.intercepts_[0][0] == pytest.approx(3, abs=0.1)


def test_sparse_rows_lose_what_dense_rows_lose():
    rows = X * (np.random.RandomState(0).random_sample(X.shape) < 0.6)
    sparse = fitted(scipy.sparse.csr_array(rows), input_dropout=0.4, dropout=0.2)
    assert_same(sparse, fitted(rows, input_dropout=0.4, dropout=0.2), rtol=1e-10)


def test_sparse_rows_are_left_as_they_are():
    rows = scipy.sparse.csr_array(X)
    fitted(rows, input_dropout=0.4)
    np.testing.assert_array_equal(rows.toarray(), X)


def test_training_in_two_goes_is_training_in_one():
    parameters = {"dropout": 0.3, "input_dropout": 0.2}
    resumed = fitted(max_iter=3, warm_start=True, **parameters)
    assert_same(pickle.loads(pickle.dumps(resumed)).fit(X, y), fitted(max_iter=6, **parameters))


def test_dropout_may_begin_later():
    model = fitted(warm_start=True)
    before = model.coefs_[0].copy()
    model.set_params(dropout=0.5).fit(X, y)
    assert model._state.keys is not None and (model.coefs_[0] != before).any()


@pytest.mark.parametrize("parameter", ["dropout", "input_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1.0, "half", None])
def test_what_is_refused(value, parameter):
    with pytest.raises(ValueError, match=rf"^{parameter} must be .*a number in \[0, 1\)"):
        fitted(**{parameter: value})


@pytest.mark.parametrize("asked", [{"dropout": 0.1}, {"dropout": (0, 0.1)}, {"input_dropout": 0.1}], ids=str)
def test_lbfgs_takes_no_dropout(asked):
    with pytest.raises(ValueError, match=f"{next(iter(asked))} must not be set for solver 'lbfgs'"):
        fitted(solver="lbfgs", **asked)
    fitted(solver="lbfgs", dropout=(0.0, 0.0))
