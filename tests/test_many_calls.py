"""Many calls of fit and partial_fit, one after the other: what they cost, and their curves."""

import copy
import pickle
import sys
import weakref

import numpy as np
import pytest
from sklearn.base import clone

from sknn import MLPClassifier, MLPRegressor
from sknn._backend import get_backend
from sknn.schedules import GrowingBatch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
rng = np.random.default_rng(0)
X = rng.standard_normal((40, 4))
y = np.arange(40) % 3
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, "batch_size": 20}


def n_instructions(call):
    """Return the number of instructions of Python that a call runs in sknn."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if not frame.f_globals.get("__name__", "").startswith("sknn"):
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "validation_fraction": 0.3}], ids=str)
@pytest.mark.parametrize("method", ["partial_fit", "fit"])
@pytest.mark.fast_share(4)
def test_a_call_costs_the_same_however_many_were_before(method, options):
    model = MLPRegressor(**{**SMALL, "max_iter": 1}, warm_start=True, n_iter_no_change=10_000, **options)
    train = lambda: getattr(model, method)(X, y)  # noqa: E731
    costs = []
    for number in range(400):
        train() if 10 < number < 390 else costs.append(n_instructions(train))
    assert min(costs[11:]) < min(costs[1:11]) + 300  # which 400 more entries of one curve exceed
    assert len(model.loss_curve_) == 400
    assert model.loss_curve_ == [float(loss[0]) for loss in model._state.loss_curve]
    if options:
        assert model.best_loss_ is None
        assert model.best_validation_score_ == max(model.validation_scores_)
        best = int(np.argmax(model.validation_scores_))
        assert model.best_validation_loss_ == model.validation_loss_curve_[best]
    else:
        assert model.best_loss_ == min(model.loss_curve_)


def test_curves_of_a_new_fit_are_new_lists():
    model = MLPRegressor(**SMALL).fit(X, y)
    curve = model.loss_curve_
    kept = list(curve)
    model.partial_fit(X, y)
    assert model.loss_curve_[:2] == kept
    model.loss_curve_ = [0.0]  # a user's
    model.partial_fit(X, y)
    assert len(model.loss_curve_) == 4 and model.loss_curve_[:2] == kept
    model.fit(X, y)
    assert model.loss_curve_ == kept and len(curve) >= 2


# ---- plans that are kept from call to call ----------------------------------------------


def batch(number, n_rows=8):
    start = 8 * number % 32
    return X[start : start + n_rows], y[start : start + n_rows]


def replace_weights(model):
    model.coefs_ = [0.5 * W for W in model.coefs_]


def change_weights(model):
    model.coefs_[0][...] *= 0.5


def change_rate(model):
    model.set_params(learning_rate_init=0.1)


def fit_between(model):
    model.set_params(warm_start=True).fit(X[:16], y[:16])


def other_length(model):
    train(model, *batch(0, 5))
    train(model, *batch(1, 5))


def weighted(model):
    train(model, *batch(0), sample_weight=np.arange(8.0))
    train(model, *batch(1), sample_weight=np.arange(8.0) + 1)


def refused(model):
    with pytest.raises(ValueError, match="NaN"):
        train(model, np.full((8, 4), np.nan), y[:8])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        train(model, X[:8], y[:7])


def other_layout(model):
    train(model, np.asfortranarray(X[:8]), y[:8])
    train(model, X[:16:2], y[:16:2])


def as_lists(model):
    train(model, X[:8].tolist(), y[:8].tolist())


def train(model, rows, targets, **options):
    classes = {} if isinstance(model, MLPRegressor) else {"classes": [0, 1, 2]}
    return model.partial_fit(rows, targets, **classes, **options)


BETWEEN = [
    *(replace_weights, change_weights, change_rate, fit_between),
    *(other_length, weighted, refused, other_layout, as_lists),
]
FEW = {**SMALL, "batch_size": 4}
KINDS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "batch_size": 3},
    "norm": {"norm": "batch", "dropout": 0.3, "ema_decay": 0.9, "clip_norm": 1.0},
    "growing": {"batch_size": GrowingBatch(2), "decoupled_decay": True, "l1": 1e-3},
}


@pytest.mark.parametrize("between", BETWEEN, ids=lambda between: between.__name__)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.fast_share(5)
def test_kept_plans_train_as_new_ones(estimator, kind, between):
    """A loaded model has none; its training is tested beside scikit-learn's."""
    kept = estimator(**{**FEW, **KINDS[kind]})
    other = estimator(**{**FEW, **KINDS[kind]})
    for number in range(7):
        for model in (kept, other):
            train(model, *batch(number))
            if number == 3:
                between(model)
        other = pickle.loads(pickle.dumps(other))
        for mine, theirs in zip(kept.coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(kept.predict(X), other.predict(X))
    assert kept.loss_curve_ == other.loss_curve_ and kept.t_ == other.t_


def test_a_plan_is_compiled_once_for_calls_of_the_same_shape(monkeypatch):
    backend, compiled = get_backend("numpy"), []
    compile_ = backend.compile
    monkeypatch.setattr(backend, "compile", lambda plan: compiled.append(plan) or compile_(plan))
    model = MLPRegressor(**FEW)
    for number in range(20):
        train(model, *batch(number))
    assert len(compiled) == 1


def test_a_kept_plan_neither_holds_nor_changes_the_rows_of_the_caller():
    rows, targets = X[:8].copy(), y[:8].astype(float)
    model = MLPRegressor(**FEW).partial_fit(rows, targets)
    reference = weakref.ref(rows)
    model.partial_fit(X[8:16], y[8:16])
    np.testing.assert_array_equal(rows, X[:8])
    del rows
    assert reference() is None


def test_copies_do_not_share_plans():
    model = train(MLPRegressor(**FEW), *batch(0))
    copied, cloned = copy.deepcopy(model), clone(model)
    for number in range(1, 4):
        train(model, *batch(number))
    before = [W.copy() for W in copied.coefs_]
    assert len(pickle.dumps(model)) < len(pickle.dumps(copied)) + 2000
    train(model, *batch(0))
    for W, expected in zip(copied.coefs_, before, strict=True):
        np.testing.assert_array_equal(W, expected)
    assert "_trainings" not in vars(cloned)
    for number in range(1, 4):
        train(copied, *batch(number))
    train(copied, *batch(0))
    np.testing.assert_array_equal(copied.coefs_[0], model.coefs_[0])
