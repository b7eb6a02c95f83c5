"""Clipping, L1, decoupled decay and bounded norms: kernels, whole fits, stacks."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import operations as ops
from sknn.optimizers import SGD
from tests.support.backends import BACKENDS
from tests.support.designs import shared_out

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_backend = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
X, y = load_iris(return_X_y=True)
X = scale(X)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def fitted(estimator=MLPClassifier, **parameters):
    numbers = {"hidden_layer_sizes": (8, 6), "max_iter": 5, "random_state": 0, "tol": 0, **parameters}
    return estimator(**numbers).fit(X, y)


# ---- kernels ----------------------------------------------------------------------------


@each_backend
@each_dtype
def test_long_gradients_are_shortened(dtype, backend):
    grad = normal((3, 50), dtype)
    before, limit = grad.copy(), np.array([0.5, 100, 3], dtype)
    backend.execute(ops.ClipNorm(grad, limit))
    length = np.linalg.norm(before.astype(float), axis=1)
    expected = before * np.minimum(1, limit / length)[:, None]
    np.testing.assert_allclose(grad, expected, rtol=1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_array_equal(grad[1], before[1])


@each_backend
def test_gradients_that_are_lost_stay_lost(backend):
    grad = normal((3, 5))
    grad[0, 1], grad[1, 1] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        backend.execute(ops.ClipNorm(grad, np.ones(3)))
    assert not np.isfinite(grad[0]).all() and not np.isfinite(grad[1]).all()
    backend.execute(ops.ClipNorm(grad[2:] * 0, np.ones(1)))


@each_backend
@each_dtype
def test_l1(dtype, backend):
    theta, grad = normal((3, 20), dtype), normal((3, 20), dtype, 1)
    theta[1, 3] = 0
    before, l1 = grad.copy(), np.array([0.0, 0.5, 2.0], dtype)
    scales, losses, clock = np.full((3, 3), 0.25, dtype), np.ones((3, 3)), np.array([1, 0])
    backend.execute(ops.AddL1(theta, grad, l1, scales, 15, clock, losses))
    expected = before + 0.25 * l1[:, None] * np.sign(theta) * (np.arange(20) < 15)
    np.testing.assert_allclose(grad, expected, rtol=1e-6)
    penalty = 0.25 * l1 * np.abs(theta[:, :15]).sum(axis=1)
    np.testing.assert_allclose(losses, [np.ones(3), 1 + penalty, np.ones(3)], rtol=1e-5)


@each_backend
@each_dtype
def test_long_columns_are_shortened(dtype, backend):
    theta = normal((3, 100), dtype)
    W = theta[:, 10:70].reshape(3, 12, 5)  # a view of longer rows, as weights come
    before, limit = W.copy(), np.array([1, 100, 3], dtype)
    backend.execute(ops.LimitNorms(W, limit))
    length = np.linalg.norm(before.astype(float), axis=1, keepdims=True)
    expected = before * np.minimum(1, limit[:, None, None] / length)
    np.testing.assert_allclose(W, expected, rtol=1e-5 if dtype == np.float32 else 1e-13)
    backend.execute(ops.LimitNorms(zeros := np.zeros((1, 4, 2), dtype), np.ones(1, dtype)))
    np.testing.assert_array_equal(zeros, 0)


# ---- whole fits -------------------------------------------------------------------------

PLAIN = {"solver": SGD(0.0), "batch_size": 150, "shuffle": False, "alpha": 0.0, "learning_rate_init": 0.1}


def packed(model):
    return np.concatenate([np.ravel(part) for part in (*model.coefs_, *model.intercepts_)])


def test_a_clipped_step_is_as_long_as_it_may_be():
    start = fitted(max_iter=1, **{**PLAIN, "learning_rate_init": 1e-300})
    free, clipped = fitted(max_iter=1, **PLAIN), fitted(max_iter=1, clip_norm=0.01, **PLAIN)
    step, short = packed(free) - packed(start), packed(clipped) - packed(start)
    assert np.linalg.norm(step) > 0.1 * 0.01
    np.testing.assert_allclose(short, step * 0.1 * 0.01 / np.linalg.norm(step), rtol=1e-6, atol=1e-15)
    unbounded = fitted(clip_norm=1e6, **PLAIN)
    # to rounding: without clipping the plan is a compiled program, whose products are summed in another order
    np.testing.assert_allclose(packed(unbounded), packed(fitted(**PLAIN)), rtol=1e-12, atol=1e-14)


def test_clipping_saves_a_fit_that_diverges():
    numbers = {"solver": "sgd", "learning_rate_init": 0.1, "max_iter": 30, "momentum": 0.0}
    targets = 1e6 * X[:, 0]
    with pytest.raises(ValueError, match="diverged"):
        MLPRegressor(hidden_layer_sizes=(8,), random_state=0, **numbers).fit(X, targets)
    model = MLPRegressor(hidden_layer_sizes=(8,), random_state=0, clip_norm=1.0, **numbers).fit(X, targets)
    assert np.isfinite(model.loss_)


def test_l1_is_in_the_loss_and_makes_weights_small():
    plain = fitted(**{**PLAIN, "learning_rate_init": 1e-300})
    with_l1 = fitted(l1=3.0, **{**PLAIN, "learning_rate_init": 1e-300})
    penalty = 3.0 / 150 * sum(np.abs(W).sum() for W in plain.coefs_)
    assert with_l1.loss_ == pytest.approx(plain.loss_ + penalty)
    few, many = (fitted(l1=l1, max_iter=300, learning_rate_init=0.01) for l1 in (3.0, 0.0))
    small = [np.mean([np.abs(W) < 1e-2 for W in model.coefs_[:1]]) for model in (few, many)]
    assert small[0] > small[1] + 0.2
    assert few.score(X, y) > 0.9


@pytest.mark.parametrize("solver", ["adam", "sgd", "lion"])
def test_norms_of_hidden_units_are_bounded(solver):
    model = fitted(solver=solver, max_norm=0.5, max_iter=20, learning_rate_init=0.05, init="he_normal")
    for W in model.coefs_[:-1]:
        assert np.linalg.norm(W, axis=0).max() <= 0.5 * (1 + 1e-12)
    assert np.linalg.norm(model.coefs_[-1], axis=0).max() > 0.5


def test_decay_may_be_coupled_or_not():
    numbers = {"alpha": 0.5, "max_iter": 8}
    adam, adamw = fitted(solver="adam", **numbers), fitted(solver="adamw", **numbers)
    np.testing.assert_array_equal(packed(fitted(solver="adam", decoupled_decay=True, **numbers)), packed(adamw))
    np.testing.assert_array_equal(packed(fitted(solver="adamw", decoupled_decay=False, **numbers)), packed(adam))
    assert not np.array_equal(packed(adam), packed(adamw))


@pytest.mark.parametrize("name, value", [("l1", 1.0), ("clip_norm", 1.0), ("max_norm", 1.0), ("decoupled_decay", True)])
def test_lbfgs_takes_no_steps(name, value):
    with pytest.raises(ValueError, match=f"{name} must not be set for solver 'lbfgs'"):
        fitted(solver="lbfgs", **{name: value})


BAD = [("l1", -1), ("l1", None), ("clip_norm", 0), ("clip_norm", "1"), ("max_norm", -2), ("decoupled_decay", 1)]


@pytest.mark.parametrize("name, value", BAD)
def test_bad_parameters(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .*; got {value!r}"):
        fitted(**{name: value})


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)
@shared_out(
    parametrize_with_checks(
        [
            MLPClassifier(l1=0.01, clip_norm=1.0),
            MLPRegressor(max_norm=3.0, clip_norm=5.0),
            MLPRegressor(decoupled_decay=True, alpha=0.01),
        ]
    ),
    every=2,
)
def test_estimator(estimator, check):
    check(estimator)
