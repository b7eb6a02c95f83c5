"""scikit-learn's tests of its scalers, with sknn's classes."""

import pytest

from tests.support.borrowed import borrowed_tests

pytestmark = pytest.mark.filterwarnings("ignore:n_quantiles")  # of a QuantileTransformer beside ours

globals().update(borrowed_tests("sklearn.preprocessing.tests.test_data"))
