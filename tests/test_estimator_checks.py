"""scikit-learn's own checks, at the defaults without any expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::sklearn.exceptions.SkipTestWarning",
    "ignore::sklearn.exceptions.DataConversionWarning",
)
SATURATES = (
    "the check wants probabilities below 1; the full-batch optimum on its data saturates at exactly 1.0 "
    "(scikit-learn's MLPClassifier does the same)"
)


def configurations(estimator):
    return [
        estimator(),
        estimator(solver="sgd"),
        estimator(solver="lbfgs"),
        estimator(hidden_layer_sizes=(), learning_rate_init=0.05),
        estimator(hidden_layer_sizes=(30, 20)),
    ]


def expected_failures(estimator):
    if isinstance(estimator, MLPClassifier) and estimator.solver == "lbfgs":
        return {"check_classifiers_multilabel_output_format_predict_proba": SATURATES}
    return {}


@parametrize_with_checks(
    configurations(MLPClassifier) + configurations(MLPRegressor), expected_failed_checks=expected_failures
)
def test_estimator(estimator, check):
    check(estimator)
