"""Continuing is exact: 10 + 10 epochs are 20, a pickle goes on where it was, equal seeds give equal bits."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits

from sknn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_digits(return_X_y=True)
X, y = X[:430] / 16, y[:430]

SOLVERS = [
    {"solver": "adam"},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5, "tol": 0.02, "n_iter_no_change": 2},
    {"solver": "adam", "early_stopping": True, "n_iter_no_change": 30},
]
each_solver = pytest.mark.parametrize("parameters", SOLVERS, ids=str)
each_estimator = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])


def make(estimator, max_iter=20, **parameters):
    return estimator(hidden_layer_sizes=(12,), batch_size=64, max_iter=max_iter, random_state=1, **parameters)


def assert_same_bits(a, b):
    """Every fitted attribute is equal bit for bit, what continues included."""
    for name in ("coefs_", "intercepts_"):
        for mine, other in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_array_equal(mine, other)
    assert a.loss_curve_ == b.loss_curve_
    assert a.validation_scores_ == b.validation_scores_
    assert a.t_ == b.t_
    for name in ("theta", "slots", "order", "learning_rate", "no_improvement", "best_loss", "best_score"):
        np.testing.assert_array_equal(getattr(a._state, name), getattr(b._state, name), err_msg=name)


@each_solver
@each_estimator
def test_ten_and_ten_epochs_by_warm_start_are_twenty(estimator, parameters):
    whole = make(estimator, **parameters).fit(X, y)
    parts = make(estimator, max_iter=10, warm_start=True, **parameters).fit(X, y).fit(X, y)
    assert_same_bits(whole, parts)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("parameters", SOLVERS[:2], ids=str)
@each_estimator
def test_twenty_partial_fits_are_twenty_epochs(estimator, parameters, shuffle):
    parameters = {**parameters, "shuffle": shuffle, "n_iter_no_change": np.inf}  # partial_fit never stops by itself
    whole, parts = make(estimator, **parameters).fit(X, y), make(estimator, **parameters)
    classes = {"classes": np.unique(y)} if estimator is MLPClassifier else {}
    for _ in range(20):
        parts.partial_fit(X, y, **classes)
    assert_same_bits(whole, parts)


@each_solver
@each_estimator
def test_equal_seeds_give_equal_bits(estimator, parameters):
    assert_same_bits(make(estimator, **parameters).fit(X, y), make(estimator, **parameters).fit(X, y))


@each_solver
@each_estimator
@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_copy_predicts_and_continues_alike(copied, estimator, parameters):
    model = make(estimator, max_iter=5, warm_start=True, **parameters).fit(X, y)
    twin = copied(model)
    np.testing.assert_array_equal(model.predict(X), twin.predict(X))
    assert_same_bits(model, twin)
    assert_same_bits(model.fit(X, y), twin.fit(X, y))


def test_a_read_only_memory_mapped_model_predicts_and_continues(tmp_path):
    model = make(MLPClassifier, max_iter=3, warm_start=True).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped.coefs_[0].flags.writeable
    np.testing.assert_array_equal(model.predict_proba(X), mapped.predict_proba(X))
    assert_same_bits(model.fit(X, y), mapped.fit(X, y))


def test_a_pickle_holds_parameters_once():
    model = MLPClassifier((200,), solver="sgd", shuffle=False, max_iter=1, random_state=0).fit(X, y)
    n_bytes = model._state.theta.nbytes
    assert len(pickle.dumps(model)) < 2 * n_bytes + n_bytes / 2  # theta, momentum, and the rest


def test_replaced_weights_are_served_pickled_and_trained_on():
    model = make(MLPClassifier, max_iter=2, warm_start=True).fit(X, y)
    model.coefs_[0] = np.zeros_like(model.coefs_[0])
    twin = pickle.loads(pickle.dumps(model))
    assert not twin.coefs_[0].any()
    np.testing.assert_array_equal(model.predict_proba(X), twin.predict_proba(X))
    fresh = make(MLPClassifier, max_iter=2, warm_start=True).fit(X, y)
    assert not np.array_equal(model.fit(X, y).coefs_[0], fresh.fit(X, y).coefs_[0])
    assert_same_bits(model, twin.fit(X, y))


def test_weights_changed_in_place_are_trained_on():
    changed, replaced = (make(MLPClassifier, max_iter=2, warm_start=True).fit(X, y) for _ in range(2))
    changed.coefs_[1][...] = 0.5
    replaced.coefs_[1] = np.full_like(replaced.coefs_[1], 0.5)
    assert_same_bits(changed.fit(X, y), replaced.fit(X, y))


def test_a_changed_learning_rate_is_taken_up():
    model = make(MLPClassifier, max_iter=2, warm_start=True).fit(X, y)
    model.set_params(learning_rate_init=0.05).fit(X, y)
    assert model._state.learning_rate == 0.05


def test_another_solver_starts_with_an_empty_memory():
    """The first step of Adam has the size of the learning rate: its bias correction counts its own steps."""
    model = make(MLPClassifier, solver="sgd", max_iter=30, warm_start=True).fit(X, y)
    before = model.coefs_[1].copy()
    model.set_params(solver="adam", learning_rate_init=1e-3, batch_size=430, max_iter=1, alpha=0).fit(X, y)
    np.testing.assert_allclose(np.abs(model.coefs_[1] - before).max(), 1e-3, rtol=1e-2)


def test_another_dtype_is_taken_up():
    model = make(MLPClassifier, max_iter=2, warm_start=True).fit(X, y)
    narrow = model.set_params(dtype="float32").fit(X, y)
    assert {array.dtype for array in (*narrow.coefs_, narrow._state.slots)} == {np.dtype("f4")}


def test_warm_start_goes_on_with_other_rows():
    model = make(MLPClassifier, max_iter=2, warm_start=True).fit(X, y)
    model.fit(X[:200], y[:200])
    assert len(model.loss_curve_) == 4
    assert model.t_ == 2 * 430 + 2 * 200
    assert sorted(model._state.order[0]) == list(range(200))


def test_threads_of_blas_change_rounding_only():
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        one = make(MLPClassifier).fit(X, y)
    two = make(MLPClassifier).fit(X, y)
    np.testing.assert_allclose(one.coefs_[0], two.coefs_[0], rtol=1e-9, atol=1e-12)


def test_concurrent_fits_in_threads_are_those_alone():
    alone = [make(MLPClassifier).set_params(random_state=seed).fit(X, y) for seed in range(4)]
    threads = joblib.Parallel(4, backend="threading")(
        joblib.delayed(lambda seed: make(MLPClassifier).set_params(random_state=seed).fit(X, y))(seed)
        for seed in range(4)
    )
    for a, b in zip(alone, threads, strict=True):
        np.testing.assert_allclose(a.coefs_[0], b.coefs_[0], rtol=1e-9, atol=1e-12)
