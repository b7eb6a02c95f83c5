"""Predictions of a few rows, whose compiled pass is kept from call to call: equal to those of a model just loaded."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sknn import MLPClassifier, MLPRegressor

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 4))
T, Y = X @ [1, 2, 3, 4.0], np.digitize(X[:, 0], [-0.5, 0.5])


def fitted(cls=MLPRegressor, y=T, **parameters):
    defaults = {"hidden_layer_sizes": (6, 5), "max_iter": 3, "tol": 10, "n_iter_no_change": 1, "random_state": 0}
    return cls(**defaults | parameters).fit(X, y)


def anew(model, rows):
    """Return predictions of a model that has never predicted."""
    return pickle.loads(pickle.dumps(model)).predict(rows)


@pytest.mark.parametrize("norm", [None, "batch", "layer", "weight"])
@pytest.mark.parametrize("activation", ["relu", "prelu", "maxout", "gelu"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_few_rows_are_as_those_of_many(norm, activation, dtype):
    rows = X.astype(dtype)
    model = fitted(norm=norm, activation=activation, dtype=dtype)
    expected = model.predict(rows)
    for n_rows in (1, 1, 7, 1, 128, 128):
        given = model.predict(rows[:n_rows])
        assert given.dtype == dtype
        np.testing.assert_allclose(given, expected[:n_rows], rtol=1e-4 if dtype == "f4" else 1e-10)


def test_predictions_are_not_overwritten_by_the_next():
    model = fitted()
    first = model.predict(X[:1])
    kept = first.copy()
    model.predict(X[1:2])
    np.testing.assert_array_equal(first, kept)
    probability = fitted(MLPClassifier, Y)
    first = probability.predict_proba(X[:2])
    first[...] = -1
    assert probability.predict_proba(X[:2]).min() >= 0


def test_changes_in_place_and_other_arrays_are_seen():
    model = fitted(norm="batch")
    for change in (
        lambda: model.coefs_[0].__imul__(2),
        lambda: model.intercepts_.__setitem__(1, np.ones(5)),
        lambda: model.norm_means_.__setitem__(0, np.full(6, 0.5)),
        lambda: model.norm_variances_[0].__imul__(100),
        lambda: setattr(model, "activation", ["relu", "relu"]),
        lambda: model.activation.__setitem__(1, "tanh"),
        lambda: setattr(model, "coefs_", [W + 1 for W in model.coefs_]),
        lambda: setattr(model, "coefs_", [(W / 2).tolist() for W in model.coefs_]),
        lambda: model.coefs_[0][0].__setitem__(0, 7.0),  # of a list, which no pass can follow
        lambda: setattr(model, "activation", "tanh"),
        lambda: setattr(model, "out_activation_", "logistic"),
        lambda: model.fit(X, -T),
        lambda: model.partial_fit(X, T),
    ):
        before = model.predict(X[:1])
        change()
        after = model.predict(X[:1])
        assert before != after or model.activation == ["relu", "relu"]
        np.testing.assert_allclose(after, anew(model, X)[:1], rtol=1e-10)


def test_width_is_checked_each_time():
    model = fitted()
    model.predict(X[:1])
    with pytest.raises(ValueError, match="X has 1 features"):
        model.predict(X[:1, :1])
    del model.n_features_in_  # as on an estimator whose weights were set without a fit
    with pytest.raises(ValueError, match="X has 1 features"):
        model.predict(X[:1, :1])


def test_threads_do_not_share_buffers():
    model = fitted()
    expected = model.predict(X)

    def wrong(row):
        return sum(abs(model.predict(X[row : row + 1])[0] - expected[row]) > 1e-9 for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(wrong, range(40))) == 0


def test_estimator_is_unchanged_and_copies_are_independent():
    model = fitted()
    before = dict(vars(model))
    model.predict(X[:1])
    assert vars(model) == before
    twin = copy.deepcopy(model)
    expected = model.predict(X[:1])
    twin.coefs_[0][...] = 0
    assert twin.predict(X[:1]) != expected
    np.testing.assert_array_equal(model.predict(X[:1]), expected)
    assert "_small" not in model.__getstate__()
