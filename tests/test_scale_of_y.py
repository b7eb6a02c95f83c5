"""Warnings where the scale of y, or of y_val, is out of proportion."""

import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sknn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
T = X @ [1.0, 2, 3, 4]
NOISE = RNG.standard_normal(60)
WORDS = "explain hardly anything of y.*TransformedTargetRegressor"


def messages_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = call()
    return model, [str(warning.message) for warning in caught if "explain hardly anything" in str(warning.message)]


def fitted(y, rows=X, weight=None, **parameters):
    return MLPRegressor(**{"random_state": 0, **parameters}).fit(rows, y, weight)


UNLEARNT = {
    "large": (T * 1e6, {}),
    "small": (T * 1e-6, {}),
    "tiny": (T * 1e-30, {}),
    "far from zero": (T + 1e6, {}),
    "large constant": (np.full(60, 1e6), {}),
    "small constant": (np.full(60, 1e-6), {}),
    "large, early stopping": (T * 1e6, {"early_stopping": True}),
    "small, early stopping": (T * 1e-6, {"early_stopping": True}),
    "large, loss watched": (T * 1e6, {"early_stopping": True, "monitor": "loss"}),
    "small, lbfgs": (T * 1e-6, {"solver": "lbfgs"}),
    "large, sgd": (T * 1e6, {"solver": "sgd", "clip_norm": 1.0}),
    "large, absolute error": (T * 1e6, {"loss": "absolute_error"}),
    "small, absolute error": (T * 1e-6, {"loss": "absolute_error"}),
    "large, Huber": (T * 1e6, {"loss": "huber"}),
    "small, quantile": (T * 1e-6, {"loss": "quantile"}),
    "large counts": (RNG.poisson(3, 60) * 1e6, {"loss": "poisson"}),
    "small counts": (RNG.poisson(3, 60) * 1e-6, {"loss": "poisson"}),
    "batch norm": (T * 1e6, {"norm": "batch", "ema_decay": 0.9}),
}


@pytest.mark.parametrize("case", UNLEARNT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.fast_share(5)
def test_a_scale_that_is_not_reached_is_said(dtype, case):
    y, parameters = UNLEARNT[case]
    rows = X.astype(dtype)
    model, messages = messages_of(lambda: fitted(y, rows, **parameters))
    assert model.score(rows, y) < 0.1
    (message,) = messages
    assert "TransformedTargetRegressor" in message
    assert y.min() == y.max() or f"standard deviation {y.std():.3g}" in message


def test_the_deviation_is_said_of_numbers_whose_squares_are_zero():
    (message,) = messages_of(lambda: fitted(T * 1e-200))[1]
    assert f"mean {T.mean() * 1e-200:.3g}, standard deviation {T.std() * 1e-200:.3g})" in message
    (message,) = warnings_of_y_val(T[:40] * 1e-200, T[40:])
    assert f"a standard deviation of {T[:40].std() * 1e-200:.3g};" in message


def test_each_output_is_judged_by_itself():
    y = np.c_[T, T * 1e6, T * 1e-6, T * 10]
    (message,) = messages_of(lambda: fitted(y))[1]
    assert "in output 1, 2," in message
    assert not messages_of(lambda: fitted(y[:, [0, 3]], learning_rate_init=0.01))[1]


def test_a_callers_filter_finds_the_warning():
    with pytest.warns(ConvergenceWarning, match=WORDS):
        fitted(T * 1e-6)


def test_partial_fit_says_it_when_training_should_end():
    model = MLPRegressor(random_state=0, early_stopping=True)
    n_messages = 0
    while not n_messages:
        _, messages = messages_of(lambda: model.partial_fit(X, T * 1e6))
        n_messages += len(messages)
        assert bool(messages) == model.stopped_
    assert n_messages == 1


def test_a_stream_of_rows_is_no_end_of_training():
    """Losses of chunks stop falling although training goes on, to predictions that explain y."""
    rows, y = make_regression(2000, 10, noise=1, random_state=0)
    order, met_rule = np.random.default_rng(0), False
    model = MLPRegressor(random_state=0, learning_rate_init=0.01)
    for _ in range(15):
        for chunk in np.split(order.permutation(2000), 50):
            _, messages = messages_of(lambda chunk=chunk: model.partial_fit(rows[chunk], y[chunk]))
            assert not messages
            met_rule |= model.stopped_
    assert met_rule and model.score(rows, y) > 0.9


def test_rows_without_weight_do_not_count():
    y = np.r_[T, np.full(60, 1e6)]
    weight = np.r_[np.ones(60), np.zeros(60)]
    assert not messages_of(lambda: fitted(y, np.r_[X, X], weight, learning_rate_init=0.01))[1]
    assert messages_of(lambda: fitted(y[::-1] * 1e6, np.r_[X, X], weight[::-1]))[1]


LEARNT = {
    "usual": (T, {"learning_rate_init": 0.01}),
    "noise": (NOISE, {"early_stopping": True}),
    "noise of counts": (RNG.poisson(3, 60), {"loss": "poisson"}),
    "noise about zero": (NOISE * 1e-1, {}),
    "constant": (np.ones(60), {}),
    "zeros": (np.zeros(60), {}),
    "large, lbfgs": (T * 1e6, {"solver": "lbfgs"}),
    "large noise, lbfgs": (NOISE * 1e6, {"solver": "lbfgs", "hidden_layer_sizes": (), "alpha": 0.0}),
    "large, high rate": (T * 1e3, {"learning_rate_init": 10.0, "hidden_layer_sizes": (), "max_iter": 1000}),
    "small, low tol": (T * 1e-3, {"tol": 1e-12, "max_iter": 1000}),
    "large, upper quantile": (np.exp(T), {"solver": "adam", "loss": "quantile", "learning_rate_init": 1.0}),
    "one epoch": (T, {"max_iter": 1}),
}


@pytest.mark.parametrize("case", LEARNT)
@pytest.mark.fast_share(5)
def test_no_false_alarm(case):
    y, parameters = LEARNT[case]
    assert not messages_of(lambda: fitted(y, **parameters))[1]


def test_no_false_alarm_where_large_y_has_nothing_to_explain():
    """A linear model of noise, solved exactly: its R^2 is about 4 / 1000."""
    rows, y = RNG.standard_normal((1000, 4)), 1e6 * RNG.standard_normal(1000)
    model, messages = messages_of(lambda: fitted(y, rows, solver="lbfgs", hidden_layer_sizes=(), alpha=0.0))
    assert 0 <= model.score(rows, y) < 0.05 and not messages


def test_classifiers_have_no_scale():
    assert not messages_of(lambda: MLPClassifier(max_iter=2).fit(X, (T > 0) * 10**6))[1]


def test_the_remedy_helps():
    data, target = load_diabetes(return_X_y=True)
    rows = StandardScaler().fit_transform(data)
    plain, messages = messages_of(lambda: MLPRegressor(random_state=0, max_iter=20).fit(rows, target))
    assert plain.score(rows, target) < 0 and messages
    remedy = TransformedTargetRegressor(MLPRegressor(random_state=0, max_iter=20), transformer=StandardScaler())
    model, messages = messages_of(lambda: remedy.fit(rows, target))
    assert model.score(rows, target) > 0.4 and not messages


# ---- y_val ------------------------------------------------------------------------------


def warnings_of_y_val(y, y_val, regressor=None, call="fit"):
    regressor = MLPRegressor(max_iter=1, random_state=0) if regressor is None else regressor
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(regressor, call)(X[: len(y)], y, X_val=X[: len(y_val)], y_val=y_val)
    return [
        str(warning.message) for warning in caught if "y_val may not be transformed as y is" in str(warning.message)
    ]


TRANSFORMERS = {
    "standardised": (StandardScaler(), 100 + 50 * T),
    "standardised, mean of zero": (StandardScaler(), 10 * T),
    "logarithm": (FunctionTransformer(np.log1p, np.expm1), np.exp(5 + T)),
    "made large": (FunctionTransformer(lambda y: 1e6 * y, lambda y: 1e-6 * y), T),
    "several": (StandardScaler(), np.c_[T, 1000 + T]),
}


@pytest.mark.parametrize("case", TRANSFORMERS)
def test_validation_targets_that_were_not_transformed(case):
    transformer, y = TRANSFORMERS[case]
    regressor = TransformedTargetRegressor(MLPRegressor(max_iter=1), transformer=transformer)
    (message,) = warnings_of_y_val(y[:40], y[40:], regressor)
    assert "TransformedTargetRegressor transforms y alone" in message


def test_a_split_by_time_may_look_the_same():
    (message,) = warnings_of_y_val(np.exp(np.arange(40) / 5), np.exp(np.arange(40, 60) / 5))
    assert message.startswith("y_val may not be transformed as y is: ")
    assert "If y_val is as it should be, such as the last part of a series that grows, ignore this" in message


HEALTHY = {
    "split": (T[:40], T[40:]),
    "two rows": (T[:40], T[40:42]),
    "shifted": (T[:40], T[40:] + T.std()),
    "heavy tails": (np.exp(2 * T[:40]), np.exp(2 * T[40:])),
    "mostly zeros": (np.r_[np.zeros(38), 1e6, 5], np.zeros(20)),
    "constant": (np.ones(40), T[40:]),
    "several": (np.c_[T, 1e6 * T][:40], np.c_[T, 1e6 * T][40:]),
}


@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_validation_targets(case):
    assert not warnings_of_y_val(*HEALTHY[case])


def test_partial_fit_sees_too_few_rows_to_compare():
    assert not warnings_of_y_val(T[:2] * 1e-3, T, call="partial_fit")
