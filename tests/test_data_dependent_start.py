"""Parameters that are adapted to what layers make of training rows: LSUV and weight norm."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits

from sknn import MLPClassifier
from sknn._estimators import preparation as _job
from sknn.initializers import LSUV, Orthogonal
from sknn.normalization import BatchNorm, WeightNorm

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_digits(return_X_y=True)
X = X[:300] + 3
y = y[:300]
HIDDEN = (30, 20, 10)


def started(rows=X, labels=y, sample_weight=None, **parameters):
    """Return a model before its first step, but for rounding."""
    model = MLPClassifier(HIDDEN, learning_rate_init=1e-13, max_iter=1, random_state=0, **parameters)
    return model.fit(rows, labels, sample_weight)


def linear_outputs(model, rows=X, activation=lambda z: np.maximum(z, 0)):
    """Return what the linear map of each layer makes of rows, biases left out."""
    hidden, outputs = rows, []
    for W, b in zip(model.coefs_, model.intercepts_, strict=True):
        outputs.append(hidden @ W)
        hidden = activation(outputs[-1] + b)
    return outputs


def test_lsuv_gives_each_layer_variance_one():
    model = started(init="lsuv")
    for outputs in linear_outputs(model):
        assert outputs.std() == pytest.approx(1, rel=1e-6)


def test_lsuv_is_orthonormal_but_for_a_factor():
    plain, model = started(init=Orthogonal(1.0)), started(init=LSUV())
    for W, start in zip(model.coefs_, plain.coefs_, strict=True):
        factors = W / start
        np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-6)


def test_layers_may_differ():
    model = started(init=["he_normal", "lsuv", "orthogonal"])
    first, second, *_ = linear_outputs(model)
    assert second.std() == pytest.approx(1, rel=1e-6)
    assert first.std() > 2
    np.testing.assert_allclose(model.coefs_[0], started(init="he_normal").coefs_[0], atol=1e-9)


def test_lsuv_behind_a_norm_sees_what_a_training_batch_sees():
    model = started(init="lsuv", norm=[BatchNorm(), None, None])
    hidden = X @ model.coefs_[0]
    hidden = np.maximum((hidden - hidden.mean(axis=0)) / np.sqrt(hidden.var(axis=0) + 1e-5), 0)
    assert (hidden @ model.coefs_[1]).std() == pytest.approx(1, rel=1e-6)


def test_weight_norm_gives_each_unit_mean_zero_and_variance_one():
    model, hidden = started(norm="weight", activation="tanh"), X
    for W, b, gain in zip(model.coefs_[:-1], model.intercepts_[:-1], model.norm_gains_[:-1], strict=True):
        z = hidden @ (gain * W / np.linalg.norm(W, axis=0)) + b
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-6)
        hidden = np.tanh(z)


def test_weight_norm_may_start_as_drawn():
    plain, model = started(), started(norm=WeightNorm(data_dependent=False))
    for W, start in zip(model.coefs_, plain.coefs_, strict=True):
        np.testing.assert_allclose(W, start, atol=1e-9)
    np.testing.assert_allclose(model.norm_gains_[0], np.linalg.norm(plain.coefs_[0], axis=0), rtol=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-9)


def test_a_unit_that_says_the_same_of_all_rows_keeps_its_gain():
    model = started(np.zeros((300, 64)), norm="weight")
    assert np.isfinite(model.predict_proba(X)).all()
    np.testing.assert_allclose(model.norm_gains_[0], np.linalg.norm(model.coefs_[0], axis=0), rtol=1e-9)


@pytest.mark.parametrize("parameters", [{"init": "lsuv"}, {"norm": "weight"}], ids=str)
class TestRows:
    def test_weights_count_as_repetitions(self, parameters):
        weight = np.arange(300) % 3
        weighted = started(sample_weight=weight, **parameters)
        repeated = started(np.repeat(X, weight, axis=0), np.repeat(y, weight), **parameters)
        for mine, other in zip(weighted.coefs_, repeated.coefs_, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-9)

    def test_rows_for_validation_are_left_out(self, parameters):
        rows = X.copy()
        model = started(rows, early_stopping=True, **parameters)
        rows[model._state.validation_rows[0]] *= 100
        np.testing.assert_allclose(started(rows, early_stopping=True, **parameters).coefs_[0], model.coefs_[0])

    def test_evenly_spread_rows_stand_for_many(self, parameters, monkeypatch):
        monkeypatch.setattr(_job, "SAMPLE_ROWS", 100)
        model = started(**parameters)
        monkeypatch.undo()
        for mine, other in zip(model.coefs_, started(X[::3], y[::3], **parameters).coefs_, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-9)

    def test_sparse_rows(self, parameters):
        for mine, other in zip(
            started(scipy.sparse.csr_array(X), **parameters).coefs_, started(**parameters).coefs_, strict=True
        ):
            np.testing.assert_allclose(mine, other, atol=1e-9)

    def test_lbfgs_too(self, parameters):
        model = MLPClassifier(HIDDEN, solver="lbfgs", max_iter=200, random_state=0, **parameters).fit(X, y)
        assert model.score(X, y) == 1

    def test_a_model_that_goes_on_is_not_adapted_again(self, parameters):
        model = started(warm_start=True, **parameters)
        before = [W.copy() for W in model.coefs_]
        model.fit(100 * X, y)
        for mine, other in zip(model.coefs_, before, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-9)
