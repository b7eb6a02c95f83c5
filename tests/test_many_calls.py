"""Many calls of fit and partial_fit, one after the other: what they cost, and their curves."""

import sys

import numpy as np
import pytest

from sknn import MLPRegressor

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
