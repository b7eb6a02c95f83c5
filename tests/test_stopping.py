"""What early stopping watches, averaged weights, and batches that change in size."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import get_scorer, log_loss, mean_squared_error
from sklearn.preprocessing import scale

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import operations as ops
from sknn.normalization import BatchNorm
from sknn.optimizers import SGD
from sknn.schedules import GrowingBatch
from tests.support.backends import BACKENDS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_iris(return_X_y=True)
X = scale(X) + 0.8 * np.random.RandomState(0).standard_normal(X.shape)
TRAIN, VAL = slice(None, None, 2), slice(1, None, 2)
each_estimator = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])


def quick(estimator=MLPClassifier, **parameters):
    defaults = {"hidden_layer_sizes": (20,), "max_iter": 40, "random_state": 0, "tol": 0, "learning_rate_init": 0.05}
    return estimator(**{**defaults, **parameters})


def fitted(estimator=MLPClassifier, **parameters):
    return quick(estimator, **parameters).fit(X[TRAIN], y[TRAIN], X_val=X[VAL], y_val=y[VAL])


def assert_same(ours, theirs, rtol=0.0):
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol)


# ---- what is watched --------------------------------------------------------------------


def test_the_loss_of_a_classifier_is_scikit_learns():
    model = fitted(alpha=1.0, norm="batch")
    assert len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_loss_curve_[-1] == pytest.approx(log_loss(y[VAL], model.predict_proba(X[VAL])))


def test_the_loss_of_a_regressor_is_half_the_squared_error():
    model = fitted(MLPRegressor, alpha=1.0)
    assert model.validation_loss_curve_[-1] == pytest.approx(mean_squared_error(y[VAL], model.predict(X[VAL])) / 2)


def test_weights_of_classes_count_in_the_loss():
    weights = {0: 1.0, 1: 3.0, 2: 0.5}
    model = fitted(class_weight=weights)
    expected = log_loss(y[VAL], model.predict_proba(X[VAL]), sample_weight=[weights[label] for label in y[VAL]])
    assert model.validation_loss_curve_[-1] == pytest.approx(expected)


@each_estimator
def test_the_model_of_the_least_loss_is_served(estimator):
    model = fitted(estimator, early_stopping=True, monitor="loss", max_iter=60, n_iter_no_change=1000)
    best = int(np.argmin(model.validation_loss_curve_))
    assert 2 < best < 58
    assert_same(model, fitted(estimator, max_iter=best + 1))


def test_training_stops_when_the_loss_stays():
    model = fitted(early_stopping=True, monitor="loss", n_iter_no_change=3, max_iter=200)
    curve = model.validation_loss_curve_
    assert model.stopped_ and len(curve) == int(np.argmin(curve)) + 5
    assert not fitted(early_stopping=True, monitor="loss", n_iter_no_change=3, max_iter=3).stopped_


def mean_of_the_greatest(estimator, rows, labels, sample_weight=None):
    return np.average(estimator.predict_proba(rows).max(axis=1), weights=sample_weight)


SCORERS = ["neg_log_loss", "roc_auc_ovr", "balanced_accuracy", get_scorer("f1_macro"), mean_of_the_greatest]


@pytest.mark.parametrize("monitor", SCORERS, ids=["log_loss", "auc", "balanced", "object", "function"])
@pytest.mark.parametrize("parameters", [{}, {"norm": "batch", "ema_decay": 0.9}], ids=str)
@pytest.mark.fast_share(3)
def test_any_scorer_scores_each_epoch(parameters, monitor):
    scorer = get_scorer(monitor) if isinstance(monitor, str) else monitor
    model = fitted(monitor=monitor, max_iter=9, **parameters)
    assert len(model.validation_scores_) == 9 and len(set(model.validation_scores_)) > 1
    for epochs in (1, 5, 9):
        expected = scorer(fitted(max_iter=epochs, **parameters), X[VAL], y[VAL])
        assert model.validation_scores_[epochs - 1] == pytest.approx(expected)


def test_a_scorer_decides_on_the_model_that_is_served():
    model = fitted(early_stopping=True, monitor="neg_log_loss", max_iter=60, n_iter_no_change=1000)
    assert_same(model, fitted(early_stopping=True, monitor="loss", max_iter=60, n_iter_no_change=1000))
    assert model.best_validation_score_ == pytest.approx(-min(model.validation_loss_curve_))


def test_a_scorer_on_a_part_of_the_rows():
    names = np.array(["ash", "birch", "cedar"])[y]
    weight = np.arange(150) % 3 + 0.5
    model = quick(early_stopping=True, monitor="neg_log_loss", max_iter=5).fit(X, names, weight)
    rows = model._state.validation_rows[0]
    best = int(np.argmax(model.validation_scores_))
    expected = log_loss(names[rows], model.predict_proba(X[rows]), sample_weight=weight[rows])
    assert model.validation_scores_[best] == pytest.approx(-expected)


def test_frames_have_names_and_scorers_do_not_mind():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = quick(early_stopping=True, monitor="accuracy", max_iter=4).fit(frame, y)
    plain = quick(early_stopping=True, max_iter=4).fit(X, y)
    assert model.validation_scores_ == pytest.approx(plain.validation_scores_)
    np.testing.assert_array_equal(model.feature_names_in_, list("abcd"))


@pytest.mark.parametrize("monitor", ["accurracy", None, 3, ["loss"]], ids=str)
def test_what_cannot_be_watched(monitor):
    with pytest.raises(ValueError, match=r"^monitor must be 'score', 'loss', one of sklearn.metrics.get_scorer_names"):
        fitted(monitor=monitor)


def test_the_loss_is_printed_where_it_is_watched(capsys):
    fitted(verbose=True, max_iter=1, monitor="loss")
    assert "Validation loss: " in capsys.readouterr().out
    fitted(verbose=True, max_iter=1)
    assert "Validation loss" not in capsys.readouterr().out


# ---- partial_fit ------------------------------------------------------------------------


@each_estimator
@pytest.mark.parametrize("own", [True, False], ids=["own rows", "a part"])
@pytest.mark.parametrize("monitor", ["score", "loss"])
@pytest.mark.fast_share(3)
def test_partial_fit_stops_early_as_fit_does(monitor, own, estimator):
    options = {
        "early_stopping": True,
        "monitor": monitor,
        "n_iter_no_change": 3,
        "max_iter": 200,
        "norm": BatchNorm(statistics="ema"),
    }
    rows = {"X_val": X[VAL], "y_val": y[VAL]} if own else {}
    whole, model = quick(estimator, **options).fit(X, y, **rows), quick(estimator, **options)
    first = {} if estimator is MLPRegressor else {"classes": [0, 1, 2]}
    model.partial_fit(X, y, **rows, **first)
    while not model.stopped_:
        model.partial_fit(X, y, **rows)
    assert_same(model, whole)
    assert model.validation_scores_ == whole.validation_scores_
    np.testing.assert_array_equal(model.predict(X), whole.predict(X))


# ---- averaged weights -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_models", [1, 3])
def test_the_fused_average_is_its_definition(n_models, dtype):
    values, start = np.random.default_rng(0).standard_normal((2, n_models, 9)).astype(dtype)
    decay, found = np.array([0.0, 0.5, 0.999])[:n_models], []
    for backend in BACKENDS.values():
        mean = start.copy()
        backend.execute(ops.Average(values, mean, decay, np.array([3, 0, 4])))
        found.append(mean)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=4 * np.finfo(dtype).eps)
    share = np.maximum(1 - decay, 1 / 8)[:, None]
    np.testing.assert_allclose(found[0], start + share * (values - start), rtol=1e-5)


def steps_of(n, **parameters):
    """Return the parameters after each of n steps on the whole data."""
    model = quick(batch_size=150, shuffle=False, max_iter=1, warm_start=True, **parameters)
    return [np.concatenate([part.ravel() for part in model.fit(X, y).coefs_ + model.intercepts_]) for _ in range(n)]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.9999])
def test_weights_are_averaged_over_the_steps(decay):
    steps, mean = steps_of(12), 0
    for t, values in enumerate(steps, 1):
        mean += max(1 - decay, 1 / t) * (values - mean)
    model = quick(batch_size=150, shuffle=False, max_iter=12, ema_decay=decay).fit(X, y)
    found = np.concatenate([part.ravel() for part in model.coefs_ + model.intercepts_])
    np.testing.assert_allclose(found, mean, rtol=1e-11, atol=1e-13)
    if decay == 0.9999:
        np.testing.assert_allclose(found, np.mean(steps, axis=0), rtol=1e-11, atol=1e-13)


def test_averaging_does_not_change_training():
    plain, averaged = fitted(), fitted(ema_decay=0.9)
    np.testing.assert_allclose(averaged.loss_curve_, plain.loss_curve_, rtol=1e-12)  # of a plan, and of a program
    np.testing.assert_allclose(averaged._state.theta, plain._state.theta, rtol=1e-9, atol=1e-12)
    assert np.abs(averaged.coefs_[0] - plain.coefs_[0]).max() > 1e-3


def test_validation_and_early_stopping_see_the_average():
    model = fitted(ema_decay=0.9, max_iter=7)
    assert model.validation_scores_[-1] == model.score(X[VAL], y[VAL])
    stopped = fitted(ema_decay=0.9, early_stopping=True, monitor="loss", n_iter_no_change=1000, max_iter=60)
    best = int(np.argmin(stopped.validation_loss_curve_))
    assert_same(stopped, fitted(ema_decay=0.9, max_iter=best + 1))


def test_running_statistics_are_averaged_too():
    model = quick(
        norm=BatchNorm(momentum=1.0, statistics="ema"), ema_decay=0.5, batch_size=150, shuffle=False, max_iter=1
    )
    model.set_params(warm_start=True)
    seen, mean = [], 0
    for t in range(1, 5):
        model.fit(X, y)
        seen.append(model._state.statistics[0, :20].copy())
        mean += max(0.5, 1 / t) * (seen[-1] - mean)
    np.testing.assert_allclose(model.norm_means_[0], mean, rtol=1e-12)


@pytest.mark.parametrize("parameters", [{}, {"norm": "batch", "early_stopping": True}], ids=str)
def test_averages_go_on_where_training_stopped(parameters):
    parameters = {"ema_decay": 0.9, **parameters}
    whole, resumed = quick(max_iter=8, **parameters).fit(X, y), quick(max_iter=4, warm_start=True, **parameters)
    resumed = pickle.loads(pickle.dumps(resumed.fit(X, y))).fit(X, y)
    assert_same(resumed, whole)
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_a_diverged_model_serves_finite_weights():
    model = quick(solver=SGD(), learning_rate_init=1e200, ema_decay=0.9)
    with pytest.raises(ValueError, match="diverged"):
        model.fit(X, y)
    assert not model.stopped_  # no stopping rule was met
    assert all(np.isfinite(W).all() for W in model.coefs_)


@pytest.mark.parametrize("decay", [-0.1, 1.0, "0.9"])
def test_bad_decays(decay):
    with pytest.raises(ValueError, match=r"^ema_decay must be None or a number in \[0, 1\)"):
        fitted(ema_decay=decay)


def test_lbfgs_does_not_average():
    with pytest.raises(ValueError, match="ema_decay must not be set for solver 'lbfgs'"):
        fitted(solver="lbfgs", ema_decay=0.5)


# ---- batches that change in size --------------------------------------------------------


def test_sizes():
    sizes = [GrowingBatch(10, 2, period=3, largest=100).size_in(epoch) for epoch in range(15)]
    assert sizes == [10] * 3 + [20] * 3 + [40] * 3 + [80] * 3 + [100] * 3
    assert GrowingBatch(10, 1.5, 1, 40).size_in(2) == 22
    assert GrowingBatch(10, 1e300, 1, 40).size_in(10**9) == 40
    assert GrowingBatch(10, 1, 1, 40).size_in(10**9) == 10


@pytest.mark.parametrize("norm", [None, BatchNorm(), BatchNorm(statistics="exact", virtual_batch_size=8)], ids=str)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_growing_batches_are_fits_with_each_size(solver, norm):
    model = quick(batch_size=GrowingBatch(16, 2, 2, 64), max_iter=8, solver=solver, norm=norm).fit(X, y)
    by_hand = quick(max_iter=2, solver=solver, norm=norm, warm_start=True)
    for size in (16, 32, 64, 64):
        by_hand.set_params(batch_size=size).fit(X, y)
    assert_same(model, by_hand)
    assert model.loss_curve_ == by_hand.loss_curve_
    np.testing.assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))


def test_schedules_count_epochs_where_batches_change():
    model = quick(batch_size=GrowingBatch(15, 10, 1, 150), solver=SGD(0.0), learning_rate="step", max_iter=3)
    assert np.isfinite(model.fit(X, y).loss_)
    assert model._state.epochs == 3 and model._state.steps == 10 + 1 + 1


def test_batches_larger_than_the_rows():
    model = quick(batch_size=GrowingBatch(100, 100, 1, 10**6), max_iter=3).fit(X, y)
    assert model._state.steps == 2 + 1 + 1


@pytest.mark.parametrize(
    "numbers, message",
    [
        ({"start": 0}, "start must be an integer >= 1; got 0"),
        ({"factor": 0.5}, "factor must be a number >= 1; got 0.5"),
        ({"period": 0}, "period must be an integer >= 1; got 0"),
        ({"largest": 5}, "largest must be an integer >= start=32; got 5"),
    ],
)
def test_bad_numbers(numbers, message):
    with pytest.raises(ValueError, match=message):
        GrowingBatch(**numbers)


def test_batch_norm_needs_two_rows_from_the_beginning():
    with pytest.raises(ValueError, match="must have training batches of 2 rows or more"):
        fitted(batch_size=GrowingBatch(1), norm="batch")


# ---- from one call to the next ----------------------------------------------------------


@pytest.mark.parametrize("first, second", [("score", "loss"), ("neg_log_loss", "accuracy")])
def test_what_is_watched_may_change(first, second):
    model = fitted(early_stopping=True, warm_start=True, max_iter=3, monitor=first)
    before = model.coefs_[0].copy()
    model.set_params(monitor=second, max_iter=60, n_iter_no_change=20).fit(
        X[TRAIN], y[TRAIN], X_val=X[VAL], y_val=y[VAL]
    )
    assert np.abs(model.coefs_[0] - before).max() > 0.01
    assert len(model.validation_scores_) == model.n_iter_


@pytest.mark.parametrize("parameters", [{"norm": "batch"}, {"activation": "prelu"}, {"norm": "weight"}], ids=str)
def test_a_refit_leaves_nothing_of_a_network_that_learnt_more(parameters):
    model = quick(hidden_layer_sizes=(8, 6), max_iter=3, **parameters).fit(X, y)
    model.set_params(norm=None, activation="relu", hidden_layer_sizes=(8, 6, 4)).fit(X, y, X_val=X, y_val=y)
    plain = quick(hidden_layer_sizes=(8, 6, 4), max_iter=3).fit(X, y, X_val=X, y_val=y)
    assert vars(model).keys() == vars(plain).keys()
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    model.set_params(warm_start=True).fit(X, y).partial_fit(X, y)


def plain_scorer(estimator, rows, labels):
    return estimator.score(rows, labels)


def test_scorers_that_take_no_weights_get_none():
    weighted = fitted(monitor=plain_scorer, class_weight="balanced", max_iter=4)
    assert weighted.validation_scores_ == fitted(class_weight={0: 1, 1: 1, 2: 1}, max_iter=4).validation_scores_


@pytest.mark.parametrize("monitor", ["roc_auc", "neg_max_error"])
def test_a_scorer_that_cannot_serve_is_refused_before_training(monitor):
    model = fitted(early_stopping=True, class_weight="balanced", max_iter=3)
    before = model.coefs_[0].copy()
    names = np.array(["ash", "birch", "cedar"])[y]
    with pytest.raises(ValueError, match=f"monitor='{monitor}' cannot score the validation rows: "):
        model.set_params(monitor=monitor).fit(X, names)
    np.testing.assert_array_equal(model.coefs_[0], before)


def test_the_best_of_validation_is_that_of_the_model_served():
    model = fitted(early_stopping=True, monitor="loss", max_iter=60, n_iter_no_change=1000)
    assert model.best_validation_score_ == model.score(X[VAL], y[VAL])
    assert model.best_validation_loss_ == pytest.approx(log_loss(y[VAL], model.predict_proba(X[VAL])))
    assert fitted().best_validation_loss_ is None


def test_exact_statistics_are_what_validation_sees():
    exact = BatchNorm(statistics="exact", momentum=0.01)
    model = fitted(norm=exact, early_stopping=True, max_iter=30, n_iter_no_change=1000, monitor="neg_log_loss")
    expected = get_scorer("neg_log_loss")(model, X[VAL], y[VAL])
    assert model.best_validation_score_ == pytest.approx(expected)
    last = fitted(norm=exact, max_iter=5)
    assert last.validation_scores_[-1] == last.score(X[VAL], y[VAL])
    assert last.validation_loss_curve_[-1] == pytest.approx(log_loss(y[VAL], last.predict_proba(X[VAL])))


def test_partial_fit_goes_on_from_exact_statistics():
    """A batch has the weight of momentum beside all rows of the fit before, on the weights before its step."""
    model = quick(norm=BatchNorm(momentum=0.2), max_iter=3).fit(X, y)
    before, W = model.norm_means_[0].copy(), model.coefs_[0].copy()
    np.testing.assert_allclose(before, (X @ W).mean(axis=0), rtol=1e-10)
    model.partial_fit(X[:10], y[:10])
    np.testing.assert_allclose(model.norm_means_[0], 0.8 * before + 0.2 * (X[:10] @ W).mean(axis=0), rtol=1e-10)


def test_schedules_that_have_ended_say_so():
    model = quick(learning_rate="cosine", max_iter=5, warm_start=True).fit(X, y)
    with pytest.warns(UserWarning, match="learning_rate='cosine' ended after max_iter=5 epochs"):
        model.fit(X, y)
    model = quick(learning_rate="cosine", max_iter=10, warm_start=True)
    for _ in range(10):
        model.partial_fit(X, y, classes=[0, 1, 2])


def test_max_norm_bounds_the_gains_of_weight_norm():
    model = fitted(norm="weight", max_norm=0.3)
    assert (np.abs(model.norm_gains_[0]) <= 0.3 * (1 + 1e-12)).all()
    assert model.score(X[TRAIN], y[TRAIN]) > 0.8


def test_frozen_norms_need_statistics_only_where_there_are_any():
    fitted(freeze_norm=True)
    fitted(freeze_norm=True, norm="layer")
    with pytest.raises(ValueError, match="freeze_norm must be False in a first fit"):
        fitted(freeze_norm=True, norm="batch")
