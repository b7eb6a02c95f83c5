"""Warnings of fit name the line that called it."""

import inspect

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from sknn import MLPClassifier, MLPRegressor
from sknn.schedules import Cosine

X = np.random.default_rng(0).standard_normal((20, 3))
y = np.arange(20) % 2


def fit_once(model):
    return model.fit(X, y)


def fit_in_pipeline(model):
    return make_pipeline(model).fit(X, y)


def fit_twice(model):
    model.set_params(warm_start=True).fit(X, y)
    return model.fit(X, y)


WARNINGS = {
    "epochs": (MLPClassifier(max_iter=2), ConvergenceWarning, "Maximum iterations"),
    "lbfgs": (MLPRegressor(solver="lbfgs", max_iter=2), ConvergenceWarning, "lbfgs failed to converge"),
    "batch size": (MLPClassifier(max_iter=2, batch_size=99), UserWarning, "larger than the number"),
    "schedule": (MLPClassifier(max_iter=2, learning_rate=Cosine()), UserWarning, "ended after max_iter"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_names_the_line_of_the_caller(name):
    """Whatever wraps fit: the decorator of scikit-learn's callbacks adds frames in some of its versions only."""
    model, category, message = WARNINGS[name]
    call = fit_twice if name == "schedule" else fit_once
    with pytest.warns(category) as record:
        call(model)
    (line,) = {(warning.filename, warning.lineno) for warning in record if message in str(warning.message)} or [None]
    source, first = inspect.getsourcelines(call)
    assert line[0] == __file__
    assert "fit(X, y)" in source[line[1] - first]


def test_a_warning_within_a_pipeline_names_the_pipeline():
    """The first frame outside sknn and scikit-learn's callbacks."""
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as record:
        fit_in_pipeline(MLPClassifier(max_iter=2))
    assert record[0].filename.endswith("pipeline.py")
