"""How a GPU multiplies float32: the stand-in for its tensor cores rounds what is multiplied."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

from sknn import MLPClassifier, MLPRegressor
from sknn.preprocessing import PCA

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
X, y = load_iris(return_X_y=True)
X = scale(X).astype(np.float32)
SIGNIFICANT_BITS = {"float32": 24, "tf32": 11, "bfloat16": 8}
each_coarse = pytest.mark.parametrize("precision", ["tf32", "bfloat16"])


def fitted(precision="float32", estimator=MLPClassifier, **parameters):
    common = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "backend": "cupy", **parameters}
    return estimator(precision=precision, **common).fit(X, y)


def distance(model, other):
    return np.abs(model.predict_proba(X) - other.predict_proba(X)).max()


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_coarser_the_further_from_double_precision(cupy, solver):
    exact = fitted(dtype="float64", solver=solver, max_iter=5)
    apart = [distance(fitted(precision, solver=solver, max_iter=5), exact) for precision in SIGNIFICANT_BITS]
    assert apart[0] < 1e-4 < apart[1] < apart[2] < 0.1


@each_coarse
def test_parameters_and_predictions_stay_float32(cupy, precision):
    model = fitted(precision)
    assert {part.dtype for part in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    assert model.predict_proba(X).dtype == np.float32
    assert abs(model.score(X, y) - fitted().score(X, y)) < 0.05
    # what is learnt is float32 in full, not rounded to what is multiplied
    bits = np.concatenate([part.ravel() for part in model.coefs_]).view(np.uint32)
    assert (bits & 0x1FFF).any()


@each_coarse
def test_products_are_rounded_at_prediction_too(cupy, precision):
    model = fitted(precision)
    full = clone(model).set_params(precision="float32")
    vars(full).update({name: value for name, value in vars(model).items() if name != "precision"})
    assert 1e-7 < distance(model, full) < 2.0 ** -SIGNIFICANT_BITS[precision] * 10


@each_coarse
def test_a_model_predicts_where_there_is_no_gpu(cupy, precision):
    model = pickle.loads(pickle.dumps(fitted(precision)))
    exact = model.set_params(backend="numpy").predict_proba(X)
    assert np.abs(exact - model.set_params(backend="cupy").predict_proba(X)).max() < 0.1


@each_coarse
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_precision_is_refused_where_it_says_nothing(cupy, estimator, precision):
    with pytest.raises(ValueError, match=f"precision must be 'float32' for computation with NumPy; got '{precision}'"):
        fitted(precision, estimator, backend="numpy")
    with pytest.raises(ValueError, match="precision must be 'float32' for computation with NumPy.*CuPy array"):
        fitted(precision, estimator, backend="auto")
    with pytest.raises(ValueError, match="precision must be 'float32' for data in float64.*dtype='float32'"):
        fitted(precision, estimator, dtype="float64")


def test_other_words_are_refused(cupy):
    with pytest.raises(ValueError, match="precision must be one of 'float32', 'tf32', 'bfloat16'; got 'half'"):
        fitted("half")


@each_coarse
def test_covariances_are_in_double_precision_whatever_networks_have(cupy, precision):
    fitted(precision)
    expected = PCA(3).fit(X)
    found = PCA(3, backend="cupy").fit(cupy.asarray(X))
    np.testing.assert_allclose(found.explained_variance_, expected.explained_variance_, rtol=1e-12)
