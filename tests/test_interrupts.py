"""Ctrl-C at any moment leaves an estimator as it was, or one that predicts and can be trained on."""

import copy
import pickle
import signal
import sys
import time

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sknn import MLPClassifier, MLPRegressor
from sknn._core.trainer import Trainer
from sknn._estimators import base
from sknn.preprocessing import PCA, ZCA, MinMaxScaler, StandardScaler
from tests.support.interrupts import interrupted

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Training interrupted by user"),
]
rng = np.random.default_rng(0)
X = rng.standard_normal((40, 4))
y = np.arange(40) % 3
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, "batch_size": 20}
NETWORKS = {
    "adam": {},
    "sgd, adaptive": {"solver": "sgd", "learning_rate": "adaptive", "ema_decay": 0.9},
    "lbfgs": {"solver": "lbfgs", "norm": "batch"},
    "stopping": {"early_stopping": True, "norm": "batch", "validation_fraction": 0.3},
    "scorer": {"early_stopping": True, "monitor": "neg_log_loss", "validation_fraction": 0.3},
}


def assert_unfitted_or_usable(model, before):
    """It has the attributes that it had, or predicts, can be copied and be trained further."""
    if "coefs_" not in vars(model):
        assert vars(model).keys() == before.keys()
        with pytest.raises(NotFittedError):
            model.predict(X)
    else:
        np.testing.assert_array_equal(copy.deepcopy(model).predict(X), model.predict(X))
        assert len(model.loss_curve_) >= model.n_iter_
        assert hasattr(model, "classes_") and model.predict_proba(X).shape == (40, 3)
    again = model.fit(X, y)
    assert np.isfinite(again.predict_proba(X)).all() and len(again.loss_curve_) >= again.n_iter_


def first_fit(model):
    return model.fit(X, y)


def another_fit(model):
    return model.set_params(warm_start=True).fit(X, y)


def another_batch(model):
    return model.partial_fit(X, y, classes=[0, 1, 2])


CALLS = [
    *((name, first_fit, False) for name in NETWORKS),
    *((name, another_fit, True) for name in NETWORKS),
    *((name, another_batch, fitted) for name in NETWORKS if name != "lbfgs" for fitted in (False, True)),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, call, fitted", CALLS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_interrupt_before_any_line_leaves_a_model_unfitted_or_usable(name, call, fitted):
    start = MLPClassifier(**SMALL, **NETWORKS[name])
    if fitted:
        start.fit(X, y)
    n_lines = interrupted(lambda: call(copy.deepcopy(start)), stop_at=None)
    assert n_lines > 300
    offset = len(name) % 7
    for number in range(offset, n_lines, max(1, n_lines // 40)):
        model = copy.deepcopy(start)
        before = dict(vars(model))
        interrupted(lambda model=model: call(model), stop_at=number)
        assert_unfitted_or_usable(model, before)


def interrupt_once(monkeypatch, owner, name, number=1):
    """Let a function raise KeyboardInterrupt at its call of that number, once."""
    original, calls = getattr(owner, name), []

    def raising(*args, **named):
        calls.append(0)
        if len(calls) == number:
            raise KeyboardInterrupt
        return original(*args, **named)

    monkeypatch.setattr(owner, name, raising)
    return calls


@pytest.mark.parametrize("name", ["_publish_shape", "_publish_training", "_try_monitor"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_interrupt_while_attributes_are_set(solver, name, monkeypatch):
    model = MLPClassifier(**SMALL, solver=solver)
    before = dict(vars(model))
    calls = interrupt_once(monkeypatch, MLPClassifier, name)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    if name == "_publish_training":  # which is then done again
        assert len(calls) == 2
        np.testing.assert_array_equal(model.predict(X), MLPClassifier(**SMALL, solver=solver).fit(X, y).predict(X))
    else:
        assert vars(model) == before


@pytest.mark.parametrize(
    "name, call",
    [(name, call) for name, call, fitted in CALLS if fitted and name in ("adam", "lbfgs", "stopping")],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_interrupts_without_end_while_attributes_are_set_leave_curves_as_they_were(name, call, monkeypatch):
    model = MLPClassifier(**SMALL, **NETWORKS[name]).fit(X, y)
    curves = [curve for curve in ("loss_curve_", "validation_scores_") if getattr(model, curve) is not None]
    before = {curve: list(getattr(model, curve)) for curve in curves}

    def interrupt(*_):
        raise KeyboardInterrupt

    published_last = "best_epoch" if name == "stopping" else "lowest"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(base, published_last, interrupt)
        call(model)
    assert {curve: list(getattr(model, curve)) for curve in curves} == before
    call(model)
    for curve in curves:
        now = getattr(model, curve)
        assert now[: len(before[curve])] == before[curve] and len(now) == len(before[curve]) + model.n_iter_


def test_an_interrupt_while_statistics_are_found_at_the_end(monkeypatch):
    expected = MLPRegressor(**SMALL, norm="batch").fit(X + 1000, y)
    interrupt_once(monkeypatch, sys.modules[Trainer.__module__], "set_exact_statistics")
    model = MLPRegressor(**SMALL, norm="batch").fit(X + 1000, y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_interrupt_in_a_scorer(number):
    """The first call is before training, the others are in its epochs."""
    calls = []

    def scorer(estimator, rows, labels):
        calls.append(0)
        if len(calls) == number:
            raise KeyboardInterrupt
        return estimator.score(rows, labels)

    model = MLPClassifier(**SMALL, monitor=scorer, early_stopping=True)
    before = dict(vars(model))
    if number == 1:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert vars(model) == before
    else:
        model.fit(X, y)
        assert model.n_iter_ == len(model.validation_scores_) == number - 2
    assert_unfitted_or_usable(model, before)


@pytest.mark.parametrize("where", ["setup", "on_fit_task_begin", "on_fit_task_end"])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_interrupt_in_a_callback(solver, number, where):
    pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9 has no callbacks")
    calls = []

    class Interrupting:
        torn_down = 0

        def setup(self, estimator, context):
            self.called("setup")

        def teardown(self, estimator, context):
            self.torn_down += 1

        def on_fit_task_begin(self, estimator, context):
            self.called("on_fit_task_begin")

        def on_fit_task_end(self, estimator, context):
            self.called("on_fit_task_end")

        def called(self, name):
            calls.append(name)
            if name == where and calls.count(name) == number:
                raise KeyboardInterrupt

    callback = Interrupting()
    model = MLPClassifier(**SMALL, solver=solver).set_callbacks(callback)
    before = dict(vars(model))
    try:
        model.fit(X, y)
    except KeyboardInterrupt:
        assert where == "setup" or (where == "on_fit_task_begin" and number == 1)
        assert vars(model) == before
    assert callback.torn_down == 1
    model.set_callbacks()
    assert_unfitted_or_usable(model, dict(vars(model)))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
@pytest.mark.parametrize("name", NETWORKS)
def test_interrupts_by_a_timer(name):
    """Real signals, at moments drawn at random."""
    moments = np.random.default_rng(len(name))
    options = {**SMALL, **NETWORKS[name], "max_iter": 50}
    began = time.perf_counter()
    MLPClassifier(**options).fit(X, y)
    longest = max(time.perf_counter() - began, 2e-3)

    def handler(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(20):
            model = MLPClassifier(**options)
            before = dict(vars(model))
            try:
                signal.setitimer(signal.ITIMER_REAL, float(moments.uniform(1e-5, longest)))
                model.fit(X, y)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert_unfitted_or_usable(model, before)
    finally:
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.slow
@pytest.mark.parametrize(
    "transformer", [StandardScaler(), MinMaxScaler(per="sample"), PCA(2), ZCA()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("fitted", [False, True])
def test_an_interrupt_leaves_a_transformer_as_it_was_or_done(fitted, transformer):
    start = copy.deepcopy(transformer)
    if fitted:
        start.fit(X + 1)
    done = copy.deepcopy(start).partial_fit(X)
    n_lines = interrupted(lambda: copy.deepcopy(start).partial_fit(X), stop_at=None)
    for number in range(0, n_lines, 1 + n_lines // 50):
        model = copy.deepcopy(start)
        interrupted(lambda model=model: model.partial_fit(X), stop_at=number)
        either = [pickle.dumps(other) for other in (start, done)]
        assert pickle.dumps(model) in either
