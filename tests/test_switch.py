"""The switch as estimators see it: precedence, the way into joblib's workers, errors that change nothing."""

import contextlib
import copy
import itertools
import pickle
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sknn import MLPClassifier, MLPRegressor, config_context, set_config
from sknn import _backend as backend
from sknn._backend.cuda import backend as cuda
from sknn._common import config as _config
from sknn._common.estimator import BackendMixin
from tests.support import cupy_standin
from tests.support.designs import all_pairs
from tests.support.gpu import cupy_or_skip

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.RandomState(0).standard_normal((48, 3))
y = np.arange(48) % 2
each_estimator = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])


class Asker(BackendMixin, ClassifierMixin, BaseEstimator):
    """Does nothing but note the backend that it is asked to compute on, be there a GPU or not."""

    def __init__(self, backend=None, answer=0):
        self.backend = backend
        self.answer = answer

    def asked(self, X=None):
        try:
            return self._get_backend(X).name
        except ValueError as error:
            assert "needs CuPy" in str(error)
            return "cupy"

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.asked_ = self.asked(X)
        return self

    def score(self, X, y):
        return float(self.asked_ == "cupy")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("SKNN_BACKEND", raising=False)
    monkeypatch.setattr(_config, "_global_setting", {})
    backend._cupy_backend.cache_clear()  # where there is a GPU it may have been found already


def quick(estimator, **parameters):
    return estimator(hidden_layer_sizes=(3,), max_iter=1, random_state=0, **parameters)


def in_thread(function):
    """Return what ``function`` returns in a thread of its own, which no context of this one reaches."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def repickled(estimator):
    return pickle.loads(pickle.dumps(estimator))


def state_of(estimator):
    """A copy of everything that the estimator holds, to be compared by ==."""
    return {name: pickle.dumps(value) for name, value in vars(estimator).items()}


def set_config_context(backend):
    return contextlib.nullcontext(set_config(backend=backend))


each_choice = pytest.mark.parametrize("choose", [config_context, set_config_context])


# ---- precedence ---------------------------------------------------------------------------

LEVELS = ["environment", "set_config", "carried", "context", "parameter"]


def asked_under(settings, monkeypatch):
    """Return what an estimator asks for, in a thread that knows the ``carried`` context by the estimator only."""
    estimator = Asker(backend=settings.get("parameter"))
    if "environment" in settings:
        monkeypatch.setenv("SKNN_BACKEND", settings["environment"])
    set_config(backend=settings.get("set_config"))

    def ask():
        with config_context(backend=settings.get("context")):
            return estimator.asked()

    with config_context(backend=settings.get("carried")):
        estimator = clone(estimator)
        return in_thread(ask)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_heard(level, monkeypatch):
    assert asked_under({level: "cupy"}, monkeypatch) == "cupy"


@pytest.mark.parametrize("lower, higher", list(itertools.combinations(LEVELS, 2)))
@pytest.mark.parametrize("names", [("numpy", "cupy"), ("cupy", "numpy"), ("cupy", "auto")], ids="-".join)
def test_the_nearer_level_wins(lower, higher, names, monkeypatch):
    expected = names[1].replace("auto", "numpy")
    assert asked_under({lower: names[0], higher: names[1]}, monkeypatch) == expected


def test_auto_follows_X(cupy):
    assert Asker().asked(X) == "numpy"
    assert Asker().asked(X.tolist()) == "numpy"
    assert Asker().asked(scipy.sparse.csr_matrix(X)) == "numpy"
    assert Asker().asked(cupy.asarray(X)) == "cupy"


@each_estimator
@pytest.mark.parametrize("rows", ["numpy", "cupy"])
@pytest.mark.parametrize("backend", ["numpy", "cupy", "auto", None])
def test_fit_and_predict_compute_where_they_are_told(estimator, rows, backend, cupy, monkeypatch):
    data = cupy.asarray(X) if rows == "cupy" else X
    products = []  # and all other operations on the GPU
    calls = cuda.Backend.calls
    monkeypatch.setattr(cuda.Backend, "calls", lambda self, operation: products.append(1) or calls(self, operation))
    model = quick(estimator, backend=backend).fit(data, y)
    expected = rows if backend in ("auto", None) else backend
    assert bool(products) == (expected == "cupy")
    products.clear()
    model.predict(data)
    assert bool(products) == (expected == "cupy")


# ---- estimators carry a context, and drop it at its end -----------------------------------


def test_nothing_lingers_after_the_context():
    estimator = Asker()
    pipeline = make_pipeline(FunctionTransformer(), estimator)
    with config_context(backend="cupy"):
        cloned, twice = clone(pipeline)[-1], clone(clone(estimator))
        search = GridSearchCV(pipeline, {"asker__answer": [1, 2]}, cv=2).fit(X, y)
        assert search.best_score_ == 1
    for left in (estimator, cloned, twice, search.best_estimator_[-1], clone(cloned)):
        assert left.asked() == in_thread(left.asked) == "numpy"
    with config_context(backend="cupy"):
        assert estimator.asked() == "cupy"


def test_an_inner_context_gives_way_to_the_outer():
    with config_context(backend="cupy"):
        with config_context(backend="numpy"):
            estimator = clone(Asker())
            assert in_thread(estimator.asked) == "numpy"
        assert in_thread(estimator.asked) == "cupy"
    assert in_thread(estimator.asked) == "numpy"


@pytest.mark.parametrize("copied", [clone, copy.copy, copy.deepcopy, repickled])
@each_choice
def test_copies_in_this_process_follow_its_settings(copied, choose):
    with choose(backend="cupy"):
        twin = copied(clone(Asker()))
        again = copied(twin)
        assert twin.asked() == again.asked() == "cupy"
    set_config(backend="numpy")
    assert twin.asked() == again.asked() == "numpy"
    assert clone(twin).asked() == "numpy"


# ---- into workers -------------------------------------------------------------------------


@pytest.fixture(params=[pytest.param("loky", marks=pytest.mark.slow), "threading"])
def workers(request):
    with joblib.parallel_config(request.param, n_jobs=2):
        yield request.param


@pytest.mark.parametrize("nested", [False, True])
def test_a_context_reaches_every_fold(workers, nested):
    model = make_pipeline(FunctionTransformer(), Asker()) if nested else Asker()
    folds = {"cv": 12, "n_jobs": 2, "pre_dispatch": 2}  # the later folds are dispatched by threads of joblib's
    with config_context(backend="cupy"):
        assert cross_val_score(model, X, y, **folds).tolist() == [1] * 12
        with config_context(backend="numpy"):
            assert cross_val_score(model, X, y, **folds).tolist() == [0] * 12
    assert cross_val_score(model, X, y, **folds).tolist() == [0] * 12


def test_a_context_reaches_a_search(workers):
    with config_context(backend="cupy"):
        search = GridSearchCV(Asker(), {"answer": [1, 2, 3]}, cv=4, n_jobs=2, pre_dispatch=2).fit(X, y)
    assert search.cv_results_["mean_test_score"].tolist() == [1] * 3
    assert search.best_estimator_.asked_ == "cupy"
    assert search.best_estimator_.asked() == "numpy"


def test_set_config_reaches_every_fold(workers):
    set_config(backend="cupy")
    assert cross_val_score(Asker(), X, y, cv=4, n_jobs=2).tolist() == [1] * 4
    set_config(backend="auto")
    assert cross_val_score(Asker(), X, y, cv=4, n_jobs=2).tolist() == [0] * 4


def test_a_parameter_goes_before_the_context_in_workers(workers):
    with config_context(backend="cupy"):
        search = GridSearchCV(Asker(), {"backend": ["numpy", None]}, cv=2, n_jobs=2).fit(X, y)
    assert search.cv_results_["mean_test_score"].tolist() == [0, 1]


def test_estimators_that_come_back_from_workers_carry_nothing(workers):
    with config_context(backend="cupy"):
        fitted = cross_validate(Asker(), X, y, cv=2, n_jobs=2, return_estimator=True)["estimator"]
        unfitted = joblib.Parallel(2)(joblib.delayed(clone)(clone(Asker())) for _ in range(2))
        assert {estimator.asked_ for estimator in fitted} == {"cupy"}
    assert {in_thread(estimator.asked) for estimator in fitted + unfitted} == {"numpy"}


def has_gpu():
    try:
        return bool(cuda.import_cupy())
    except ValueError:
        return False


@pytest.mark.skipif("has_gpu()", reason="needs a machine without a GPU: the error is what tells of the setting")
def test_workers_of_a_search_ask_for_the_gpu(workers):
    search = GridSearchCV(MLPClassifier(max_iter=2), {"alpha": [0, 1]}, cv=2, n_jobs=2, error_score="raise")
    with config_context(backend="cupy"), pytest.raises(ValueError, match="backend='cupy' needs CuPy"):
        search.fit(X, y)


def test_without_a_gpu_its_tests_are_skipped_unless_one_is_required(no_cupy, monkeypatch):
    monkeypatch.delenv("SKNN_REQUIRE_GPU", raising=False)
    with pytest.raises(pytest.skip.Exception, match="CuPy cannot be imported"):
        cupy_or_skip()
    monkeypatch.setenv("SKNN_REQUIRE_GPU", "1")
    with pytest.raises(pytest.fail.Exception, match="CuPy cannot be imported"):
        cupy_or_skip()


# ---- pickles ------------------------------------------------------------------------------


def elsewhere(code, *, stdin=b""):
    """Run code in a new process; return what it prints."""
    code = f"import pickle, sys\nestimator = pickle.load(sys.stdin.buffer)\n{code}"
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout.decode().strip()


@pytest.mark.slow
@each_choice
def test_a_pickle_carries_the_setting_only_while_unfitted(choose):
    ask = "from sknn._common.config import configured_backend\nprint(configured_backend(estimator._carried_scope))"
    with choose(backend="cupy"):
        unfitted = pickle.dumps(MLPClassifier())
        estimator = clone(MLPClassifier(max_iter=1))
        with config_context(backend="numpy"):
            fitted = pickle.dumps(estimator.fit(X, y))
    assert elsewhere(ask, stdin=unfitted) == "cupy"
    assert elsewhere(ask, stdin=fitted) == "auto"
    assert "_carried_scope" not in vars(pickle.loads(fitted))


# ---- what is not there, or is no backend --------------------------------------------------


class CUDARuntimeError(RuntimeError):
    pass


def device_count(outcome):
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def fake_cupy(outcome):
    runtime = types.SimpleNamespace(getDeviceCount=lambda: device_count(outcome), CUDARuntimeError=CUDARuntimeError)
    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))


UNUSABLE = {
    "no cupy": (None, r"CuPy cannot be imported \(.+\)"),
    "no driver": (
        fake_cupy(CUDARuntimeError("cudaErrorInsufficientDriver")),
        r"CuPy finds no usable CUDA driver \(cudaErrorInsufficientDriver\)",
    ),
    "no device": (fake_cupy(0), "CuPy finds no CUDA device"),
}


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.mark.parametrize("module, lack", UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_missing_is_named_until_it_is_there(module, lack, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", module)
    model = quick(MLPClassifier, backend="cupy")
    before = state_of(model)
    message = rf"^backend='cupy' needs CuPy and an NVIDIA GPU, but {lack}\. Install with: pip install sknn\[gpu-.*"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert state_of(model) == before
    with cupy_standin.installed():
        assert model.fit(X, y).predict(X).shape == (48,)


PLACES = ["parameter", "context", "set_config", "environment"]
CALLS = {
    "fit": lambda model: model.fit(X, y),
    "predict": lambda model: model.predict(X),
    "partial_fit": lambda model: model.partial_fit(X, y),
    "score": lambda model: model.score(X, y),
}


def choose(place, name, model, stack, monkeypatch):
    if place == "parameter":
        model.set_params(backend=name)
    elif place == "context":
        stack.enter_context(config_context(backend=name))
    elif place == "set_config":
        set_config(backend=name)
    else:
        monkeypatch.setenv("SKNN_BACKEND", name)


@all_pairs(each_estimator, pytest.mark.parametrize("place", PLACES), pytest.mark.parametrize("call", CALLS))
def test_a_missing_gpu_changes_nothing(call, place, estimator, no_cupy, monkeypatch):
    model = quick(estimator).fit(X, y)
    with contextlib.ExitStack() as stack:
        choose(place, "cupy", model, stack, monkeypatch)
        before = state_of(model)
        with pytest.raises(ValueError, match="backend='cupy' needs CuPy"):
            CALLS[call](model)
        assert state_of(model) == before


@each_estimator
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "place, words", [("parameter", "backend must be one of"), ("environment", "variable SKNN_BACKEND must be one of")]
)
def test_an_unknown_backend_is_refused_and_changes_nothing(call, place, words, estimator, monkeypatch):
    model = quick(estimator).fit(X, y)
    choose(place, "tpu", model, contextlib.ExitStack(), monkeypatch)
    before = state_of(model)
    with pytest.raises(ValueError, match=rf"{words} .*'auto', 'numpy', 'cupy'; got 'tpu'\."):
        CALLS[call](model)
    assert state_of(model) == before


@each_estimator
def test_sparse_rows_are_refused_on_the_gpu(estimator, cupy):
    rows, on_numpy = scipy.sparse.csr_matrix(X), quick(estimator, backend="numpy")
    model = quick(estimator, backend="cupy").fit(X, y)
    before = state_of(model)
    calls = [
        lambda: model.fit(rows, y),
        lambda: model.fit(X, y, X_val=rows, y_val=y),
        lambda: model.partial_fit(rows, y),
        lambda: model.predict(rows),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="sparse X must be computed with backend='numpy'; got backend='cupy'"):
            call()
        assert state_of(model) == before
    np.testing.assert_allclose(on_numpy.fit(rows, y).predict(rows), model.predict(X))
