"""The estimators' own behaviour: targets, validation, stopping, divergence, interruption, bad input."""

import re
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sknn import MLPClassifier, MLPRegressor
from sknn._backend.cpu import backend as cpu
from sknn._common.rows import rows_of
from sknn._core.data import Validation
from sknn._core.trainer import Trainer
from tests.support.designs import in_turns
from tests.support.interrupts import interrupted as interrupted_at

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


def quick(estimator=MLPClassifier, **parameters):
    return estimator(hidden_layer_sizes=(10,), **{"max_iter": 5, "random_state": 0, **parameters})


def state_of(estimator):
    """A copy of everything that vars(estimator) holds, arrays as bytes."""
    return {
        name: repr(value) if not isinstance(value, np.ndarray) else value.tobytes()
        for name, value in vars(estimator).items()
    }


# ---- targets ------------------------------------------------------------------------------


def test_learns_string_labels():
    model = MLPClassifier(max_iter=1000, learning_rate_init=0.01, random_state=0).fit(X, NAMES[y])
    assert model.score(X, NAMES[y]) > 0.95
    assert list(model.classes_) == list(NAMES)
    assert model.predict(X[:1])[0] == "setosa"
    assert model.predict_proba(X).shape == (150, 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_log_probabilities_are_logarithms_also_of_zero():
    model = quick().fit(X, y)
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    model.coefs_[1][:, 0] = 0
    model.intercepts_[1][:] = [-1e5, 0, 0]
    assert (model.predict_log_proba(X)[:, 0] == -np.inf).all()


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_matrix])
def test_multilabel_targets_come_back_in_their_kind(container):
    X, y = make_multilabel_classification(100, 5, n_classes=3, random_state=0)
    model = quick(early_stopping=True).fit(X, container(y))
    predicted = model.predict(X)
    assert scipy.sparse.issparse(predicted) == (container is not np.asarray)
    assert predicted.shape == (100, 3)
    assert model.predict_proba(X).shape == (100, 3)
    assert model.n_outputs_ == 3


def test_multilabel_partial_fit_needs_no_classes():
    X, y = make_multilabel_classification(100, 5, n_classes=3, random_state=0)
    assert quick().partial_fit(X, y).partial_fit(X, y).n_outputs_ == 3


def test_a_single_class_is_always_predicted():
    model = quick().fit(X, np.full(150, "only"))
    assert (model.predict(X) == "only").all()
    assert model.score(X, np.full(150, "only")) == 1


def test_several_regression_outputs():
    X, y = load_diabetes(return_X_y=True)
    both = np.c_[y, -y]
    model = quick(MLPRegressor, solver="lbfgs", max_iter=500).fit(X, both)
    assert model.predict(X).shape == (442, 2)
    assert model.score(X, both) > 0.5


def test_lbfgs_follows_one_function_for_several_outputs():
    """scikit-learn gives L-BFGS the mean over outputs with the gradient of the sum: its line search goes astray."""
    X, y = load_diabetes(return_X_y=True)
    X, both = X / X.std(axis=0), np.c_[y, y] / y.std()
    linear = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0, "max_iter": 1000, "random_state": 0}
    single, double = (MLPRegressor(**linear).fit(X, target) for target in (both[:, 0], both))
    least_squares = 0.5 * np.mean((both[:, 0] - LinearRegression().fit(X, both[:, 0]).predict(X)) ** 2)
    assert single.loss_ == pytest.approx(least_squares, rel=1e-5)
    assert double.loss_ == pytest.approx(least_squares, rel=1e-5)


def test_a_column_of_targets_is_flattened_with_a_warning():
    with pytest.warns(DataConversionWarning):
        model = quick(MLPRegressor).fit(X, y.reshape(-1, 1).astype(float))
    assert model.predict(X).shape == (150,)


def test_poisson_predicts_positive_means():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (2000, 2))
    y = rng.poisson(np.exp(1 + X[:, 0]))
    model = MLPRegressor("poisson", (20,), learning_rate_init=0.01, random_state=0, max_iter=50).fit(X, y)
    assert (model.predict(X) > 0).all()
    np.testing.assert_allclose(model.predict(X), np.exp(1 + X[:, 0]), rtol=0.35)


# ---- containers and types -----------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_are_taken_with_their_names(frame):
    table = frame(dict(zip("abcd", X.T, strict=True)))
    model = quick().fit(table, NAMES[y])
    peer = MinMaxScaler().fit(table)  # scikit-learn 1.6 finds no names in today's polars
    assert list(getattr(model, "feature_names_in_", "")) == list(getattr(peer, "feature_names_in_", ""))
    np.testing.assert_array_equal(model.predict(table), quick().fit(X, NAMES[y]).predict(X))


def test_wrong_feature_names_are_refused():
    model = quick().fit(pd.DataFrame(X, columns=list("abcd")), y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(pd.DataFrame(X, columns=list("abce")))


@pytest.mark.parametrize("given, computed", [("f4", "f4"), ("f8", "f8"), ("i8", "f8"), ("u1", "f8"), ("f2", "f8")])
def test_the_model_computes_in_the_type_of_X(given, computed):
    model = quick(early_stopping=True).fit(X.astype(given), y)
    assert {array.dtype for array in model.coefs_ + model.intercepts_} == {np.dtype(computed)}
    assert model.predict_proba(X.astype(given)).dtype == computed


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32_rows_with_float64_targets_train_in_float32(estimator, solver):
    model = quick(estimator, solver=solver).fit(X.astype("f4"), y.astype("f8"))
    assert model._state.theta.dtype == np.float32
    assert model.predict(X.astype("f4")).dtype == (np.float64 if estimator is MLPClassifier else np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype("f8")])
def test_dtype_overrides_the_type_of_X(dtype):
    model = quick(dtype=dtype).fit(X, y)
    assert model.coefs_[0].dtype == dtype
    assert model.partial_fit(X, y).coefs_[0].dtype == dtype


@pytest.mark.parametrize(
    "change", [np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X[:, ::-1][:, ::-1]]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_memory_layout_does_not_matter(change, solver):
    a, b = (quick(solver=solver).fit(rows, y) for rows in (X, change(X)))
    np.testing.assert_allclose(a.coefs_[0], b.coefs_[0], rtol=1e-7)


def test_rows_are_neither_changed_nor_kept(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float64, shape=X.shape)
    mapped[...] = X
    mapped.flags.writeable = False
    model = quick(early_stopping=True).fit(mapped, y)
    np.testing.assert_array_equal(mapped, X)
    np.testing.assert_array_equal(model.coefs_[0], quick(early_stopping=True).fit(X, y).coefs_[0])


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_sparse_rows_train_the_dense_model(parameters):
    rows = np.where(X > 3, X, 0)
    dense, sparse = quick(**parameters).fit(rows, y), quick(**parameters).fit(scipy.sparse.csc_matrix(rows), y)
    np.testing.assert_allclose(dense.coefs_[0], sparse.coefs_[0], rtol=1e-7)
    np.testing.assert_allclose(dense.predict_proba(rows), sparse.predict_proba(scipy.sparse.csr_array(rows)), rtol=1e-7)


def test_sparse_rows_are_never_made_dense(monkeypatch):
    wide = scipy.sparse.random(50, 10**5, density=1e-4, format="csr", random_state=0, dtype=np.float32)
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csc_matrix):
        monkeypatch.setattr(kind, "toarray", None)
        monkeypatch.setattr(kind, "todense", None)
    model = MLPClassifier((2,), max_iter=1, random_state=0).fit(wide, np.arange(50) % 2)
    assert model.predict(wide.tocsc()).shape == (50,)


@pytest.mark.parametrize("parameters", [{}, pytest.param({"early_stopping": True}, marks=pytest.mark.slow)], ids=str)
def test_fit_copies_neither_rows_nor_their_shuffling(parameters):
    rng = np.random.RandomState(0)
    rows, labels = rng.uniform(size=(20_000, 784)).astype(np.float32), rng.randint(0, 10, 20_000)
    model = MLPClassifier((64,), max_iter=1, random_state=0, **parameters)
    model.fit(rows[:500], labels[:500])  # so that imports and compiled kernels are not counted
    tracemalloc.start()
    model.fit(rows, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.25 * rows.nbytes


# ---- sample weights -----------------------------------------------------------------------


def test_a_weight_of_two_is_the_row_twice():
    weight = np.random.RandomState(0).randint(0, 3, 150)
    whole_batch = {"batch_size": 1000, "shuffle": False, "max_iter": 30}
    with pytest.warns(UserWarning, match="clipped"):
        weighted = quick(**whole_batch).fit(X, y, weight)
    with pytest.warns(UserWarning, match="clipped"):
        repeated = quick(**whole_batch).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.coefs_[0], repeated.coefs_[0], rtol=1e-9)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_batch_of_zero_weights_has_no_say(solver):
    """scikit-learn raises ZeroDivisionError."""
    weight = np.r_[np.zeros(50), np.ones(100)]
    model = quick(solver=solver, batch_size=50, shuffle=False).fit(X, y, weight)
    assert np.isfinite(model.loss_curve_).all()


# ---- validation and stopping --------------------------------------------------------------


def test_several_classes_are_split_in_proportion():
    """scikit-learn documents stratification, yet draws several classes without."""
    rare = np.r_[np.zeros(120), np.ones(20), np.full(10, 2)].astype(int)
    model = quick(early_stopping=True, validation_fraction=0.2).fit(X, rare)
    assert list(np.bincount(rare[model._state.validation_rows[0]])) == [24, 4, 2]


def test_early_stopping_serves_the_best_weights():
    X_val, y_val = X[::2], y[::2]
    model = MLPClassifier(
        early_stopping=True, learning_rate_init=0.03, n_iter_no_change=5, max_iter=200, random_state=1
    ).fit(X[1::2], y[1::2], X_val=X_val, y_val=y_val)
    assert model.score(X_val, y_val) == model.best_validation_score_ == max(model.validation_scores_)
    assert model.validation_scores_[-1] < model.best_validation_score_
    assert model.n_iter_ < 200
    assert model.best_loss_ is None


@pytest.mark.parametrize("estimator, metric", [(MLPClassifier, accuracy_score), (MLPRegressor, r2_score)])
def test_own_validation_rows_are_scored_after_each_epoch(estimator, metric):
    model = quick(estimator, max_iter=1, warm_start=True)
    for _ in range(3):
        model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
        assert model.validation_scores_[-1] == pytest.approx(metric(y[1::2], model.predict(X[1::2])))
    assert len(model.validation_scores_) == 3
    assert model.best_validation_score_ is None


def test_own_validation_rows_leave_all_rows_for_training():
    with_rows = quick(early_stopping=True).fit(X, y, X_val=X[:30], y_val=y[:30])
    without = quick().fit(X, y)
    assert with_rows.loss_curve_ == without.loss_curve_


def test_validation_rows_may_be_sparse():
    dense = quick(early_stopping=True).fit(X, y, X_val=X, y_val=y)
    sparse = quick(early_stopping=True).fit(X, y, X_val=scipy.sparse.csr_matrix(X), y_val=y)
    assert dense.validation_scores_ == sparse.validation_scores_


@pytest.mark.parametrize(
    "rows, labels",
    [(X[30:], y[30:]), (X[-50:], y[-50:]), (X[:50], (y[:50] + 1) % 3), (scipy.sparse.csr_array(X[50:100]), y[50:100])],
    ids=["more", "as many", "other labels", "sparse"],
)
def test_scores_on_other_validation_rows_are_not_compared(rows, labels):
    model = quick(early_stopping=True, warm_start=True).fit(X, y, X_val=X[:50], y_val=y[:50])
    model._state.best_score[:] = 2  # what no score of the other rows can reach
    model.fit(X, y, X_val=rows, y_val=labels)
    assert len(model.validation_scores_) == model.n_iter_ == 5
    assert model.best_validation_score_ == max(model.validation_scores_) == model.score(rows, labels)


def test_wide_sparse_validation_rows_are_told_apart_as_they_are():
    """Dense, these 1000 rows of a hashing vectoriser would take 8 GB."""
    rng = np.random.default_rng(0)
    values, places = rng.random(2000), (rng.integers(1000, size=2000), rng.integers(2**20, size=2000))
    rows = scipy.sparse.csr_array((values, places), shape=(1000, 2**20))
    other = rows.copy()
    other.data += 1
    backend, y = cpu.Backend(), np.zeros((1000, 1))
    marks = [Validation(rows_of(backend, X), y, None).fingerprint() for X in (rows, rows.copy(), other)]
    assert marks[0] == marks[1] != marks[2]


def test_scores_on_the_same_validation_rows_are_compared():
    model = quick(early_stopping=True, warm_start=True).fit(X, y, X_val=X[:50], y_val=y[:50])
    model._state.best_score[:] = 2
    model.fit(X, y, X_val=X[:50].copy(), y_val=y[:50].copy())
    assert len(model.validation_scores_) == 10 and model.best_validation_score_ == max(model.validation_scores_)
    assert model._state.best_score == 2


def test_another_fraction_is_split_anew():
    model = quick(early_stopping=True, warm_start=True, validation_fraction=0.5).fit(X, y)
    assert len(model.set_params(validation_fraction=0.2).fit(X, y)._state.validation_rows[0]) == len(X) // 5
    assert model.best_validation_score_ == max(model.validation_scores_[-5:])


def test_labels_of_several_kinds_are_refused():
    mixed = np.array(["a", "b", 1] * 50, object)
    with pytest.raises(ValueError, match="y must hold labels of one kind.*'str'"):
        MLPClassifier().fit(X, mixed)
    with pytest.raises(ValueError, match="X_val and y_val must be valid.* labels of one kind"):
        MLPClassifier().fit(X, y, X_val=X, y_val=mixed)


def test_lbfgs_checks_validation_rows_and_watches_none(capsys):
    model = quick(solver="lbfgs", verbose=True).fit(X, y, X_val=X, y_val=y)
    assert model.validation_scores_ is None
    assert model.best_loss_ == min(model.loss_curve_) == model.loss_
    assert "Iteration 5, loss = " in capsys.readouterr().out
    with pytest.raises(ValueError, match="X_val and y_val must be valid like X and y: .*8 features"):
        model.fit(X, y, X_val=WIDE, y_val=y)


def test_a_pipeline_transforms_and_routes_validation_rows():
    import sklearn

    scaled = MinMaxScaler().fit(X)
    expected = quick(early_stopping=True).fit(scaled.transform(X), y, X_val=scaled.transform(X[:40]), y_val=y[:40])
    with sklearn.config_context(enable_metadata_routing=True):
        model = quick(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(MinMaxScaler(), model)
        pipeline.set_params(transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X[:40], y_val=y[:40])
    assert pipeline[-1].validation_scores_ == expected.validation_scores_


def test_reaching_max_iter_warns_and_stopping_does_not():
    with pytest.warns(ConvergenceWarning, match=re.escape("Maximum iterations (5) reached")):
        quick().fit(X, y)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        quick(solver="lbfgs").fit(X, y)


def test_convergence_does_not_warn(recwarn):
    quick(max_iter=200, tol=0.5, n_iter_no_change=2).fit(X, y)
    quick(solver="lbfgs", max_iter=1000, alpha=1.0).fit(X, y)
    quick().partial_fit(X, y, classes=[0, 1, 2])
    assert not recwarn.list


# ---- divergence and interruption ----------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_divergence_stops_and_leaves_the_last_good_weights(solver):
    data, target = load_diabetes(return_X_y=True)
    rate = 1e150 if solver == "adam" else 10.0
    model = quick(MLPRegressor, activation="identity", solver=solver, learning_rate_init=rate, max_iter=100)
    with pytest.raises(ValueError, match="diverged at epoch.*learning_rate_init.*StandardScaler"):
        model.fit(data, target)
    assert len(model.loss_curve_) < 100
    assert np.isfinite(model.coefs_[0]).all()
    assert np.isfinite(model.predict(data)).all()


def test_divergence_in_a_later_call_leaves_the_model_before_it():
    model = quick(MLPRegressor, solver="sgd", warm_start=True).fit(X, y)
    good = [W.copy() for W in model.coefs_]
    model.set_params(learning_rate_init=1e200)
    with pytest.raises(ValueError, match="diverged"):
        model.fit(X, y)
    for before, after in zip(good, model.coefs_, strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_interrupted_model_is_usable(monkeypatch):
    epoch = Trainer.train_epoch

    def interrupted(self):
        if len(self.state.loss_curve) == 3:
            raise KeyboardInterrupt
        epoch(self)

    monkeypatch.setattr(Trainer, "train_epoch", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = quick(max_iter=50).fit(X, y)
    assert model.n_iter_ == 3
    np.testing.assert_array_equal(model.predict(X), quick(max_iter=3).fit(X, y).predict(X))


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters", [{"early_stopping": True}, {"learning_rate": "adaptive", "solver": "sgd"}], ids=str
)
def test_wherever_training_is_interrupted_its_record_fits_together(parameters):
    """Ctrl-C before any line of the code that records an epoch."""
    epochs, n_lines = set(), lines_of_training(lambda: quick(max_iter=3, **parameters).fit(X, y), stop_at=None)
    for number in range(n_lines):
        model = quick(max_iter=3, warm_start=True, **parameters)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            lines_of_training(lambda model=model: model.fit(X, y), stop_at=number)
        assert_record_fits(model)
        epochs.add(len(model.loss_curve_))
        assert_record_fits(model.fit(X, y))
    assert epochs == {0, 1, 2, 3}


def lines_of_training(fit, stop_at):
    """Return how many lines a fit runs of the code that trains epochs; interrupt it before one of them."""
    ended = []
    n_lines = interrupted_at(lambda: ended.append(fit()), stop_at, Trainer.__module__)
    assert ended  # fit itself takes the interrupt
    return n_lines


def assert_record_fits(model):
    state = model._state
    assert len(model.loss_curve_) == state.epochs
    if model.early_stopping:
        assert len(model.validation_scores_) == len(model.validation_loss_curve_) == state.epochs
        assert state.best_score == max(model.validation_scores_, default=-np.inf)


# ---- meta-estimators ----------------------------------------------------------------------


def test_parameters_are_grid_searchable_and_clonable():
    search = GridSearchCV(quick(), {"alpha": [1e-4, 1.0], "activation": ["tanh", "relu"], "dtype": ["float32"]}, cv=2)
    search.fit(X, y)
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


@pytest.mark.slow
def test_parallel_searches_find_the_same():
    scores = [cross_val_score(quick(max_iter=30), X, y, n_jobs=n_jobs, cv=4) for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*scores)


# ---- bad input ----------------------------------------------------------------------------

BAD_PARAMETERS = {
    "hidden_layer_sizes": [(-1,), (0,), (2.5,), "10", None, {3}, [[3]]],
    "activation": ["rellu", None, 1],
    "solver": ["newton", None],
    "alpha": [-1, "1", np.nan],
    "batch_size": [0, -3, 2.5, "all"],
    "learning_rate": ["slow"],
    "learning_rate_init": [0, -1, None],
    "power_t": [-0.1],
    "max_iter": [0, 1.5],
    "shuffle": ["yes", 2],
    "tol": [-1],
    "verbose": [-1, "loud"],
    "warm_start": [1],
    "momentum": [-0.1, 1.1],
    "nesterovs_momentum": [0],
    "early_stopping": ["auto"],
    "validation_fraction": [0, 1, -0.1],
    "beta_1": [1, -0.1],
    "beta_2": [1.0],
    "epsilon": [0],
    "n_iter_no_change": [0, -1, 2.5],
    "max_fun": [0],
    "backend": ["tpu", 3],
    "dtype": ["int8", np.float16],
    "random_state": [-1, 1.5, "a", np.random.default_rng(0)],
}


@in_turns(
    pytest.mark.parametrize(
        "name, value", [(name, value) for name, values in BAD_PARAMETERS.items() for value in values]
    ),
    pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor]),
)
def test_a_bad_parameter_is_named_with_what_is_allowed_and_what_came(estimator, name, value):
    model = estimator().set_params(**{name: value})
    before = state_of(model)
    with pytest.raises(ValueError, match=rf"{name} must be .+; got {re.escape(repr(value))}\."):
        model.fit(X, y)
    assert state_of(model) == before


@pytest.mark.parametrize("seen", [False, True])
def test_a_refused_fit_takes_no_random_numbers(seen):
    stream, other = np.random.RandomState(3), np.random.RandomState(3)
    model = quick(random_state=stream, early_stopping=True, warm_start=True)
    if seen:
        model.fit(X, y)
        quick(random_state=other, early_stopping=True).fit(X, y)
    with pytest.raises(ValueError, match="leaves no rows to train on"):
        model.set_params(validation_fraction=0.999).fit(X[:149], y[:149])
    assert stream.randint(10**9) == other.randint(10**9)


def test_a_bad_loss_is_named():
    with pytest.raises(ValueError, match="loss must be one of 'squared_error', 'poisson', .*; got 'log_loss'"):
        MLPRegressor(loss="log_loss").fit(X, y)


WIDE = np.c_[X, X]
SEVENTH_ROW = np.arange(150)[:, None] == 7
HOLED = np.where(SEVENTH_ROW, np.nan, X)
BAD_FITS = {
    "NaN in X": (dict(X=HOLED), "NaN"),
    "infinity in X": (dict(X=np.where(SEVENTH_ROW, np.inf, X)), "infinity"),
    "X of one dimension": (dict(X=X[:, 0]), "2D array"),
    "no rows": (dict(X=X[:0], y=y[:0]), "0 sample"),
    "numbers as labels": (dict(y=y + 0.5), "Unknown label type"),
    "several multiclass columns": (dict(y=np.c_[y, y]), "multioutput"),
    "NaN in y": (dict(y=np.where(y == 0, np.nan, y)), "NaN"),
    "other length": (dict(y=y[:10]), "inconsistent"),
    "no y": (dict(y=None), "requires y"),
    "negative weights": (dict(sample_weight=np.linspace(-1, 1, 150)), "sample_weight must be non-negative; got -1.0"),
    "weights of zero": (dict(sample_weight=np.zeros(150)), "sample_weight must not be zero"),
    "weights of other length": (dict(sample_weight=np.ones(3)), r"sample_weight .* shape \(150,\); got shape \(3,\)"),
    "weights in two columns": (dict(sample_weight=np.ones((150, 2))), "1D array"),
    "weights below float32": (
        dict(X=X.astype("f4"), sample_weight=np.full(150, 1e-60)),
        "must fit the float type of X",
    ),
    "weights of an infinite sum": (
        dict(sample_weight=np.full(150, 1e307)),
        "must have a finite sum.* float64; got .*1e.307",
    ),
    "of float32": (
        dict(X=X.astype("f4"), sample_weight=np.full(150, 1e37)),
        "must have a finite sum.* float32; got .*150",
    ),
    "weights above float32": (dict(X=X.astype("f4"), sample_weight=np.full(150, 1e60)), "must fit the float type of X"),
    "NaN in weights": (dict(sample_weight=np.full(150, np.nan)), "NaN"),
    "validation of other width": (dict(X_val=WIDE, y_val=y), "8 features.*4 features"),
    "validation without targets": (dict(X_val=X), "X_val and y_val must be given together; got X_val alone"),
    "validation targets alone": (dict(y_val=y), "X_val and y_val must be given together; got y_val alone"),
    "unknown validation label": (dict(X_val=X, y_val=y + 1), r"`y_val` has classes not in `self.classes_`"),
    "NaN in validation": (dict(X_val=HOLED, y_val=y), "NaN"),
    "one validation row": (dict(X_val=X[:1], y_val=y[:1]), "at least 2 rows; got 1"),
    "no weight to train on": (
        dict(sample_weight=np.eye(150)[7]),
        "sample_weight must not be zero for all (training|validation) rows of the split",
    ),
}


@pytest.mark.parametrize("change, message", BAD_FITS.values(), ids=BAD_FITS)
@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.fast_share(3)
def test_bad_data_is_refused_and_leaves_the_estimator(fitted, change, message):
    model = quick(early_stopping=True)
    if fitted:
        model.fit(pd.DataFrame(WIDE).rename(columns=str), NAMES[y])
    before = state_of(model)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.fit(**{"X": X, "y": y, **change})
    assert state_of(model) == before


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(y=y - 1.0), "y must be non-negative for loss='poisson'; got -1.0"),
        (dict(X_val=X, y_val=np.c_[y, y]), "y_val must have 1 column"),
        (dict(y=scipy.sparse.csr_matrix(np.c_[y, y])), "y must be a dense array"),
        (dict(y=np.array([None, 1.0] * 75)), "Input y contains NaN, or another missing value: 75 of 150; got None"),
        (dict(y=NAMES[y]), "y must hold numbers; got dtype <U10"),
    ],
)
def test_bad_regression_targets_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        quick(MLPRegressor, loss="poisson").fit(**{"X": X, "y": y, **change})


def test_targets_must_fit_the_float_type_of_x():
    with pytest.raises(ValueError, match="y must be finite in the float type of X, float32; got 1e.200"):
        quick(MLPRegressor).fit(X.astype("f4"), np.full(150, 1e200))


def test_partial_fit_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X, y)
    with pytest.raises(ValueError, match="classes not in `self.classes_`.*virginica"):
        quick().partial_fit(X, NAMES[y], classes=NAMES[:2])
    with pytest.raises(ValueError, match="not the same as on last call"):
        quick().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y, classes=[0, 1, 2, 3])
    with pytest.raises(AttributeError, match="partial_fit"):
        quick(solver="lbfgs").partial_fit(X, y)
    assert not hasattr(quick(MLPRegressor, solver="lbfgs"), "partial_fit")


def test_a_refused_partial_fit_leaves_a_fitted_model():
    model = quick().fit(X, NAMES[y])
    before = state_of(model)
    for rows, labels in ((X, np.full(150, "tulip")), (WIDE, NAMES[y]), (HOLED, NAMES[y])):
        with pytest.raises(ValueError):
            model.partial_fit(rows, labels)
        assert state_of(model) == before


def test_warm_start_refuses_other_classes_and_sizes():
    model = quick(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="same classes"):
        model.fit(X, y % 2)
    with pytest.raises(ValueError, match="hidden_layer_sizes.*must stay.*warm_start=False"):
        model.set_params(hidden_layer_sizes=(3,)).fit(X, y)


def test_weights_of_other_shapes_are_refused():
    model = quick(warm_start=True).fit(X, y)
    model.coefs_[0] = np.ones((4, 3))
    with pytest.raises(
        ValueError, match=r"coefs_\[0\] must be .* of shape \(4, .*; got shape \(4, 3\)\. .*warm_start=False"
    ):
        model.fit(X, y)


def test_an_unfitted_model_says_so():
    with pytest.raises(NotFittedError):
        quick().predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_prediction_checks_its_rows(method):
    model = quick().fit(X, y)
    for rows, message in ((WIDE, "8 features"), (HOLED, "NaN"), (X[:, 0], "2D array")):
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(rows)


# ---- rows that need no validation ---------------------------------------------------------


def test_plain_rows_are_not_validated_again(monkeypatch):
    model = quick().fit(X, y)
    expected = model.predict_proba(X)
    monkeypatch.setattr("sknn._common.validation.validate_data", lambda *args, **options: pytest.fail("validated"))
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize(
    "rows",
    [X.tolist(), X.astype(np.float32), X.astype(">f8"), np.asfortranarray(X)[::-1][::-1], X.view(np.ndarray)[:1]],
    ids=["list", "float32", "swapped", "view", "one"],
)
def test_rows_of_any_kind_say_the_same(rows):
    model = quick().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(rows), model.predict_proba(X[: len(rows)]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_rows_are_still_refused(bad):
    rows = X.copy()
    rows[3, 1] = bad
    model = quick().fit(X, y)
    with pytest.raises(ValueError, match="Input X contains"):
        model.predict(rows)
    with pytest.raises(ValueError, match="features"):
        model.predict(X[:, :-1])
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        model.predict(X[:0])


def test_rows_whose_sum_overflows_are_finite():
    model = quick().fit(X.astype(np.float32), y)
    rows = np.full((4, X.shape[1]), 3e38, np.float32)
    with pytest.warns(RuntimeWarning, match="Predictions of 4 of 4 rows are not finite"):
        assert len(model.predict(rows)) == 4
