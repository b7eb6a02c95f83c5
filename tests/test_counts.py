"""MLPRegressor with the Poisson loss on wild data: predictions are finite, and training goes on."""

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

from sknn import MLPRegressor, building_block
from sknn.losses import Poisson

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
COUNTS = RNG.poisson(3, 60)
LARGEST = np.exp(40)


def regressor(**parameters):
    numbers = {"hidden_layer_sizes": (8,), "loss": "poisson", "max_iter": 5, "random_state": 0}
    return MLPRegressor(**numbers | parameters)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
def test_predictions_are_finite_and_partial_fit_goes_on(solver, dtype, early_stopping):
    """Weights are set so that the mean of every row overflows, as one wild batch leaves them."""
    model = regressor(solver=solver, early_stopping=early_stopping, clip_norm=1.0).fit(X.astype(dtype), COUNTS)
    model.intercepts_[-1][:] = 1000
    rows = X.astype(dtype)
    np.testing.assert_allclose(model.predict(rows), LARGEST, rtol=1e-5)
    assert np.isfinite(model.score(rows, COUNTS))
    for _ in range(3):
        model.partial_fit(rows, COUNTS)
        assert np.isfinite(model.predict(rows)).all() and np.isfinite(model.loss_)
    if early_stopping:
        assert np.isfinite(model.validation_scores_).all() and np.isfinite(model.validation_loss_curve_).all()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_far_from_those_of_training(dtype, solver):
    model = regressor(solver=solver).fit(X.astype(dtype), COUNTS)
    wild = model.predict(1e30 * X.astype(dtype))
    assert np.isfinite(wild).all() and wild.max() <= LARGEST * (1 + 1e-5)


def test_wild_training_rows():
    """A fit is refused, or its predictions are finite and the next call takes them."""
    for scale in (1e1, 1e2, 1e3, 1e4, 1e6):
        for solver in ("adam", "sgd"):
            model = regressor(solver=solver, learning_rate_init=0.1)
            try:
                model.fit(X * scale, COUNTS)
            except ValueError as error:
                assert "Training diverged" in str(error)
            assert np.isfinite(model.predict(X * scale)).all()
            assert np.isfinite(model.score(X * scale, COUNTS))


def test_the_loss_is_the_deviance_below_the_bound():
    model = regressor(max_iter=1, batch_size=60, alpha=0, learning_rate_init=1e-300).fit(X, COUNTS)
    assert model.loss_ == pytest.approx(mean_poisson_deviance(COUNTS, model.predict(X)) / 2)


@building_block
class HalfDeviance(Poisson):
    """A loss of a user, with the bounds of the built-in one."""


def test_refused_counts_name_the_loss_that_was_set():
    for y, words in ((COUNTS - 9.0, "non-negative"), (COUNTS + 1e18, "at most")):
        with pytest.raises(ValueError, match=rf"y must be {words}.* for loss=HalfDeviance\(\); got"):
            MLPRegressor(loss=HalfDeviance()).fit(X, y)


@pytest.mark.parametrize("call", ["fit", "partial_fit", "y_val"])
def test_counts_beyond_the_bound_are_refused(call):
    y = np.where(np.arange(60) == 7, 1e18, COUNTS)
    message = r"{} must be at most 2\.35e\+17 for loss='poisson'; got 1e\+18\. Divide y by a constant"
    if call == "y_val":
        with pytest.raises(ValueError, match=message.format("y_val")):
            regressor().fit(X, COUNTS, X_val=X, y_val=y)
    else:
        with pytest.raises(ValueError, match=message.format("^y")):
            getattr(regressor(), call)(X, y)
