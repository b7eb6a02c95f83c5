"""scikit-learn's own checks, at the defaults without any expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier, MLPRegressor
from tests.support.designs import shared_out, slow_where

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::sklearn.exceptions.SkipTestWarning",
    "ignore::sklearn.exceptions.DataConversionWarning",
)
SATURATES = (
    "the check wants probabilities below 1; the full-batch optimum on its data saturates at exactly 1.0 "
    "(scikit-learn's MLPClassifier does the same)"
)


def expected_failures(estimator):
    if isinstance(estimator, MLPClassifier) and estimator.solver == "lbfgs":
        return {"check_classifiers_multilabel_output_format_predict_proba": SATURATES}
    return {}


@slow_where(
    parametrize_with_checks([MLPClassifier(), MLPRegressor()]),
    lambda estimator, check: "sparse" in check.func.__name__,
)
@pytest.mark.fast_share(3)
def test_at_the_defaults(estimator, check):
    check(estimator)


def other_configurations(estimator):
    return [
        estimator(solver="sgd"),
        estimator(solver="lbfgs"),
        estimator(hidden_layer_sizes=(), learning_rate_init=0.05),  # a linear model learns slowly at the default
        estimator(hidden_layer_sizes=(30, 20)),
    ]


@pytest.mark.slow
@shared_out(
    parametrize_with_checks(
        other_configurations(MLPClassifier) + other_configurations(MLPRegressor),
        expected_failed_checks=expected_failures,
    ),
    every=4,
)
def test_in_other_configurations(estimator, check):
    check(estimator)
