"""A fit on CuPy is the fit on NumPy: every fitted array and every output. A stand-in plays CuPy where there is none."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sknn import MLPClassifier, MLPRegressor, config_context
from sknn._backend import is_device_array
from sknn._common.validation import check_X
from sknn.activations import ACTIVATIONS
from sknn.initializers import INITIALIZERS
from sknn.losses import REGRESSION_LOSSES
from sknn.normalization import BatchNorm, BatchRenorm, GroupNorm, InstanceNorm, LayerNorm, WeightNorm
from sknn.optimizers import OPTIMIZERS
from sknn.schedules import SCHEDULES
from tests.support import cupy_standin
from tests.support.designs import all_pairs, in_turns
from tests.support.gpu import cupy_or_skip
from tests.support.parity import LABELS, NAMES, SIGNAL, TASKS, WEIGHT, Case, X, assert_equal, fitted_values, outputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SOLVERS = ["sgd", "adam", "lbfgs"]


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request):
    """CuPy on a GPU, and what stands for it without one."""
    if request.param == "gpu":
        yield cupy_or_skip()
    else:
        with cupy_standin.installed() as module:
            yield module


@pytest.fixture
def rtol(cupy):
    """How far results may be apart."""
    return 1e-9 if cupy is cupy_standin.cupy else 1e-8


@pytest.fixture
def bring(request, cupy):
    """A function that brings data to where it is to live."""
    return {"numpy": np.asarray, "cupy": cupy.asarray}[request.param]


each_place = pytest.mark.parametrize("bring", ["numpy", "cupy"], indirect=True)


NORMED = [
    *(BatchNorm(), BatchNorm(position="post", statistics="exact"), BatchNorm(center=False, scale=False)),
    *(BatchNorm(virtual_batch_size=8), BatchRenorm(start_step=1, r_end=5, d_end=5, momentum=0.5), LayerNorm()),
    *(GroupNorm(2), InstanceNorm(2, position="post"), WeightNorm(), WeightNorm(data_dependent=False)),
]
CASES = [
    *(Case("strings", {"solver": solver, "activation": name}) for solver in SOLVERS for name in ACTIVATIONS),
    *(Case(task, {"solver": solver}, weighted=True) for task in TASKS for solver in SOLVERS),
    *(Case(task, {"early_stopping": True}) for task in TASKS),
    *(Case(task, {"early_stopping": True}, validated=True, weighted=True) for task in ("multiclass", "two outputs")),
    *(Case(task, validated=True) for task in TASKS),
    *(Case(task, {"warm_start": True}, n_calls=2) for task in ("binary", "poisson")),
    *(Case(task, {"warm_start": True, "solver": "lbfgs"}, n_calls=2) for task in ("multilabel", "regression")),
    *(Case(task, {"solver": solver}, "partial_fit", 3) for task in TASKS for solver in SOLVERS[:2]),
    Case("regression", {"solver": "sgd", "learning_rate": "invscaling", "nesterovs_momentum": False}),
    Case("regression", {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1}),
    Case("multiclass", {"hidden_layer_sizes": (), "alpha": 0.1, "shuffle": False}),
    Case("multiclass", {"hidden_layer_sizes": (300, 3), "batch_size": 70}),
    *(Case("multiclass", {"solver": solver, "max_iter": 4}) for solver in OPTIMIZERS),
    *(Case("multiclass", {"init": init, "max_iter": 2}) for init in INITIALIZERS),
    *(Case("multiclass", {"learning_rate": name, "max_iter": 4}) for name in SCHEDULES),
    *(
        Case(task, {"loss": "squared_error", "target_range": (0.01, 0.99)})
        for task in ("binary", "multiclass", "multilabel")
    ),
    *(Case(task, {"label_smoothing": 0.2}) for task in ("binary", "multiclass", "multilabel")),
    *(Case("regression", {"loss": loss}) for loss in REGRESSION_LOSSES if loss != "poisson"),
    Case("strings", {"class_weight": "balanced", "early_stopping": True}, weighted=True),
    Case("multiclass", {"l1": 0.1, "clip_norm": 0.5, "max_norm": 1.0, "decoupled_decay": True, "alpha": 0.1}),
    Case("multiclass", {"dropout": 0.3, "input_dropout": 0.2}),
    *(Case("multiclass", {"norm": norm}) for norm in NORMED),
    Case("strings", {"norm": BatchNorm(), "early_stopping": True}, weighted=True),
    Case("regression", {"norm": BatchNorm(), "solver": "lbfgs"}),
    Case("two outputs", {"norm": BatchNorm(virtual_batch_size=4)}, "partial_fit", 3),
    Case("regression", {"l1": 0.1, "clip_norm": 0.5, "max_norm": 1.0, "solver": "sgd"}, "partial_fit", 3),
]


# Kernels are simulated: a ninth of the fits is what `make test-fast` has time for.
SOME_FAST = [case if i % 9 == 0 else pytest.param(case, marks=pytest.mark.slow) for i, case in enumerate(CASES)]


# ---- models and their outputs -------------------------------------------------------------


class HostPickler(pickle.Pickler):
    """A pickler that refuses arrays of a GPU, wherever they hide."""

    def persistent_id(self, value):
        assert not is_device_array(value)


def assert_on_host(model):
    for value in vars(model).values():
        HostPickler(io.BytesIO()).dump(value)


# ---- the generic test ---------------------------------------------------------------------


@in_turns(pytest.mark.parametrize("case", SOME_FAST, ids=str), each_place)
@pytest.mark.fast_share(5)
def test_a_fit_on_cupy_is_the_fit_on_numpy(case, bring, rtol):
    ours, theirs = case.fitted(bring, backend="cupy"), case.fitted(backend="numpy")
    assert_on_host(ours)
    ours_fitted, theirs_fitted = fitted_values(ours), fitted_values(theirs)
    assert ours_fitted.keys() == theirs_fitted.keys()
    for name in ours_fitted:
        assert_equal(ours_fitted[name], theirs_fitted[name], rtol, name)
    ours_said, theirs_said = outputs(ours, bring(X)), outputs(theirs, X)
    for method in ours_said:
        assert_equal(ours_said[method], theirs_said[method], rtol, method)
    y = TASKS[case.task][1]
    assert_equal(ours.score(bring(X), y, WEIGHT), theirs.score(X, y, WEIGHT), rtol, "score")


@pytest.mark.slow
@all_pairs(pytest.mark.parametrize("task", TASKS), pytest.mark.parametrize("solver", SOLVERS), each_place)
def test_float32_stays_float32(task, solver, bring):
    case = Case(task, {"solver": solver, "max_iter": 3})
    ours = case.fitted(lambda rows: bring(rows.astype(np.float32)), backend="cupy")
    theirs = case.fitted(lambda rows: rows.astype(np.float32), backend="numpy")
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@all_pairs(
    pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"]),
    pytest.mark.parametrize("task", ["multiclass", "multilabel", "two outputs"]),
    each_place,
)
def test_float32_follows_the_cpu(task, activation, bring):
    """To 1e-4 after 20 epochs, from the same random numbers."""
    case = Case(task, {"activation": activation, "max_iter": 20, "dropout": 0.1, "solver": "adam"})
    ours = case.fitted(lambda rows: bring(rows.astype(np.float32)), backend="cupy")
    theirs = case.fitted(lambda rows: rows.astype(np.float32), backend="numpy")
    assert ours.n_iter_ == theirs.n_iter_ == 20
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("there, back", [("numpy", "cupy"), ("cupy", "numpy")])
@each_place
def test_training_goes_on_on_the_other_backend(solver, there, back, bring, rtol):
    case = Case("multiclass", {"solver": solver, "warm_start": True})
    moved = case.fitted(bring, backend=there).set_params(backend=back).fit(bring(X), LABELS)
    stayed = case.fitted(backend="numpy").fit(X, LABELS)
    for name, value in fitted_values(stayed).items():
        assert_equal(fitted_values(moved)[name], value, rtol, name)


# ---- where arrays live --------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "cupy", "auto"])
@pytest.mark.parametrize("task", ["binary", "multilabel", "two outputs"])
@each_place
@pytest.mark.fast_share(5)
def test_targets_and_weights_may_live_anywhere(task, backend, bring, cupy, rtol):
    y = TASKS[task][1]
    case = Case(task, {"early_stopping": True, "max_iter": 2})
    expected = case.fitted().fit(X, y, WEIGHT, X[::3], y[::3])
    model = clone(expected).set_params(backend=backend)
    model.fit(bring(X), cupy.asarray(y), cupy.asarray(WEIGHT), cupy.asarray(X[::3]), cupy.asarray(y[::3]))
    assert_equal(model.coefs_, expected.coefs_, rtol, "coefs_")
    score = model.score(bring(X), cupy.asarray(y), cupy.asarray(WEIGHT))
    assert type(score) is float
    assert score == pytest.approx(expected.score(X, y, WEIGHT), rel=rtol)


@each_place
def test_indicators_may_be_sparse(bring):
    y = TASKS["multilabel"][1]
    kinds = np.asarray, scipy.sparse.csr_matrix
    dense, sparse = (MLPClassifier((4,), max_iter=2, random_state=0).fit(bring(X), kind(y)) for kind in kinds)
    assert scipy.sparse.issparse(sparse.predict(bring(X)))
    np.testing.assert_array_equal(sparse.predict(bring(X)).toarray(), dense.predict(bring(X)))


def test_classes_may_live_anywhere(cupy):
    model = MLPClassifier().partial_fit(cupy.asarray(X), cupy.asarray(LABELS), classes=cupy.arange(3))
    assert model.classes_.tolist() == [0, 1, 2]


@pytest.mark.slow
@all_pairs(
    pytest.mark.parametrize("backend", ["numpy", "cupy", "auto"]), pytest.mark.parametrize("task", TASKS), each_place
)
def test_predictions_are_numpy(task, backend, bring):
    said = outputs(Case(task).fitted(bring, backend=backend), bring(X))
    assert {type(output) for output in said.values()} == {np.ndarray}


@pytest.mark.slow
@all_pairs(
    pytest.mark.parametrize("backend", ["numpy", "cupy", "auto"]),
    pytest.mark.parametrize(
        "task, method",
        [
            ("regression", "predict"),
            ("two outputs", "predict"),
            ("multiclass", "predict_proba"),
            ("binary", "predict_proba"),
            ("multilabel", "predict_proba"),
            ("multiclass", "predict_log_proba"),
            ("multiclass", "predict"),
            ("multilabel", "predict"),
        ],
    ),
    each_place,
)
def test_predictions_live_with_X_where_scikit_learn_dispatches(task, method, backend, bring):
    expected = getattr(Case(task).fitted(backend="numpy"), method)(X)
    rows = bring(X)
    with sklearn.config_context(array_api_dispatch=True):
        model = Case(task).fitted(bring, backend=backend)
        said = getattr(model, method)(rows)
    assert is_device_array(said) == is_device_array(rows)
    np.testing.assert_allclose(said.get() if is_device_array(said) else said, expected, rtol=1e-6)


@each_place
def test_names_are_numpy_also_where_scikit_learn_dispatches(bring):
    with sklearn.config_context(array_api_dispatch=True):
        said = Case("strings").fitted(bring, backend="cupy").predict(bring(X))
    assert type(said) is np.ndarray
    assert set(said) <= set(NAMES)


@pytest.mark.slow
@all_pairs(
    pytest.mark.parametrize("task", ["binary", "strings", "multilabel", "regression"]),
    pytest.mark.parametrize("backend", ["numpy", "cupy", "auto"]),
    each_place,
)
def test_scores_are_floats_where_scikit_learn_dispatches(task, backend, bring, rtol):
    y = TASKS[task][1]
    expected = Case(task).fitted().score(X, y)
    with sklearn.config_context(array_api_dispatch=True):
        score = Case(task).fitted(bring, backend=backend).score(bring(X), y)
    assert type(score) is float
    assert score == pytest.approx(expected, rel=rtol)


@pytest.mark.parametrize("layout", [lambda xp: xp.asarray(X[:, ::-1])[:, ::-1], lambda xp: xp.asarray(X.T.copy()).T])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_memory_layout_on_the_device_does_not_matter(layout, solver, cupy, rtol):
    case = Case("regression", {"solver": solver})
    rows = layout(cupy)
    model = case.fitted(lambda _: rows)
    assert_equal(model.coefs_, case.fitted().coefs_, rtol, "coefs_")
    np.testing.assert_array_equal(cupy.asnumpy(rows), X)


# ---- pickles ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_model_from_the_gpu_loads_and_predicts_without_cupy(early_stopping, cupy):
    case = Case("strings", {"early_stopping": early_stopping})
    with config_context(backend="cupy"):
        model = case.fitted(cupy.asarray)
    code = (
        "import pickle, sys; sys.modules['cupy'] = None; model, X = pickle.load(sys.stdin.buffer);"
        "pickle.dump(model.predict_proba(X), sys.stdout.buffer)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, input=pickle.dumps((model, X)), stdout=subprocess.PIPE, check=True)
    np.testing.assert_allclose(pickle.loads(result.stdout), model.predict_proba(cupy.asarray(X)), rtol=1e-9)


def test_a_model_that_asks_for_the_gpu_loads_without_and_may_be_told_otherwise(monkeypatch):
    with cupy_standin.installed() as cupy:
        model = Case("strings").fitted(cupy.asarray, backend="cupy")
        expected, pickled = model.predict(X), pickle.dumps(model)
    monkeypatch.setitem(sys.modules, "cupy", None)
    loaded = pickle.loads(pickled)
    with pytest.raises(ValueError, match="needs CuPy"):
        loaded.predict(X)
    np.testing.assert_array_equal(loaded.set_params(backend="numpy").predict(X), expected)


# ---- under scikit-learn's meta-estimators -------------------------------------------------


def make_classifier():
    return MLPClassifier(hidden_layer_sizes=(6,), max_iter=15, learning_rate_init=0.05, random_state=0)


@pytest.mark.slow
@each_place
def test_a_search_runs_on_rows_on_the_device(bring):
    grid = {"alpha": [1e-4, 1.0], "activation": ["tanh", "relu"]}
    ours, theirs = (GridSearchCV(make_classifier(), grid, cv=3) for _ in range(2))
    with config_context(backend="cupy"):
        ours.fit(bring(X), NAMES)
    theirs.fit(X, NAMES)
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_array_equal(ours.predict(bring(X)), theirs.predict(X))


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "roc_auc_ovr"])
def test_folds_are_scored_on_rows_on_the_device(scoring, cupy):
    expected = cross_val_score(make_classifier(), X, NAMES, cv=3, scoring=scoring)
    np.testing.assert_allclose(
        cross_val_score(make_classifier(), cupy.asarray(X), NAMES, cv=3, scoring=scoring), expected
    )


def double(rows):
    return 2 * rows


def test_a_pipeline_keeps_rows_on_the_device(cupy):
    pipeline = make_pipeline(FunctionTransformer(double), make_classifier())
    expected = clone(pipeline).fit(X, NAMES).predict_proba(X)
    np.testing.assert_allclose(pipeline.fit(cupy.asarray(X), NAMES).predict_proba(cupy.asarray(X)), expected)


def test_a_pipeline_with_a_scaler_keeps_rows_on_the_device(cupy):
    preprocessing = pytest.importorskip("sknn.preprocessing")
    pipeline = make_pipeline(preprocessing.StandardScaler(), make_classifier())
    expected = clone(pipeline).fit(X, NAMES).predict_proba(X)
    np.testing.assert_allclose(pipeline.fit(cupy.asarray(X), NAMES).predict_proba(cupy.asarray(X)), expected)


# ---- the same checks ----------------------------------------------------------------------


def holed(*values):
    rows = X.copy()
    rows[7, : len(values)] = values
    return rows


BAD_ROWS = {
    "NaN": (holed(np.nan), "contains NaN"),
    "infinity": (holed(np.inf), "infinity"),
    "two infinities": (holed(np.inf, -np.inf), "infinity"),
    "NaN and infinity": (holed(np.nan, np.inf), "NaN|infinity"),
    "beyond float32": (holed(1e300), "infinity"),
    "one dimension": (X[:, 0], "Expected 2D array, got 1D array instead"),
    "three dimensions": (X[None], "dim 3|3D array"),
    "complex": (X + 1j, "Complex data not supported"),
    "no rows": (X[:0], r"0 sample\(s\)"),
    "no columns": (X[:, :0], r"0 feature\(s\)"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of casts and sums of infinities
@all_pairs(
    pytest.mark.parametrize("bad", BAD_ROWS), pytest.mark.parametrize("backend", ["numpy", "cupy", "auto"]), each_place
)
@pytest.mark.fast_share(7)
def test_bad_rows_are_refused_alike(bad, backend, bring):
    values, message = BAD_ROWS[bad]
    rows, y = bring(values), LABELS[: len(values)]
    model = MLPClassifier((3,), max_iter=1, random_state=0, dtype="float32", backend=backend).fit(bring(X), LABELS)
    before = {name: pickle.dumps(value) for name, value in vars(model).items()}
    calls = [
        lambda: model.fit(rows, y),
        lambda: model.partial_fit(rows, y),
        lambda: model.fit(bring(X), LABELS, X_val=rows, y_val=y),
        lambda: model.predict(rows),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()
        assert {name: pickle.dumps(value) for name, value in vars(model).items()} == before
    with pytest.raises(ValueError, match=message):
        clone(model).fit(rows, y)


BAD_CALLS = {
    "other width": (lambda model, rows: model.predict(rows[:, :4]), "X has 4 features, .* expecting 5 features"),
    "other length": (lambda model, rows: model.fit(rows, LABELS[:9]), "inconsistent numbers of samples"),
    "no targets": (lambda model, rows: model.fit(rows, None), "requires y to be passed"),
    "missing targets": (lambda model, rows: model.fit(rows, np.where(LABELS == 1, np.nan, LABELS)), "Input y.* NaN"),
    "complex targets": (lambda model, rows: model.fit(rows, LABELS + 1j), "Complex data not supported"),
    "targets of three dimensions": (lambda model, rows: model.fit(rows, np.zeros((70, 1, 1))), "dim 3"),
    "unfitted": (lambda model, rows: clone(model).predict(rows), "not fitted yet"),
    "other validation width": (
        lambda model, rows: model.fit(rows, LABELS, X_val=rows[:, 1:], y_val=LABELS),
        "X has 4 features, .* expecting 5 features",
    ),
}


@all_pairs(
    pytest.mark.parametrize("bad", BAD_CALLS),
    pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor]),
    each_place,
)
def test_bad_calls_are_refused_alike(bad, estimator, bring):
    call, message = BAD_CALLS[bad]
    model = estimator(hidden_layer_sizes=(3,), max_iter=1).fit(bring(X), LABELS)
    with pytest.raises(ValueError, match=message):
        call(model, bring(X))


@each_place
def test_a_refused_first_fit_leaves_no_trace(bring):
    model = MLPClassifier()
    before = dict(vars(model))
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(bring(X), SIGNAL[:, 0])
    assert vars(model) == before


@pytest.mark.parametrize("given", ["i4", "u1", "?", "f2", "f4", "f8"])
@each_place
def test_the_model_computes_in_the_type_of_rows_on_the_device(given, bring):
    rows = bring((4 * X).astype(given))
    model = MLPClassifier((3,), max_iter=1, backend="cupy").fit(rows, LABELS)
    assert model.coefs_[0].dtype == ("f4" if given == "f4" else "f8")
    assert model.predict_proba(rows).dtype == model.coefs_[0].dtype


@each_place
def test_large_finite_numbers_are_no_infinity(bring):
    rows = bring(np.full((70, 5), 1e308))
    assert check_X(MLPClassifier(), rows, reset=True).shape == (70, 5)


@pytest.mark.parametrize(
    "value, allowed, fine",
    [(np.nan, "allow-nan", True), (np.inf, "allow-nan", False), (-np.inf, "allow-nan", False), (np.inf, False, True)],
)
@each_place
def test_what_may_be_missing_may_be_missing_on_the_device(value, allowed, fine, bring):
    rows, model = bring(holed(value)), MLPClassifier()
    if fine:
        assert check_X(model, rows, reset=True, ensure_all_finite=allowed).shape == (70, 5)
    else:
        with pytest.raises(ValueError, match="infinity"):
            check_X(model, rows, reset=True, ensure_all_finite=allowed)


def test_missing_names_of_features_are_told(cupy):
    model = MLPClassifier((3,), max_iter=1).fit(pd.DataFrame(X, columns=list("abcde")), LABELS)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(cupy.asarray(X))


# ---- the stand-in itself ------------------------------------------------------------------

MIXTURES = {
    "sum": lambda xp, device: device + X,
    "sum from the left": lambda xp, device: X + device,
    "sum in place": lambda xp, device: device.__iadd__(X),
    "NumPy's sum in place": lambda xp, device: X.copy().__iadd__(device),
    "product": lambda xp, device: X.T @ device,
    "function": lambda xp, device: xp.exp(X),
    "output": lambda xp, device: xp.exp(device, out=X.copy()),
    "list": lambda xp, device: xp.hstack([device, X]),
    "method": lambda xp, device: device.dot(X.T),
    "conversion": lambda xp, device: np.asarray(device),
    "NumPy's function": lambda xp, device: np.sum(device, where=True),
    "argument that CuPy lacks": lambda xp, device: xp.sum(device, where=device > 0),
}


@pytest.mark.parametrize("mix", MIXTURES.values(), ids=MIXTURES)
def test_the_stand_in_refuses_to_mix(mix):
    with pytest.raises(TypeError):
        mix(cupy_standin.cupy, cupy_standin.cupy.asarray(X))


def test_the_stand_in_is_filled_with_its_own_kind_only():
    device = cupy_standin.cupy.zeros(X.shape)
    with pytest.raises(ValueError, match="non-scalar"):
        device[...] = X
    device[1:, 2] = np.float64(3)
    device[[0]] = cupy_standin.cupy.ones(5)
    assert float(device.sum()) == 3 * 69 + 5


def test_the_stand_in_takes_scalars_and_row_numbers():
    device = cupy_standin.cupy.asarray(X)
    assert is_device_array(device)
    assert not isinstance(device, np.ndarray)
    for result in (np.float64(2) * device, device * 2, 2 * device):
        np.testing.assert_array_equal(result.get(), 2 * X)
    rows = np.array([3, 1])
    np.testing.assert_array_equal(device[rows, ...].get(), X[rows])
    np.testing.assert_array_equal(device[cupy_standin.cupy.asarray(rows)].get(), X[rows])
    assert is_device_array(device[0, 0])
    assert float(device[0, 0]) == X[0, 0]
    for name in ("ascontiguousarray_", "linalg_", "putmask"):
        with pytest.raises(AttributeError):
            getattr(cupy_standin.cupy, name)
