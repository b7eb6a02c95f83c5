"""Warnings of fit name the line that called it."""

import inspect
from unittest import mock

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.pipeline import make_pipeline

from sknn import MLPClassifier, MLPRegressor
from sknn._core.trainer import Trainer
from sknn.schedules import Cosine

X = np.random.default_rng(0).standard_normal((20, 3))
y = np.arange(20) % 2


def fit_once(model):
    return model.fit(X, y)


def fit_column(model):
    return model.fit(X, y[:, None])


def fit_batch(model):
    return model.partial_fit(1000 + 50 * X, y)


def fit_interrupted(model):
    with mock.patch.object(Trainer, "train_epoch", side_effect=KeyboardInterrupt):
        return model.fit(X, y)


def fit_in_pipeline(model):
    return make_pipeline(model).fit(X, y)


def fit_twice(model):
    model.set_params(warm_start=True).fit(X, y)
    return model.fit(X, y)


CALLS = {"schedule": fit_twice, "column": fit_column, "lag": fit_batch, "interrupt": fit_interrupted}
WARNINGS = {
    "epochs": (MLPClassifier(max_iter=2), ConvergenceWarning, "Maximum iterations"),
    "lbfgs": (MLPRegressor(solver="lbfgs", max_iter=2), ConvergenceWarning, "lbfgs failed to converge"),
    "batch size": (MLPClassifier(max_iter=2, batch_size=99), UserWarning, "larger than the number"),
    "column": (MLPClassifier(max_iter=2), DataConversionWarning, "A column-vector y was passed"),
    "lag": (MLPRegressor(norm="batch", learning_rate_init=0.1), UserWarning, "running statistics of norm"),
    "interrupt": (MLPClassifier(max_iter=2), UserWarning, "Training interrupted by user"),
    "schedule": (MLPClassifier(max_iter=2, learning_rate=Cosine()), UserWarning, "ended after max_iter"),
}


@pytest.mark.filterwarnings("always::sklearn.exceptions.ConvergenceWarning")  # beside the one that is looked for
@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_names_the_line_of_the_caller(name):
    """Whatever wraps fit: the decorator of scikit-learn's callbacks adds frames in some of its versions only."""
    model, category, message = WARNINGS[name]
    call = CALLS.get(name, fit_once)
    with pytest.warns(category) as record:
        call(model)
    (line,) = {(warning.filename, warning.lineno) for warning in record if message in str(warning.message)} or [None]
    source, first = inspect.getsourcelines(call)
    assert line[0] == __file__
    assert "fit(" in source[line[1] - first]


def test_a_warning_within_a_pipeline_names_the_pipeline():
    """The first frame outside sknn and scikit-learn's callbacks."""
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as record:
        fit_in_pipeline(MLPClassifier(max_iter=2))
    assert record[0].filename.endswith("pipeline.py")
